"""One canonical log line per request, and Prometheus metrics whose labels are bounded by construction.

A label value is a name of the catalogue, of a failure row or of a closed list here; anything else becomes ``other``. Keys, users
and organisations never become labels: they belong to the usage store. This module must not know what a request is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from bisect import bisect_left
from collections import Counter as Counted
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.money import NANO, format_usd

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
OVERHEAD_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
OTHER = "other"
PREFIX = "tokenway_"
FLUSH_INTERVAL_S = 0.05
WARNINGS_A_SECOND = 20
"""Lines about vendors' failures, per process."""

_encode = msgspec.json.Encoder().encode


def set_up_logs(level: str) -> None:
    """Write logs as JSON lines on standard output, one per call. Prompts and answers are never logged."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


class ServerLog(logging.Handler):
    """A server's own warnings, such as granian's of a worker that does not stop, as JSON lines among ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line on standard output."""
        line = {
            "logger": record.name,
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        sys.stdout.buffer.write(_encode(line) + b"\n")
        sys.stdout.buffer.flush()


def _render(_logger: Any, _method: str, event: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


class Times(NamedTuple):
    """How long one generation took, and how long it waited for the ledger, in seconds."""

    total_s: float
    overhead_s: float
    """The gateway's own share."""
    hold_s: float
    settle_s: float


Line = tuple[Any, ...]
"""A function that makes a canonical line, and its arguments. It is called at the flush: a hundred in a row cost half as much."""

Group = Sequence[tuple[Mapping[str, Any], int, Times]]
"""Canonical lines, each with the operator's loss in nano-dollars and its times."""


