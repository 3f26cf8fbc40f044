"""Fixtures that every test may ask for, and the event loop that each part of the suite runs on."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

settings.register_profile("tokenway", deadline=None)  # machines are busy: no test depends on time
settings.load_profile("tokenway")

gc.disable()  # until all tests are collected: the vendors' SDKs are a million objects that stay, and each scan of them finds nothing

# Every client and every gateway makes a TLS context: 50 ms with the 140 roots of the world, nothing with one of our own.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "root.pem")

pytest.register_assert_rewrite("tests.support.gateway", "tests.support.invariants")

from tests.support.gateway import gateway  # noqa: E402
from tests.support.valkey import accounts, ledger, store, valkey_server  # noqa: E402
from tests.support.vendor import simulated  # noqa: E402

__all__ = ["accounts", "gateway", "ledger", "simulated", "store", "valkey_server"]

TESTS = Path(__file__).parent
SERVED = {"flows", "faults", "e2e"}
"""What runs the whole gateway runs it on the loop that serves it in production."""

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """uvloop where the gateway is served, asyncio's own elsewhere, both where connections break."""
    ours: Mapping[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if item.path.name.startswith("test_disconnect"):
        return {**ours, "asyncio": asyncio.new_event_loop}
    folder = item.path.relative_to(TESTS).parts[0]
    return ours if folder in SERVED else {"asyncio": asyncio.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties can be chosen by name: the long run tries them with all their examples. Where both loops are tried, the one that
    the gateway is not served on is left to the long run, too."""
    for item in items:
        if item.name.partition("[")[2].startswith(("asyncio-", "asyncio]")):
            # Disconnects are storms: one after the other.
            item.add_marker("soak" if item.path.name.startswith("test_disconnect") else "tail")
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("property")


def pytest_collection_finish() -> None:
    """What is loaded now stays to the end, and is not scanned again."""
    gc.freeze()
    gc.enable()
