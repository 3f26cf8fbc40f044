"""The pages of categories, languages, tasks and sessions: one frame over three tables, estimates with what they are told from, what is
hidden, and what is said where there is nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.analytics.buckets import iso_day, monday, week_of
from gateway.analytics.event import Event
from gateway.web.axes import day_label
from tests.flows.test_pages_usage import TODAY, WEEK, page, shown  # noqa: F401 - a fixture
from tests.support.gateway import Gateway
from tests.support.usage import count_events, crowd

MODELS = ("acme/fast-1", "acme/slow-2")
LAST = monday(WEEK - 1)
PATHS = ("/rankings/categories", "/rankings/languages", "/rankings/programming-languages")
CODE: dict[str, Any] = {
    **{"category": "programming", "language": "English", "programming": "Python", "task": "debugging"},
    "sampled_ppm": 250_000,
}
SEO: dict[str, Any] = {"category": "marketing/seo", "language": "French", "task": "extraction", "sampled_ppm": 250_000}


def labelled(day: int, times: int, model: str, tokens: int, **labels: Any) -> list[Event]:
    """So many requests of each of eight users of four accounts."""
    return [each for _ in range(times) for each in crowd(day, f"acme/ok@{model}", tokens, **labels)]


def use() -> list[Event]:
    """Programming on two models in two weeks, a hundred requests and more in each; little of SEO; one account's category."""
    events = []
    for week in (WEEK - 2, WEEK - 1):
        for place, model in enumerate(MODELS):
            events += labelled(monday(week), 9, model, 800 - 500 * place, **CODE)
    events += labelled(LAST, 2, MODELS[0], 100, **SEO)
    events += [
        each
        for n in range(3)
        for each in crowd(LAST, f"acme/ok@{MODELS[1]}", 700 + n, users=1, **CODE | {"category": "legal"})
    ]
    return events


async def test_labels_share_one_frame(shown: Gateway) -> None:  # noqa: F811
    """All labels against each other, then the models of one: bars of 100 %, the badge with n and ±, the week's shares, JSON, files."""
    await count_events(shown.services.store, use())
    for path, label, called in zip(
        PATHS, ("programming", "English", "Python"), ("Programming", "English", "Python"), strict=True
    ):
        every = await page(shown, path)
        words = " ".join(every.words.split())
        assert "Estimate" in words, path
        assert re.search(r"n = \d+ classified requests", words), path
        assert re.search(r"known to ± [\d.]+ points", words), path
        assert f"{path}?label={label}#labels" in every.values("href"), path
        one = await page(shown, f"{path}?label={label}")
        words = " ".join(one.words.split())
        assert all(name in words for name in ("Acme/Fast-1", "Acme/Slow-2", day_label(iso_day(LAST)))), path
        assert re.search(r"Acme/Fast-1 ?7[0-9]\.\d % ?± \d+\.\d", words), words[:1500]
        assert any(link.startswith("/api/v1/rankings/") for link in one.values("href"))
        chosen = [a.get("href") for tag, a in one.tags if tag == "a" and a.get("aria-current") == "true"]
        assert f"{path}?label={label}#labels" in chosen, called
        assert "label" in (await page(shown, f"{path}?label=cooking", 400)).words


async def test_what_is_too_uncertain_or_too_private_is_grey(shown: Gateway) -> None:  # noqa: F811
    """A label of few requests has grey weeks and no shares; one account's label is in no list; empty labels are dim."""
    await count_events(shown.services.store, use())
    few = await page(shown, "/rankings/categories?label=marketing/seo")
    assert "Hidden" in few.words
    assert [a["class"] for tag, a in few.tags if tag == "rect" and a.get("class") == "unknown"] == [
        "unknown"
    ] * 2  # wide, narrow
    assert "Too little is known to show it" in few.words
    private = await page(shown, "/rankings/categories?label=legal")
    assert "Hidden" in private.words
    assert "Acme/Slow-2" not in private.words
    every = await page(shown, "/rankings/categories")
    dim = {a["href"] for tag, a in every.tags if tag == "a" and "dim" in (a.get("class") or "")}
    assert "/rankings/categories?label=legal#labels" in dim
    assert "/rankings/categories?label=programming#labels" not in dim
    assert not re.search(r"Legal ?\d", " ".join(every.words.split()))


