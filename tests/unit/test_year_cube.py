"""The cube of the synthetic year against what is reported of 2025. The T numbers are those of docs/analytics.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from datetime import date
from itertools import pairwise

import pytest

from gateway.cli.demo.year import cube as cube_module
from gateway.cli.demo.year import targets
from gateway.cli.demo.year.categories import category_shares, group
from gateway.cli.demo.year.cube import TRILLION, Cube, cube
from gateway.cli.demo.year.lengths import PROGRAMMING
from gateway.cli.demo.year.prices import prices
from gateway.cli.demo.year.targets import Model

pytestmark = pytest.mark.xdist_group("year")  # one process makes the cube, not all
FLASH, V3 = "google/gemini-flash", "deepseek/deepseek-v3"
GROK, SONNET, MINI = "x-ai/grok-code-fast-1", "anthropic/claude-sonnet-4", "openai/gpt-4.1-mini"
LEGACY = {"anthropic/claude-3.5-sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "google/gemini-flash-1.5"}
Q1, Q2, Q3, Q4 = (
    ("2024-12-30", "2025-03-31"),
    ("2025-04-01", "2025-06-30"),
    ("2025-07-01", "2025-09-29"),
    ("2025-10-01", "2025-12-31"),
)
H1, H2, YEAR = ("2024-12-30", "2025-06-30"), ("2025-07-01", "2025-12-31"), ("2024-12-30", "2025-12-31")
MAY_ON, FROM_JULY, NOVEMBER_ON = (
    ("2025-05-01", "2025-12-31"),
    ("2025-07-01", "2025-12-31"),
    ("2025-11-01", "2025-12-31"),
)
STUDY = ("2024-11-04", "2025-11-30")


class View:
    """Questions to a cube. A span is a pair of ISO dates; a week belongs to it by its Monday."""

    def __init__(self, made: Cube) -> None:
        self.cube = made

    def weeks(self, span: tuple[str, str]) -> list[int]:
        return [n for n, week in enumerate(self.cube.weeks) if span[0] <= week.isoformat() <= span[1]]

    def week(self, day: str) -> int:
        return self.cube.weeks.index(date.fromisoformat(day))

    def tokens(self, week: int, by: Callable[[Model], str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for model, tokens in zip(self.cube.models, self.cube.tokens[week], strict=True):
            found[by(model)] = found.get(by(model), 0) + tokens
        return found

    def share(
        self, span: Iterable[int], chosen: Callable[[Model], bool], among: Callable[[Model], bool] = lambda _: True
    ) -> float:
        """Percent of the tokens of the weeks."""
        part = whole = 0
        for week in span:
            for model, tokens in zip(self.cube.models, self.cube.tokens[week], strict=True):
                part += tokens * (chosen(model) and among(model))
                whole += tokens * among(model)
        return 100 * part / whole

    def shares(self, span: tuple[str, str], chosen: Callable[[Model], bool]) -> list[float]:
        return [self.share([week], chosen) for week in self.weeks(span)]

    def top(self, week: int, count: int = 9) -> list[str]:
        found = self.tokens(week, lambda model: model.slug)
        return sorted(found, key=lambda slug: (-found[slug], slug))[:count]

    def hhi(self, span: tuple[str, str], by: Callable[[Model], str]) -> float:
        return statistics.fmean(
            sum((100 * tokens / self.cube.total(week)) ** 2 for tokens in self.tokens(week, by).values())
            for week in self.weeks(span)
        )

    def trillions(self, span: tuple[str, str]) -> list[float]:
        return [self.cube.total(week) / TRILLION for week in self.weeks(span)]


@pytest.fixture(scope="module")
def view() -> View:
    return View(cube(2025))


def slug(*names: str) -> Callable[[Model], bool]:
    return lambda model: model.slug in names


def is_open(model: Model) -> bool:
    return model.origin.endswith("oss")


def variation(values: list[float]) -> float:
    return statistics.pstdev(values) / statistics.fmean(values)


def largest(values: dict[str, int]) -> str:
    return max(values, key=values.__getitem__)


def peaks(values: list[float]) -> int:
    """Local maxima that are 15 % above both neighbours' lower side: the lowest value between two such peaks."""
    return sum(
        value >= max(values[max(0, n - 1)], values[min(len(values) - 1, n + 1)])
        and value >= 1.15 * min(values[max(0, n - 2) : n + 3])
        for n, value in enumerate(values)
    )


def flash_weeks(view: View) -> int:
    return sum(largest(view.tokens(week, lambda model: model.family)) == FLASH for week in view.weeks(MAY_ON))


def mini_weeks(view: View) -> float:
    weeks = view.weeks(FROM_JULY)
    return 100 * sum(MINI in view.top(week) for week in weeks) / len(weeks)


def v3_growth(view: View) -> float:
    return view.share(view.weeks(H2), lambda model: model.family == V3) / view.share(
        view.weeks(H1), lambda model: model.family == V3
    )


