"""From samples to figures, pure: medians, what a target adds to the bare upstream, ratios to nginx.

``result`` everywhere is the JSON of one run, as ``run.run`` returns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.stats import Figure, figure

Result = Mapping[str, Any]
SATURATED_SHARE = 0.9
SHAKY_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``added``: the bare upstream's figure is taken off. ``limit``: the gateway's budget;
    ``times``: the same as a multiple of nginx where it was set, which slower and faster machines can keep too.
    """

    title: str
    sample: str
    unit: str
    limit: float | None = None
    times: float | None = None
    added: bool = False
    ratio: bool = True


ROWS = (
    Row("**JSON**: CPU of a request, saturated", "plain.request_cpu_us", "µs", limit=250, times=17.9),
    Row("CPU of a request, half load", "plain.half.request_cpu_us", "µs"),
    Row("CPU of the ledger's server, a request", "plain.request_ledger_cpu_us", "µs"),
    Row("requests a second on one core", "plain.request_per_s", "/s"),
    Row("half load", "plain.half.rate_per_s", "/s", ratio=False),
    Row("added latency p50, half load", "plain.half.latency_us_p50", "ms", limit=1, added=True),
    Row("added latency p99, half load", "plain.half.latency_us_p99", "ms", limit=5, added=True),
    Row("**Streams**: CPU of an event arriving alone", "plain.event_cpu_us", "µs", limit=50, times=2.6),
    Row("CPU of a streamed request without its events", "plain.stream_cpu_us", "µs"),
    Row("added time to the first content p50", "plain.first_content_us_p50", "ms", added=True),
    Row("added transit of an event p50", "plain.transit_us_p50", "ms", added=True),
    Row("added transit of an event p99", "plain.transit_us_p99", "ms", added=True),
    Row("gap between events differs from the upstream's, p50", "plain.gap_drift_us_p50", "ms"),
    Row("the same, p99", "plain.gap_drift_us_p99", "ms"),
    Row("events that arrived in a batch", "plain.batched_share", "%", ratio=False),
    Row("**An agent's turn of 450 KB**: CPU of a request, chat", "chat.turn_cpu_us", "ms", limit=1, times=8),
    Row("the same, from Anthropic's Messages", "messages.turn_cpu_us", "ms", limit=2, times=16),
    Row(
        "**Questions with 8 MB of pictures**: added transit of other streams' events p50",
        "pictures.transit_us_p50",
        "ms",
        added=True,
    ),
    Row("the same, p99", "pictures.transit_us_p99", "ms", limit=5, added=True),
    Row("**Translated**: CPU of an event, Anthropic's to OpenAI's", "anthropic.event_cpu_us", "µs", ratio=False),
    Row("the same, Gemini's", "gemini.event_cpu_us", "µs", ratio=False),
    Row("**TLS upstream**: CPU of a request, saturated", "tls.request_cpu_us", "µs"),
    Row("requests a second on one core", "tls.request_per_s", "/s"),
    Row("CPU of an event arriving alone", "tls.event_cpu_us", "µs"),
    Row("CPU of a streamed request without its events", "tls.stream_cpu_us", "µs"),
    Row("events that arrived in a batch", "tls.batched_share", "%", ratio=False),
    Row("**Process**: resident memory after the run", "rss_mb", "MB", limit=120),
    Row("resident memory of the ledger's server", "ledger_rss_mb", "MB"),
    Row("import and start", "start_s", "s", limit=1.5),
)


def _scaled(row: Row, repeats: list[float]) -> list[float]:
    """Samples are µs and shares; rows may speak of ms and %."""
    factor = {"ms": 1e-3, "%": 100.0}.get(row.unit, 1.0)
    return [value * factor for value in repeats]


def _floor(result: Result, target: str, row: Row) -> list[float]:
    """The bare upstream's repeats for a row; for a latency those at the target's own rate."""
    bare = result["samples"]["bare"]
    if ".half." not in row.sample:
        return list(bare.get(row.sample, []))
    left: dict[str, list[float]] = {}
    floors = []
    for rate in result["samples"].get(target, {}).get("plain.half.rate_per_s", []):
        name = row.sample.replace(".half.", f".at{rate:.0f}.")
        repeats = left.setdefault(name, list(bare.get(name, [])))
        floors += [repeats.pop(0)] if repeats else []
    return floors


def of(result: Result, target: str, row: Row) -> Figure | None:
    """None when it was not measured. A repeat is compared with the bare upstream of the same round."""
    repeats = list(result["samples"].get(target, {}).get(row.sample, []))
    if row.added:
        if target == "bare":
            return None
        repeats = [value - floor for value, floor in zip(repeats, _floor(result, target, row), strict=False)]
    return figure(_scaled(row, repeats)) if repeats else None


def ratio(result: Result, target: str, row: Row) -> float | None:
    """Figure over nginx's, where both are above 0."""
    mine, reference = of(result, target, row), of(result, "nginx", row)
    if not row.ratio or target in ("bare", "nginx") or not mine or not reference:
        return None
    return mine.value / reference.value if mine.value > 0 and reference.value > 0 else None


def load_bound(result: Result, target: str, row: Row) -> bool:
    """Whether requests a second were limited by the load's core: the target could do more."""
    if not row.sample.endswith(".request_per_s"):
        return False
    busy = result["samples"].get(target, {}).get(row.sample.replace("request_per_s", "busy_share"), [])
    return bool(busy) and figure(busy).value < SATURATED_SHARE


def met(result: Result, row: Row) -> bool | None:
    """Whether the gateway keeps the row's budget; None without a budget or a figure."""
    mine = of(result, "gateway", row)
    return None if row.limit is None or mine is None else mine.value <= row.limit
