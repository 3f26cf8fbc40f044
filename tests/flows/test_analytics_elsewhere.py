"""What one gateway has counted, exported and counted again by another one: it gives the same answers, to the byte."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from gateway.analytics import stream
from gateway.analytics.buckets import DAY_MS, monday, today, week_of
from gateway.analytics.consumer import Consumer
from gateway.analytics.event import CANCELLED, FAILED, REFUSED, SERVED, STREAMED, UNCOUNTED, Event, Tried
from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load
from gateway.cli import app
from gateway.store import analytics_keys as keys
from gateway.store.client import Store, connect
from gateway.store.embedded import Embedded
from tests.support.gateway import ADMIN_KEY, running
from tests.support.management import bearer, write_files
from tests.support.usage import crowd

pytest.importorskip("duckdb", reason="the history of analytics needs the extra analytics")

TODAY = today(time.time())
WEEK = week_of(TODAY)
ENDPOINTS = ("acme/ok@acme/fast-1", "bolt/fast@acme/fast-1", "bolt/slow@acme/slow-2", "acme/x@lab/new-1")
CATEGORIES = ("programming", "roleplay", "marketing/seo", "")
STATS = {
    "latency": ("7d", "1y"),
    "throughput": ("7d",),
    "uptime": ("3d",),
    "price": ("7d", "1y"),
    "apps": ("30d",),
    "activity": ("7d", "1y"),
}
API = [
    *(f"rankings/chart?metric={metric}" for metric in ("tokens", "requests", "users", "reasoning_tokens", "cached_tokens", "tool_tokens")),
    *(f"rankings/chart?by={by}" for by in ("provider", "app", "author", "origin", "reasoning")), "rankings/chart?period=day", "rankings/chart?period=month",
    *(f"rankings/chart?category={category}" for category in CATEGORIES if category),
    *(f"rankings/leaderboard?view={view}&by={by}" for view in ("day", "week", "month", "trending") for by in ("model", "app", "provider")),
    *(f"rankings/context-length?bucket={size}" for size in ("1K", "10K")),
    "rankings/performance", "rankings/discovery", "rankings/languages?tag=English", "rankings/programming-languages?tag=Python",
    "datasets/rankings-daily", "datasets/rankings-daily?period=week&category=programming", "datasets/app-rankings",
    "datasets/session-cost", "classifications/task",
    *(f"models/{model}/stats?kind={kind}&range={span}" for model in ("acme/fast-1", "acme/slow-2") for kind, spans in STATS.items() for span in spans),
]  # fmt: skip
OPERATOR = ["rankings/chart?metric=spend", "rankings/chart?metric=fees", "activity"]
ELSEWHERE = [
    "/rankings.rss",
    "/rankings",
    "/rankings/requests",
    "/rankings/speed",
    "/apps",
    "/apps/chat.example",
    "/models/acme/fast-1",
]
QUERY = {
    "metrics": ["request_count", "total_tokens", "total_usage", "p50_latency"],
    "dimensions": ["model", "provider"],
    "granularity": "day",
    "time_range": {"start": f"{(TODAY - 20) * DAY_MS}", "end": f"{TODAY * DAY_MS}"},
}


def months() -> Iterator[Event]:
    """Six weeks: providers, apps, one of which changes its name, labels that are sampled and declared, sessions, failures of all kinds."""
    for week in range(6):
        for place, endpoint in enumerate(ENDPOINTS[: 3 + (week > 3)]):
            day = min(monday(WEEK - 5 + week) + place, TODAY - 1)
            declared = place % 2 == 0
            yield from crowd(
                day,
                endpoint,
                900 * (place + 1) * (week + 1),
                app="chat.example" if place % 2 else "~my tool",
                app_name=f"Chat {week // 3}" if place % 2 else "My Tool",
                finish="tool_calls" if week % 2 else "stop",
                tools=week % 3,
                session=bytes([place] * 8),
                country="DE",
                category=CATEGORIES[(place + week) % 4],
                task="code:debugging" if place else "",
                language="English",
                programming="Python" if place == 1 else "",
                sampled_ppm=0 if declared else 500_000,
                cost_nano=7 * week,
                fee_nano=week,
            )
    now = (TODAY * DAY_MS) - 3_600_000
    for number in range(130):
        tried = (
            (Tried(ENDPOINTS[0], FAILED), Tried(ENDPOINTS[1], SERVED))
            if number % 9 == 0
            else (Tried(ENDPOINTS[0], SERVED),)
        )
        yield from crowd(TODAY - 1, ENDPOINTS[number % 9 == 0], 50, users=1, at_ms=now + number, tried=tried)
    nobody = {"endpoint": "@acme/fast-1", "org": "o", "key": "k", "ok": False}
    yield Event(at_ms=now, tried=(Tried(ENDPOINTS[0], UNCOUNTED),), flags=REFUSED, **nobody)  # type: ignore[arg-type]
    yield Event(at_ms=now, flags=CANCELLED | STREAMED, **nobody)  # type: ignore[arg-type]


async def count_in_time(store: Store, events: list[Event]) -> None:
    """Count events, each week before it has closed."""
    for place, week in enumerate(sorted({week_of(event.at_ms // DAY_MS) for event in events})):
        part = [event for event in events if week_of(event.at_ms // DAY_MS) == week]
        await store.redis.xadd(keys.EVENTS, {"w": f"week {place}", "a": 0, "f": 0, "e": stream.pack(part)})
        consumer = Consumer(store, "worker", clock=lambda week=week: float(min(monday(week + 1) * 86_400, time.time())))  # type: ignore[misc]
        while await consumer.consume():
            pass


@asynccontextmanager
async def gateways(tmp_path: Path, url: str, exported: Path) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two gateways with one catalogue, each with its store and its history."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    async with AsyncExitStack() as stack:
        clients = []
        for name, store, history in (("here", url, tmp_path / "history"), ("there", f"{url}?db=1", exported)):
            settings = {"public_rankings": True, "rankings_min_users": 5, "history_dir": history, "history": False}
            started = await stack.enter_async_context(running(config, tmp_path / name, store, **settings))
            clients.append(started.client)
        yield clients


async def test_an_export_counted_elsewhere_gives_the_same_answers(
    tmp_path: Path, valkey_server: Embedded, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route of the rankings, without a key and for the operator, and the pages: the bytes, but for the moment of the answer."""
    monkeypatch.setattr("gateway.api.management.public_views.PER_MINUTE", 10_000)
    monkeypatch.setattr("gateway.server.answer_cache.REST_TIMES", 0)
    events = sorted(months(), key=lambda event: event.at_ms)
    await count_in_time(store, events)
    load(Archive(tmp_path / "history"), events)
    exported, elsewhere = tmp_path / "exported", await connect(f"{valkey_server.url}?db=1", timeout_s=5)
    assert await elsewhere.redis.dbsize() == 0
    await rebuilt(tmp_path, f"{valkey_server.url}?db=1", exported)
    assert await elsewhere.redis.dbsize() > 500
    await elsewhere.aclose()
    async with gateways(tmp_path, valkey_server.url, exported) as clients:
        paths = [*(f"/api/v1/{path}" for path in API), *ELSEWHERE]
        for path in paths:
            here, there_ = await both(clients, path)
            assert here == there_, path
            assert len(here) > 60, (path, here)
        for path in [f"/api/v1/{path}" for path in (*OPERATOR, *API[::4])]:
            here, there_ = await both(clients, path, ADMIN_KEY)
            assert here == there_, path
        answers = [
            await client.post("/api/v1/analytics/query", json=QUERY, headers=bearer(ADMIN_KEY)) for client in clients
        ]
        assert same(answers[0].content) == same(answers[1].content)


