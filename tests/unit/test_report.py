"""The report of the synthetic year: every figure is whole, and its numbers are those that the year was made with. The T numbers are
those of docs/analytics.md and docs/state-of-ai-checklist.md.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.analytics.buckets import day_of
from gateway.analytics.event import OWN_KEY, Event
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.source import Batch
from gateway.analytics.report import document
from gateway.analytics.report.build import STEPS, build
from gateway.analytics.report.document import Figure, Plot, Report, Table, TimeChart
from gateway.analytics.report.markdown import markdown
from gateway.analytics.report.used_events import NoEvents, Window
from gateway.analytics.retention import comes_back, is_foundational, of_history
from gateway.catalog.attributes import AttributeTable
from gateway.catalog.load import load
from gateway.catalog.rows import AttributesRow
from gateway.cli.demo.year.attributes import write_attributes
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.events import events
from gateway.cli.demo.year.recorded import Recorder
from gateway.cli.demo.year.targets import Model
from gateway.cli.demo.year.users import BOOMERANGS, FOUNDATIONAL
from gateway.settings import shipped_config_dir
from providers import registry

pytest.importorskip("duckdb", reason="needs DuckDB, of the extra `analytics`")
WINDOW = Window.around(date(2024, 11, 4), date(2025, 12, 31))
OPEN = ("chinese_oss", "other_oss")
STAYING = "anthropic/claude-3.5-sonnet"
IDS = [f"F{number:02}" for number in range(1, 39)]


@dataclass(frozen=True)
class Small:
    """Some thousand events, and the operator's report of them."""

    events: list[Event]
    attributes: AttributeTable
    report: Report


def written(history: Path, found: list[Event]) -> Path:
    """A history of these events, in one piece."""
    lines = msgspec.json.Encoder().encode_lines(found)
    Archive(history).append(Batch(after="0-0", upto="1-0", rows=len(found), lines=lines))
    return history


def report_of(history: Path, attributes: AttributeTable, least_users: int = 1, window: Window = WINDOW) -> Report:
    return build(Archive(history), window, attributes, name="test", least_users=least_users, advance=lambda _: None)


def year(folder: Path, scale: float, classified: float) -> Report:
    """The report of the whole year: models of the shipped catalogue, and made-up ones."""
    catalog = load((shipped_config_dir(), write_attributes(folder / "catalog")), {}, dialects=registry.names())
    made = Recorder(catalog, classified=classified).record(events(cube(2025), scale, 2025))
    return report_of(written(folder / "history", list(made)), catalog.attributes)


def named_year() -> tuple[list[Event], AttributeTable]:
    """The reported models of the year without the made-up ones, of so few events that each of them is classified."""
    whole = cube(2025)
    models = [(place, model) for place, model in enumerate(whole.models) if not model.rank]
    tokens = tuple(tuple(week[place] for place, _ in models) for week in whole.tokens)
    part = msgspec.structs.replace(whole, models=tuple(model for _, model in models), tokens=tokens)
    rows = {model.slug: attributes_row(model) for _, model in models}
    attributes = AttributeTable(rows=rows)
    catalog: Any = SimpleNamespace(attributes=attributes, models={})
    return [*Recorder(catalog, classified=1.0).record(events(part, 6e-8, 2025)), *cohort()], attributes


def cohort() -> Iterator[Event]:
    """Thirty users who come in December 2024, twelve of whom come back in January."""
    for month, users in ((datetime(2024, 12, 10, tzinfo=UTC), 30), (datetime(2025, 1, 10, tzinfo=UTC), 12)):
        for number in range(users):
            yield event(
                at_ms=int(month.timestamp() * 1000),
                endpoint=f"p/x@{STAYING}",
                user=bytes([number] * 8),
                prompt=1,
                asked_to_reason=1,
            )


def event(**values: Any) -> Event:
    return Event(
        **(
            {"at_ms": 1_741_000_000_000, "endpoint": "a/x@openai/gpt-4o", "org": "o", "key": "k", "prompt": 100}
            | values
        )
    )


