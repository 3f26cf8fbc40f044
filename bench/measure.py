"""The three loads of a target, each turned into samples: saturation, half load, streams.

A sample has a name: ``<kind of upstream>.<figure>``, e.g. ``plain.request_cpu_us``; units last. Repeats are appended, so that
the report can take the median and tell how far they lay apart.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

from bench import agents, wrk
from bench.processes import Reading, load_client, reading
from bench.site import Site, Target
from bench.stats import slope
from bench.talk import control

SHORT_EVENTS, LONG_EVENTS = 10, 110
GAP_US = 10_000
TURNS_AT_ONCE = 8
PICTURES_S, PICTURES_PAUSE_MS = 3, 250
_AFTER_S = 0.2  # what a target does after its last answer belongs to the requests
_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of each load. ``tls_rounds`` ≤ ``rounds``."""

    rounds: int
    tls_rounds: int
    saturate_s: int
    rate_s: float
    streams_each: int
    warm_s: int
    peer_warm_s: int


QUICK = Effort(rounds=2, tls_rounds=1, saturate_s=1, rate_s=1.2, streams_each=1, warm_s=1, peer_warm_s=3)
FULL = Effort(rounds=3, tls_rounds=2, saturate_s=4, rate_s=4.0, streams_each=2, warm_s=1, peer_warm_s=4)


@dataclass(slots=True)
class Samples:
    """Target → figure → repeats, and what went wrong."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    notes: list[str] = field(default_factory=list)

    def add(self, target: Target, **figures: float | None) -> None:
        for name, value in figures.items():
            if value is not None:
                self.values[target.name][name].append(value)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a load for a process tree."""

    cpu_s: float
    ledger_cpu_s: float
    elapsed_s: float


class Meter:
    """``with Meter(target) as meter: load()`` then ``meter.cost``."""

    def __init__(self, target: Target) -> None:
        self._pid = target.pid
        self.cost = Cost(0, 0, 0)

    def __enter__(self) -> Meter:
        self._before: Reading = reading(self._pid)
        self._begun_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed_s = time.monotonic() - self._begun_s
        time.sleep(_AFTER_S)
        after = reading(self._pid)
        self.cost = Cost(after.cpu_s - self._before.cpu_s, after.ledger_cpu_s - self._before.ledger_cpu_s, elapsed_s)