def top_share(view: View, span: tuple[str, str]) -> float:
    return statistics.fmean(view.share([week], slug(*view.top(week, 1))) for week in view.weeks(span))


def others(view: View) -> list[float]:
    return [100 - view.share([week], slug(*view.top(week))) for week in view.weeks(YEAR)]


def tail_weeks(view: View) -> int:
    tail = {model.slug for model in view.cube.models if model.rank}
    return sum(not tail.isdisjoint(view.top(week)) for week in view.weeks(YEAR))


def largest_open(view: View) -> float:
    """The largest share of one open model in the tokens of all open ones, in a week of the fourth quarter."""
    return max(
        view.share([week], slug(model.slug), is_open)
        for week in view.weeks(Q4)
        for model in view.cube.models[:40]
        if is_open(model)
    )


def size(view: View, name: str, span: tuple[str, str]) -> float:
    return view.share(view.weeks(span), lambda model: model.size == name, is_open)


FACTS: list[tuple[str, str, Callable[[View], float], float, float]] = [
    ("T01", "buckets of 2025", lambda v: len(v.weeks(YEAR)), 53, 53),
    ("T02", "top model, first to third quarter", lambda v: top_share(v, Q3) - top_share(v, Q1), -10, -2),
    ("T02", "HHI of models falls", lambda v: v.hhi(Q3, lambda m: m.slug) - v.hhi(Q1, lambda m: m.slug), -200, -20),
    ("T02", "HHI of authors does not", lambda v: v.hhi(Q3, lambda m: m.author) - v.hhi(Q1, lambda m: m.author), 200, 900),
    ("T03", "mean of January", lambda v: statistics.fmean(v.trillions(("2025-01-01", "2025-01-31"))), 0.4, 0.9),
    ("T03", "first week of January", lambda v: v.trillions(("2025-01-06", "2025-01-06"))[0], 0.45, 0.45),
    ("T03", "peak", lambda v: max(v.trillions(("2025-11-17", "2025-11-30"))), 7.9, 7.9),
    ("T03", "no week above the peak", lambda v: max(v.trillions(YEAR)), 7.9, 7.9),
    ("T03", "last three weeks, lowest", lambda v: min(v.trillions(("2025-12-15", "2025-12-29"))), 5.7, 6.4),
    ("T03", "last three weeks, highest", lambda v: max(v.trillions(("2025-12-15", "2025-12-29"))), 5.7, 6.4),
    ("T03", "growth to the peak", lambda v: max(v.trillions(YEAR)) / v.trillions(YEAR)[0], 8, 25),
    ("T03", "tokens of the study's window", lambda v: sum(v.trillions(STUDY)), 126.3, 127.3),
    ("T04", "weeks with the Flash family first", flash_weeks, 30, 35),
    ("T04", "flash, mini, lite, fast in the third quarter", lambda v: v.share(v.weeks(Q3), lambda m: m.tier is not None), 28, 60),
    ("T04", "flash, mini, lite, fast in the fourth quarter", lambda v: v.share(v.weeks(Q4), lambda m: m.tier is not None), 28, 60),
    ("T05", "variation of GPT-4.1 mini", lambda v: variation(v.shares(FROM_JULY, slug(MINI))), 0, 0.15),
    ("T05", "weeks of GPT-4.1 mini in the top nine", mini_weeks, 90, 100),
    ("T06", "DeepSeek V3, second half to first", v3_growth, 3, 20),
    ("T06", "DeepSeek V3 against the legacy models", lambda v: statistics.correlation(v.shares(YEAR, lambda m: m.family == V3), v.shares(YEAR, slug(*LEGACY))), -1, -0.6),
    ("T07", "weeks of Qwen3 30B A3B in the top nine", lambda v: sum("qwen/qwen3-30b-a3b" in v.top(w) for w in v.weeks(STUDY) + v.weeks(("2025-12-01", "2025-12-28"))), 0, 0),
    ("T07", "it is there in the last week", lambda v: "qwen/qwen3-30b-a3b" in v.top(v.week("2025-12-29")), 1, 1),
    ("T08", "spikes of Grok Code Fast 1", lambda v: peaks(v.shares(Q4, slug(GROK))), 3, 6),
    ("T09", "variation of Claude Sonnet 4", lambda v: variation(v.shares(FROM_JULY, slug(SONNET))), 0, 0.2),
    ("T10", "others, lowest week", lambda v: min(others(v)), 39, 45),
    ("T10", "others, highest week", lambda v: max(others(v)), 48, 52),
    ("T10", "others, mean", lambda v: statistics.fmean(others(v)), 45.8, 47.8),
    ("T10", "weeks of 2025 with a tail model in the top nine", tail_weeks, 0, 0),
    ("T11", "Chinese open models, mean", lambda v: statistics.fmean(v.shares(STUDY, lambda m: m.origin == "chinese_oss")), 12.5, 14.5),
    ("T11", "other open models, mean", lambda v: statistics.fmean(v.shares(STUDY, lambda m: m.origin == "other_oss")), 12.2, 15.2),
    ("T11", "closed models", lambda v: statistics.fmean(v.shares(STUDY, lambda m: m.origin == "closed")), 66, 74),
    ("T11", "open models in December", lambda v: v.share(v.weeks(("2025-12-01", "2025-12-31")), is_open), 28, 36),
    ("T11", "Chinese open models, lowest week", lambda v: min(v.shares(STUDY, lambda m: m.origin == "chinese_oss")), 0, 2),
    ("T11", "Chinese open models, highest week", lambda v: max(v.shares(STUDY, lambda m: m.origin == "chinese_oss")), 27, 30),
    ("T11b", "reasoning models in the first week of January", lambda v: v.share([v.week("2025-01-06")], lambda m: m.reasoning), 0, 3),
    ("T11b", "reasoning models, lowest week from November on", lambda v: min(v.shares(NOVEMBER_ON, lambda m: m.reasoning)), 50, 60),
    ("T11b", "reasoning models in the fourth quarter", lambda v: v.share(v.weeks(Q4), lambda m: m.reasoning), 53, 57),
    ("T17", "small open models, fourth quarter to first", lambda v: size(v, "small", Q4) - size(v, "small", Q1), -60, -10),
    ("T17", "medium open models, fourth quarter to first", lambda v: size(v, "medium", Q4) - size(v, "medium", Q1), 5, 40),
    ("T17", "largest open model in the fourth quarter", largest_open, 5, 25),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "what", "value", "low", "high"), FACTS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_cube_has_what_is_reported(
    view: View, number: str, what: str, value: Callable[[View], float], low: float, high: float
) -> None:
    found = value(view)
    assert low <= found <= high, f"{number} {what}: {found}"


