"""The synthetic year through the whole path: made, recorded, counted in a store, read back by charts and the API.

The T numbers are those of docs/analytics.md. Tokens, money and attributes are exact at every scale; what needs many requests is in
``test_year_events``. ``make test`` has some weeks of it, in ``test_analytics_dimensions``.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.analytics import queries
from gateway.analytics.buckets import DAY_MS, day_of, iso_day, monday, today, week_of
from gateway.analytics.dimensions import dimensions
from gateway.analytics.event import OWN_KEY, UNKNOWN_APP, Event
from gateway.analytics.series import OTHERS
from gateway.catalog.load import load as load_catalog
from gateway.cli.demo.year.attributes import write_attributes
from gateway.cli.demo.year.command import Year
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.load import default_shift, load
from gateway.cli.demo.year.prices import REPORTED_USD
from gateway.settings import shipped_config_dir
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from providers import registry
from tests.flows.test_analytics import count_events
from tests.support.gateway import ADMIN_KEY, Gateway, running
from tests.support.management import bearer

pytestmark = pytest.mark.soak
SCALE = 3e-7
NOW = time.time()
TODAY = today(NOW)
TRILLION = 10**12
GROK, SONNET, MINI = "x-ai/grok-code-fast-1", "anthropic/claude-sonnet-4", "openai/gpt-4.1-mini"
QWEN = "qwen/qwen3-30b-a3b"
V3 = ("deepseek/deepseek-chat-v3-0324", "deepseek/deepseek-chat-v3.1")
LEGACY = ("anthropic/claude-3.5-sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "google/gemini-flash-1.5")
Span = tuple[str, str]
Q1, Q3, Q4 = ("2024-12-30", "2025-03-31"), ("2025-07-01", "2025-09-29"), ("2025-10-01", "2025-12-31")
H1, H2, WHOLE = ("2024-12-30", "2025-06-30"), ("2025-07-01", "2025-12-31"), ("2024-12-30", "2025-12-31")
STUDY = ("2024-11-04", "2025-11-30")
DIMENSIONS = ("model", "family", "author", "tier", "origin", "size", "reasoning", "provider")


@dataclass
class Counted:
    """A gateway whose store has the year, and what its charts say: ``tables[metric, by][week][key]``."""

    year: Year
    gateway: Gateway
    admin: httpx.AsyncClient
    events: int
    sums: dict[str, int]
    """What the events add up to."""
    daily: dict[tuple[int, str], int]
    """Day and model → tokens of the events."""
    different: dict[int, list[set[Any]]]
    """Week → its users, keys, and keys with models."""
    tables: dict[tuple[str, str], list[dict[str, int]]] = field(default_factory=dict)

    def weeks(self, span: Span) -> list[int]:
        return [n for n, week in enumerate(self.year.cube.weeks) if span[0] <= week.isoformat() <= span[1]]

    def day(self, week: int) -> int:
        """The Monday that a week of the year was moved to."""
        return day_of(self.year.cube.weeks[week] + timedelta(weeks=self.year.shift_weeks))

    def moved(self, day: str) -> str:
        """A day of the year, as it is asked for."""
        return (date.fromisoformat(day) + timedelta(weeks=self.year.shift_weeks)).isoformat()

    def table(self, by: str, week: int, metric: str = "tokens") -> dict[str, int]:
        return self.tables[metric, by][week]

    def total(self, week: int, metric: str = "tokens") -> int:
        return sum(self.table("model", week, metric).values())

    def share(self, by: str, chosen: Iterable[str], week: int, metric: str = "tokens") -> float:
        """Percent of a week."""
        table = self.table(by, week, metric)
        return 100 * sum(table.get(key, 0) for key in chosen) / sum(table.values())

    def shares(self, by: str, chosen: Sequence[str], span: Span, metric: str = "tokens") -> list[float]:
        return [self.share(by, chosen, week, metric) for week in self.weeks(span)]

    def mean(self, by: str, chosen: Sequence[str], span: Span) -> float:
        return statistics.fmean(self.shares(by, chosen, span))

    def top(self, week: int, count: int = 9, by: str = "model") -> list[str]:
        found = self.table(by, week)
        return sorted(found, key=lambda key: (-found[key], key))[:count]

    def trillions(self, span: Span) -> list[float]:
        return [self.total(week) / self.year.scale / TRILLION for week in self.weeks(span)]

    def hhi(self, by: str, span: Span) -> float:
        return statistics.fmean(
            sum(self.share(by, [key], week) ** 2 for key in self.table(by, week)) for week in self.weeks(span)
        )

    def of_open(self, by: str, chosen: str, week: int) -> float:
        """Percent of the tokens of open models in a week, by model, size or author."""
        named = dimensions(self.gateway.services.catalog.current)
        part = whole = 0
        for model, tokens in self.table("model", week).items():
            if named.of_model("origin", model, self.day(week)).endswith("oss"):  # type: ignore[arg-type]
                whole += tokens
                part += tokens * (named.of_model(by, model, self.day(week)) == chosen)  # type: ignore[arg-type]
        return 100 * part / whole

    def open_size(self, size: str, span: Span) -> float:
        return statistics.fmean(self.of_open("size", size, week) for week in self.weeks(span))

    def top_open(self, week: int) -> str:
        """The open model with the most tokens of a week."""
        named = dimensions(self.gateway.services.catalog.current)
        return next(
            model for model in self.top(week, 400) if named.of_model("origin", model, self.day(week)).endswith("oss")
        )

    async def read(self, metric: str, by: str) -> None:
        """What the chart of all weeks says, every key of it."""
        services = self.gateway.services
        last = len(self.year.cube.weeks) - 1
        query = queries.Query(metric=metric, by=by, start=self.day(0), end=self.day(last), top=500)  # type: ignore[arg-type]
        chart = await queries.chart(services.store, query, NOW, dimensions(services.catalog.current))
        self.tables[metric, by] = [
            {each.key: value for each in chart.series if (value := each.values[week])} for week in range(last + 1)
        ]

    async def json(self, path: str, **query: Any) -> Any:
        response = await self.admin.get(f"/api/v1{path}", params=query)
        assert response.status_code == 200, response.text
        return response.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counted(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Counted]:
    """The year, moved so that its last week ended last Sunday."""
    folder = tmp_path_factory.mktemp("year")
    store = await connect(valkey_server.url, timeout_s=5)
    await store.redis.flushall()
    config = (shipped_config_dir(), write_attributes(folder / "demo-year"))
    year = Year(cube=cube(2025), scale=SCALE, shift_weeks=default_shift(NOW))
    catalog = load_catalog(config, {}, dialects=registry.names())
    sums: dict[str, int] = defaultdict(int)
    daily: dict[tuple[int, str], int] = defaultdict(int)
    different: dict[int, list[set[Any]]] = defaultdict(lambda: [set(), set(), set()])

    def seen() -> Iterator[list[Event]]:
        for events in year.recorded(catalog):
            for each in events:
                sums["spend"] += each.charged_nano
                sums["cost"] += each.cost_nano
                sums["fees"] += each.fee_nano
                sums["own"] += each.cost_nano * bool(each.flags & OWN_KEY)
                parts = (each.user, each.key, (each.key, each.model))
                for among, part in zip(different[week_of(each.at_ms // DAY_MS)], parts, strict=True):
                    among.add(part)
                daily[each.at_ms // DAY_MS, each.model] += each.prompt + each.completion
            yield events

    number = await load(store, seen(), lambda _: None)
    async with running(config, folder / "data", valkey_server.url, analytics=True) as gateway:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=gateway.url, headers=bearer(ADMIN_KEY), timeout=60) as admin:
            found = Counted(year, gateway, admin, number, sums, daily, different)
            for by in DIMENSIONS:
                await found.read("tokens", by)
            for metric in ("tool_tokens", "reasoning_tokens", "completion_tokens", "spend", "cost", "fees"):
                await found.read(metric, "model")
            yield found
    await store.redis.flushall()
    await store.aclose()


def variation(values: list[float]) -> float:
    return statistics.pstdev(values) / statistics.fmean(values)


def growth(view: Counted) -> float:
    weeks = view.trillions(WHOLE)
    return max(weeks) / weeks[0]


def peaks(values: list[float]) -> int:
    """Local maxima that are at least 15 % above the lowest value of the two weeks before and after."""
    return sum(
        value >= max(values[max(0, n - 1)], values[min(len(values) - 1, n + 1)])
        and value >= 1.15 * min(values[max(0, n - 2) : n + 3])
        for n, value in enumerate(values)
    )


def top_share(view: Counted, span: Span) -> float:
    return statistics.fmean(view.share("model", view.top(week, 1), week) for week in view.weeks(span))


def others(view: Counted) -> list[float]:
    return [100 - view.share("model", view.top(week), week) for week in view.weeks(WHOLE)]


def flash_weeks(view: Counted) -> int:
    return sum(view.top(week, 1, "family") == ["gemini-flash"] for week in view.weeks(("2025-05-01", "2025-12-31")))


def light(view: Counted, span: Span) -> float:
    return min(view.shares("tier", ("flash", "mini", "lite", "fast"), span))


def top_nine_weeks(view: Counted, model: str, span: Span) -> list[int]:
    return [week for week in view.weeks(span) if model in view.top(week)]


def rank(view: Counted, model: str, metric: str) -> int:
    """By what was used of a model in the second half of the year."""
    sums: dict[str, int] = defaultdict(int)
    for week in view.weeks(H2):
        for key, value in view.table("model", week, metric).items():
            sums[key] += value
    return sorted(sums, key=lambda key: (-sums[key], key)).index(model) + 1


def reasoned(view: Counted, span: Span) -> float:
    """Percent of completion tokens that are reasoning."""
    parts, wholes = (
        sum(view.total(week, name) for week in view.weeks(span)) for name in ("reasoning_tokens", "completion_tokens")
    )
    return 100 * parts / wholes


def tool_shares(view: Counted) -> list[float]:
    return [100 * view.total(week, "tool_tokens") / view.total(week) for week in range(len(view.year.cube.weeks))]


def theil_sen(values: list[float]) -> float:
    return statistics.median((y - x) / (m - n) for (n, x), (m, y) in combinations(enumerate(values), 2))


def may_bump(view: Counted) -> float:
    """Tool share of the three weeks of May above that of the three before and after, in points."""
    shares, (first, *_) = tool_shares(view), view.weeks(("2025-05-05", "2025-05-19"))
    return statistics.fmean(shares[first : first + 3]) - statistics.fmean(
        shares[first - 3 : first] + shares[first + 3 : first + 6]
    )


def prices(view: Counted) -> dict[str, float]:
    """Model → dollars a million tokens of the whole year."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for week in range(len(view.year.cube.weeks)):
        for place, metric in enumerate(("cost", "tokens")):
            for key, value in view.table("model", week, metric).items():
                sums[key][place] += value
    return {key: cost / tokens / 1000 for key, (cost, tokens) in sums.items() if cost}


