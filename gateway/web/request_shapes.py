"""The page of what requests are like: how long, and whether the model called tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from gateway.analytics.overview import ModelWeek
from gateway.analytics.series import Chart, Series
from gateway.services import Services
from gateway.web import charts, figures
from gateway.web.figures import Figure
from gateway.web.site import Contents, Readings, Seen
from gateway.web.usage import Choices, Counters, Names, audience, missing

CONTEXTS = {"1K": "to 1K", "10K": "to 10K", "100K": "to 100K", "1M": "to 1M", "10M": "above 1M"}
SCALES = {"amount": "Amounts", "share": "Shares"}
TOP = 9


class Wanted(Choices):
    """What is chosen on the page."""

    page = "/rankings/requests"

    context: Literal["1K", "10K", "100K", "1M", "10M"] = "100K"
    scale: Literal["amount", "share"] = "amount"


@dataclass(frozen=True, slots=True)
class Found:
    """What the counters say."""

    sizes: Chart
    tools: Chart
    pictures: Chart
    sound: Chart
    weeks: Sequence[Mapping[str, ModelWeek]]


def reader(wanted: Wanted, readings: Readings) -> Callable[[Services], Awaitable[Found | str]]:
    """What reads the figures, or why there are none."""

    async def read(services: Services) -> Found | str:
        seen_by = audience(services)
        if seen_by.reason is not None:
            return seen_by.reason
        counters = Counters(services, readings, seen_by.least_users)
        return Found(
            sizes=await counters.chart("week", metric="requests", context=wanted.context, top=TOP),
            tools=await counters.chart("week", metric="tool_requests", top=TOP),
            pictures=await counters.chart("week", metric="pictures", top=TOP),
            sound=await counters.chart("week", metric="audio_ms", top=TOP),
            weeks=await counters.weeks(),
        )

    return read


def contents(seen: Seen, wanted: Wanted | str, found: Found | str | None) -> Contents:
    """The page."""
    if isinstance(wanted, str) or not isinstance(found, Found):
        return missing(found, "/rankings/requests", wanted if isinstance(wanted, str) else None)
    names, share = Names(seen.catalog), wanted.scale == "share"
    sizes = figures.bars(
        found.sizes, f"Requests of {CONTEXTS[wanted.context]} tokens", names.link("model"), share=share
    )
    tools = figures.bars(found.tools, "Requests that ended with a call of tools", names.link("model"), share=share)
    tool_share = _tool_share(found)
    media = [
        (heading, figures.bars(chart, title, names.link("model"), share=share))
        for heading, title, chart in (
            ("Pictures made", "Pictures made by models", found.pictures),
            ("Sound transcribed", "Hours of sound transcribed by models", found.sound),
        )
        if any(charts.bucket_totals(chart))
    ]
    values = {
        "wanted": wanted,
        "choices": {"context": CONTEXTS, "scale": SCALES},
        "empty": not any(week for week in found.weeks),
        "sizes": sizes,
        "tools": tools,
        "tools_used": any(charts.bucket_totals(found.tools)),
        "tool_share": tool_share,
        "media": media,
        "charts": (sizes, tools, tool_share, *[drawn for _, drawn in media]),
    }
    return "rankings_requests.html", values, 200


def _tool_share(found: Found) -> Figure | None:
    """The part of all tokens in requests that ended with a call of tools, as a line; None without such requests."""
    values = []
    for week in found.weeks:
        tokens = sum(each.tokens for each in week.values())
        values.append(100 * sum(each.tool_tokens for each in week.values()) / tokens if tokens else None)
    if not any(values):
        return None
    series = Series("share", "Share of tokens", None, cast("tuple[int | None, ...]", tuple(values)))
    chart = Chart(found.tools.buckets, (series,), "percent", found.tools.partial_last, {})
    return figures.lined(chart, "Share of tokens in requests that ended with a call of tools")
