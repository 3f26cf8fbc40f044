"""From a request to the ranking: what callers used is counted, shown to whom it may be, and never in a request's way."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateway.analytics import tables, uptime
from gateway.analytics.buckets import DAY_MS, bucket, iso_day, monday, start_ms, today, week_of
from gateway.analytics.consumer import Consumer
from gateway.api.management.schema import rankings as schema
from tests.support.counted import count_events, event, get
from tests.support.gateway import Gateway, Sale, Stage
from tests.support.management import Managed, bearer, refused

GatewayFactory = Callable[..., Any]
NOW = time.time()
TODAY = today(NOW)


async def counted(stage: Stage) -> None:
    """Write and count all that has ended."""
    await stage.gateway.settled()
    assert stage.gateway.services.analytics is not None
    await stage.gateway.services.analytics.flush()
    await Consumer(stage.gateway.services.store, "worker").step()


async def test_a_request_appears_in_the_rankings(gateway: GatewayFactory) -> None:
    """JSON and stream, a failed attempt before: tokens as billed, money as charged, the app by its address, the activity of the key."""
    stage = await gateway(
        Sale("t/a", "alpha", "status=500+tokens=1"),
        Sale("t/a", "beta", "ok+tokens=5"),
        Sale("t/dead", "alpha", "status=500"),
        Sale("t/picky", "alpha", "status=400"),
    )
    caller, other = await stage.caller(), await stage.caller()
    app = {"http-referer": "https://Chat.Example.com/c/1?q=2", "x-title": "Ch  at"}
    body = b'{"model": "t/a", "messages": [{"role": "user", "content": "hello"}], "provider": {"order": ["alpha", "beta"]}}'
    answers = [await caller.raw(body, **app), await caller.raw(body, **app)]
    _, events = await caller.stream("t/a", provider={"order": ["alpha", "beta"]})
    assert (await other.chat("t/dead")).status_code >= 500
    assert (await other.chat("t/picky")).status_code == 400
    await counted(stage)
    usages = [answer.json()["usage"] for answer in answers] + [
        e["usage"] for e in events if e != "[DONE]" and e.get("usage")
    ]
    tokens, cost = sum(u["total_tokens"] for u in usages), sum(u["cost"] for u in usages)
    admin, client = stage.gateway.admin, stage.gateway.client
    chart = (await client.get("/api/v1/rankings/chart?period=day&metric=requests", headers=admin)).json()
    assert chart["data"][-1] == {
        "x": iso_day(TODAY),
        "ys": {"t/a": "3", "t/dead": "1", "t/picky": "1", "others": "0"},
        "partial": True,
    }
    assert [key["id"] for key in chart["keys"]] == ["t/a", "t/dead", "t/picky", "others"]
    board = (await client.get("/api/v1/rankings/leaderboard?by=provider", headers=admin)).json()["data"]
    assert [(row["id"], row["name"], row["tokens"]) for row in board] == [("beta", "Beta", str(tokens))]
    assert float(board[0]["spend_usd"]) == pytest.approx(cost)
    apps = (await client.get("/api/v1/datasets/app-rankings", headers=admin)).json()
    assert [(r["app_id"], r["app_name"], r["total_requests"]) for r in apps["data"]] == [
        ("chat.example.com", "Ch at", 2)
    ]
    assert int(apps["data"][0]["total_tokens"]) + int(apps["meta"]["unattributed_tokens"]) == tokens
    [day] = await tables.rows(stage.gateway.services.store, "de", [(TODAY, "alpha/status=500+tokens=1@t/a")])
    assert day["ae"] >= 1
    assert "rq" not in day
    hour = bucket("h", int(NOW * 1000))
    store, numbers = stage.gateway.services.store, [hour, hour + 1]
    for model, failed in (("t/dead", 1), ("t/picky", 0)):
        lines = await uptime.with_routing(store, numbers, model, [])
        assert sum(each.failed for each in lines) == failed, (
            "what the request itself is the reason of is no failure of the gateway"
        )


async def test_requests_go_on_without_analytics(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream cannot be written: every request succeeds, the queue fills, what it has no room for is counted as lost, the rest waits."""
    stage = await gateway(Sale("t/a", "alpha"))
    services = stage.gateway.services
    writer = services.analytics
    assert writer is not None
    writer._queue_max = 4
    call = services.store.mux.call

    async def no_stream(*args: Any) -> Any:
        if args[0] == "XADD":
            raise ConnectionResetError
        return await call(*args)

    monkeypatch.setattr(services.store.mux, "call", no_stream)
    caller = await stage.caller()
    answers = await asyncio.gather(*(caller.chat("t/a") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    await stage.gateway.settled()
    assert writer.waiting == 4
    assert "tokenway_analytics_lost_total 6.0" in (await stage.gateway.client.get("/metrics")).text
    monkeypatch.undo()
    await counted(stage)
    [day] = await tables.rows(services.store, "de", [(TODAY, "alpha/ok@t/a")])
    assert day["rq"] == 4


async def test_charts_add_up(managed: Managed) -> None:
    """53 weeks from Monday: each the two largest and others, exact beyond 2^53, ties by name, absent is not zero, sums those of the events."""
    store, huge = managed.gateway.services.store, 2**53 + 1
    weeks = [week_of(TODAY) - 1, week_of(TODAY)]
    events = [
        event(monday(weeks[0]), name, tokens) for name, tokens in (("b/x", 7), ("a/x", 7), ("c/x", 3), ("c/y", 1))
    ]
    events += [event(monday(weeks[1]), name, tokens) for name, tokens in (("c/x", huge), ("b/x", 2), ("a/x", 1))]
    await count_events(store, events)
    found = await get(managed.admin, "/rankings/chart", top=2)
    schema.ChartAnswer.model_validate(found)
    assert len(found["data"]) == 53
    assert [each["x"] for each in found["data"][-2:]] == [iso_day(monday(week)) for week in weeks]
    assert {each["x"][:4] for each in found["data"][:-2]} <= {iso_day(TODAY - n)[:4] for n in (0, 380)}
    assert [each["ys"] for each in found["data"][-2:]] == [
        {"a/x": "7", "b/x": "7", "others": "4"},
        {"c/x": str(huge), "b/x": "2", "others": "1"},
    ]
    assert [each["id"] for each in found["keys"]] == ["c/x", "b/x", "a/x", "others"]
    total = sum(int(value) for each in found["data"] for value in each["ys"].values())
    assert total == sum(each.prompt for each in events)
    assert [each["partial"] for each in found["data"][-2:]] == [False, True]
    authors = await get(managed.admin, "/rankings/chart", by="author", top=3, others="drop")
    assert [each["ys"] for each in authors["data"][-2:]] == [
        {"a": "7", "b": "7", "c": "4"},
        {"c": str(huge), "b": "2", "a": "1"},
    ]
    users = await get(managed.admin, "/rankings/chart", metric="users", period="month")
    assert all(value == "1" for each in users["data"] for value in each["ys"].values())
    spend = await get(
        managed.admin, "/rankings/chart", metric="spend", by="provider", period="month", start_date=iso_day(TODAY - 31)
    )
    assert sum(int(each["ys"].get("acme", "0")) for each in spend["data"]) == 5 * len(events)
    daily = await get(managed.admin, "/datasets/rankings-daily", period="week", start_date=iso_day(monday(weeks[0])))
    assert daily["data"][:2] == [
        {"date": iso_day(monday(weeks[0])), "model_permaslug": name, "total_tokens": "7"} for name in ("a/x", "b/x")
    ]


async def test_figures_that_show_an_account_are_hidden(managed: Managed) -> None:
    """Anybody but the operator: a cell needs five users, and none of its organisations more than 80 %; what does not pass is in others."""
    day = TODAY - 1
    many = [event(day, "a/many", 10, org=f"o{n}", user=n, app="a.example", app_name="A") for n in range(1, 6)]
    few = [event(day, "a/few", 100, org=f"o{n}", user=n, app="b.example") for n in range(1, 5)]
    giant = [event(day, "a/giant", 1000 if n == 1 else 1, org=f"o{n}", user=n) for n in range(1, 8)]
    await count_events(managed.gateway.services.store, many + few + giant)
    key = await managed.gateway.key()
    caller, query = {"headers": bearer(key)}, {"period": "day", "start_date": iso_day(day), "end_date": iso_day(day)}
    response = await managed.anyone.get("/api/v1/rankings/chart", params=query, **caller)
    assert response.json()["data"][0]["ys"] == {"a/many": "50", "others": "1406"}
    assert response.json()["meta"]["suppressed"] == 2
    everything = await get(managed.admin, "/rankings/chart", **query)
    assert everything["data"][0]["ys"] == {"a/giant": "1006", "a/few": "400", "a/many": "50", "others": "0"}
    board = (await managed.anyone.get("/api/v1/rankings/leaderboard", **caller)).json()
    assert [(row["id"], "spend_usd" in row) for row in board["data"]] == [("a/many", False)]
    apps = (await managed.anyone.get("/api/v1/datasets/app-rankings", **caller)).json()["data"]
    assert [row["app_id"] for row in apps] == ["a.example"]
    users = await managed.anyone.get("/api/v1/rankings/chart", params={**query, "metric": "users"}, **caller)
    assert users.json()["data"][0]["ys"] == {"a/many": "10"}
    for money in ("spend", "cost", "fees"):
        refused(await managed.anyone.get(f"/api/v1/rankings/chart?by=origin&metric={money}", **caller), 403)
    refused(await managed.anyone.get("/api/v1/rankings/chart"), 401)


async def test_one_accounts_calls_of_tools_are_hidden(managed: Managed) -> None:
    """Most calls of a model are one account's, a tenth of its tokens: tokens are shown, those of calls are within others; by provider, too."""
    day = TODAY - 1
    used = [event(day, "a/x", 100, org=f"o{n}", user=n) for n in range(1, 10)]
    used += [event(day, "a/x", 10, org=f"o{n}", user=n, finish="tool_calls") for n in range(1, 4)]
    used += [event(day, "a/x", 200, org="big", user=10, finish="tool_calls")]
    used += [
        event(day, f"a/{name}", 10, org=f"o{n}", user=n, finish="tool_calls") for name in "yz" for n in range(1, 7)
    ]
    await count_events(managed.gateway.services.store, used)
    caller = {"headers": bearer(await managed.gateway.key())}

    async def seen(metric: str, by: str = "model") -> dict[str, str]:
        query = {"metric": metric, "by": by, "period": "day", "start_date": iso_day(day), "end_date": iso_day(day)}
        answer = await managed.anyone.get("/api/v1/rankings/chart", params=query, **caller)
        found: dict[str, str] = answer.json()["data"][0]["ys"]
        return found

    assert await seen("tokens") == {"a/x": "1130", "a/y": "60", "a/z": "60", "others": "0"}
    assert await seen("tools_offered_tokens") == {"others": "0"}
    assert await seen("tool_tokens") == {"a/z": "60", "others": "290"}, "the smallest joins what is hidden"
    assert await seen("tool_requests") == {"a/z": "6", "others": "10"}
    assert await seen("tool_tokens", "provider") == {"acme": "350", "others": "0"}
    stats = await managed.anyone.get("/api/v1/models/acme/fast-1/stats?kind=activity", **caller)
    assert stats.status_code == 200


async def test_users_keys_and_apps_of_a_week(managed: Managed) -> None:
    """Different ones are counted, models by key averaged; others than the operator see tens, and nothing of a week with four users."""
    last, before = monday(week_of(TODAY) - 1), monday(week_of(TODAY) - 2)
    used = [
        event(
            last + n % 7,
            f"a/{model}",
            1,
            user=n,
            key=f"{n // 2:016x}",
            app="unknown" if n % 3 else f"app{n % 2}.example",
        )
        for n in range(26)
        for model in ("x", "y" if n < 10 else "x")
    ]
    used += [event(before, "a/x", 1, user=n, key="a" * 16) for n in range(1, 5)]
    await count_events(managed.gateway.services.store, used)
    span = {"start_date": iso_day(before), "end_date": iso_day(last)}
    found = await get(managed.admin, "/rankings/adoption", **span)
    schema.AdoptionAnswer.model_validate(found)
    nothing = dict.fromkeys(("users", "keys", "apps", "models_per_key"))
    weeks = [
        {"x": iso_day(before), "users": 4, "keys": 1, "apps": 0, "models_per_key": 1.0, "partial": False},
        {"x": iso_day(last), "users": 26, "keys": 13, "apps": 2, "models_per_key": round(18 / 13, 3), "partial": False},
    ]
    assert found["data"] == weeks
    caller = {"headers": bearer(await managed.gateway.key())}
    seen = (await managed.anyone.get("/api/v1/rankings/adoption", params=span, **caller)).json()
    assert seen["data"] == [weeks[0] | nothing, weeks[1] | {"users": 30, "keys": 10}]
    running = (await get(managed.admin, "/rankings/adoption"))["data"]
    assert (len(running), running[-1]["partial"], running[-1]["users"]) == (53, True, 0)
    refused(await managed.admin.get("/api/v1/rankings/adoption?start_date=2020-01-01"), 400, "start_date")


@pytest.mark.parametrize(
    ("users", "shown"),
    [
        ({"a/l": 9, "a/s": 2, "a/m": 6}, {"a/l": "90", "others": "80"}),  # a/s alone would be the rest
        ({"a/l": 9, "a/s": 2, "a/m": 6, "a/n": 5}, {"a/l": "90", "a/m": "60", "others": "70"}),
        ({"a/l": 9, "a/s": 2, "a/t": 1}, {"others": "120"}),  # two, but three people
        ({"a/l": 9, "a/s": 3, "a/t": 3}, {"a/l": "90", "others": "60"}),
        ({"a/l": 9, "a/m": 6}, {"a/l": "90", "a/m": "60", "others": "0"}),
    ],
)
async def test_the_rest_shows_no_account(managed: Managed, users: dict[str, int], shown: dict[str, str]) -> None:
    """A single hidden key, or too few people, could be had by subtraction: the smallest that are shown join them."""
    day, number = TODAY - 1, itertools.count(1)
    events = [
        event(day, name, 10, org=f"o{n}", user=next(number)) for name, count in users.items() for n in range(count)
    ]
    await count_events(managed.gateway.services.store, events)
    query = {"period": "day", "start_date": iso_day(day), "end_date": iso_day(day)}
    caller = bearer(await managed.gateway.key())
    answer = await managed.anyone.get("/api/v1/rankings/chart", params=query, headers=caller)
    assert answer.json()["data"][0]["ys"] == shown


async def test_trends_and_changes(managed: Managed) -> None:
    """Trending is the excess over the mean of three windows; the change compares complete days, and is null for what is new."""
    days = [TODAY - 8, TODAY - 15, TODAY - 22]
    events = [event(day, "a/steady", 100) for day in [TODAY - 3, *days]]
    events += [
        event(day, "a/rising", tokens) for day, tokens in zip([TODAY - 2, *days], (400, 30, 30, 30), strict=True)
    ]
    events += [event(TODAY - 1, "a/new", 90), event(days[0], "a/falling", 300), event(TODAY - 1, "a/falling", 30)]
    await count_events(managed.gateway.services.store, events)
    trending = await get(managed.admin, "/rankings/leaderboard", view="trending")
    assert [(row["id"], row["excess_tokens"]) for row in trending["data"]] == [("a/rising", "370"), ("a/new", "90")]
    week = {row["id"]: row for row in (await get(managed.admin, "/rankings/leaderboard"))["data"]}
    assert {name: (row["rank"], row["change"], row["is_new"]) for name, row in week.items()} == {
        "a/rising": (1, round(400 / 30 - 1, 4), False),
        "a/steady": (2, 0.0, False),
        "a/new": (3, None, True),
        "a/falling": (4, -0.9, False),
    }


async def test_activity(managed: Managed) -> None:
    """Completed days only; the operator sees all or one key, an inference key itself; exact money; wrong days and foreign keys are refused."""
    secret = await managed.gateway.key()
    own = (await managed.anyone.get("/api/v1/key", headers=bearer(secret))).json()["data"]
    hashes = [row["hash"] for row in (await get(managed.admin, "/keys"))["data"]]
    assert own["label"]
    events = [
        event(TODAY - n, "a/x", 10, completion=4, reasoning=3, cache_read=2, key=hashes[0][:16]) for n in (0, 1, 2, 31)
    ]
    await count_events(managed.gateway.services.store, [*events, event(TODAY - 1, "a/y", 1, key="0" * 16)])
    everything = await get(managed.admin, "/activity")
    schema.Activity.model_validate(everything)
    assert [(row["date"], row["model"], row["requests"]) for row in everything["data"]] == [
        (iso_day(TODAY - 1), "a/x", 1),
        (iso_day(TODAY - 1), "a/y", 1),
        (iso_day(TODAY - 2), "a/x", 1),
    ]
    mine = (
        await managed.anyone.get("/api/v1/activity", headers=bearer(secret), params={"date": iso_day(TODAY - 1)})
    ).json()
    assert mine["data"] == [
        {
            **{"date": iso_day(TODAY - 1), "model": "a/x", "model_permaslug": "a/x", "endpoint_id": "acme/a/x@a/x"},
            **{"provider_name": "Acme Cloud", "usage": 5e-9, "byok_usage_inference": 0, "requests": 1},
            **{"prompt_tokens": 10, "completion_tokens": 4, "reasoning_tokens": 3, "cached_tokens": 2},
        }
    ]
    assert (await get(managed.admin, "/activity", api_key_hash=hashes[0]))["data"][0] == mine["data"][0]
    refused(
        await managed.anyone.get("/api/v1/activity", headers=bearer(secret), params={"api_key_hash": "0" * 64}), 403
    )
    for field, value in (
        ("date", iso_day(TODAY)),
        ("date", "2025-02-30"),
        ("api_key_hash", "x"),
        ("group_by", "workspace"),
    ):
        refused(await managed.admin.get("/api/v1/activity", params={field: value}), 400, field)


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/rankings/chart", "start_date=2026-02-30", "start_date"),
        ("/rankings/chart", "start_date=2026-03-02&end_date=2026-03-01", "start_date"),
        ("/rankings/chart", "period=day&start_date=2025-01-01&end_date=2026-01-02", "start_date"),
        ("/rankings/chart", "end_date=0001-01-01", "end_date"),
        ("/rankings/chart", "end_date=9999-12-31&period=month", "end_date"),
        ("/rankings/chart", "top=0", "top"),
        ("/rankings/chart", "metric=likes", "metric"),
        ("/rankings/chart", "by=app&metric=reasoning_tokens", "metric"),
        ("/rankings/chart", "by=app&metric=cost", "metric"),
        ("/rankings/chart", "by=colour", "by"),
        ("/rankings/leaderboard", "by=colour", "by"),
        ("/rankings/leaderboard", "view=year", "view"),
        ("/datasets/rankings-daily", "modality=video", "modality"),
        ("/datasets/rankings-daily", "modality=text&subcategory=cli-agent", "subcategory"),
        ("/datasets/app-rankings", "modality=text", "modality"),
        ("/rankings/leaderboard", "modality=text", "modality"),
        ("/datasets/app-rankings", "category=programming", "category"),
        ("/datasets/rankings-daily", "start_date=2024-01-01", "start_date"),
        ("/datasets/app-rankings", "limit=101", "limit"),
    ],
)
async def test_wrong_queries(managed: Managed, path: str, query: str, field: str) -> None:
    """400 names the parameter."""
    refused(await managed.admin.get(f"/api/v1{path}?{query}"), 400, field)


async def test_public_rankings_need_no_key(gateway: GatewayFactory) -> None:
    """With the setting on: anybody, with headers for caches; a wrong key is refused all the same. Analytics off: there is nothing."""
    stage = await gateway(Sale("t/a", "alpha"), public_rankings=True)
    answer = await stage.gateway.client.get("/api/v1/rankings/chart")
    assert (answer.status_code, answer.headers["cache-control"][:6]) == (200, "public")
    refused(await stage.gateway.client.get("/api/v1/rankings/chart", headers=bearer("sk-tw-v1-wrong")), 401)
    off = await gateway(Sale("t/a", "alpha"), analytics=False)
    one: Gateway = off.gateway
    assert (await (await off.caller()).chat("t/a")).status_code == 200
    refused(await one.client.get("/api/v1/rankings/chart", headers=one.admin), 404)
    assert start_ms("d", bucket("d", int(NOW * 1000))) == TODAY * DAY_MS