async def test_declared_categories_are_exact(shown: Gateway) -> None:  # noqa: F811
    """What apps declare is counted, not estimated: the badge says so, and there is no ±."""
    await count_events(shown.services.store, labelled(LAST, 1, MODELS[0], 100, category="finance"))
    found = await page(shown, "/rankings/categories")
    words = " ".join(found.words.split())
    assert "Exact All 8 requests of the week" in words
    assert "Finance100.0 %exact" in words.replace("Finance 100", "Finance100").replace("% exact", "%exact")


async def test_tasks_by_group_and_what_sessions_cost(shown: Gateway) -> None:  # noqa: F811
    """Groups with their tasks, whiskers, the table; sessions of an app that enough people share, one dot for each range of turns."""
    pytest.importorskip("duckdb", reason="the history needs the extra analytics")
    from gateway.analytics.history.archive import Archive  # noqa: PLC0415
    from gateway.analytics.history.load import load  # noqa: PLC0415

    await count_events(shown.services.store, use())
    chat = {"app": "chat.example", "app_name": "Chat", "prompt": 5}
    sessions = [
        Event(
            **{"at_ms": (TODAY - 5) * 86_400_000 + 60_000 * n + user, "endpoint": f"acme/ok@{MODELS[0]}", "key": "k"},
            **{"org": f"o{user % 4}", "user": bytes([user]), "session": bytes([user, turns]), "charged_nano": 10**7},
            **chat,
        )
        for turns in (1, 3, 12)
        for user in range(8)
        for n in range(turns)
    ]
    load(Archive(shown.services.settings.history_directory), sorted(sessions, key=lambda each: each.at_ms))
    found = await page(shown, "/rankings/tasks")
    words = " ".join(found.words.split())
    for text in (
        "Code · ",
        "Debugging",
        "Extraction",
        "% of requests, told from",
        "Chat · Acme/Fast-1",
        "10–49 turns",
        "8 sessions",
    ):
        assert text in words, text
    assert re.search(r"Estimate n = \d+ classified requests; whiskers", words)
    costs = [
        tuple(row) for row in re.findall(r"Chat · Acme/Fast-1(\d+\S* turns?)\$([\d.]+)", found.words.replace("–", "-"))
    ]
    assert {cost for _, cost in costs} >= {"0.01", "0.03", "0.12"}, costs
    whiskers = [a for tag, a in found.tags if tag == "path" and a.get("class") == "whisker"]
    assert len(whiskers) == 2 * 2


@pytest.mark.parametrize(
    ("path", "says"),
    [
        *((path, "tokenway orgs update ID --categories local") for path in PATHS),
        ("/rankings/tasks", "tokenway[classify]"),
    ],
)
async def test_without_labels_the_pages_say_how_to_get_some(shown: Gateway, path: str, says: str) -> None:  # noqa: F811
    """No chart is drawn of nothing."""
    found = await page(shown, path)
    assert says in found.words
    assert "<figure" not in found.text
    if path == "/rankings/tasks":
        assert "tokenway[analytics]" in found.words


async def test_releases_are_marked_when_one_asks(shown: Gateway) -> None:  # noqa: F811
    """A link switches them on; they are numbered, named, and those of models that are shown have the makers' days."""
    await count_events(shown.services.store, use())
    assert "marker" not in (await page(shown, "/rankings")).text
    catalog = shown.services.catalog.current
    days = {slug: catalog.attributes.of(slug).released for slug in MODELS}
    assert days["acme/fast-1"] is not None
    found = await page(shown, "/rankings?releases=show&period=week")
    lines = [a for tag, a in found.tags if tag in ("line", "path") and a.get("class") == "marker"]
    inside = [
        slug for slug, day in days.items() if day and monday(week_of(TODAY) - 52) <= day.toordinal() - 719163 <= TODAY
    ]
    assert len(lines) == 2 * len(inside)
    if not inside:
        assert "No release that is known" in found.words
    for slug in inside:
        assert f"{catalog.models[slug].name}, {day_label(str(days[slug]))}" in found.words
