"""A gateway that sells the operations beside chat: sales with output modalities and prices by unit, and requests to their paths.

stage = await opened(gateway, patch, sale("t/e", "alpha", "embeddings"))
response = await post(await stage.caller(), "/embeddings", model="t/e", input="hello")

"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from tests.support import gateway as support
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import nano

Units = Mapping[str, Mapping[str, str]]
"""Upstream id → price fields beside tokens, e.g. ``{"ok": {"usd_per_mchar": "15"}}``."""


def sale(model: str, provider: str, made: str, upstream_id: str = "ok", **more: Any) -> Sale:
    """An endpoint whose model makes ``made`` (an output modality). ``more``: prompt, completion; the rest is of its row."""
    prices = {name: more.pop(name) for name in ("prompt", "completion") if name in more}
    takes = ["audio"] if made == "transcription" else ["text"]
    row = {"output_modalities": [made], "input_modalities": takes, "supported_parameters": [], **more}
    return Sale(model, provider, upstream_id, more=row, **prices)


async def opened(
    start: Callable[..., Any], patch: pytest.MonkeyPatch, *sales: Sale, units: Units | None = None, **options: Any
) -> Stage:
    """``start`` is the fixture ``gateway``; the price files get ``units`` too."""
    write = support.write_catalog

    def written(directory: Path, vendors: Mapping[str, str], sold: Sequence[Sale], **provider: Any) -> Path:
        found = write(directory, vendors, sold, **provider)
        for file in (directory / "prices").glob("*.yaml"):
            rows = yaml.safe_load(file.read_text())
            for row in rows:
                row.update((units or {}).get(row["upstream_id"], {}))
            file.write_text(yaml.safe_dump(rows))
        return found

    patch.setattr(support, "write_catalog", written)
    stage: Stage = await start(*sales, **options)
    return stage


async def post(caller: Caller, path: str, **body: Any) -> httpx.Response:
    """One JSON request."""
    return await caller.gateway.client.post("/api/v1" + path, content=msgspec.json.encode(body), headers=caller.headers)


def billed(usd: str | Decimal, fee_percent: str = "5") -> tuple[int, int]:
    """(cost, cost and fee) in nano-dollars, computed without the code under test."""
    cost = nano(Decimal(usd))
    return cost, cost + nano(Decimal(cost) * Decimal(fee_percent) / 100 / 10**9)


async def settled(caller: Caller) -> tuple[int, int]:
    """(the provider's cost, what the caller paid) of the one settled line of this caller, in nano-dollars."""
    (line,) = [line for line in await caller.lines() if line.type == "settled"]
    return line.cost_nano, line.user_nano


def wav(seconds: float, hertz: int = 8_000) -> bytes:
    """A silent recording: 16 bit, mono."""
    samples = bytes(2 * round(seconds * hertz))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        hertz,
        2 * hertz,
        2,
        16,
        b"data",
        len(samples),
    )
    return head + samples