def attributes_row(model: Model) -> AttributesRow:
    return AttributesRow(
        slug=model.slug, name=model.slug, open_weights=model.origin.endswith("oss"), supports_reasoning=model.reasoning,
        size_class=model.size, lab_country="US" if model.origin in ("closed", "other_oss") else "CN",
    )  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    found, attributes = named_year()
    history = written(tmp_path_factory.mktemp("small") / "history", found)
    return Small(found, attributes, report_of(history, attributes))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Enough of the year for its numbers. All of it is classified: what sampling adds is tried in ``test_report_numbers``."""
    return year(tmp_path_factory.mktemp("large"), 4e-6, 1.0)


def panels(figure: Figure, kind: Any = TimeChart) -> list[Any]:
    return [each for each in figure.series if isinstance(each, kind)]


def percents(figure: Figure, *keys: str, at: int = 0) -> dict[str, float]:
    """Monday → percent of some series of a chart of shares."""
    chart = panels(figure)[at].chart
    totals = [sum(each.values[place] or 0 for each in chart.series) for place in range(len(chart.buckets))]
    parts = [sum(each.values[place] or 0 for each in chart.series if each.key in keys) for place in range(len(totals))]
    return {day: 100 * part / whole for day, part, whole in zip(chart.buckets, parts, totals, strict=True) if whole}


def rows(figure: Figure, at: int = 0) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in panels(figure, Table)[at].rows}


def check_open_weights(report: Report) -> None:
    """T11: means 13.0 and 13.7 ± 1.5 points, closed 66 to 74 %; December 28 to 36 %; Chinese from below 2 to 27 % or more."""
    share = report.figure("F01")
    chinese, other, closed = (percents(share, key) for key in ("chinese_oss", "other_oss", "closed"))
    assert fmean(chinese.values()) == pytest.approx(13.0, abs=1.5)
    assert fmean(other.values()) == pytest.approx(13.7, abs=1.5)
    assert 66 < fmean(closed.values()) < 74
    assert 28 < fmean(value for day, value in percents(share, *OPEN).items() if day[:7] == "2025-12") < 36
    assert min(chinese.values()) < 2
    assert max(chinese.values()) >= 27


def check_concentration(report: Report) -> None:
    """T02: the leader's share and the models' index fall from the first to the third quarter, the authors' index does not; it says so."""
    quarters = rows(report.figure("F02"))
    before, after = quarters["2025 Q1"], quarters["2025 Q3"]
    assert (before[0], after[0]) == pytest.approx((14.3, 10.3), abs=0.5)
    assert after[3] < before[3] - 30
    assert after[4] > before[4] + 300
    assert "that of authors did not fall" in report.figure("F02").text


def check_reasoning(report: Report) -> None:
    """T11b: below 3 % in the first week of January, above half in every week of November and December; three measures differ."""
    shares = percents(report.figure("F11"), "reasoning")
    assert shares["2025-01-06"] < 3
    assert all(value > 50 for day, value in shares.items() if day >= "2025-11-03")
    a, b, c = rows(report.figure("F11"))["All"]
    assert a > b + 5 > c + 10


def check_tools(report: Report) -> None:
    """T12: the share rises; without the largest account May is flat; the rule names it."""
    figure = report.figure("F13")
    lines = {
        each.label: dict(zip(panels(figure)[1].chart.buckets, each.values, strict=True))
        for each in panels(figure)[1].chart.series
    }
    everybody, without = lines.values()
    may = ["2025-05-05", "2025-05-12", "2025-05-19"]
    around = ["2025-04-14", "2025-04-21", "2025-04-28", "2025-05-26", "2025-06-02", "2025-06-09"]
    bump, flat = (fmean(of[day] for day in may) - fmean(of[day] for day in around) for of in (everybody, without))
    assert bump > 400 > 200 > abs(flat), "hundredths of a point"
    assert "a single account makes a difference of 2 points" in figure.text
    assert fmean(list(without.values())[-8:]) > fmean(list(without.values())[:8]) + 500


def check_tool_models(report: Report) -> None:
    """T13: first Claude 3.x and GPT-4o mini get tools; Grok Code Fast 1 and Gemini 2.5 Flash lead later, GLM 4.5 is among the first ten."""
    first, second = report.figure("F14").text.split(" lead in the first half of the window, ")
    assert all(name in first for name in ("Claude 3.7 Sonnet", "Claude 3.5 Sonnet", "GPT-4o Mini"))
    assert set(second.split(", ")[:2]) == {"Grok Code Fast 1", "Gemini 2.5 Flash"}
    assert "GLM 4.5" in rows(report.figure("F14"))


