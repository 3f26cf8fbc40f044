"""Counting in portions gives what counting one by one would have given."""

from __future__ import annotations

import logging
import random
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from structlog.testing import LogCapture

from gateway.cli.serving import GRANIAN_LOGS
from gateway.telemetry import OVERHEAD_SECONDS, WARNINGS_A_SECOND, Telemetry, Times, observe_all


def test_a_portion_of_observations_is_the_same_as_each_by_itself() -> None:
    """Bounds, the first and last bucket and the sum are those of the library's own ``observe``."""
    rng = random.Random(5)
    values = [*OVERHEAD_SECONDS, 0.0, 5.0, -1.0, *(rng.random() / 10 for _ in range(500))]
    texts = []
    for portion in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("h", "text", registry=registry, buckets=OVERHEAD_SECONDS)
        if portion:
            observe_all(histogram, values)
        else:
            for value in values:
                histogram.observe(value)
        lines = generate_latest(registry).decode().splitlines()
        texts.append([line for line in lines if "_created" not in line and not line.startswith("h_sum")])
        total = float(next(line for line in lines if line.startswith("h_sum")).split()[1])
        assert abs(total - sum(values)) < 1e-9
    assert texts[0] == texts[1]


def _line(number: int) -> dict[str, Any]:
    """One of a few kinds of canonical lines."""
    return {
        "model": f"m{number % 2}",
        "provider": "p",
        "outcome": "complete" if number % 3 else "caller_left",
        "streamed": number % 2 == 0,
        "attempts": ["p:ok"] if number % 5 else ["q:overloaded", "p:ok"],
        "tokens": {"prompt": number, "completion": 1},
        "cost_nano": 10 * number,
        "fee_nano": number,
        "ttft_ms": number if number % 2 == 0 else None,
    }


async def test_generations_of_a_portion_are_added_up() -> None:
    """One flush of many equals many flushes of one, in every sample of the scrape."""
    scrapes = []
    for at_once in (True, False):
        telemetry = Telemetry("error")
        telemetry.labels.learn(["m0", "m1", "p", "q"])
        for number in range(1, 60):
            times = Times(number / 1000, number / 10_000, 0.001, 0.0 if number % 7 == 0 else 0.002)
            telemetry.generation((_line, number), lost_nano=number % 4, times=times)
            if not at_once:
                telemetry.flush()
        telemetry.flush()
        scrapes.append(
            {
                sample.name + str(sorted(sample.labels.items())): round(sample.value, 9)
                for family in telemetry.registry.collect()
                for sample in family.samples
            }
        )
    assert scrapes[0] == scrapes[1]
    assert scrapes[0]["tokenway_generations_total" + str([("model", "m1"), ("outcome", "complete")])] == 20


def test_an_outage_does_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many warnings about vendors in one second the first are written; the next one written says how many were left out."""
    telemetry, captured, now = Telemetry("error"), LogCapture(), [10.0]
    monkeypatch.setattr("gateway.telemetry.time.monotonic", lambda: now[0])
    telemetry.log = structlog.wrap_logger(
        None, processors=[captured], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    for second in (10.0, 11.5):
        now[0] = second
        for _ in range(WARNINGS_A_SECOND + 7):
            telemetry.vendor_failed("gen-1", "a/m@t/m", "server_error", status=500, said="no")
    assert len(captured.entries) == 2 * WARNINGS_A_SECOND
    assert [entry["left_out"] for entry in captured.entries if "left_out" in entry] == [7]


def test_granians_own_lines_are_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A worker that had to be killed is reported by granian itself; every line of standard output is JSON."""
    granian = pytest.importorskip("granian.log", reason="granian is not installed")
    granian.configure_logging(granian.LogLevels.warning, GRANIAN_LOGS)
    for name in ("_granian", "granian.access"):
        logger = logging.getLogger(name)
        try:
            logger.warning("Killing %s", "worker-2")
        finally:
            logger.handlers.clear()
        line = msgspec.json.decode(capsysbinary.readouterr().out)
        assert (line["logger"], line["event"], line["level"]) == (name, "Killing worker-2", "warning")
