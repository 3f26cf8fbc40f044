"""Charts of a large gateway: 300 models, 60 providers, 52 weeks, loaded straight into the store."""

from __future__ import annotations

import time

import httpx
import pytest

from gateway.analytics.buckets import iso_day, monday, today, week_of
from gateway.store import analytics_keys as keys
from tests.support.counted import get
from tests.support.management import Managed

pytestmark = pytest.mark.soak

MODELS, PROVIDERS, WEEKS = 300, 60, 52
SOLD_BY = 4
"""Providers of each model: 1,200 endpoints."""
LARGEST_BYTES = 150_000


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ANALYTICS", "true")


async def test_a_year_of_three_hundred_models(managed: Managed) -> None:
    """Every bucket adds up to what was loaded; the answer stays small; a query of the same weeks finds the same sums."""
    managed.admin.timeout = httpx.Timeout(60)  # a busy machine may take its time
    redis, week = managed.gateway.services.store.redis, week_of(today(time.time()))
    totals: list[int] = []
    for number in range(week - WEEKS, week):
        rows = {
            f"p{(model * 7 + n) % PROVIDERS}/m@lab-{model % 40}/model-{model}": (number * 31 + model * 17 + n) % 1000
            + 1
            for model in range(MODELS)
            for n in range(SOLD_BY)
        }
        async with redis.pipeline(transaction=False) as pipe:
            for name, tokens in rows.items():
                pipe.hset(keys.row("we", number, name), mapping={"pt": tokens * 10**9, "ct": tokens, "rq": 1})
            pipe.sadd(keys.rows("we", number), *rows)
            await pipe.execute()
        totals.append(sum(tokens * (10**9 + 1) for tokens in rows.values()))
    start, end = iso_day(monday(week - WEEKS)), iso_day(monday(week) - 1)
    for by, top in (("model", 9), ("provider", 9), ("author", 50)):
        query = {"by": by, "top": top, "start_date": start, "end_date": end}
        response = await managed.admin.get("/api/v1/rankings/chart", params={str(k): str(v) for k, v in query.items()})
        assert len(response.content) < LARGEST_BYTES, by
        data = response.json()["data"]
        assert [sum(map(int, point["ys"].values())) for point in data] == totals
    body = {
        **{"metrics": ["tokens_total"], "dimensions": ["model"], "granularity": "week", "limit": 10_000},
        "time_range": {"start": start, "end": iso_day(monday(week))},
    }
    answer = (await managed.admin.post("/api/v1/analytics/query", json=body)).json()["data"]
    assert answer["metadata"] | {"query_time_ms": 0} == {"query_time_ms": 0, "row_count": 10_000, "truncated": True}
    whole = await managed.admin.post("/api/v1/analytics/query", json={**body, "dimensions": []})
    found = {row["date__week"]: int(row["tokens_total"]) for row in whole.json()["data"]["data"]}
    assert [found[iso_day(monday(number))] for number in range(week - WEEKS, week)] == totals
    assert (await get(managed.admin, "/rankings/context-length", bucket="1K"))["data"]