def check_sizes(report: Report) -> None:
    """T17: small falls, medium rises, no model above a quarter of open tokens in the last quarter, authors in their order."""
    small_models, medium = (list(percents(report.figure("F05"), key).values()) for key in ("small", "medium"))
    assert fmean(small_models[-13:]) < fmean(small_models[:13]) / 2
    assert fmean(medium[-13:]) > fmean(medium[:13]) * 1.5
    for series in panels(report.figure("F04"))[0].chart.series:
        if series.key != "others":
            shares = percents(report.figure("F04"), series.key)
            assert max(value for day, value in shares.items() if day >= "2025-10-06") <= 25, series.key
    assert list(rows(report.figure("F03")))[:4] == ["DeepSeek", "Qwen", "Meta", "Mistral AI"]


def check_places(report: Report) -> None:
    """T21: continents and countries within two points; Asia's part of spend from about 13 to 31 %."""
    continents, countries = rows(report.figure("F31")), rows(report.figure("F32"))
    for name, expected in {"North America": 47.2, "Asia": 28.6, "Europe": 21.3, "Africa": 0.5}.items():
        assert continents[name][0] == pytest.approx(expected, abs=2), name
    for name, expected in {"US": 47.2, "SG": 9.2, "DE": 7.5, "CN": 6.0}.items():
        assert countries[name][0] == pytest.approx(expected, abs=2), name
    asia = list(percents(report.figure("F30"), "Asia").values())
    assert fmean(asia[:8]) == pytest.approx(13, abs=4)
    assert fmean(asia[-6:]) == pytest.approx(31, abs=4)


def check_prices(report: Report) -> None:
    """T27: slope −0.06 ± 0.02, the reported prices ± 2 %, the median category $0.73 ± 0.05, archetypes."""
    plot: Plot = panels(report.figure("F36"), Plot)[0]
    (slope,) = [float(guide.label.split()[1]) for guide in plot.guides if guide.label.startswith("slope")]
    assert slope == pytest.approx(-0.06, abs=0.02)
    usd = {dot.label: dot.x for dot in plot.dots}
    for name, expected in {"Gemini 2.0 Flash": 0.147, "DeepSeek V3 0324": 0.394, "Claude Sonnet 4": 1.937}.items():
        assert usd[name] == pytest.approx(expected, rel=0.02), name
    categories = sorted(dot.x for dot in panels(report.figure("F35"), Plot)[0].dots)
    assert (categories[5] + categories[6]) / 2 == pytest.approx(0.73, abs=0.05)
    kinds = {row[1]: row[0] for row in panels(report.figure("F38"), Table)[0].rows}
    assert kinds["Gemini 2.0 Flash"] == kinds["DeepSeek V3 0324"] == "efficient giant"
    assert kinds["Claude Sonnet 4"] == "premium leader"
    assert "premium specialist" in kinds.values()


def check_languages(report: Report) -> None:
    """T28."""
    found = rows(report.figure("F33"))
    for name, expected in {"English": 82.87, "Chinese (Simplified)": 4.95, "Russian": 2.47, "Spanish": 1.43}.items():
        assert found[name][0] == pytest.approx(expected, abs=1.5), name


def check_categories(report: Report) -> None:
    """T14 and T15: programming from 11 to above 50 %; roleplay 52 % of open tokens."""
    assert all(figure.needs is None for figure in report.figures)
    _, share, *_ = rows(report.figure("F07"))["roleplay"]
    assert share == pytest.approx(52, abs=4)
    programming = panels(report.figure("F20"))[0].chart.series[0].values
    assert fmean(programming[9:14]) == pytest.approx(1100, abs=300)
    assert fmean(programming[-5:]) > 4800


def check_retention(report: Report) -> None:
    """T24: two cohorts stay, and no other."""
    found = [row[:2] for row in panels(report.figure("F34"), Table)[0].rows if "stays" in str(row[-1])]
    assert sorted(found) == [("Claude Sonnet 4", "May 2025"), ("Gemini 2.5 Pro", "Jun 2025")]


CHECKS = (
    check_open_weights, check_concentration, check_reasoning, check_tools, check_tool_models, check_sizes, check_places, check_prices, check_languages,
    check_categories, check_retention,
)  # fmt: skip