class Labels:
    """Turns a name into a label value: the name itself when the catalogue knows it, else ``other``."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()

    def learn(self, names: Collection[str]) -> None:
        self._known = frozenset(names)

    def of(self, name: str) -> str:
        return name if name in self._known else OTHER


class Family:
    """A metric family that remembers its children: the library's own look-up locks and converts at every call.

    Bounded, because label values are.
    """

    def __init__(self, family: Any) -> None:
        self._family = family
        self._children: dict[tuple[str, ...], Any] = {}

    def labels(self, *values: str) -> Any:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._family.labels(*values)
        return child


def observe_all(histogram: Any, values: Sequence[float]) -> None:
    """``histogram.observe`` of each value, with one increment per bucket: each one writes to a mapped file in multiprocess mode.

    It uses private fields of prometheus-client (0.22 to 0.26), as there is no public way; a test compares it with ``observe``.
    """
    counts: dict[int, int] = {}
    for value in values:
        bucket = bisect_left(histogram._upper_bounds, value)
        counts[bucket] = counts.get(bucket, 0) + 1
    for bucket, count in counts.items():
        histogram._buckets[bucket].inc(count)
    histogram._sum.inc(sum(values))


class Telemetry:
    """The metrics of one process. With ``PROMETHEUS_MULTIPROC_DIR`` set, a scrape sums over all worker processes."""

    def __init__(self, log_level: str = "info") -> None:
        self._requests: list[tuple[str, str]] = []
        self._ended: list[tuple[Line, int, Times]] = []
        self._counted: dict[tuple[Family, tuple[str, ...]], float] = {}
        self._observed: dict[tuple[Family, str], list[float]] = defaultdict(list)
        self._timer: asyncio.TimerHandle | None = None
        self._warned = (0, 0)
        """A second, and how often ``vendor_failed`` was called in it."""
        self._unwritten = 0
        self._canonical = log_level in ("debug", "info")
        self.log = structlog.get_logger()
        self.labels = Labels()
        self._define()

    def _define(self) -> None:
        """Every metric."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double a scrape, and nothing uses them
        self.registry = registry = CollectorRegistry()

        def counter(metric: str, text: str, *labels: str) -> Any:
            plain = Counter(PREFIX + metric, text, labels, registry=registry)
            return Family(plain) if labels else plain

        def gauge(metric: str, text: str, *labels: str, mode: Any = "livesum") -> Any:
            plain = Gauge(PREFIX + metric, text, labels, registry=registry, multiprocess_mode=mode)
            return Family(plain) if labels else plain

        def histogram(metric: str, text: str, buckets: tuple[float, ...], *labels: str) -> Family:
            return Family(Histogram(PREFIX + metric, text, labels, registry=registry, buckets=buckets))

        self.requests = counter("requests", "Requests by API surface and outcome.", "surface", "outcome")
        self.generations = counter("generations", "Generations by model served and outcome.", "model", "outcome")
        self.attempts = counter("attempts", "Attempts by provider and kind of ending.", "provider", "kind")
        self.tokens = counter("tokens", "Tokens billed, by disjoint kind.", "model", "kind")
        self.cost = counter("provider_cost_usd", "Cost of providers.", "provider")
        self.fee = counter("fee_usd", "Platform fee booked.", "provider")
        self.loss = counter("loss_usd", "Cost that no caller pays: insurance, failed attempts, overruns.", "provider")
        self.ttft = histogram("ttft_seconds", "Request to first content of a stream.", SECONDS, "provider")
        self.duration = histogram("request_seconds", "Request to the last byte.", SECONDS, "streamed")
        self.overhead = histogram("overhead_seconds", "The gateway's own share.", OVERHEAD_SECONDS, "streamed")
        self.ledger_latency = histogram("ledger_seconds", "One ledger call.", OVERHEAD_SECONDS, "call")
        self.ledger_errors = counter("ledger_errors", "Ledger calls that were not acknowledged.", "call")
        self.settle_retries = counter("settle_retries", "Settlements tried again after no acknowledgement.")
        self.settle_pending = gauge("settle_pending", "Settlements not yet acknowledged.")
        self.in_flight = gauge("in_flight", "Requests inside.")
        self.open_files = gauge("open_files", "Files that the processes have open, connections among them.")
        self.streams_open = gauge("open_generations", "Generations that are being carried out.")
        self.open_holds = gauge("open_holds", "Holds on the ledger.", mode="mostrecent")
        self.breaker = gauge("breaker_state", "0 closed, 1 half open, 2 open.", "endpoint", mode="mostrecent")
        self.catalog_reloads = counter("catalog_reloads", "Catalogue reloads by result.", "result")
        self.analytics_lost = counter("analytics_lost", "Events of analytics that were lost while Redis was away.")
        self.history_events = counter("history_events", "Events of the history of analytics.", "sink", "outcome")
        self.history_errors = counter("history_errors", "Failures to write the history of analytics.", "sink")
        self.closed_lines = counter("closed_lines", "Lines of the journal that left the store for the archive.")
        self.closing_errors = counter("closing_errors", "Failures to close books; the log names the organization.")
        self.unclassified = counter("unclassified", "Requests chosen to be classified, in vain.")
        self.ledger_hold = self.ledger_latency.labels("hold")
        self.overruns = counter("overruns", "Answers that cost more than could be charged.")
        self.implausible = counter("implausible_usage", "Vendors' reports that cannot be true.", "provider")
        self.disputed = counter("disputed_usd", "What such reports would cost beyond what was billed.", "provider")
        self.unsettled = counter("unsettled", "Settlements that failed for good: a person must look at the log.")

    def request(self, surface: str, outcome: str) -> None:
        """One request has been answered or refused, whether or not it became a generation."""
        self._requests.append((surface, outcome))
        self._schedule_flush()

    def generation(self, line: Line, *, lost_nano: int, times: Times) -> None:
        """One generation has ended. ``line`` makes its canonical log line, whose names are checked before they become labels."""
        self._ended.append((line, lost_nano, times))
        self._schedule_flush()

    def disputes(self, request_id: str, endpoint: str, provider: str, disputed_nano: int) -> None:
        """Warn the operator of a report that cannot be true: the vendor's invoice may have it all the same."""
        label = self.labels.of(provider)
        self.implausible.labels(label).inc()
        self.disputed.labels(label).inc(disputed_nano / NANO)
        self.log.warning(
            "implausible usage was not billed",
            id=request_id,
            endpoint=endpoint,
            provider=provider,
            disputed_usd=format_usd(disputed_nano),
        )

    def vendor_failed(self, request_id: str, endpoint: str, kind: str, *, status: int | None, said: str) -> None:
        """Warn the operator in the vendor's own words (without secrets). An outage must not fill the disk: of many a second only
        the first are written, and the next one says how many were left out."""
        second = int(time.monotonic())
        if second != self._warned[0]:
            self._warned = (second, 0)
        self._warned = (second, self._warned[1] + 1)
        if self._warned[1] > WARNINGS_A_SECOND:
            self._unwritten += 1
            return
        left_out = {"left_out": self._unwritten} if self._unwritten else {}
        self._unwritten = 0
        self.log.warning(
            "vendor failed", id=request_id, endpoint=endpoint, kind=kind, status=status, said=said, **left_out
        )

    def _schedule_flush(self) -> None:
        """Flush in batches, every ``FLUSH_INTERVAL_S``: a request costs a tenth of what updating each counter and the log would."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL_S, self.flush)

    def flush(self) -> None:
        """Count and log what has ended. Called by the timer, before a scrape and when the process stops, always on the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ended, self._ended = self._ended, []
        requests, self._requests = self._requests, []
        for (surface, outcome), count in Counted(requests).items():
            self._add(self.requests, count, surface, outcome)
        lines = [make(*args) for (make, *args), _, _ in ended]
        self._count(lines, ended)
        counted, self._counted = self._counted, {}
        for (family, labels), amount in counted.items():
            family.labels(*labels).inc(amount)
        observed, self._observed = self._observed, defaultdict(list)
        for (family, label), values in observed.items():
            if values:
                observe_all(family.labels(label), values)
        if ended and self._canonical:
            # without structlog's processors, which take four times as long
            sys.stdout.buffer.write(b"\n".join([*map(_encode, lines), b""]))
            sys.stdout.buffer.flush()

    def _add(self, family: Family, amount: float, *labels: str) -> None:
        if amount:
            key = (family, labels)
            self._counted[key] = self._counted.get(key, 0) + amount

    def _count(self, lines: Sequence[Mapping[str, Any]], ended: Sequence[tuple[Line, int, Times]]) -> None:
        """Add up the generations that count for the same metric series, then count each group once."""
        alike: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], int, Times]]] = defaultdict(list)
        for line, (_, lost_nano, times) in zip(lines, ended, strict=True):
            series = line["model"], line["provider"], line["outcome"], line["streamed"], *line["attempts"]
            alike[series].append((line, lost_nano, times))
        for (model, provider, outcome, streamed, *attempts), group in alike.items():
            for attempt in attempts:
                tried_provider, _, kind = attempt.partition(":")
                self._add(self.attempts, len(group), self.labels.of(tried_provider), kind)
            self._add(self.generations, len(group), self.labels.of(model), outcome)
            self._sum(group, self.labels.of(model), self.labels.of(provider))
            self._time(group, self.labels.of(provider), "true" if streamed else "false")

    def _sum(self, group: Group, model: str, provider: str) -> None:
        tokens: dict[str, int] = defaultdict(int)
        for line, _, _ in group:
            for kind, count in line["tokens"].items():
                tokens[kind] += count
        for kind, count in tokens.items():
            self._add(self.tokens, count, model, kind)
        self._add(self.cost, sum([line["cost_nano"] for line, _, _ in group]) / NANO, provider)
        self._add(self.fee, sum([line["fee_nano"] for line, _, _ in group]) / NANO, provider)
        self._add(self.loss, sum([lost_nano for _, lost_nano, _ in group if lost_nano > 0]) / NANO, provider)

    def _time(self, group: Group, provider: str, streamed: str) -> None:
        observed = self._observed
        observed[self.duration, streamed] += [times.total_s for _, _, times in group]
        observed[self.overhead, streamed] += [times.overhead_s for _, _, times in group]
        observed[self.ledger_latency, "hold"] += [times.hold_s for _, _, times in group]
        # 0 = not acknowledged in time
        observed[self.ledger_latency, "settle"] += [times.settle_s for _, _, times in group if times.settle_s]
        if streamed == "true":
            waits = [line["ttft_ms"] / 1000 for line, _, _ in group if line["ttft_ms"] is not None]
            observed[self.ttft, provider] += waits

    def scrape(self) -> tuple[bytes, str]:
        """The text of ``/metrics`` and its content type. May run in a thread; call ``flush`` on the event loop first."""
        if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            _remove_ended_workers(Path(directory))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry), CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def _remove_ended_workers(directory: Path) -> None:
    """Take the gauges of ended workers out of the sum; their counters stay."""
    for file in directory.glob("gauge_live*_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
