"""The orders of the list of models: each by its figure, and last what has none, in both directions."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gateway.catalog.load import load
from gateway.catalog.selection import Filter, ordered, rows
from tests.support.management import write_files

LATENCY = {"acme/ok": 300.0, "bolt/fast": 100.0, "bolt/slow": 900.0, "acme/pix": 2_000.0}
SPEED = {"acme/ok": 50.0, "bolt/slow": 80.0}
"""Endpoint without its model → what was measured; of the others nothing was."""
FAST, SLOW, FREE, PIX, TALK = "acme/fast-1", "acme/slow-2", "zeta/free-3", "art/pix", "art/talk"
ORDERS = {
    "providers-high-to-low": [FAST, SLOW, PIX, TALK, FREE],
    "newest": [SLOW, FAST, PIX, TALK, FREE],
    "pricing-low-to-high": [FREE, FAST, SLOW, PIX, TALK],
    "pricing-high-to-low": [SLOW, FAST, FREE, PIX, TALK],
    "context-high-to-low": [FAST, FREE, SLOW, PIX, TALK],
    "latency-low-to-high": [FAST, SLOW, PIX, TALK, FREE],
    "throughput-high-to-low": [SLOW, FAST, PIX, TALK, FREE],
}
"""PIX is sold by the picture and TALK by the second: neither has a price of tokens, which is not a price of nothing."""


def _speed_of(endpoint: str) -> Any:
    name = endpoint.partition("@")[0]
    medians = {"latency_ms": LATENCY.get(name), "throughput_tps": SPEED.get(name)}
    return SimpleNamespace(**{kind: value and SimpleNamespace(p50=value) for kind, value in medians.items()})


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    config = write_files(tmp_path, "http://127.0.0.1:1/v1")
    art = [
        {"slug": slug, "name": slug, "created": "2025-06-01", "context_length": 4_096, "input_modalities": ["text"],
         "output_modalities": [made], "supported_parameters": [], "endpoints": [{"provider": "acme", "upstream_id": name}]}
        for slug, made, name in ((PIX, "image", "pix"), (TALK, "transcription", "talk"))
    ]  # fmt: skip
    (config / "models/art.yaml").write_text(yaml.safe_dump(art))
    path = config / "prices/acme.yaml"
    prices = yaml.safe_load(path.read_text())
    common = {"from": "2026-01-01", "source": "https://x.example"}
    prices += [
        {
            "upstream_id": "pix",
            "usd_per_mtok": {"prompt": "0", "completion": "0"},
            "usd_per_image_output": "0.04",
            **common,
        },
        {
            "upstream_id": "talk",
            "usd_per_mtok": {"prompt": "0", "completion": "0"},
            "usd_per_minute": "0.006",
            **common,
        },
    ]
    path.write_text(yaml.safe_dump(prices))
    return load((config,), {"TEST_BOLT_API_KEY": "opens-nothing"})


@pytest.mark.parametrize("sort", ORDERS)
def test_what_is_not_known_comes_last(catalog: Any, sort: str) -> None:
    found = rows(catalog.models.values(), Filter(output_modalities="all"), time.time(), catalog.attributes)
    assert [row.model.slug for row in ordered(found, sort, _speed_of)] == ORDERS[sort]
    backwards = list(reversed(found))
    names = [row.model.slug for row in ordered(backwards, sort, _speed_of)]
    unknown = {"latency": (TALK, FREE), "throughput": (PIX, TALK, FREE), "pricing": (PIX, TALK)}.get(
        sort.partition("-")[0], ()
    )
    assert set(names[len(names) - len(unknown) :]) == set(unknown)