def test_every_figure_is_whole(small: Small) -> None:
    """T38: F01 to F38, each with a definition, n, a text without gaps, and series that fit together; JSON and back; Markdown has all."""
    report = small.report
    assert [figure.id for figure in report.figures] == IDS
    assert len(IDS) + 1 == STEPS
    text = markdown(report)
    for figure in report.figures:
        assert figure.definition
        assert figure.n > 0, figure.id
        assert figure.text.endswith("."), figure.id
        assert not {"None", "nan", "inf"} & set(re.split(r"[^A-Za-z]+", figure.text)), figure.text
        assert "unknown share" not in figure.text, figure.text
        assert figure.needs is None, figure.id
        assert figure.series
        assert f"### {figure.id} {figure.title}" in text
        for each in panels(figure):
            assert {len(series.values) for series in each.chart.series} == {len(each.chart.buckets)}
    assert document.decode(document.encode(report)) == report


def test_sums_are_those_of_the_events(small: Small) -> None:
    """Shares, means, prices and retention against plain sums over the same events."""
    weeks: dict[str, Counter[str]] = defaultdict(Counter)
    paid, bought = Counter[str](), Counter[str]()
    months: dict[bytes, set[str]] = defaultdict(set)
    for each in small.events:
        moment = datetime.fromtimestamp(each.at_ms / 1000, UTC)
        week, tokens = weeks[str((moment - timedelta(days=moment.weekday())).date())], each.prompt + each.completion
        model = small.attributes.of(each.model)
        week.update(
            {
                "all": tokens,
                model.origin: tokens,
                "n": 1,
                "prompt": each.prompt,
                "called": tokens * (each.finish == "tool_calls"),
            }
        )
        if not each.flags & OWN_KEY:
            paid[each.model] += each.cost_nano
            bought[each.model] += tokens
        if each.model == STAYING and each.ok:
            months[each.user].add(f"{moment:%Y-%m}")
    for key, figure in (("closed", "F01"), ("chinese_oss", "F01"), ("called", "F13")):
        found = percents(small.report.figure(figure), key)
        assert found == pytest.approx({day: 100 * week[key] / week["all"] for day, week in weeks.items()}), key
    lengths = panels(small.report.figure("F15"))[0].chart
    assert lengths.series[0].values == tuple(round(weeks[day]["prompt"] / weeks[day]["n"]) for day in lengths.buckets)
    dots = {dot.label: dot.x for dot in panels(small.report.figure("F36"), Plot)[0].dots}
    assert dots == pytest.approx({model: paid[model] / bought[model] / 1000 for model in bought})
    reasoned = sum(each.reasoning > 0 or each.asked_to_reason for each in small.events)
    assert rows(small.report.figure("F11"))["All"][1] == pytest.approx(100 * reasoned / len(small.events))
    first = [of for of in months.values() if min(of) == "2024-12"]
    _, size, *kept = rows(small.report.figure("F34"))[STAYING]
    assert size == len(first) >= 30
    assert kept[0] == pytest.approx(100 * sum("2025-01" in of for of in first) / size)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_numbers_of_the_whole_year(large: Report, check: Callable[[Report], None]) -> None:
    """150,000 events: the report finds what the year was made with."""
    check(large)