def test_open_authors_have_the_reported_order(view: View) -> None:
    """T17: the first six, by tokens of their open models in the study's window."""
    found: dict[str, int] = {}
    for week in view.weeks(STUDY):
        for model, tokens in zip(view.cube.models, view.cube.tokens[week], strict=True):
            if is_open(model):
                found[model.author] = found.get(model.author, 0) + tokens
    assert sorted(found, key=found.__getitem__, reverse=True)[:6] == [
        "deepseek",
        "qwen",
        "meta-llama",
        "mistralai",
        "openai",
        "minimax",
    ]


def test_anthropic_has_most_of_what_is_spent_on_programming(view: View) -> None:
    """T16: above 60 % from May, when categories are known, to the week of 10 November; below it from the week after."""
    shares = category_shares(view.cube)
    usd = prices(view.cube, shares)
    found = {}
    for week in view.weeks(MAY_ON):
        spent: dict[str, float] = {}
        for model, tokens, price in zip(view.cube.models, view.cube.tokens[week], usd, strict=True):
            spent[model.author] = (
                spent.get(model.author, 0.0) + tokens * price * shares[week][group(model)][PROGRAMMING]
            )
        found[view.cube.weeks[week].isoformat()] = 100 * spent["anthropic"] / sum(spent.values())
    assert min(share for week, share in found.items() if week <= "2025-11-10") > 60.5
    assert max(share for week, share in found.items() if week >= "2025-11-17") < 60


def test_spikes_of_grok_code_are_where_they_were(view: View) -> None:
    """T08: it is the first model in the weeks of its promotions."""
    assert [view.top(view.week(day), 1)[0] for day in ("2025-10-06", "2025-11-03", "2025-11-24", "2025-12-22")] == [
        GROK
    ] * 4


def test_weeks_add_up_and_begin_on_mondays(view: View) -> None:
    """T01: tokens are whole and add up to the target of the week, and a week begins where the one before ends."""
    made = view.cube
    total = targets.anchors(targets.WEEK_TRILLIONS)
    assert [made.total(n) for n in range(len(made.weeks))] == [round(total.at(week) * TRILLION) for week in made.weeks]
    assert all(week.weekday() == 0 for week in made.weeks)
    assert {(later - week).days for week, later in pairwise(made.weeks)} == {7}
    assert min(tokens for row in made.tokens for tokens in row) == 0


def test_a_seed_is_a_year(view: View) -> None:
    assert cube(2025) == view.cube
    assert cube(2026) != view.cube


def test_a_further_model_does_not_change_the_draws_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise of a model is the same beside a new model: shares move only by what the new one takes."""
    rows = targets.named_models()
    week = date(2025, 10, 6)
    before = cube_module._named_shares(1, week, rows)
    monkeypatch.setattr(targets, "NAMED", "acme/new|C|-|-|01-06:2\n" + targets.NAMED)
    after = cube_module._named_shares(1, week, targets.named_models())
    assert after.pop("acme/new") > 0
    assert after == before


def test_the_tail_has_its_models(view: View) -> None:
    made = view.cube
    tail = [model for model in made.models if model.rank]
    assert len(tail) == 255
    assert {origin: sum(model.origin == origin for model in tail) for origin in targets.TAIL} == targets.TAIL
    assert len({model.slug for model in made.models}) == len(made.models)
