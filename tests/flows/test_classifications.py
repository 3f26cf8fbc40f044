"""What requests are about, as anybody may ask for it: shares of tasks, charts of categories and languages, and how certain they are."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.analytics.buckets import iso_day, monday, today, week_of
from gateway.analytics.event import Event
from gateway.api.management.schema import rankings as schema
from tests.support.counted import count_events, event, get
from tests.support.management import Managed, bearer, refused

NOW = time.time()
WEEK = week_of(today(NOW)) - 1
DAY = monday(WEEK) + 1
MONDAY, SUNDAY = iso_day(monday(WEEK)), iso_day(monday(WEEK) + 6)
SPAN = {"start_date": MONDAY, "end_date": SUNDAY}


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ANALYTICS", "true")


def of_five(count: int, model: str, prompt: int, **labels: Any) -> list[Event]:
    """Events of five organisations with a user each: they may be shown to anybody."""
    return [event(DAY, model, prompt, org=f"o{n % 5}", user=n % 5 + 1, **labels) for n in range(count)]


SAMPLED: dict[str, Any] = {"sampled_ppm": 250_000, "category": "programming", "language": "English"}
USE = [
    *of_five(5, "c/z", 20, category="legal"),
    *of_five(5, "a/x", 10, category="legal"),
    event(DAY, "b/y", 30, org="o1", user=9, category="legal"),
    *[event(DAY, "b/y", 30, org="o1", user=9, category="finance") for _ in range(3)],
    *of_five(120, "a/x", 10, task="debugging", programming="Python", **SAMPLED),
    *of_five(30, "c/z", 40, task="summarization", programming="Rust", **SAMPLED),
    *of_five(50, "a/x", 10, sampled_ppm=250_000),
    event(DAY, "a/x", 1_000, org="o1", user=9, category="health", language="Dutch"),
]
EXACT = {"c/z": "100", "a/x": "50", "b/y": "30", "others": "0"}
ESTIMATED = {"a/x": "4800", "c/z": "4800", "others": "0"}
CHARTS: list[tuple[str, dict[str, Any], dict[str, str], dict[str, str], tuple[Any, ...]]] = [
    ("chart", {"category": "legal"}, EXACT, {"c/z": "100", "others": "80"}, ("exact", 11, 11)),
    ("chart", {"category": "legal", "top": 1}, {"c/z": "100", "others": "80"}, {"c/z": "100", "others": "80"}, ()),
    ("chart", {"category": "legal", "others": "drop", "top": 1}, {"c/z": "100"}, {"c/z": "100"}, ()),
    ("chart", {"category": "finance"}, {"b/y": "90", "others": "0"}, {}, ()),
    ("chart", {"category": "marketing/seo"}, {}, {}, ("exact", 0, 0)),
    ("chart", {"category": "programming"}, ESTIMATED, ESTIMATED, ("sampled", 150, 150)),
    ("languages", {"tag": "English"}, ESTIMATED, ESTIMATED, ("sampled", 150, 150)),
    ("languages", {"tag": "Other"}, {}, {}, ()),
    ("programming-languages", {"tag": "Python"}, {"a/x": "4800", "others": "0"}, {"a/x": "4800", "others": "0"}, ()),
    ("programming-languages", {"tag": "Rust", "period": "week"}, {}, {}, ("sampled", 30, 30)),
]


async def test_labels_of_use(managed: Managed) -> None:
    """Charts, datasets and tasks: to the operator all; to a key what shows no account; too few to tell are hidden from both."""
    await count_events(managed.gateway.services.store, USE)
    key = bearer(await managed.gateway.key())

    async def both(path: str, **query: Any) -> tuple[Any, Any]:
        answer = await managed.anyone.get(f"/api/v1{path}", params=query, headers=key)
        assert answer.status_code == 200, answer.text
        again = {**key, "if-none-match": answer.headers["etag"]}
        assert (await managed.anyone.get(f"/api/v1{path}", params=query, headers=again)).status_code == 304
        return await get(managed.admin, path, **query), answer.json()

    for path, query, operator, anybody, quality in CHARTS:
        for found, expected in zip(await both(f"/rankings/{path}", **SPAN, **query), (operator, anybody), strict=True):
            shape = schema.EstimateAnswer.model_validate(found)
            [point], [known], meta = found["data"], shape.meta.estimates, found["meta"]
            assert (point["x"], point["ys"], point["partial"]) == (MONDAY, expected, False), query
            for name, each in known.intervals.items():
                assert each.low <= each.share <= each.high
                assert (each.low < each.share < each.high) == (not known.exact and each.share < 1), (query, name)
                assert int(each.tokens_low) <= int(expected[name]) <= int(each.tokens_high)
            assert known.hidden == (query.get("tag") == "Rust")
            if quality and found["meta"]["n"]:
                assert (meta["estimator"], meta["n"], meta["n_eff"]) == quality
    await tasks(*await both("/classifications/task", window="7d"))
    daily = {"category": "legal", "period": "week", **SPAN}
    expected_rows = [("c/z", "100"), ("a/x", "50"), ("b/y", "30")], [("c/z", "100"), ("other", "80")]
    for found, rows in zip(await both("/datasets/rankings-daily", **daily), expected_rows, strict=True):
        assert [(row["model_permaslug"], row["total_tokens"]) for row in found["data"]] == rows
        assert {row["date"] for row in found["data"]} == {MONDAY}
        assert (found["meta"]["n"], found["meta"]["n_eff"], found["meta"]["estimator"]) == (11, 11, "exact")
    for kind, operator, anybody in (
        ("natural", [("a/x", "5800"), ("c/z", "4800")], [("a/x", "4800"), ("c/z", "4800")]),
        ("programming", [("a/x", "4800"), ("c/z", "4800")], [("a/x", "4800"), ("c/z", "4800")]),
    ):  # Dutch is one account's
        answers = await both("/datasets/rankings-daily", language_type=kind, **SPAN)
        for found, rows in zip(answers, (operator, anybody), strict=True):
            assert [(row["model_permaslug"], row["total_tokens"]) for row in found["data"]] == rows, kind
            assert (found["meta"]["estimator"], found["meta"]["estimates"][0]["hidden"]) == ("sampled", False)
    await wrong(managed)


async def tasks(*found: Any) -> None:
    """Groups, tasks and models, with the fields of the hosted service; nothing that is a number of requests or tokens."""
    for answer in found:
        schema.TaskAnswer.model_validate(answer)
        data = answer["data"]
        assert (data["as_of"], data["window_days"]) == (SUNDAY, 7)
        groups = {
            each["key"]: (each["label"], each["usage_share"], each["token_share"]) for each in data["macro_categories"]
        }
        assert groups == {
            **{"code": ("Code", 0.8, 0.5), "agent": ("Agent", 0, 0)},
            **{"data": ("Data", 0, 0), "general": ("General", 0.2, 0.5)},
        }
        first, second = data["classifications"]
        assert first == {
            **{"tag": "code:debugging", "display_name": "Debugging", "macro_category": "code"},
            **{"usage_share": 0.8, "token_share": 0.5, "category_usage_share": 1.0, "category_token_share": 1.0},
            "models": [{"id": "a/x", "tag_usage_share": 1.0, "tag_token_share": 1.0}],
        }
        assert (second["tag"], second["models"]) == ("general:summarization", [])
        known = answer["meta"]["estimates"]
        assert {tag: (each["n"], each["models_hidden"]) for tag, each in known.items()} == {
            "code:debugging": (120, False),
            "general:summarization": (30, True),
        }
        assert known["code:debugging"]["token_share_low"] < 0.5 < known["code:debugging"]["token_share_high"]
        assert answer["meta"]["unclassified"] == pytest.approx(0.25)


WRONG = [
    ("/rankings/chart?category=cooking", "category"),
    ("/rankings/chart?category=", "category"),
    ("/rankings/chart?category=legal&period=day", "period"),
    ("/rankings/chart?category=legal&period=month", "period"),
    ("/rankings/chart?category=legal&metric=requests", "metric"),
    ("/rankings/chart?category=legal&by=author", "by"),
    ("/rankings/context-length?category=legal", "category"),
    ("/rankings/leaderboard?category=legal", "category"),
    ("/rankings/languages", "tag"),
    ("/rankings/languages?tag=english", "tag"),
    ("/rankings/languages?tag=Python", "tag"),
    ("/rankings/languages?tag=English&period=day", "period"),
    ("/rankings/languages?tag=English&category=legal", "category"),
    ("/rankings/languages?tag=English&start_date=2020-01-01", "start_date"),
    ("/rankings/programming-languages?tag=C%2B%2B&top=51", "top"),
    ("/rankings/programming-languages?tag=-", "tag"),
    ("/datasets/rankings-daily?category=legal&period=day", "period"),
    ("/datasets/rankings-daily?category=legal&period=month", "period"),
    ("/datasets/rankings-daily?category=legal&period=week&context_bucket=1K", "context_bucket"),
    ("/datasets/rankings-daily?category=legal&modality=text", "modality"),
    ("/datasets/rankings-daily?category=legal&language_type=natural", "language_type"),
    ("/datasets/rankings-daily?language_type=natural&period=day", "period"),
    ("/datasets/rankings-daily?language_type=programming&period=month", "period"),
    ("/datasets/rankings-daily?language_type=natural&modality=image", "modality"),
    ("/datasets/rankings-daily?language_type=natural&context_bucket=1K", "context_bucket"),
    ("/datasets/rankings-daily?language_type=English", "language_type"),
    ("/datasets/rankings-daily?language_type=", "language_type"),
    ("/rankings/languages?tag=English&language_type=natural", "language_type"),
    ("/datasets/app-rankings?language_type=natural", "language_type"),
    ("/datasets/rankings-daily?category=a%00b&period=week", "category"),
    ("/classifications/task?window=30d", "window"),
    ("/classifications/task?category=legal", "category"),
]


async def wrong(managed: Managed) -> None:
    """400 names the parameter."""
    for path, field in WRONG:
        refused(await managed.admin.get(f"/api/v1{path}"), 400, field)
    refused(await managed.anyone.get("/api/v1/classifications/task"), 401)