async def rebuilt(tmp_path: Path, url: str, exported: Path) -> None:
    """The history of ``tmp_path`` exported, and counted in another store."""
    for words, environment in (
        (
            ("export", "--out", str(exported), "--format", "parquet", "--private"),
            {"GATEWAY_HISTORY_DIR": str(tmp_path / "history")},
        ),
        (("rebuild", "--from", str(exported)), {"GATEWAY_REDIS_URL": url}),
    ):
        environment = {"GATEWAY_DATA_DIR": str(tmp_path / "cli"), **environment}
        result = await asyncio.to_thread(CliRunner().invoke, app, ["analytics", *words], env=environment)
        assert result.exit_code == 0, (result.output, result.exception)


async def both(clients: list[httpx.AsyncClient], path: str, key: str | None = None) -> tuple[bytes, bytes]:
    headers = {"accept": "text/html" if "/api/" not in path else "application/json", **(bearer(key) if key else {})}
    answers = [await client.get(path, headers=headers) for client in clients]
    assert [answer.status_code for answer in answers] == [200, 200], (path, answers[0].text[:300])
    here, there = answers
    return same(here.content), same(
        there.content.replace(str(there.url.netloc, "ascii").encode(), str(here.url.netloc, "ascii").encode())
    )


def same(body: bytes) -> bytes:
    """An answer without the moment at which it was made."""
    return re.sub(rb'"as_of":"[^"]*"', b'"as_of":""', body)
