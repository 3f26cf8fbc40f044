"""What can be asked about use: any metric by any dimensions that are counted, how models run, what changes; and what bounds it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from gateway.analytics.buckets import DAY_MS, date_of, day_of, iso_day, monday, start_ms, today, week_of
from gateway.analytics.cohorts import CohortMaker
from gateway.analytics.event import FAILED, LIMITED, REFUSED, SERVED, UNCOUNTED, Event, Tried
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load
from gateway.analytics.history.locations import history_of
from gateway.api.management.public_views import PER_MINUTE
from gateway.api.management.schema import analytics as schema
from gateway.api.management.schema import rankings as shapes
from gateway.server import answer_cache
from gateway.store import analytics_keys as keys
from tests.support.counted import count_events, event, get
from tests.support.gateway import Sale
from tests.support.management import Managed, bearer, refused

GatewayFactory = Callable[..., Any]
NOW = time.time()
TODAY = today(NOW)
HUGE = 2**53 + 1


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ANALYTICS", "true")


def used(day: int, model: str, prompt: int, *, provider: str = "acme", **more: Any) -> Event:
    """An event of ``<provider>/m@<model>``."""
    plain: dict[str, Any] = {"org": "o1", "key": "a" * 16, "charged_nano": 5_000, "ttft_ms": 100, "total_ms": 1000}
    return Event(at_ms=day * DAY_MS + 1, endpoint=f"{provider}/m@{model}", prompt=prompt, flags=1, **plain | more)


USE = [
    used(TODAY - 1, "a/x", 100, completion=50, cache_read=40, app="one.example"),
    used(TODAY - 1, "a/x", 7, provider="bolt", completion=3, key="b" * 16, finish="tool_calls"),
    used(TODAY - 1, "b/y", HUGE, key="b" * 16, org="o2", app="one.example"),
    used(TODAY - 2, "a/x", 10, charged_nano=1, cost_nano=1),
    used(TODAY - 8, "a/z", 20_000, app="two.example"),
]
YESTERDAY = iso_day(TODAY - 1)
LAST_10 = {"start": f"{iso_day(TODAY - 10)}T00:00:00Z", "end": f"{iso_day(TODAY + 1)}T00:00:00Z"}
OF_X = {"field": "model", "operator": "eq", "value": "a/x"}


QUERIES: list[tuple[dict[str, Any], list[dict[str, Any]] | None]] = [
    ({"metrics": ["request_count"]}, [{"request_count": "4"}]),
    (
        {"metrics": ["tokens_total"], "dimensions": ["model"]},
        [{"model": "b/y", "tokens_total": str(HUGE)}, {"model": "a/x", "tokens_total": "170"}],
    ),
    (
        {"metrics": ["tokens_total"], "dimensions": ["model"], "limit": 1},
        [{"model": "b/y", "tokens_total": str(HUGE)}],
    ),
    (
        {
            **{"metrics": ["total_usage", "tokens_prompt"], "dimensions": ["provider"], "granularity": "day"},
            **{"filters": [OF_X], "order_by": {"field": "date", "direction": "asc"}},
        },
        [
            {"date__day": iso_day(TODAY - 2), "provider": "acme", "total_usage": 1e-9, "tokens_prompt": "10"},
            {"date__day": YESTERDAY, "provider": "acme", "total_usage": 5e-6, "tokens_prompt": "100"},
            {"date__day": YESTERDAY, "provider": "bolt", "total_usage": 5e-6, "tokens_prompt": "7"},
        ],
    ),
    (
        {"metrics": ["request_count"], "dimensions": ["model"], "granularity": "day", "group_limit": 1},
        [
            {"date__day": YESTERDAY, "model": "a/x", "request_count": "2"},
            {"date__day": YESTERDAY, "model": "b/y", "request_count": "1"},
        ],
    ),
    (
        {"metrics": ["cache_hit_rate", "tool_call_request_count"], "filters": [OF_X]},
        [{"cache_hit_rate": round(40 / 117, 6), "tool_call_request_count": "1"}],
    ),
    (
        {"metrics": ["tokens_completion"], "dimensions": ["api_key_id", "provider"]},
        [
            {"api_key_id": "a" * 16, "provider": "acme", "tokens_completion": "50"},
            {"api_key_id": "b" * 16, "provider": "bolt", "tokens_completion": "3"},
            {"api_key_id": "b" * 16, "provider": "acme", "tokens_completion": "0"},
        ],
    ),
    (
        {
            **{"metrics": ["request_count"], "dimensions": ["model"]},
            "filters": [{"field": "api_key_id", "operator": "in", "value": ["b" * 64]}],
        },
        [{"model": "a/x", "request_count": "1"}, {"model": "b/y", "request_count": "1"}],
    ),
    (
        {"metrics": ["tokens_total"], "dimensions": ["organization"], "filters": [{**OF_X, "operator": "neq"}]},
        [{"organization": "o2", "tokens_total": str(HUGE)}],
    ),
    (
        {
            "metrics": ["tokens_total"],
            "dimensions": ["organization", "provider"],
            "order_by": {"field": "provider"},
        },
        [
            {"organization": "o1", "provider": "bolt", "tokens_total": "10"},
            {"organization": "o1", "provider": "acme", "tokens_total": "160"},
            {"organization": "o2", "provider": "acme", "tokens_total": str(HUGE)},
        ],
    ),
    (
        {"metrics": ["request_count", "total_usage"], "dimensions": ["app"], "time_range": LAST_10},
        [
            {"app": "one.example", "request_count": "2", "total_usage": 1e-5},
            {"app": "unknown", "request_count": "2", "total_usage": 5.001e-6},
            {"app": "two.example", "request_count": "1", "total_usage": 5e-6},
        ],
    ),
    (
        {
            **{"metrics": ["tokens_total"], "dimensions": ["app", "author"], "time_range": LAST_10},
            "filters": [
                {"field": "app", "operator": "in", "value": ["two.example"], "include_unset": True},
                {"field": "tokens_total", "operator": "gte", "value": 20},
            ],
        },
        [
            {"app": "two.example", "author": "a", "tokens_total": "20000"},
            {"app": "unknown", "author": "a", "tokens_total": "20"},
        ],
    ),
    (
        {
            **{"metrics": ["p50_latency", "avg_latency", "p90_throughput"], "granularity": "hour"},
            "time_range": {"start": f"{YESTERDAY}T00:00:00Z", "end": f"{YESTERDAY}T01:00:00+00:00"},
        },
        [
            {
                "date__hour": f"{YESTERDAY} 00:00:00",
                "p50_latency": 102.02,
                "avg_latency": 100.0,
                "p90_throughput": 50.0,
            }
        ],
    ),
    (
        {
            **{"metrics": ["request_count"], "dimensions": ["context_length_bucket"], "time_range": LAST_10},
            "filters": [{"field": "author", "operator": "not_in", "value": ["b"]}],
        },
        [
            {"context_length_bucket": "1K", "request_count": "3"},
            {"context_length_bucket": "100K", "request_count": "1"},
        ],
    ),
    (
        {
            "metrics": ["request_count"],
            "dimensions": ["author", "origin"],
            "filters": [{"field": "size", "operator": "eq", "value": "unknown"}],
        },
        [
            {"author": "a", "origin": "unknown", "request_count": "3"},
            {"author": "b", "origin": "unknown", "request_count": "1"},
        ],
    ),
    (
        {"metrics": ["tokens_total"], "granularity": "month", "time_range": LAST_10, "filters": [OF_X]},
        None,
    ),
    (
        {
            "metrics": ["usage_upstream"],
            "filters": [{"field": "total_usage", "operator": "lt", "value": 0.000001}, OF_X],
            "granularity": "day",
        },
        [{"date__day": iso_day(TODAY - 2), "usage_upstream": 1e-9}],
    ),
]


async def test_queries(managed: Managed) -> None:
    """By every source of counters: sums, rates, percentiles, filters, orders, limits; counts as strings, exact beyond 2^53."""
    await count_events(managed.gateway.services.store, USE)
    for body, rows in QUERIES:
        response = await managed.admin.post("/api/v1/analytics/query", json=body)
        assert response.status_code == 200, response.text
        schema.QueryAnswer.model_validate(response.json())
        found, metadata = response.json()["data"]["data"], response.json()["data"]["metadata"]
        if rows is None:
            assert sum(int(row["tokens_total"]) for row in found) == 170
            assert {row["date__month"][-3:] for row in found} == {"-01"}
            continue
        assert found == [{name: near(name, value) for name, value in row.items()} for row in rows], body
        assert metadata["row_count"] == len(rows)
        assert metadata["truncated"] == ("limit" in body or "group_limit" in body)


def near(name: str, value: Any) -> Any:
    """Percentiles come from histograms."""
    return pytest.approx(value, rel=0.08) if name[0] == "p" and name[1:3].isdigit() else value


BAD_QUERIES: list[tuple[dict[str, Any], str]] = [
    ({"metrics": []}, "metrics"),
    ({"metrics": None}, "metrics"),
    ({"metrics": "request_count"}, "metrics"),
    ({"metrics": ["likes"]}, "metrics"),
    ({"metrics": ["request_count", "request_count"]}, "metrics"),
    ({"metrics": [7]}, "metrics"),
    ({"dimensions": ["generation_id"]}, "dimensions"),
    ({"dimensions": ["model", "model"]}, "dimensions"),
    ({"dimensions": ["model", "author", "provider", "endpoint"]}, "dimensions"),
    ({"dimensions": ["app", "provider"]}, "dimensions"),
    ({"dimensions": ["api_key_id"], "metrics": ["p50_latency"]}, "metrics"),
    ({"dimensions": ["organization"]}, "metrics"),
    ({"granularity": "minute"}, "granularity"),
    ({"granularity": "decade"}, "granularity"),
    ({"granularity": "hour", "dimensions": ["app"]}, "granularity"),
    ({"granularity": "day", "dimensions": ["context_length_bucket"]}, "granularity"),
    ({"time_range": {"start": "2026-02-30", "end": "2026-03-03"}}, "time_range"),
    ({"time_range": {"start": LAST_10["end"], "end": LAST_10["start"]}}, "time_range"),
    ({"time_range": {"start": LAST_10["start"], "end": LAST_10["start"]}}, "time_range"),
    ({"time_range": {"start": "yesterday", "end": "today"}}, "time_range"),
    ({"time_range": {"start": 1, "end": 2}}, "time_range"),
    ({"time_range": {"start": LAST_10["start"]}}, "time_range"),
    ({"time_range": {"start": "0001-01-01", "end": "9999-12-31T23:59:59-23:59"}}, "time_range"),
    ({"time_range": {"start": "2999-01-01", "end": "2999-01-02"}}, "time_range"),
    ({"time_range": {"start": "2020-01-01", "end": LAST_10["end"]}}, "time_range"),
    ({"time_range": {**LAST_10, "zone": "CET"}}, "time_range"),
    ({"granularity": "hour", "time_range": {**LAST_10, "start": iso_day(TODAY - 20)}}, "time_range"),
    ({"metrics": ["p50_latency"], "granularity": "hour", "time_range": LAST_10}, "time_range"),
    ({"filters": [{"field": "model", "operator": "like", "value": "a%"}]}, "filters"),
    ({"filters": [{"field": "colour", "operator": "eq", "value": "a"}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "gt", "value": "a"}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "in", "value": "a"}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "in", "value": []}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "eq", "value": 7}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "eq"}]}, "filters"),
    ({"filters": [{"field": "tokens_total", "operator": "eq", "value": 7}]}, "filters"),
    ({"filters": [{"field": "tokens_total", "operator": "gt", "value": True}]}, "filters"),
    ({"filters": [{"field": "tokens_total", "operator": "gt", "value": "7"}]}, "filters"),
    ({"filters": [{"field": "tokens_total", "operator": "gt", "value": 1e300}]}, "filters"),
    ({"filters": [{"field": "api_key_id", "operator": "eq", "value": "key"}]}, "filters"),
    ({"filters": [{"field": "model", "operator": "in", "value": ["a"], "include_unset": True}]}, "filters"),
    ({"filters": [OF_X] * 21}, "filters"),
    ({"order_by": {"field": "model"}}, "order_by"),
    ({"order_by": {"field": "date"}}, "order_by"),
    ({"order_by": {"field": "request_count", "direction": "up"}}, "order_by"),
    ({"limit": -1}, "limit"),
    ({"limit": 10_001}, "limit"),
    ({"limit": "10"}, "limit"),
    ({"limit": 1.5}, "limit"),
    ({"group_limit": 0}, "group_limit"),
    ({"classifier_dimensions": {"classifier_id": "x"}}, "classifier_dimensions"),
    ({"zone": "CET"}, "zone"),
]


async def test_bad_queries(managed: Managed) -> None:
    """400 names the field, and says what could be asked."""
    for change, field in BAD_QUERIES:
        response = await managed.admin.post("/api/v1/analytics/query", json={"metrics": ["request_count"], **change})
        refused(response, 400, field)


async def test_a_key_sees_its_own_use_and_its_organisations_totals(managed: Managed) -> None:
    """Whatever it filters by; what is offered to it is what it may ask; nobody sees anything without a key."""
    secret = await managed.gateway.key()
    own = (await get(managed.admin, "/keys"))["data"][0]
    mine = {"key": own["hash"][:16], "org": own["organization_id"]}
    await count_events(
        managed.gateway.services.store, [*USE, used(TODAY, "a/x", 3, **mine), used(TODAY, "a/x", 4, org=mine["org"])]
    )
    headers = bearer(secret)

    async def ask(**body: Any) -> Any:
        response = await managed.anyone.post("/api/v1/analytics/query", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()["data"]["data"]

    assert await ask(metrics=["tokens_total"]) == [{"tokens_total": "3"}]
    assert await ask(metrics=["tokens_total"], dimensions=["organization", "model"]) == [
        {"organization": mine["org"], "model": "a/x", "tokens_total": "7"}
    ]
    for field, value in (("api_key_id", "a" * 16), ("organization", "o2")):
        foreign = {"field": field, "operator": "eq", "value": value}
        assert await ask(metrics=["tokens_total"], filters=[foreign]) == []
        assert await ask(metrics=["tokens_total"], filters=[{**foreign, "operator": "neq"}])
    for dimension in ("app", "context_length_bucket"):
        body = {"metrics": ["request_count"], "dimensions": [dimension]}
        refused(await managed.anyone.post("/api/v1/analytics/query", json=body, headers=headers), 400, "dimensions")
    for client, more in ((managed.admin, {}), (managed.anyone, {"headers": headers})):
        offered = (await client.get("/api/v1/analytics/meta", **more)).json()
        schema.AnalyticsMetaAnswer.model_validate(offered)
        names = {each["name"] for each in offered["data"]["dimensions"]}
        assert {"api_key_id", "organization", "model"} <= names
        assert ("app" in names) == (client is managed.admin)
        for each in offered["data"]["combinations"]:
            body = {"metrics": each["metrics"], "dimensions": each["dimensions"][:3]}
            response = await client.post("/api/v1/analytics/query", json=body, **more)
            assert response.status_code == 200, response.text
    refused(await managed.anyone.get("/api/v1/analytics/meta"), 401)
    refused(await managed.anyone.post("/api/v1/analytics/query", json={"metrics": ["request_count"]}), 401)


def many(day: int, model: str, count: int, **more: Any) -> list[Event]:
    """Of five organisations with five users: it may be shown to anybody."""
    return [used(day, model, 10, org=f"o{n % 5}", user=(n % 5 + 1).to_bytes(8), **more) for n in range(count)]


async def test_how_a_model_runs(managed: Managed) -> None:
    """Every kind of statistic: to the operator everything; to a key what shows no account, and never what one paid."""
    now = int(NOW * 1000)
    acme, bolt = "acme/ok@acme/fast-1", "bolt/fast@acme/fast-1"
    common: dict[str, Any] = {
        "org": "o1",
        "key": "a" * 16,
        "flags": 1,
        "ttft_ms": 200,
        "total_ms": 1000,
        "completion": 40,
    }
    looked_at = (
        [{"calls": 2, "tool_error": n} for n in (0, 1, 2, 3, 3, 1)] + [{"calls": 1}] * 34 + [{"structured": 2}] * 19
    )
    over = [Event(at_ms=now, endpoint=bolt, prompt=1, tried=(Tried(acme, FAILED), Tried(bolt, SERVED)), **common)] * 30
    fine = [
        Event(at_ms=now, endpoint=acme, prompt=1, tried=(Tried(acme, SERVED),), **common, **said)
        for said in [*looked_at, *[{}] * (120 - len(looked_at))]
    ]
    busy = [Event(at_ms=now, endpoint="@acme/fast-1", ok=False, tried=(Tried(acme, LIMITED),), org="o1", key="k")] * 5
    wrong = [
        Event(
            at_ms=now,
            endpoint="@acme/fast-1",
            ok=False,
            flags=REFUSED,
            tried=(Tried(acme, UNCOUNTED),),
            org="o1",
            key="k",
        )
    ] * 7
    shown = [
        Event(
            at_ms=(TODAY - 1) * DAY_MS,
            endpoint=acme,
            prompt=600_000,
            cache_read=150_000,
            charged_nano=90_000_000,
            org=f"o{n}",
            key="k",
            user=n.to_bytes(8),
            app="one.example",
            app_name="One",
        )
        for n in range(1, 6)
    ]
    await count_events(managed.gateway.services.store, [*over, *fine, *busy, *wrong, *shown])
    key = bearer(await managed.gateway.key())
    path = "/models/acme/fast-1/stats"

    async def both(**query: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found = await get(managed.admin, path, **query)
        shapes.StatsAnswer.model_validate(found)
        response = await managed.anyone.get(f"/api/v1{path}", params=query, headers=key)
        shapes.StatsAnswer.model_validate(response.json())
        sides = [{each["id"]: each for each in side["data"]["series"]} for side in (found, response.json())]
        assert {len(each["values"]) for side in sides for each in side.values()} <= {len(found["data"]["buckets"]), 0}
        return sides[0], sides[1]

    for kind, expected in (("latency", 200), ("throughput", 40)):
        for span in ("1d", "7d", "1y"):
            operator, anybody = await both(kind=kind, range=span)
            assert operator == anybody
            newest = {  # an hour may have begun since
                name: next(value for value in reversed(each["values"]) if value) for name, each in operator.items()
            }
            assert {name: value["samples"] for name, value in newest.items()} == {acme: 120, bolt: 30}
            assert newest[acme]["p50"] == pytest.approx(expected, rel=0.08)
            assert operator[acme]["values"][0] is None
    operator, anybody = await both(kind="uptime")
    assert operator == anybody
    assert {name: (each["percent"], each["status"]) for name, each in operator.items()} == {
        acme: (80.0, "degraded"),
        bolt: (None, None),
        "without_routing": (round(100 * 150 / 180, 3), "degraded"),
        "with_routing": (round(100 * 155 / 160, 3), "normal"),
    }
    operator, anybody = await both(kind="tool-errors", range="7d")
    rates = {"tool_call_error_percent": 12.5, "structured_output_error_percent": None}
    numbers = {"tool_call_requests": 40, "structured_output_requests": 19}
    assert operator[acme]["values"][-1] == rates | numbers
    assert anybody[acme]["values"][-1] == rates | dict.fromkeys(numbers), (
        "how many were used is not everybody's business"
    )
    assert [operator[acme]["values"][-2], bolt in operator] == [None, False]
    operator, anybody = await both(kind="tool-errors", range="1d")
    assert operator[acme]["values"][-1] == rates | numbers
    assert anybody[acme]["values"][-1] == rates | dict.fromkeys(numbers)
    operator, anybody = await both(kind="price", range="7d")
    assert operator[acme]["values"][-1] == {"prompt": 0.15, "completion": 0.6}
    paid = {"usd_per_mtok": 0.15, "cache_hit_rate": 0.25}
    assert operator[acme]["paid"][-2] == operator["all"]["paid"][-2] == anybody["all"]["paid"][-2] == paid
    assert operator["all"]["paid"][-1] is not None
    assert (anybody[acme]["paid"], anybody["all"]["paid"][-1]) == (None, None)
    operator, anybody = await both(kind="activity", range="7d")
    assert operator["prompt_tokens"]["values"][-2:] == ["3000000", "150"]
    assert operator["requests"]["values"][-1] == "162"
    assert anybody["prompt_tokens"]["values"][-2:] == ["3000000", None]
    operator, anybody = await both(kind="apps")
    assert operator == anybody
    assert [(each["label"], each["tokens"], each["requests"]) for each in operator.values()] == [
        ("One", "3000000", "5")
    ]
    for field, query, status in (
        ("kind", "kind=beauty", 400),
        ("kind", "", 400),
        ("range", "kind=uptime&range=7d", 400),
        ("range", "kind=price&range=2d", 400),
        (None, "kind=price", 404),
    ):
        name = "acme/fast-1" if status == 400 else "acme/none"
        refused(await managed.admin.get(f"/api/v1/models/{name}/stats?{query}"), status, field)


async def test_models_that_change_and_how_fast_they_are(managed: Managed) -> None:
    """Climbing, breaking out, new; sizes of requests; speeds and who is the fastest. What shows an account is left out."""
    events = [used(day, "a/steady", 1000, charged_nano=1) for day in (TODAY - 1, TODAY - 8, TODAY - 15, TODAY - 22)]
    events += [used(TODAY - 8, f"a/other-{n}", 100) for n in range(3)]
    events += [used(TODAY - 8, "a/up", 50), used(TODAY - 15, "a/up", 40), used(TODAY - 1, "a/up", 1100)]
    events += [used(TODAY - 1, "a/fresh", 500), used(TODAY, "a/today", 5000)]
    events += many(TODAY - 1, "acme/fast-1", 100, provider="bolt", ttft_ms=300, total_ms=200, completion=10)
    events += many(TODAY - 2, "acme/fast-1", 60, ttft_ms=50)
    await count_events(managed.gateway.services.store, events)
    found = await get(managed.admin, "/rankings/discovery")
    shapes.DiscoveryAnswer.model_validate(found)
    lists = {name: [row["id"] for row in rows] for name, rows in found["data"].items()}
    assert lists == {"climbing": ["a/up"], "breakouts": ["a/up"], "new": ["acme/fast-1", "a/fresh"]}
    assert (found["data"]["climbing"][0]["climbed"], found["data"]["breakouts"][0]["times"]) == (3, 36.67)
    assert found["data"]["breakouts"][0]["excess_tokens"] == "1070"
    key = bearer(await managed.gateway.key())
    public = (await managed.anyone.get("/api/v1/rankings/discovery", headers=key)).json()["data"]
    assert {name: [row["id"] for row in rows] for name, rows in public.items()} == {
        **{"climbing": [], "breakouts": []},
        "new": ["acme/fast-1"],
    }
    for client, more in ((managed.admin, {}), (managed.anyone, {"headers": key})):
        speeds = (await client.get("/api/v1/rankings/performance", params={"sort": "latency"}, **more)).json()
        shapes.PerformanceAnswer.model_validate(speeds)
        (row,) = speeds["data"]
        assert (row["id"], row["requests"], row["fastest_provider"]) == ("acme/fast-1", "160", "Bolt")
        assert (row["latency_ms"]["samples"], row["usd_per_mtok"]) == (160, 0.25)
        assert row["latency_ms"]["p50"] == pytest.approx(300, rel=0.08)
    small = await get(managed.admin, "/rankings/context-length", bucket="1K", start_date=iso_day(TODAY - 40))
    large = await get(managed.admin, "/rankings/context-length", metric="tokens", bucket="10K", by="author")
    shapes.ChartAnswer.model_validate(small)
    assert sum(int(n) for point in small["data"] for n in point["ys"].values()) == len(events) - 2
    assert sum(int(n) for point in large["data"] for n in point["ys"].values()) == 6100
    weekly = await get(managed.admin, "/datasets/rankings-daily", period="week", context_bucket="10K")
    assert {row["model_permaslug"]: row["total_tokens"] for row in weekly["data"]} == {
        "a/today": "5000",
        "a/up": "1100",
    }
    for path, query, field in (
        ("/rankings/context-length", "bucket=2K", "bucket"),
        ("/rankings/context-length", "by=provider", "by"),
        ("/rankings/context-length", "start_date=2026-03-02&end_date=2026-03-01", "start_date"),
        ("/rankings/performance", "sort=beauty", "sort"),
        ("/rankings/performance", "limit=0", "limit"),
        ("/rankings/discovery", "category=programming", "category"),
        ("/datasets/rankings-daily", "context_bucket=10K", "period"),
        ("/datasets/rankings-daily", "modality=image&context_bucket=1K", "period"),
    ):
        refused(await managed.admin.get(f"/api/v1{path}?{query}"), 400, field)


MODALITIES: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({"modality": "text"}, {"acme/fast-1": "30", "acme/fast-1:free": "7", "acme/slow-2": "20", "zeta/free-3": "40"}),
    ({"modality": "image"}, {"acme/fast-1": "30", "acme/fast-1:free": "7"}),
    ({"modality": "image", "period": "week", "context_bucket": "1K"}, {"acme/fast-1": "30", "acme/fast-1:free": "7"}),
    ({"modality": "image", "period": "week", "context_bucket": "10K"}, {}),
    ({"modality": "image_output"}, {}),
    ({"modality": "audio"}, {}),
    ({"modality": "tool_calling"}, {"acme/slow-2": "20", "gone/model": "9"}),
    ({"modality": "tool_calling", "period": "month"}, {"acme/slow-2": "20", "gone/model": "9"}),
    ({"modality": "tool_calling", "period": "week", "context_bucket": "1K"}, {"acme/slow-2": "20", "gone/model": "9"}),
    ({"modality": "tool_calling", "period": "week", "context_bucket": "100K"}, {}),
)


async def test_models_of_a_modality(managed: Managed) -> None:
    """What the catalogue says that a model takes and makes; tools: what it has called. A model that left the catalogue has no modality."""
    slugs = {"acme/fast-1": 30, "acme/fast-1:free": 7, "zeta/free-3": 40}
    events = [used(TODAY - 1, model, tokens) for model, tokens in slugs.items()]
    events += [used(TODAY - 1, "acme/slow-2", 10, finish=finish) for finish in ("stop", "tool_calls")]
    events += [used(TODAY - 1, "gone/model", 9, finish="tool_calls")]
    await count_events(managed.gateway.services.store, events)
    for query, expected in MODALITIES:
        found = await get(managed.admin, "/datasets/rankings-daily", **query)
        shapes.RankingsDaily.model_validate(found)
        assert {row["model_permaslug"]: row["total_tokens"] for row in found["data"]} == expected, query


async def test_a_filter_does_not_show_what_is_private(managed: Managed) -> None:
    """Of a modality anybody sees the models that the chart of all models shows, and no ``other``: one account's model is nowhere, nor
    is the model beside it that hides it among all of them."""
    events = many(TODAY - 1, "acme/fast-1", 100) + many(TODAY - 1, "acme/slow-2", 50, finish="tool_calls")
    events += [used(TODAY - 1, "zeta/free-3", 40, finish="tool_calls")]
    await count_events(managed.gateway.services.store, events)
    key = bearer(await managed.gateway.key())
    for query, rows in (
        ({}, {"acme/fast-1": "1000", "other": "540"}),
        ({"modality": "text"}, {"acme/fast-1": "1000"}),
        ({"modality": "image"}, {"acme/fast-1": "1000"}),
        ({"modality": "tool_calling"}, {}),
    ):
        answer = await managed.anyone.get("/api/v1/datasets/rankings-daily", params=query, headers=key)
        found = {row["model_permaslug"]: row["total_tokens"] for row in answer.json()["data"]}
        assert {name: tokens for name, tokens in found.items() if tokens != "0"} == rows, query


PUBLIC = (
    "/api/v1/rankings/chart?period=day",
    "/api/v1/rankings/leaderboard?by=app",
    "/api/v1/rankings/context-length?bucket=1K",
    "/api/v1/rankings/performance",
    "/api/v1/rankings/discovery",
    "/api/v1/rankings/adoption",
    "/api/v1/datasets/rankings-daily",
    "/api/v1/datasets/app-rankings",
    *(
        f"/api/v1/models/t/a/stats?kind={kind}"
        for kind in ("throughput", "latency", "uptime", "price", "apps", "activity")
    ),
    "/rankings.rss",
)


async def test_public_answers(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key: the same for a minute, with a tag, 304, for any origin; never a key, an organisation, a user or a session; thirty
    a minute, also of one whose answers are kept; the operator's are fresh and not limited."""
    monkeypatch.setattr(answer_cache, "REST_TIMES", 0)
    stage = await gateway(Sale("t/a", "alpha"), public_rankings=True)
    client, store, admin = stage.gateway.client, stage.gateway.services.store, stage.gateway.admin
    private: dict[str, Any] = {"key": "5ec2e7" + "0" * 10, "session": b"\x5e\x55\x10\x2e" * 2}
    events = [
        Event(
            at_ms=start_ms("w", week_of(TODAY) - back) + n,
            endpoint="alpha/ok@t/a",
            org=f"secret-{n % 5}",
            user=b"\x75\x5e\x12" + (n % 5).to_bytes(5),
            prompt=10,
            completion=9,
            ttft_ms=9,
            total_ms=90,
            flags=1,
            app="one.example",
            **private,
        )
        for back in (0, 1, 2)
        for n in range(110)
    ]
    await count_events(store, events)
    for path in PUBLIC:
        first = await client.get(path, headers={"origin": "https://elsewhere.example"})
        assert first.status_code == 200, first.text
        assert first.headers["cache-control"] == "public, max-age=60, stale-while-revalidate=300"
        if path.startswith("/api/"):
            assert first.headers["access-control-allow-origin"] == "*"
            assert "etag" in first.headers["access-control-expose-headers"]
        for text in ("5ec2e7", "secret-", "755e12", "5e55102e"):
            assert text not in first.text.lower(), path
        again = await client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"]), path
    await count_events(store, [events[0]])
    headers = {"authorization": admin["authorization"]}
    mine = await client.get("/api/v1/datasets/rankings-daily", headers=headers)
    assert (mine.headers["cache-control"], int(mine.json()["data"][-1]["total_tokens"]) % 19) == (
        "private, max-age=60",
        0,
    )
    answers = [await client.get(PUBLIC[0]) for _ in range(2 * PER_MINUTE - 2 * len(PUBLIC))]
    answer = next(each for each in answers if each.status_code != 200)
    refused(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert {(await client.get(PUBLIC[0], headers=headers)).status_code for _ in range(5)} == {200}


async def test_feeds(managed: Managed) -> None:
    """New models, and those new in the top nine of a complete week; well-formed whatever things are called."""
    week = week_of(TODAY)
    events = [used(monday(week - 3), f"a/old-{n}", 100 + n) for n in range(9)]
    events += [used(monday(week - 2), "a/<b>&\x01\U0001f600", 500), used(monday(week - 2), "a/old-1", 600)]
    events += [used(monday(week - 1), "acme/fast-1", 300), used(monday(week), "a/running", 300)]
    await count_events(managed.gateway.services.store, events)
    response = await managed.admin.get("/rankings.rss")
    assert response.headers["content-type"] == "application/rss+xml; charset=utf-8"
    items = ElementTree.fromstring(response.text).findall("channel/item")
    assert [item.findtext("title") for item in items] == [
        "Acme/Fast-1 is number 1 of the week",
        "a/<b>&\U0001f600 is number 2 of the week",
    ]
    assert items[0].findtext("link") == f"{managed.gateway.url}/models/acme/fast-1"
    assert items[0].findtext("guid") == f"top9:{iso_day(monday(week - 1))}:acme/fast-1"
    models = await managed.anyone.get("/api/v1/models?use_rss=true")
    channel = ElementTree.fromstring(models.text).find("channel")
    assert channel is not None
    assert [item.findtext("title") for item in channel.findall("item")] == ["Acme/Fast-1", "Zeta/Free-3"]
    link = channel.find("{http://www.w3.org/2005/Atom}link")
    assert link is not None
    assert link.get("href") == f"{managed.gateway.url}/api/v1/models?use_rss=true"
    assert models.headers["content-type"] == "application/rss+xml; charset=utf-8"


async def test_lists_of_models_are_bounded_too(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key different lists wait for each other, too many are sent away; with a key nobody waits."""
    monkeypatch.setattr(answer_cache, "WAITING_MAX", 5)
    key = bearer(await managed.gateway.key())
    first = await managed.anyone.get("/api/v1/models")
    tagged = {"if-none-match": first.headers["etag"]}
    assert (await managed.anyone.get("/api/v1/models", headers=tagged)).status_code == 304
    flood = [asyncio.create_task(managed.anyone.get(f"/api/v1/models?q={n}")) for n in range(25)]
    assert (await managed.anyone.get("/api/v1/models?q=0", headers=key)).status_code == 200
    answers: list[httpx.Response] = await asyncio.gather(*flood)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 5
    for answer in answers:
        if answer.status_code == 503:
            refused(answer, 503)


async def test_where_weeks_end(managed: Managed) -> None:
    """The last millisecond of Sunday and the first of Monday, in weeks and in hours; a late event raises the revision of its closed week."""
    store, week = managed.gateway.services.store, week_of(TODAY) - 1
    edge = start_ms("w", week)
    events = [
        Event(at_ms=at, endpoint="acme/m@a/x", org="o", key="k", prompt=tokens)
        for at, tokens in ((edge - 1, 1), (edge, 2), (edge + 7 * DAY_MS - 1, 4), (edge + 7 * DAY_MS, 8))
    ]
    await count_events(store, events)
    start = iso_day(monday(week - 1))
    found = await get(managed.admin, "/rankings/chart", start_date=start)
    assert [point["ys"].get("a/x") for point in found["data"]] == ["1", "6", "8"]
    assert [point["partial"] for point in found["data"]] == [False, False, True]
    before = found["meta"]["revision"]
    await count_events(store, [event(monday(week), "a/x", 16)])
    later = await get(managed.admin, "/rankings/chart", start_date=start)
    assert (later["data"][1]["ys"]["a/x"], later["meta"]["revision"]) == ("22", before + 1)
    assert await store.redis.hget(keys.REVISIONS, str(week)) is not None
    hours = {"start": iso_day(monday(week + 1) - 1), "end": iso_day(monday(week + 1) + 1)}
    body = {"metrics": ["tokens_total"], "granularity": "hour", "time_range": hours}
    hourly = (await managed.admin.post("/api/v1/analytics/query", json=body)).json()["data"]["data"]
    assert [(row["date__hour"], row["tokens_total"]) for row in hourly] == [
        (f"{iso_day(monday(week + 1))} 00:00:00", "8"),
        (f"{iso_day(monday(week + 1) - 1)} 23:00:00", "4"),
    ]


async def test_what_sessions_cost(managed: Managed) -> None:
    """Read from the history; the operator sees all, others what enough users share; without a history there is no answer."""
    pytest.importorskip("duckdb", reason="the history needs the extra analytics")
    settings = managed.gateway.services.settings
    refused(await managed.admin.get("/api/v1/datasets/session-cost"), 404)
    day = TODAY - 3
    events = [
        used(
            day,
            "a/x",
            10,
            org=f"o{n}",
            user=n.to_bytes(8),
            session=n.to_bytes(8),
            app=app,
            app_name="One",
            charged_nano=n,
        )
        for app, users in (("one.example", range(1, 6)), ("few.example", range(6, 9)), ("unknown", range(9, 15)))
        for n in users
        for _ in range(2)
    ]
    await asyncio.to_thread(load, Archive(settings.history_directory), events)
    found = await get(managed.admin, "/datasets/session-cost")
    shapes.SessionCosts.model_validate(found)
    assert [(row["app_slug"], row["turn_range"], row["median_session_cost_usd"]) for row in found["data"]] == [
        ("few.example", "2-9-turns", 14e-9),
        ("one.example", "2-9-turns", 6e-9),
        ("unknown", "2-9-turns", 22e-9),
    ]
    assert (found["meta"]["window_days"], found["meta"]["window_end_date"]) == (30, YESTERDAY)
    key = bearer(await managed.gateway.key())
    response = await managed.anyone.get("/api/v1/datasets/session-cost", headers=key)
    assert [row["app_name"] for row in response.json()["data"]] == ["One"]
    some = await get(managed.admin, "/datasets/session-cost", app_slug="unknown", turn_range="2-9-turns", limit=1)
    assert [row["app_slug"] for row in some["data"]] == ["unknown"]
    assert (await get(managed.admin, "/datasets/session-cost", model="a/none"))["data"] == []
    for field, value in (("turn_range", "3-turns"), ("limit", "501"), ("offset", "-1")):
        refused(await managed.admin.get("/api/v1/datasets/session-cost", params={field: value}), 400, field)


def month(back: int) -> int:
    """The first day of a month, so many before the running one."""
    first = date_of(TODAY).replace(day=1)
    for _ in range(back):
        first = (first - timedelta(days=1)).replace(day=1)
    return day_of(first)


def comers(back: int, model: str, users: range, *active: int, **more: Any) -> list[Event]:
    """Users who first use a model in a month, and how many of them do so in the following ones."""
    numbers = [*users]
    return [
        used(month(back - age), model, 10, user=n.to_bytes(8), **{"org": f"o{n % 7}", **more})
        for age, count in enumerate((len(users), *active))
        for n in numbers[:count]
    ]


async def test_who_comes_back(managed: Managed) -> None:
    """Cohorts come from the history, once a day: the first month of it and the running one are in none, small ones in nobody's. A
    cohort of one organisation, and a return of so few that they could be recognised, are the operator's alone."""
    pytest.importorskip("duckdb", reason="the history needs the extra analytics")
    services, path = managed.gateway.services, "/models/acme/fast-1/stats"
    key, fast = bearer(await managed.gateway.key()), "acme/fast-1"
    refused(await managed.admin.get(f"/api/v1{path}", params={"kind": "cohorts"}), 404)
    events = [
        *comers(9, fast, range(900, 960), 60),  # of the first month: who knows since when
        *comers(8, fast, range(100, 300), 110, 90, 80, 78, 76, 75),  # stays
        *comers(7, fast, range(300, 400), 30, 20, 12, 12, 28, 3),  # comes back
        *comers(6, fast, range(400, 440), 8, 4, 4, 4, 4, org="one"),
        *comers(6, fast, range(440, 459), 19, 19),  # with the forty: 59, two thirds of one organisation
        *comers(5, "acme/other", range(500, 530), 3, org="one"),
        *comers(4, fast, range(600, 619), 19),  # too few
        *comers(1, fast, range(700, 730), 30),  # one month old: nothing to tell yet
        used(TODAY, fast, 10, user=(100).to_bytes(8)),
        used(month(8), fast, 10, user=(301).to_bytes(8), ok=False),
    ]
    await asyncio.to_thread(load, Archive(services.settings.history_directory), events)
    maker = CohortMaker(services.store, history_of(services.settings))
    await maker.make_cohorts()
    found = await get(managed.admin, path, kind="cohorts")
    shapes.StatsAnswer.model_validate(found)
    rows = {each["id"]: each for each in found["data"]["series"]}
    ids = [f"{date_of(month(back)):%Y-%m}" for back in (8, 7, 6)]
    assert list(rows) == ids
    assert [rows[each]["users"] for each in ids] == ["200", "100", "59"]
    assert rows[ids[0]]["values"] == [100.0, 55.0, 45.0, 40.0, 39.0, 38.0, 37.5, 0.0]
    assert [(rows[each]["foundational"], rows[each]["boomerang"]) for each in ids] == [
        (True, None),
        (False, 5),
        (False, None),
    ]
    assert found["data"]["buckets"] == [str(age) for age in range(8)]
    assert (found["meta"]["made_on"], found["meta"]["end_date"]) == (iso_day(TODAY), iso_day(month(0) - 1))
    seen = (await managed.anyone.get(f"/api/v1{path}", params={"kind": "cohorts"}, headers=key)).json()["data"][
        "series"
    ]
    assert {each["id"]: each["users"] for each in seen} == {ids[0]: "200", ids[1]: "100", ids[2]: "60"}
    assert seen[1]["values"][4:] == [12.0, 28.0, None, None], "three who come back could be recognised"
    other = await get(managed.admin, "/models/acme/slow-2/stats", kind="cohorts")
    assert other["data"] == {"buckets": [], "series": []}
    refused(await managed.admin.get(f"/api/v1{path}", params={"kind": "cohorts", "range": "1y"}), 400, "range")
    await services.store.redis.hset(keys.COHORTS, fast, b"[]")
    await maker.make_cohorts()
    assert not (await get(managed.admin, path, kind="cohorts"))["data"]["series"], "made once a day"
    tomorrow = CohortMaker(services.store, history_of(services.settings), lambda: NOW + 86_400)
    await services.store.redis.set(keys.history_lease("cohorts"), b"1")
    await tomorrow.make_cohorts()
    assert not (await get(managed.admin, path, kind="cohorts"))["data"]["series"], "another process is at it"
    await services.store.redis.delete(keys.history_lease("cohorts"))
    await tomorrow.make_cohorts()
    assert (await get(managed.admin, path, kind="cohorts"))["data"]["series"]


async def test_openrouters_sdk_reads_the_answers(managed: Managed) -> None:
    """What can be asked, a query over time, the datasets: with the official SDK's own types. (Of rows it keeps only the number.)"""
    await count_events(managed.gateway.services.store, USE)
    async with managed.sdk() as sdk:
        offered = await sdk.analytics.get_analytics_meta_async()
        assert {"model", "provider", "api_key_id"} <= {each.name for each in offered.data.dimensions}
        found = await sdk.analytics.query_analytics_async(
            metrics=["request_count", "total_usage"],
            dimensions=["model"],
            granularity="day",
            filters=[{"field": "provider", "operator": "in", "value": ["acme"]}],
            order_by={"field": "total_usage", "direction": "desc"},
            time_range={
                "start": datetime.fromtimestamp(NOW - 3 * 86_400, UTC),
                "end": datetime.fromtimestamp(NOW, UTC),
            },
        )
        assert (found.data.metadata.row_count, found.data.metadata.truncated) == (3, False)
        daily = await sdk.datasets.get_rankings_daily_async()
        assert sum(int(row.total_tokens) for row in daily.data) == sum(each.prompt + each.completion for each in USE)