def slope(view: Counted) -> float:
    """Of log usage on log price over all models."""
    usd = prices(view)
    usage = {
        key: sum(view.table("model", week).get(key, 0) for week in range(len(view.year.cube.weeks))) for key in usd
    }
    return statistics.linear_regression([math.log10(usd[k]) for k in usd], [math.log10(usage[k]) for k in usd]).slope


def largest_open(view: Counted) -> float:
    return max(view.of_open("model", view.top_open(week), week) for week in view.weeks(Q4))


FACTS: list[tuple[str, str, Callable[[Counted], float], float, float]] = [
    ("T02", "share of the first model falls", lambda v: top_share(v, Q1) - top_share(v, Q3), 2, 8),
    ("T02", "concentration of models falls", lambda v: v.hhi("model", Q1) - v.hhi("model", Q3), 20, 300),
    ("T02", "concentration of authors rises", lambda v: v.hhi("author", Q3) - v.hhi("author", Q1), 100, 900),
    ("T03", "mean of January, trillions", lambda v: statistics.fmean(v.trillions(("2025-01-06", "2025-01-31"))), 0.3, 0.9),
    ("T03", "peak, trillions", lambda v: max(v.trillions(("2025-11-17", "2025-11-30"))), 7.5, 8.0),
    ("T03", "the peak of all weeks is then", lambda v: max(v.trillions(WHOLE)) - max(v.trillions(("2025-11-17", "2025-11-30"))), 0, 0),
    ("T03", "least of the last three weeks", lambda v: min(v.trillions(WHOLE)[-3:]), 5.7, 6.4),
    ("T03", "most of the last three weeks", lambda v: max(v.trillions(WHOLE)[-3:]), 5.7, 6.4),
    ("T03", "peak against the first week", growth, 8, 30),
    ("T04", "weeks with the Flash family first, of 35", flash_weeks, 30, 35),
    ("T04", "flash, mini, lite and fast in the third quarter", lambda v: light(v, Q3), 28, 60),
    ("T04", "flash, mini, lite and fast in the fourth quarter", lambda v: light(v, Q4), 28, 60),
    ("T05", "variation of GPT-4.1 mini since July", lambda v: variation(v.shares("model", [MINI], H2)), 0, 0.15),
    ("T05", "weeks in the top nine since July, percent", lambda v: 100 * len(top_nine_weeks(v, MINI, H2)) / len(v.weeks(H2)), 90, 100),
    ("T06", "DeepSeek V3, second half against the first", lambda v: v.mean("model", V3, H2) / v.mean("model", V3, H1), 3, 20),
    ("T06", "correlation with the share of older models", lambda v: statistics.correlation(v.shares("model", V3, WHOLE), v.shares("model", LEGACY, WHOLE)), -1, -0.6),
    ("T08", "spikes of Grok Code Fast 1 in the fourth quarter", lambda v: peaks(v.shares("model", [GROK], Q4)), 3, 6),
    ("T09", "variation of Claude Sonnet 4 since July", lambda v: variation(v.shares("model", [SONNET], H2)), 0, 0.2),
    ("T09", "its rank by tokens against its rank by spend", lambda v: rank(v, SONNET, "tokens") - rank(v, SONNET, "spend"), 1, 20),
    ("T10", "least part outside of the top nine", lambda v: min(others(v)), 25, 60),
    ("T11", "Chinese open models, mean of the weeks", lambda v: v.mean("origin", ["chinese_oss"], STUDY), 11.5, 14.5),
    ("T11", "other open models, mean of the weeks", lambda v: v.mean("origin", ["other_oss"], STUDY), 12.2, 15.2),
    ("T11", "closed models, mean of the weeks", lambda v: v.mean("origin", ["closed"], STUDY), 66, 74),
    ("T11", "nothing is of unknown origin", lambda v: v.mean("origin", ["unknown"], STUDY), 0, 0),
    ("T11", "open models in December", lambda v: v.mean("origin", ["chinese_oss", "other_oss"], ("2025-12-01", "2025-12-31")), 28, 36),
    ("T11", "Chinese open models, least week", lambda v: min(v.shares("origin", ["chinese_oss"], STUDY)), 0, 2),
    ("T11", "Chinese open models, best week", lambda v: max(v.shares("origin", ["chinese_oss"], STUDY)), 27, 35),
    ("T11b", "(a) reasoning models, first week of January", lambda v: v.shares("reasoning", ["reasoning"], ("2025-01-06", "2025-01-06"))[0], 0, 3),
    ("T11b", "(a) reasoning models, least week of November and December", lambda v: min(v.shares("reasoning", ["reasoning"], ("2025-11-01", "2025-12-31"))), 50, 70),
    ("T11b", "(c) reasoning in completion tokens is another figure", lambda v: reasoned(v, ("2025-11-01", "2025-12-31")), 5, 40),
    ("T12", "slope of the tool share, points a week", lambda v: theil_sen(tool_shares(v)), 0.1, 0.5),
    ("T12", "bump in May, points", may_bump, 4, 9),
    ("T17", "small models of open ones, fourth against first quarter", lambda v: v.open_size("small", Q4) - v.open_size("small", Q1), -60, -5),
    ("T17", "medium models of open ones, fourth against first quarter", lambda v: v.open_size("medium", Q4) - v.open_size("medium", Q1), 5, 40),
    ("T17", "largest open model of a week in the fourth quarter", largest_open, 5, 25),
    ("T27", "slope of usage on price", slope, -0.08, -0.04),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
async def test_the_counted_year_is_what_is_reported(counted: Counted) -> None:
    """T02 to T12, T17, T27: every figure of the table out of the counters, by attributes of the catalogue."""
    wrong = [
        f"{number} {what}: {found} is not in {low} to {high}"
        for number, what, value, low, high in FACTS
        if not low <= (found := value(counted)) <= high
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.asyncio(loop_scope="module")
async def test_weeks_add_up(counted: Counted) -> None:
    """T01, T10, T26: 53 Mondays of 2025, to the token those of the cube; the top nine and others are all; money to the nano-dollar."""
    year = counted.year
    span = {"start_date": counted.moved("2024-12-30"), "end_date": counted.moved("2026-01-04")}
    found = await counted.json("/rankings/chart", **span)
    weeks = counted.weeks(WHOLE)
    assert [each["x"] for each in found["data"]] == [iso_day(counted.day(week)) for week in weeks]
    assert len(weeks) == 53
    assert {date.fromisoformat(each["x"]).weekday() for each in found["data"]} == {0}
    for week, each in zip(weeks, found["data"], strict=True):
        values = {key: int(value) for key, value in each["ys"].items()}
        others = values.pop(OTHERS)
        assert sum(values.values()) + others == sum(round(tokens * year.scale) for tokens in year.cube.tokens[week])
        assert values == {model: counted.table("model", week)[model] for model in counted.top(week)}
        assert others == sum(tokens for model, tokens in counted.table("model", week).items() if model not in values), (
            "the band is the sum of the models that it stands for"
        )
    for by in DIMENSIONS:
        sums = [sum(counted.table(by, week).values()) for week in range(len(year.cube.weeks))]
        assert sums == [counted.total(week) for week in range(len(year.cube.weeks))], by
    for metric in ("spend", "cost", "fees"):
        assert sum(counted.total(week, metric) for week in range(len(year.cube.weeks))) == counted.sums[metric]
    assert counted.sums["cost"] + counted.sums["fees"] - counted.sums["own"] == counted.sums["spend"]
    apps = await counted.json("/rankings/chart", by="app", top=3, **span)
    assert UNKNOWN_APP in {each["id"] for each in apps["keys"]}, "what says nothing of itself is no part of the others"


@pytest.mark.asyncio(loop_scope="module")
async def test_prices_are_the_reported_ones(counted: Counted) -> None:
    """T27: dollars a million tokens of the table of archetypes, within 2 %."""
    found = prices(counted)
    table = counted.gateway.services.catalog.current.attributes
    wanted = {table.of(model).slug: usd for model, usd in REPORTED_USD.items()}
    assert {model: found[model] for model in wanted} == pytest.approx(wanted, rel=0.02)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_comes_late_is_new(counted: Counted) -> None:
    """T07: Qwen3 30B A3B is among the nine largest in the last week only, and marked as new there."""
    weeks = counted.weeks(WHOLE)
    assert [week for week in weeks if QWEN in counted.top(week)] == weeks[-1:]
    span = {"start_date": counted.moved("2024-12-30"), "end_date": counted.moved("2026-01-04")}
    found = await counted.json("/rankings/chart", **span)
    assert [each["id"] for each in found["keys"] if each["is_new"]] == [QWEN]


@pytest.mark.asyncio(loop_scope="module")
async def test_open_authors_have_the_reported_order(counted: Counted) -> None:
    """T17: the first six by tokens of their open models in the study's window."""
    named = dimensions(counted.gateway.services.catalog.current)
    sums: dict[str, int] = defaultdict(int)
    for week in counted.weeks(STUDY):
        day = counted.day(week)
        for model, tokens in counted.table("model", week).items():
            if named.of_model("origin", model, day).endswith("oss"):
                sums[named.of_model("author", model, day)] += tokens
    assert sorted(sums, key=sums.__getitem__, reverse=True)[:6] == [
        "deepseek", "qwen", "meta-llama", "mistralai", "openai", "minimax",
    ]  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
async def test_trends_are_the_excess_over_three_weeks(counted: Counted) -> None:
    """T29: what a model used in the last seven complete days above the mean of the three weeks before; nothing below the floor."""

    def used(model: str, back: int) -> int:
        return sum(counted.daily.get((TODAY - 7 * back - n, model), 0) for n in range(1, 8))

    rows = (await counted.json("/rankings/leaderboard", view="trending", limit=200))["data"]
    excess = {
        model: used(model, 0) - sum(used(model, back) for back in (1, 2, 3)) // 3
        for model in {model for _, model in counted.daily}
    }
    floor = sum(used(model, 0) for model in excess) // queries.TREND_FLOOR
    wanted = sorted((key for key in excess if excess[key] > floor), key=lambda key: (-excess[key], key))
    assert [(row["id"], int(row["excess_tokens"])) for row in rows] == [(key, excess[key]) for key in wanted][:200]


COLORS = {
    "google/gemini-2.5-flash": "#F472B6", "google/gemini-2.0-flash-001": "#EF6A6A", MINI: "#F59E0B", QWEN: "#FACC15",
    GROK: "#3B82F6", SONNET: "#D97757", V3[0]: "#0F9D94", V3[1]: "#2DD4BF",
}  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_has_one_colour(counted: Counted) -> None:
    """T35: the eight known ones, the same in every span and dimension; origins have theirs, others are grey, labels are names."""
    span = {"start_date": counted.moved("2024-12-30"), "end_date": counted.moved("2026-01-04")}
    found = [await counted.json("/rankings/chart", top=top, **span) for top in (9, 50)]
    shown = [{each["id"]: (each["label"], each["color"]) for each in each_found["keys"]} for each_found in found]
    assert {key: shown[1][key][1] for key in COLORS} == COLORS
    assert shown[1] | shown[0] == shown[1] | {OTHERS: shown[0][OTHERS]}
    assert shown[1][OTHERS][1] == "#9CA3AF"
    assert shown[1][GROK][0] == "Grok Code Fast 1"
    origins = await counted.json("/rankings/chart", by="origin", **span)
    assert {each["id"]: each["color"] for each in origins["keys"] if each["id"] != OTHERS} == {
        "closed": "#7F1D1D", "chinese_oss": "#F97316", "other_oss": "#14B8A6",
    }  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
async def test_a_week_that_runs_is_partial(counted: Counted) -> None:
    """T36, T41: what comes today is in a bucket marked as partial and in no change; 2^53 + 1 tokens are exact, by attribute too."""
    before = {row["id"]: row["change"] for row in (await counted.json("/rankings/leaderboard", limit=200))["data"]}
    huge = 2**53 + 1
    one = Event(at_ms=int(NOW * 1000), endpoint=f"xai/x@{GROK}", org="o", key="k", user=b"12345678", prompt=huge)
    await count_events(counted.gateway.services.store, [one])
    last = (await counted.json("/rankings/chart", by="tier"))["data"][-1]
    assert (last["x"], last["partial"], last["ys"]["fast"]) == (iso_day(monday(week_of(TODAY))), True, str(huge))
    assert (await counted.json("/rankings/chart", by="tier"))["data"][-2]["partial"] is False
    after = {row["id"]: row["change"] for row in (await counted.json("/rankings/leaderboard", limit=200))["data"]}
    assert {key: after.get(key) for key in before} == before


@pytest.mark.asyncio(loop_scope="module")
async def test_users_keys_and_models_of_a_key(counted: Counted) -> None:
    """T22: each week's different users and keys within three errors of a HyperLogLog; a key uses more models at the end than at first."""
    span = {"start_date": iso_day(counted.day(0)), "end_date": iso_day(counted.day(len(counted.year.cube.weeks) - 1))}
    found = {row["x"]: row for row in (await counted.json("/rankings/adoption", **span))["data"]}
    for week, (users, keys, uses) in counted.different.items():
        row = found[iso_day(monday(week))]
        assert row["users"] == pytest.approx(len(users), rel=0.025, abs=1), row
        assert row["keys"] == pytest.approx(len(keys), rel=0.025, abs=1), row
        assert row["models_per_key"] == pytest.approx(len(uses) / len(keys), rel=0.05), row
        assert row["apps"] == 12 or row["users"] < 500, row
    weeks = [found[day]["models_per_key"] for day in sorted(found) if found[day]["models_per_key"]]
    assert statistics.fmean(weeks[-8:]) > statistics.fmean(weeks[:8])
