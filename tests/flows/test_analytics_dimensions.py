"""Charts and rankings by attributes of models, on some weeks of the synthetic year; the whole of it is in ``test_year_counted``."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from gateway.analytics import queries
from gateway.analytics.buckets import day_of, monday, today, week_of
from gateway.analytics.dimensions import BARE, By, Dimensions
from gateway.analytics.queries import Window
from gateway.analytics.series import OTHERS
from gateway.catalog.attributes import AttributeTable
from gateway.catalog.catalog import Catalog
from gateway.catalog.rows import AttributesRow, AuthorRow
from gateway.cli.demo.year.command import Year
from gateway.cli.demo.year.cube import Cube, cube
from gateway.cli.demo.year.load import default_shift, load
from gateway.cli.demo.year.targets import Model
from gateway.store.client import Store

NOW = time.time()
TODAY = today(NOW)
WEEKS = ("2025-08-25", "2025-12-22", "2025-12-29")
SCALE = 1e-7
KEYS: dict[By, Callable[[Model], str]] = {
    "model": lambda m: m.slug,
    "family": lambda m: m.family,
    "author": lambda m: m.author,
    "tier": lambda m: m.tier or "unknown",
    "origin": lambda m: "closed" if m.origin == "chinese_closed" else m.origin,
    "size": lambda m: m.size or "unknown",
    "reasoning": lambda m: "reasoning" if m.reasoning else "other",
}


def some_weeks() -> Cube:
    whole = cube(2025)
    places = [whole.weeks.index(date.fromisoformat(week)) for week in WEEKS]
    return Cube(whole.seed, tuple(whole.weeks[n] for n in places), whole.models, tuple(whole.tokens[n] for n in places))


def catalog_of(made: Cube) -> Catalog:
    """Attributes only: those that the year was made with."""
    authors = {m.author: "CN" if m.origin.startswith("chinese") else "US" for m in made.models}
    rows = {
        m.slug: AttributesRow(
            slug=m.slug,
            name=m.slug.title(),
            family=m.family.replace("/", "-") if m.family != m.slug else None,
            tier=m.tier,
            lab_country=authors[m.author],
            open_weights=m.origin.endswith("oss"),
            size_class=m.size,
            supports_reasoning=m.reasoning,
        )
        for m in made.models
    }
    table = AttributeTable((), rows, [AuthorRow(slug=slug, name=slug.upper()) for slug in authors])
    return Catalog(version="", models={}, providers={}, endpoints={}, attributes=table)


async def charted(store: Store, by: By, named: Dimensions, **more: Any) -> list[dict[str, int]]:
    """For each week key → tokens."""
    first = day_of(date.fromisoformat(WEEKS[0])) + 7 * default_shift(NOW)
    query = queries.Query(by=by, start=first, end=monday(week_of(TODAY) - 1) - 1, **{"top": 500, **more})
    chart = await queries.chart(store, query, NOW, named)
    return [
        {each.key: value for each in chart.series if (value := each.values[week])}
        for week in range(len(chart.buckets))
        if any(each.values[week] for each in chart.series)
    ]


async def test_weeks_of_the_year_by_every_attribute(store: Store) -> None:
    """T01, T10, T11: each week is the cube's to the token, by whatever it is split; the band of others is what is left."""
    made = some_weeks()
    catalog = catalog_of(made)
    year = Year(cube=made, scale=SCALE, shift_weeks=default_shift(NOW))
    done: list[int] = []
    number = await load(store, year.recorded(catalog), done.append)
    named = Dimensions(catalog)
    scaled = [[round(tokens * SCALE) for tokens in week] for week in made.tokens]
    assert done == [sum(week) for week in scaled]
    assert number > 500
    for by, key_of in KEYS.items():
        wanted: list[dict[str, int]] = []
        for week in scaled[:-1]:
            sums: dict[str, int] = defaultdict(int)
            for model, tokens in zip(made.models, week, strict=True):
                key = key_of(model)
                sums[key.replace("/", "-") if by == "family" and key != model.slug else key] += tokens
            wanted.append({key: tokens for key, tokens in sums.items() if tokens})
        assert await charted(store, by, named) == wanted, by
        largest = await charted(store, by, named, top=2)
        assert [sum(week.values()) for week in largest] == done[:-1], by
        assert all(len(week.keys() - {OTHERS}) <= 2 for week in largest)
    assert sum((await charted(store, "provider", named))[0].values()) == done[0]
    with_secrets = await charted(store, "origin", named, least_users=5)
    assert [sum(week.values()) for week in with_secrets] == done[:-1]
    assert {"closed", "chinese_oss", "other_oss"} <= with_secrets[-1].keys(), "users of their models are united"
    board = await queries.leaderboard(
        store, "origin", Window(TODAY - 7, TODAY), trending=False, least_users=5, now=NOW, dimensions=named
    )
    assert [each.key for each in board] == ["closed", "chinese_oss", "other_oss"]


