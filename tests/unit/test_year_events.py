"""The events of the synthetic year, at a small scale, against the laws they follow. The T numbers are those of docs/analytics.md."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import combinations

import pytest

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.cube import Cube, cube
from gateway.cli.demo.year.events import FIRST_MS, WEEK_MS, YearEvent, events
from gateway.cli.demo.year.targets import WEEKS

pytestmark = pytest.mark.tail
"""Each law is a row of a table that ``test_year_cube`` and the command's test use; to see it in events takes seconds."""
SCALE, SEED = 2e-6, 2025
MAY_USER = "user-00000"
CONTINENT = {country: continent for continent, countries in laws.COUNTRIES.items() for country in countries}
Chosen = Callable[[YearEvent], bool]


def tokens(event: YearEvent) -> int:
    return event.prompt + event.completion


def spend(event: YearEvent) -> int:
    return event.cost_nano


def one(_: YearEvent) -> int:
    return 1


def month(event: YearEvent) -> str:
    return datetime.fromtimestamp(event.ts_ms / 1000, UTC).strftime("%Y-%m")


class Year:
    """The events, and questions to them."""

    def __init__(self, made: Cube, found: list[YearEvent]) -> None:
        self.cube, self.events = made, found
        self.origin = {model.slug: model.origin for model in made.models}
        self.reasons = {model.slug: model.reasoning for model in made.models}
        self.by_week: list[list[YearEvent]] = [[] for _ in WEEKS]
        for event in found:
            self.by_week[(event.ts_ms - FIRST_MS) // WEEK_MS].append(event)

    def span(self, first: str, last: str) -> list[YearEvent]:
        return [event for n, week in enumerate(WEEKS) if first <= week.isoformat() <= last for event in self.by_week[n]]

    @cached_property
    def cohorts(self) -> dict[str, dict[str, dict[str, set[str]]]]:
        """Model → month of first use → month → users of the cohort that use the model in it."""
        months: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for event in self.events:
            if event.user != MAY_USER:
                months[event.model][month(event)].add(event.user)
        return {model: self._cohorts(used) for model, used in months.items()}

    @staticmethod
    def _cohorts(months: dict[str, set[str]]) -> dict[str, dict[str, set[str]]]:
        found, known = {}, set[str]()
        for first in sorted(months):
            cohort = months[first] - known
            known |= cohort
            found[first] = {later: cohort & months[later] for later in sorted(months) if later >= first}
        return found


@pytest.fixture(scope="module")
def year() -> Year:
    made = cube(SEED)
    return Year(made, list(events(made, SCALE, SEED)))


def percent(among: Iterable[YearEvent], chosen: Chosen, measure: Callable[[YearEvent], int] = tokens) -> float:
    part = whole = 0
    for event in among:
        value = measure(event)
        whole += value
        part += value if chosen(event) else 0
    return 100 * part / whole


def mean(among: Iterable[YearEvent], value: Callable[[YearEvent], float]) -> float:
    return statistics.fmean(map(value, among))


def is_open(year: Year, *origins: str) -> list[YearEvent]:
    return [event for event in year.events if year.origin[event.model] in (origins or ("chinese_oss", "other_oss"))]


def category(*names: str) -> Chosen:
    return lambda event: event.category in names


def asian(event: YearEvent) -> bool:
    return CONTINENT[event.country] == "asia"


def calls_tools(event: YearEvent) -> bool:
    return event.finish == "tool_calls"


def tool_shares(year: Year, without: str = "") -> list[float]:
    return [percent((event for event in week if event.user != without), calls_tools) for week in year.by_week]


def theil_sen(values: list[float]) -> float:
    return statistics.median((y - x) / (m - n) for (n, x), (m, y) in combinations(enumerate(values), 2))


def may_bump(year: Year, without: str = "") -> float:
    """Tool share in the three weeks of May above that of the three weeks before and after, in points."""
    shares = tool_shares(year, without)
    first = WEEKS.index(date.fromisoformat(laws.MAY_ACCOUNT_WEEKS[0]))
    return statistics.fmean(shares[first : first + 3]) - statistics.fmean(
        shares[first - 3 : first] + shares[first + 3 : first + 6]
    )


def most_calls(year: Year, model: str, first: str, last: str, only: Chosen = calls_tools) -> float:
    """Of the tokens of a model's calls (of all models without one), percent of the account with the most of them."""
    sums = Counter[str]()
    for event in year.span(first, last):
        if only(event) and model in ("", event.model):
            sums[event.user] += tokens(event)
    return 100 * max(sums.values()) / sums.total()


def effective_usd(year: Year) -> dict[str, float]:
    """Model → dollars a million tokens, without what callers paid themselves."""
    paid, used = Counter[str](), Counter[str]()
    for event in year.events:
        if not event.byok:
            paid[event.model] += event.cost_nano
            used[event.model] += tokens(event)
    return {model: paid[model] / used[model] / 1000 for model in used}


def slope(year: Year) -> float:
    usage, usd = Counter[str](), effective_usd(year)
    for event in year.events:
        usage[event.model] += tokens(event)
    models = [model for model in usd if usd[model]]
    return statistics.linear_regression(
        [math.log10(usd[m]) for m in models], [math.log10(usage[m]) for m in models]
    ).slope


def median_category_usd(year: Year) -> float:
    paid, used = Counter[str](), Counter[str]()
    for event in year.events:
        if not event.byok:
            paid[event.category] += event.cost_nano
            used[event.category] += tokens(event)
    return statistics.median(paid[name] / used[name] / 1000 for name in used)


def retention(year: Year, model: str, first: str, age: int) -> float:
    """Percent of a cohort that uses the model this many months later."""
    cohort = year.cohorts[model][first]
    return 100 * len(list(cohort.values())[age]) / len(cohort[first])


def retentions(year: Year, model: str, age: int) -> list[float]:
    """Of all cohorts with at least 10 users that are old enough; at the scale 1e-5 they have 20."""
    found = year.cohorts[model]
    return [
        retention(year, model, first, age)
        for first, cohort in found.items()
        if len(cohort) > age and len(cohort[first]) >= 10
    ]


def foundational(year: Year) -> int:
    """Cohorts of all models of which at least 30 % are there in month 5."""
    return sum(value >= 30 for model in year.cohorts for value in retentions(year, model, 5))


JANUARY, NOVEMBER = ("2025-01-06", "2025-01-27"), ("2025-11-03", "2025-11-24")
FACTS: list[tuple[str, str, Callable[[Year], float], float, float]] = [
    ("T11", "Chinese open models, mean of the weeks", lambda y: statistics.fmean(percent(week, lambda e: y.origin[e.model] == "chinese_oss") for week in y.by_week[:56]), 11.5, 14.5),
    ("T11", "other open models, mean of the weeks", lambda y: statistics.fmean(percent(week, lambda e: y.origin[e.model] == "other_oss") for week in y.by_week[:56]), 12.2, 15.2),
    ("T12", "slope of the tool share, points a week", lambda y: theil_sen(tool_shares(y)), 0.15, 0.4),
    ("T12", "tool share at the end", lambda y: percent(y.span("2025-12-15", "2025-12-29"), calls_tools), 12, 18),
    ("T12", "bump in May, points", may_bump, 4, 8),
    ("T12", "most tool tokens of Gemini 2.5 Flash in May by one account", lambda y: most_calls(y, "google/gemini-2.5-flash", "2025-05-05", "2025-05-19"), 80, 100),
    ("T12", "the same in the six weeks after", lambda y: most_calls(y, "google/gemini-2.5-flash", "2025-05-26", "2025-06-30"), 1, 60),
    ("T12", "the same of all its tokens in May: the rule has to look at calls", lambda y: most_calls(y, "google/gemini-2.5-flash", "2025-05-05", "2025-05-19", only=lambda _: True), 1, 20),
    ("T12", "most tool tokens of all models in May by one account", lambda y: most_calls(y, "", "2025-05-05", "2025-05-19"), 40, 70),
    ("T12", "bump in May without its account", lambda y: may_bump(y, MAY_USER), -2, 2),
    ("T14", "programming in January", lambda y: percent(y.span(*JANUARY), category("programming")), 9, 14.5),
    ("T14", "programming in the last weeks", lambda y: percent(y.span("2025-12-01", "2025-12-29"), category("programming")), 50, 55),
    ("T15", "roleplay of open tokens", lambda y: percent(is_open(y), category("roleplay")), 48, 56),
    ("T15", "roleplay of Chinese open tokens", lambda y: percent(is_open(y, "chinese_oss"), category("roleplay")), 29, 37),
    ("T15", "programming and technology of Chinese open tokens", lambda y: percent(is_open(y, "chinese_oss"), category("programming", "technology")), 35, 43),
    ("T15", "roleplaying games within roleplay", lambda y: percent((e for e in y.events if e.category == "roleplay"), lambda e: e.tag == "roleplaying-games"), 56, 64),
    ("T15", "roleplay of closed models in November", lambda y: percent((e for e in y.span(*NOVEMBER) if e.category == "roleplay"), lambda e: y.origin[e.model].endswith("closed")), 36, 48),
    ("T18", "growth of the mean prompt", lambda y: mean(y.span(*NOVEMBER), lambda e: e.prompt) / mean(y.span(*JANUARY), lambda e: e.prompt), 3.2, 5.2),
    ("T18", "growth of the mean completion", lambda y: mean(y.span(*NOVEMBER), lambda e: e.completion) / mean(y.span(*JANUARY), lambda e: e.completion), 2.2, 3.2),
    ("T18", "mean sequence in November", lambda y: mean(y.span(*NOVEMBER), tokens), 5400, 7000),
    ("T18", "programming prompts against all", lambda y: mean((e for e in y.span(*NOVEMBER) if e.category == "programming"), lambda e: e.prompt) / mean(y.span(*NOVEMBER), lambda e: e.prompt), 3, 4),
    ("T21", "Asia's tokens", lambda y: percent(y.events, asian), 26.6, 30.6),
    ("T21", "Asia's spend at the beginning", lambda y: percent(y.span("2024-11-04", "2024-12-30"), asian, spend), 10, 18),
    ("T21", "Asia's spend at the end", lambda y: percent(y.span("2025-11-10", "2025-12-29"), asian, spend), 28, 34),
    ("T21", "Europe's tokens", lambda y: percent(y.events, lambda e: CONTINENT[e.country] == "europe"), 19.3, 23.3),
    ("T21", "North America's tokens", lambda y: percent(y.events, lambda e: CONTINENT[e.country] == "north_america"), 45.2, 49.2),
    ("T22", "models of a user a month rise", lambda y: models_per_user(y, "2025-11") - models_per_user(y, "2025-01"), 0.05, 20),
    ("T24", "Claude Sonnet 4, cohort of May, month 5", lambda y: retention(y, "anthropic/claude-sonnet-4", "2025-05", 5), 36, 44),
    ("T24", "Gemini 2.5 Pro, cohort of June, month 5", lambda y: retention(y, "google/gemini-2.5-pro", "2025-06", 5), 36, 44),
    ("T24", "cohorts that stay", foundational, 2, 2),
    ("T24", "Claude Sonnet 4, cohort of June, month 5", lambda y: retention(y, "anthropic/claude-sonnet-4", "2025-06", 5), 4, 20),
    ("T24", "Gemini 2.0 Flash, best cohort, month 5", lambda y: max(retentions(y, "google/gemini-2.0-flash-001", 5)), 0, 15),
    ("T24", "GPT-4o mini, best cohort, month 5", lambda y: max(retentions(y, "openai/gpt-4o-mini", 5)), 0, 25),
    ("T24", "DeepSeek R1, cohort of April, month 3 above month 2", lambda y: retention(y, "deepseek/deepseek-r1", "2025-04", 3) - retention(y, "deepseek/deepseek-r1", "2025-04", 2), 1, 8),
    ("T24", "DeepSeek V3 0324, cohort of July, month 2 above month 1", lambda y: retention(y, "deepseek/deepseek-chat-v3-0324", "2025-07", 2) - retention(y, "deepseek/deepseek-chat-v3-0324", "2025-07", 1), 1, 8),
    ("T27", "slope of usage on price", slope, -0.08, -0.04),
    ("T27", "median category price, dollars a million", median_category_usd, 0.68, 0.78),
    ("M05", "requests that reason, of those to reasoning models", lambda y: percent((e for e in y.events if y.reasons[e.model]), lambda e: e.reasoning > 0, one), 75, 90),
    ("4.8", "cancelled", lambda y: percent(y.events, lambda e: e.finish == "cancelled", one), 0.7, 1.3),
    ("4.8", "usage not reported", lambda y: percent(y.events, lambda e: e.usage_source == "estimated", one), 0.3, 0.7),
    ("4.8", "paid by the caller to the provider", lambda y: percent(y.events, lambda e: e.byok, one), 7, 9),
    ("4.8", "providers", lambda y: len({e.provider for e in y.events}), 60, 120),
    ("4.8", "requests with a failed attempt", lambda y: percent(y.events, lambda e: len(e.attempts) > 1, one), 0.2, 2),
]  # fmt: skip
COUNTRIES = {
    "US": 47.17,
    "SG": 9.21,
    "DE": 7.51,
    "CN": 6.01,
    "KR": 2.88,
    "NL": 2.65,
    "GB": 2.52,
    "CA": 1.90,
    "JP": 1.77,
    "IN": 1.62,
}
LANGUAGES = {"English": 82.87, "Chinese (Simplified)": 4.95, "Russian": 2.47, "Spanish": 1.43, "Thai": 1.03}
USD = {
    "google/gemini-2.0-flash-001": 0.147, "deepseek/deepseek-chat-v3-0324": 0.394, "anthropic/claude-3.7-sonnet": 1.963,
    "anthropic/claude-sonnet-4": 1.937, "qwen/qwen-2-7b-instruct": 0.052, "ibm/granite-4.0-micro": 0.036,
    "openai/gpt-4": 34.068, "openai/gpt-5-pro": 34.965,
}  # fmt: skip


def models_per_user(year: Year, month: str) -> float:
    """Mean number of models that a user calls in a month."""
    found: dict[str, set[str]] = defaultdict(set)
    for event in year.span(f"{month}-01", f"{month}-31"):
        found[event.user].add(event.model)
    return statistics.fmean(map(len, found.values()))


@pytest.mark.parametrize(
    ("number", "what", "value", "low", "high"), FACTS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_events_have_what_is_reported(
    year: Year, number: str, what: str, value: Callable[[Year], float], low: float, high: float
) -> None:
    found = value(year)
    assert low <= found <= high, f"{number} {what}: {found}"


def test_tokens_of_each_week_and_model_are_those_of_the_cube(year: Year) -> None:
    """T01: the events of a cell add up to its scaled tokens, to the token."""
    for week, found in enumerate(year.by_week):
        used = Counter[str]()
        for event in found:
            used[event.model] += tokens(event)
        wanted = {
            model.slug: round(number * SCALE)
            for model, number in zip(year.cube.models, year.cube.tokens[week], strict=True)
        }
        assert used == {slug: number for slug, number in wanted.items() if number}


def test_shares_of_countries_and_languages(year: Year) -> None:
    """T21, T28: countries within 2 points, languages within 1.5."""
    used, spoken = Counter[str](), Counter[str]()
    for event in year.events:
        used[event.country] += tokens(event)
        spoken[event.language] += tokens(event)
    whole = used.total() / 100
    assert {name: used[name] / whole for name in COUNTRIES} == pytest.approx(COUNTRIES, abs=2)
    assert {name: spoken[name] / whole for name in LANGUAGES} == pytest.approx(LANGUAGES, abs=1.5)


def test_effective_prices_are_the_reported_ones(year: Year) -> None:
    """T27: the table of archetypes, within 2 %."""
    found = effective_usd(year)
    assert {model: found[model] for model in USD} == pytest.approx(USD, rel=0.02)


def test_models_with_tools_are_the_reported_ones(year: Year) -> None:
    """T13: first GPT-4o mini and Claude 3.x; in the second half Gemini Flash, Grok Code Fast and GLM 4.5 join them."""
    leaders = []
    for first, last in (("2025-01-06", "2025-06-23"), ("2025-07-28", "2025-12-29")):
        used = Counter[str]()
        for event in year.span(first, last):
            if event.tools_offered and event.user != MAY_USER:
                used[event.model] += tokens(event)
        leaders.append([model for model, _ in used.most_common(12)])
    assert set(leaders[0][:3]) == {"openai/gpt-4o-mini", "anthropic/claude-3.5-sonnet", "anthropic/claude-3.7-sonnet"}
    assert {"google/gemini-2.5-flash", "x-ai/grok-code-fast-1", "z-ai/glm-4.5"} <= set(leaders[1])


def test_every_event_is_possible(year: Year) -> None:
    """In the order of time, with unique ids, parts within their wholes, tools that were offered, and the serving attempt last."""
    assert [event.ts_ms for event in year.events] == sorted(event.ts_ms for event in year.events)
    assert len({event.id for event in year.events}) == len(year.events)
    for event in year.events:
        assert event.prompt >= 0
        assert 0 <= event.reasoning <= event.completion
        assert 0 <= event.cache_read <= event.prompt
        assert 0 < event.ttft_ms <= event.gen_ms
        assert (event.tool_calls > 0) == (event.finish == "tool_calls")
        assert event.tools_offered > 0 or not event.tool_calls
        assert event.attempts[-1][:2] == (event.provider, 200)
        assert event.byok == (event.fee_nano == 0) or event.cost_nano < 10