class Bench:
    """Measures targets at one site into one set of samples."""

    def __init__(self, site: Site, effort: Effort) -> None:
        self._site, self._effort = site, effort
        self.samples = Samples()

    @contextmanager
    def forgiving(self, target: Target) -> Iterator[None]:
        """A peer that fails under a load loses that figure and gets a note; for nginx and the gateway a failure ends the run."""
        try:
            yield
        except (subprocess.SubprocessError, ValueError) as error:
            if not target.peer:
                raise
            self.samples.notes.append(f"{target.title}: {error!r:.300}")

    def warm(self, target: Target, kind: str) -> None:
        """Connections are opened, lazy imports done, and code compiled, before anything counts."""
        seconds = self._effort.peer_warm_s if target.peer else self._effort.warm_s
        wrk.saturate(target.routes[kind], core=self._site.cores.load, seconds=seconds, scratch=self._site.scratch)
        self._streams(target, kind, events=SHORT_EVENTS, streams_each=1)

    def saturation(self, target: Target, kind: str) -> float:
        """Requests a second. The core of the server (ledger included) is busy unless the load's core is the narrower one."""
        route, cores = target.routes[kind], self._site.cores
        with Meter(target) as meter:
            found = wrk.saturate(route, core=cores.load, seconds=self._effort.saturate_s, scratch=self._site.scratch)
        self._failures(target, f"{kind} saturation", found.failed)
        if not found.requests:
            return 0.0
        cost = meter.cost
        self.samples.add(
            target,
            **{
                f"{kind}.request_per_s": found.per_s,
                f"{kind}.request_cpu_us": cost.cpu_s / found.requests * 1e6,
                f"{kind}.request_ledger_cpu_us": cost.ledger_cpu_s / found.requests * 1e6,
                f"{kind}.busy_share": (cost.cpu_s + cost.ledger_cpu_s) / found.seconds,
            },
        )
        return found.per_s

    def turns(self, target: Target) -> None:
        """Agents' turns of 450 KB, in both formats, to the same plain upstream; the response is small."""
        route, cores = target.routes["plain"], self._site.cores
        for form, path in (("chat", route.path), ("messages", target.messages_path)):
            if path is None:
                continue
            body = agents.turn(form, route.model)
            with Meter(target) as meter:
                found = wrk.saturate(
                    replace(route, path=path),
                    core=cores.load,
                    seconds=self._effort.saturate_s,
                    scratch=self._site.scratch,
                    body=body,
                    connections=TURNS_AT_ONCE,
                )
            self._failures(target, f"agents' turns, {form}", found.failed)
            if found.requests:
                figures = {f"{form}.turn_cpu_us": meter.cost.cpu_s / found.requests * 1e6}
                self.samples.add(target, **figures)

    def pictures(self, target: Target) -> None:
        """Streams, while questions with 8 MB of pictures come four times a second: how late the streams' events are."""
        route, cores = target.routes["plain"], self._site.cores
        load = Thread(
            target=wrk.saturate,
            args=(route,),
            kwargs={
                "core": cores.load,
                "seconds": PICTURES_S,
                "scratch": self._site.scratch,
                "body": agents.pictures(route.model),
                "connections": 1,
                "pause_ms": PICTURES_PAUSE_MS,
            },
        )
        load.start()
        _, found = self._streams(target, "plain", events=LONG_EVENTS, streams_each=1)
        load.join()
        if found.get("transit_us"):
            self.samples.add(
                target, **{f"pictures.transit_us_{point}": found["transit_us"][point] for point in ("p50", "p99")}
            )

    def rate(self, target: Target, kind: str, rate_per_s: float, label: str) -> None:
        """Open-loop arrivals; ``label`` names the figures, so that the bare upstream can stand beside each rate."""
        route = target.routes[kind]
        job = {"kind": "rate", "rate_per_s": rate_per_s, "seconds": self._effort.rate_s, "connections": _CONNECTIONS}
        with Meter(target) as meter:
            found = self._client({**job, "request": route.request(stream=False)}, route.host, route.port)
        self._failures(target, f"{kind} at {rate_per_s:.0f}/s", found["failed"])
        if not found["latency_us"]["count"]:
            return
        self.samples.add(
            target,
            **{
                f"{kind}.{label}.rate_per_s": rate_per_s,
                f"{kind}.{label}.request_cpu_us": meter.cost.cpu_s / found["sent"] * 1e6,
                f"{kind}.{label}.latency_us_p50": found["latency_us"]["p50"],
                f"{kind}.{label}.latency_us_p99": found["latency_us"]["p99"],
                f"{kind}.{label}.client_late_us_p99": found["client_late_us"]["p99"],
            },
        )

    def streams(self, target: Target, kind: str) -> None:
        """Short streams, then long ones: the difference is the cost of events, the rest the cost of a streamed request."""
        each = self._effort.streams_each * (2 if target.peer else 1)  # fewer at once, so more in turn
        short_us, _ = self._streams(target, kind, events=SHORT_EVENTS, streams_each=each)
        long_us, found = self._streams(target, kind, events=LONG_EVENTS, streams_each=each)
        if short_us is None or long_us is None:
            return
        event_us = slope((SHORT_EVENTS, short_us), (LONG_EVENTS, long_us))
        self.samples.add(
            target,
            **{
                f"{kind}.event_cpu_us": event_us,
                f"{kind}.stream_cpu_us": short_us - SHORT_EVENTS * event_us,
                f"{kind}.batched_share": found["batched_share"],
                **_spread(kind, found),
            },
        )

    def _streams(
        self, target: Target, kind: str, *, events: int, streams_each: int
    ) -> tuple[float | None, dict[str, Any]]:
        """(CPU µs a stream, the client's result); None when streams failed or events were missing."""
        route = target.routes[kind]
        control(self._site.upstream_port, events=events, gap_us=GAP_US)
        job = {
            "kind": "streams",
            "callers": target.callers,
            "streams_each": streams_each,
            "events": events,
            "gap_us": GAP_US,
        }
        with Meter(target) as meter:
            found = self._client(
                {**job, "spread_s": 0.1, "request": route.request(stream=True)}, route.host, route.port
            )
        wrong = found["failed"] + found["incomplete"]
        self._failures(target, f"{kind} streams of {events} {' '.join(found['errors'])}", wrong)
        return (None if wrong else meter.cost.cpu_s / found["streams"] * 1e6), found

    def memory(self, target: Target) -> None:
        """Measures resident memory, after everything else."""
        found = reading(target.pid)
        self.samples.add(
            target,
            rss_mb=found.rss_bytes / 1e6,
            ledger_rss_mb=found.ledger_rss_bytes / 1e6,
            processes=float(found.processes),
            start_s=target.start_s or None,
        )

    def _client(self, job: dict[str, Any], host: str, port: int) -> dict[str, Any]:
        text = load_client(json.dumps({**job, "host": host, "port": port}), self._site.cores.load, timeout_s=120)
        found: dict[str, Any] = json.loads(text)
        return found

    def _failures(self, target: Target, where: str, failed: int) -> None:
        if failed:
            self.samples.failed[target.name] += failed
            self.samples.notes.append(f"{target.title}: {failed} failed in {where}")


def _spread(kind: str, found: dict[str, Any]) -> dict[str, float]:
    """p50 and p99 of the client's distributions, spelled as samples."""
    names = ("first_content_us", "transit_us", "gap_us", "gap_drift_us")
    return {f"{kind}.{name}_{point}": found[name][point] for name in names for point in ("p50", "p99")}