def changing() -> Catalog:
    rows = {
        "acme/one": {"open_weights": False, "changes": [{"from": "2025-06-05", "open_weights": True}], "size_class": "large"},
        "acme/two": {"open_weights": True, "lab_country": "CN", "reasoning_model": True, "tier": "mini", "family": "twos"},
        "acme-labs/three": {"reasoning_model": False},
    }  # fmt: skip
    parsed = {
        slug: AttributesRow.model_validate({"slug": slug, "name": slug[-3:], **row}) for slug, row in rows.items()
    }
    authors = [AuthorRow(slug="acme", name="Acme", aliases=["acme-labs"], country="US", hue=5)]
    return Catalog("", {}, {}, {}, attributes=AttributeTable((), parsed, authors))


ROW = "host/x@{}"
EARLY, LATE = day_of(date(2025, 6, 4)), day_of(date(2025, 6, 5))


@pytest.mark.parametrize(
    ("by", "model", "day", "key", "label"),
    [
        ("model", "acme/one", EARLY, "acme/one", "one"),
        ("model", "acme/two:free", EARLY, "acme/two:free", "two (free)"),
        ("model", "nobody/knows", EARLY, "nobody/knows", "nobody/knows"),
        ("author", "acme-labs/three", EARLY, "acme", "Acme"),
        ("author", "nobody/knows", EARLY, "nobody", "nobody"),
        ("family", "acme/two", EARLY, "twos", "twos"),
        ("family", "acme/one", EARLY, "acme/one", "one"),
        ("origin", "acme/one", EARLY, "closed", "Closed"),
        ("origin", "acme/one", LATE, "other_oss", "Open, other"),
        ("origin", "acme/two:free", LATE, "chinese_oss", "Open, Chinese"),
        ("origin", "acme-labs/three", LATE, "unknown", "Unknown"),
        ("origin", "gemini/minimax-mini", LATE, "unknown", "Unknown"),
        ("tier", "acme/two", LATE, "mini", "Mini"),
        ("tier", "gemini/minimax-mini", LATE, "unknown", "Unknown"),
        ("size", "acme/one", LATE, "large", "Large (≥ 70B)"),
        ("size", "acme-labs/three", LATE, "unknown", "Unknown"),
        ("reasoning", "acme/two", LATE, "reasoning", "Reasoning models"),
        ("reasoning", "acme-labs/three", LATE, "other", "Other models"),
        ("reasoning", "acme/one", LATE, "unknown", "Unknown"),
        ("provider", "acme/one", LATE, "host", "host"),
    ],
)
def test_a_row_has_the_attributes_of_its_day(by: By, model: str, day: int, key: str, label: str) -> None:
    """Aliases, free variants, facts that change, and what is not known."""
    named = Dimensions(changing())
    assert named.key(by, ROW.format(model), day) == key
    assert named.label(by, key) == label
    assert named.color(by, key).startswith("#")


def test_without_a_catalogue() -> None:
    """Keys are names; a request that no endpoint served has a model but no provider."""
    assert BARE.key("author", ROW.format("a/b"), LATE) == BARE.label("author", "a") == "a"
    assert (BARE.key("model", "@a/b", LATE), BARE.key("provider", "@a/b", LATE)) == ("a/b", "")
    assert week_of(TODAY) - week_of(day_of(date(2025, 12, 29))) - 1 == default_shift(NOW)