RETAINED = (
    "deepseek/deepseek-r1", "deepseek/deepseek-chat-v3-0324", "google/gemini-2.5-pro", "anthropic/claude-sonnet-4",
    "anthropic/claude-3.5-sonnet", "meta-llama/llama-4-maverick",
)  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_cohorts_stay_and_two_come_back(tmp_path: Path) -> None:
    """T24, of models with cohorts as large as chance asks for: 40 ± 4 % at month 5 for the two that stay, nobody else stays; more
    come back of the reported two, though all of Claude 3.5 Sonnet's do in December, after a month with hardly any traffic."""
    whole = cube(2025)
    divided_by = [1 if model.slug in RETAINED else 300 for model in whole.models]
    tokens = tuple(tuple(each // by for each, by in zip(week, divided_by, strict=True)) for week in whole.tokens)
    part = msgspec.structs.replace(whole, tokens=tokens)
    catalog: Any = SimpleNamespace(attributes=AttributeTable(), models={})
    archive = Archive(tmp_path)
    made = Recorder(catalog, classified=0.0).record(events(part, 6e-5, 2025))
    for number in count():
        found = list(islice(made, 50_000))
        if not found:
            break
        lines = msgspec.json.Encoder().encode_lines(found)
        archive.append(Batch(after=f"{number}-0", upto=f"{number + 1}-0", rows=len(found), lines=lines))
    cohorts = of_history(archive, day_of(date(2026, 1, 2)))
    stays = {
        (model, f"{each.month:%Y-%m}"): each.kept(5)
        for model, of in cohorts.items()
        for each in of
        if is_foundational(each, of)
    }
    assert stays == {key: pytest.approx(0.40, abs=0.04) for key in FOUNDATIONAL}
    returns = {
        (model, f"{each.month:%Y-%m}"): age
        for model, of in cohorts.items()
        for each in of
        if (age := comes_back(each, of)) is not None
    }
    assert returns == BOOMERANGS


def test_what_the_data_lack_is_said(tmp_path: Path) -> None:
    """No category, no country, no open model: these figures name what they need, and have no series."""
    found = [event(user=bytes([number] * 8)) for number in range(30)]
    report = report_of(
        written(tmp_path, found), AttributeTable(), window=Window.around(date(2025, 3, 3), date(2025, 3, 9))
    )
    needs = {figure.id: figure.needs for figure in report.figures if figure.needs}
    assert {"F03", "F07", "F13", "F20", "F22", "F24", "F30", "F33", "F34", "F35", "F36"} <= set(needs)
    assert "categories" in str(needs["F20"])
    assert "countries" in str(needs["F30"])
    assert not any(figure.series for figure in report.figures if figure.needs)
    assert report.figure("F02").series
    assert markdown(report).count("Not shown: this needs") == len(needs)
    with pytest.raises(NoEvents, match="no event from 2024-12-30"):
        report_of(tmp_path, AttributeTable(), window=Window.around(date(2025, 1, 1), date(2025, 1, 2)))


HOSTILE = 'x/<script>"|`*\n'


def visible(report: Report) -> Iterator[str]:
    for figure in report.figures:
        yield figure.text
        yield msgspec.json.encode(figure.series).decode()


def test_nobody_is_recognised_in_a_report_for_others(tmp_path: Path) -> None:
    """With five users a value: a model of four, and one of which an organisation has more than four fifths, are within others; users are
    rounded, spend is absent. The operator sees both."""
    few = [event(endpoint="p/few@a/few", org=f"o{n}", user=bytes([n] * 8)) for n in range(4)]
    giant = [event(endpoint="p/giant@b/giant", org="big", user=bytes([n] * 8), prompt=1000) for n in range(9)]
    giant += [event(endpoint="p/giant@b/giant", org=f"o{n}", user=bytes([n] * 8), prompt=10) for n in range(9)]
    many = [event(endpoint="p/many@c/many", org=f"o{n}", user=bytes([n] * 8), cost_nano=5) for n in range(23)]
    history = written(tmp_path, [*few, *giant, *many])
    window = Window.around(date(2025, 3, 3), date(2025, 3, 9))
    shared, private = (report_of(history, AttributeTable(), least, window) for least in (5, 1))
    for name, seen in (("a/few", False), ("b/giant", False), ("c/many", True)):
        assert any(name in text for text in visible(shared)) == seen, name
    assert shared.scope.users == 20
    assert shared.scope.spend_usd is None
    assert private.scope.spend_usd == "0.000000115"
    assert private.scope.users == 23


def test_names_are_text(tmp_path: Path) -> None:
    """A model's name that wants to be markup is escaped in Markdown."""
    found = [event(endpoint=f"p/x@{HOSTILE}", user=bytes([n] * 8), tools=1, finish="tool_calls") for n in range(40)]
    report = report_of(
        written(tmp_path, found), AttributeTable(), window=Window.around(date(2025, 3, 3), date(2025, 3, 9))
    )
    assert any(
        HOSTILE in str(msgspec.json.decode(msgspec.json.encode(figure.series))) or HOSTILE in figure.text
        for figure in report.figures
    )
    text = markdown(report)
    assert "<script>" not in text.replace("\\<script", "")
    assert '\\<script\\>"\\|\\`\\*' in text
