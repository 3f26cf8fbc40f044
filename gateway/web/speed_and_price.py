"""The page of speed and price: two scatters of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from gateway.analytics import performance
from gateway.analytics.performance import ModelSpeed
from gateway.analytics.queries import Standing
from gateway.analytics.regression import Line, log_line
from gateway.services import Services
from gateway.web import figures
from gateway.web.charts import Dot, Guide, Scatter
from gateway.web.figures import Figure
from gateway.web.site import Contents, Readings, Seen
from gateway.web.usage import Counters, Names, audience, missing, paid

SPEED_DAYS = 7
GROUPS = 6
PRICED_DOTS = 150
ORIGINS = {
    "closed": "Closed weights",
    "chinese_oss": "Open weights, China",
    "other_oss": "Open weights, elsewhere",
    "unknown": "Not known",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters say."""

    speeds: Sequence[ModelSpeed]
    month: Sequence[Standing]


async def speeds_of(services: Services, counters: Counters, readings: Readings) -> list[ModelSpeed]:
    """Models with enough requests in the last days."""
    days = range(counters.today - SPEED_DAYS + 1, counters.today + 1)
    return await readings.get(("speeds", counters.today), lambda: performance.models(services.store, days))


def reader(readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        speeds = await speeds_of(services, counters, readings)
        return Found(speeds, await counters.leaderboard("model", "month"))

    return read


def contents(seen: Seen, found: Found | str | None) -> Contents:
    """The page."""
    if not isinstance(found, Found):
        return missing(found, "/rankings/speed")
    names = Names(seen.catalog)
    shown = {each.key for each in found.month}
    speed = _speed([each for each in found.speeds if each.model in shown], names)
    prices = _prices(found.month, seen, names)
    values = {"speed": speed, "prices": prices, "charts": (speed, prices and prices.drawing)}
    return "rankings_speed.html", values, 200


def _speed(speeds: Iterable[ModelSpeed], names: Names) -> Figure | None:
    """Time to the first token against tokens a second; None with less than two models."""
    dots = [
        Dot(
            names.label("model", each.model),
            each.latency.p50,
            each.throughput.p50,
            names.label("author", names.author_of(each.model)),
            each.requests,
        )
        for each in speeds
        if each.latency is not None and each.throughput is not None
    ]
    if len(dots) < 2:
        return None
    plot = Scatter(
        dots=tuple(dots),
        groups=_largest(dots),
        x_name="Time to the first token, median",
        y_name="Tokens a second, median",
        x_unit="ms",
        y_unit="tps",
        guides=(_frontier(dots),),
    )
    return figures.dotted(plot, "Speed of models")


def _largest(dots: Sequence[Dot]) -> tuple[str, ...]:
    sums: Counter[str] = Counter()
    for dot in dots:
        sums[dot.group] += max(int(dot.weight), 1)
    return tuple(sorted(sums, key=lambda group: (-sums[group], group))[:GROUPS])


def _frontier(dots: Sequence[Dot]) -> Guide:
    """The models that no other one beats at both."""
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.x, -dot.y)):
        if not best or dot.y > best[-1].y:
            best.append(dot)
    return Guide("Nothing is faster in both ways", tuple((dot.x, dot.y) for dot in best))


@dataclass(frozen=True, slots=True)
class Prices:
    """Price paid against tokens."""

    drawing: Figure
    line: Line | None
    median_usd: float


def _prices(standings: Sequence[Standing], seen: Seen, names: Names) -> Prices | None:
    """The last 30 days; None with less than two models."""
    priced = [(each, price) for each in standings[:PRICED_DOTS] if (price := paid(each.spend_nano, each.tokens))]
    if len(priced) < 2:
        return None
    origins = {each.key: ORIGINS[seen.catalog.attributes.of(each.key).origin] for each, _ in priced}
    dots = [Dot(names.label("model", each.key), price, each.tokens, origins[each.key]) for each, price in priced]
    middle, used = median(dot.x for dot in dots), median(dot.y for dot in dots)
    guides = [
        Guide(f"Median price: ${middle:.3g}", ((middle, None), (middle, None))),
        Guide("Median of tokens", ((None, used), (None, used))),
    ]
    line = log_line([(dot.x, dot.y) for dot in dots])
    if line is not None:
        ends = min(dot.x for dot in dots), max(dot.x for dot in dots)
        guides.append(Guide(f"Slope {line.slope:.2f}", tuple((x, line.at(x)) for x in ends)))
    plot = Scatter(
        dots=tuple(dots),
        groups=tuple(name for name in ORIGINS.values() if name in origins.values() and name != ORIGINS["unknown"]),
        x_name="Paid, $ per million tokens",
        y_name="Tokens in 30 days",
        x_unit="usd",
        y_unit="tokens",
        guides=tuple(guides),
    )
    return Prices(figures.dotted(plot, "Price paid and use of models"), line, middle)
