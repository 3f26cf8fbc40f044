"""Public lists: made once, sent to everybody without a key, true at once when something changes, the same from both servers."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.management.public_lists import PUBLIC_LISTS
from gateway.server.ready_answers import BURST_S, FAST_S, HEALTH_WAIT_MAX_S, SHARE, Pace
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from tests.support.gateway import Sale, Stage, connected
from tests.support.responders import both

LISTS = [
    "/v1/models",
    "/api/v1/models",
    "/api/v1/models/",
    "//v1//models",
    "/api/v1/models?all=true",
    "/api/v1/models?sort=pricing-low-to-high&limit=1",
    "/api/v1/models/count",
    "/api/v1/embeddings/models",
    "/api/v1/images/models",
    "/api/v1/models/t/a",
    "/api/v1/models/t/a/endpoints",
    "/api/v1/model/t/a",
    "/api/v1/endpoints/zdr",
    "/api/v1/providers",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/healthz",
    "/readyz",
]
WRONG = "sk-tw-v1-aaaaaaaa-" + "A" * 43


@pytest.fixture
async def stages(tmp_path: Path, valkey_server: Embedded, store: Store) -> AsyncIterator[tuple[Stage, ...]]:
    sales = [Sale(f"t/{name}", "alpha", name) for name in "abcdefgh"]
    async with both(tmp_path, valkey_server.url, *sales) as found:
        yield found


def made(stage: Stage) -> list[str]:
    """Paths that reach the application from now on."""
    router = stage.gateway.server.config.app
    paths: list[str] = []
    before = router._app

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await before(scope, receive, send)

    router._app = counting
    return paths


@pytest.mark.parametrize("path", LISTS)
async def test_each_list_is_made_once(stages: tuple[Stage, ...], path: str) -> None:
    """Asked for in every form, with parameters that it does not know, packed, by HEAD and again with its tag."""
    for stage in stages:
        paths, client = made(stage), stage.gateway.client
        # not ``stage.gateway.client`` with its base: httpx would join the slashes of some of these paths
        url = stage.gateway.url + path
        first = await client.get(url)
        assert first.status_code == 200
        stage.gateway.server.config.app.ready._clock = lambda: 0.0  # nothing grows old any more
        first = await client.get(url)
        paths.clear()
        joint = "&" if "?" in path else "?"
        for number in range(3):
            again = await client.get(f"{url}{joint}nobody-knows={number}", headers={"accept-encoding": "identity"})
            assert (again.status_code, again.content) == (200, first.content)
        head = await client.head(url, headers={"accept-encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(first.content)
        known = await client.get(url, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
        assert (known.status_code, known.content) == (304, b"")
        assert "accept-encoding" in known.headers["vary"]
        assert paths == []


async def test_large_lists_are_packed(stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for accepted, packed in (("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False)):
            async with stage.gateway.client.stream(
                "GET", "/v1/models", headers={"accept-encoding": accepted}
            ) as answer:
                raw = b"".join([piece async for piece in answer.aiter_raw()])
            assert (answer.headers.get("content-encoding") == "gzip") is packed
            assert len(raw) == int(answer.headers["content-length"])
            assert len(json.loads(gzip.decompress(raw) if packed else raw)["data"]) == 8


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models?limit=1", "/api/v1/providers", "/api/v1/endpoints/zdr"])
async def test_a_key_is_always_checked(stages: tuple[Stage, ...], path: str) -> None:
    """Also when the same list has just been sent to somebody without one."""
    for stage in stages:
        caller = await stage.caller()
        assert (await stage.gateway.client.get(path)).status_code == 200
        for headers in ({"authorization": f"Bearer {WRONG}"}, {"x-api-key": WRONG}, {"authorization": "Bearer x"}):
            assert (await stage.gateway.client.get(path, headers=headers)).status_code == 401
        assert (await stage.gateway.client.get(path, headers=caller.headers)).status_code == 200


async def test_a_changed_catalogue_is_shown_at_once(stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for path in ("/v1/models", "/api/v1/models/count", "/v1/models/t/a"):
            first = await stage.gateway.client.get(path)
            holder: Any = stage.gateway.services.catalog
            before = holder.current
            models = {slug: model for slug, model in before.models.items() if slug != "t/a"}
            holder.current = replace(before, models=models, version=before.version + "+")
            second = await stage.gateway.client.get(path)
            holder.current = before
            assert (second.status_code, second.content) != (first.status_code, first.content)
            third = await stage.gateway.client.get(path)
            assert (third.status_code, third.content) == (200, first.content)


async def test_shapes_and_refusals_are_not_mixed(stages: tuple[Stage, ...]) -> None:
    """(path, headers, status, a key of the answer), asked for twice and in turns."""
    cases: list[tuple[str, dict[str, str], int, str]] = [
        ("/v1/models", {}, 200, "object"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, 200, "has_more"),
        ("/v1/models?client_version=1", {}, 200, "models"),
        ("/v1/models?limit=0", {}, 400, "error"),
        ("/v1/models?sort=nonsense", {}, 400, "error"),
        ("/v1/models?category=programming", {}, 400, "error"),
        ("/v1/models/t/none", {}, 404, "error"),
        ("/v1/models/user", {}, 401, "error"),
    ]
    for stage in stages:
        for _ in range(2):
            for path, headers, status, name in cases:
                answer = await stage.gateway.client.get(path, headers=headers)
                assert (answer.status_code, name in answer.json()) == (status, True), (path, answer.text)


async def test_browsers_read_them(stages: tuple[Stage, ...]) -> None:
    """Both servers send each answer's own id and what CORS needs, to the first and to later requests."""
    for stage in stages:
        for _ in range(2):
            answer = await stage.gateway.client.get(
                "/v1/models", headers={"origin": "http://a.test", "x-request-id": "mine"}
            )
            assert answer.headers["x-request-id"] == "mine"
            assert "origin" in answer.headers["vary"] or answer.headers["access-control-allow-origin"] == "*"
            assert len(answer.headers.get_list("vary")) == 1


async def test_pipelined_and_closed(stages: tuple[Stage, ...]) -> None:
    """Many in one packet are answered in order, among others that the application answers, and the last one closes."""
    for stage in stages:
        assert (await stage.gateway.client.get("/v1/models")).status_code == 200
        paths = ["/v1/models", "/api/v1/providers", "/nowhere", "/v1/models", "/v1/models?limit=2"]
        async with connected(stage.gateway) as line:
            heads = [f"GET {path} HTTP/1.1\r\nHost: gateway\r\n" for path in paths]
            await line.send(
                ("\r\n".join([*heads, ""]) + "GET /v1/models HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").encode()
            )
            statuses = [(await line.response())[0] for _ in range(6)]
            assert statuses == [200, 200, 404, 200, 200, 200]
            assert await line.rest() == b""


def test_all_that_is_kept_is_short_lived() -> None:
    assert max(rule.kept_s for rule in PUBLIC_LISTS.values()) <= 60


async def test_an_http_10_client(stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for _ in range(2):
            async with connected(stage.gateway) as line:
                await line.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
                assert (await line.response())[0] == 200


async def test_one_scrape_serves_many(stages: tuple[Stage, ...]) -> None:
    """Those who ask at once wait for one answer, and the count of requests is in the next one."""
    for stage in stages:
        paths = made(stage)
        async with httpx.AsyncClient(base_url=stage.gateway.url) as client:
            assert (await client.get("/metrics", headers={"authorization": "Bearer of-a-proxy"})).status_code == 200
            assert len(paths) <= 1


def test_a_pace_is_a_share_of_the_time() -> None:
    """However often somebody asks, what is sent takes the share and the burst, no wait is longer than a second, and rest is forgotten."""
    now = 0.0
    pace = Pace(lambda: now)
    spent = 0.0
    for _ in range(20_000):
        wait_s = pace.wait_s
        assert wait_s <= 1
        now += wait_s
        pace.charge(0, FAST_S)
        spent += FAST_S
    assert spent <= SHARE * (now + BURST_S) + FAST_S
    now += 100
    assert pace.wait_s == 0


# Path → those of these questions that wait when it was asked for too often, by others and for a list that was not made yet.
WAITING = {
    "/v1/models": {"/v1/models", "/openapi.json"},
    "/v1/models?limit=1": {"/v1/models?limit=3"},
    "/v1/images/models/t/none": {"/v1/models?limit=3"},
    "/openapi.json": {"/v1/models", "/openapi.json"},
    "/docs": {"/v1/models", "/openapi.json"},
    "/metrics": {"/metrics"},
    "/healthz": {"/healthz", "/readyz"},
    "/readyz": {"/healthz", "/readyz"},
}


@pytest.mark.parametrize("attacked", WAITING)
async def test_who_waits_for_whom(stages: tuple[Stage, ...], attacked: str) -> None:
    """Health waits for health alone, and not for long, metrics for those who ask for metrics, and finished lists not for those who ask something new."""
    asked = ("/healthz", "/readyz", "/metrics", "/v1/models", "/openapi.json", "/v1/models?limit=3")
    for stage in stages:
        router: Any = stage.gateway.server.config.app
        ready = router.ready
        ready._clock = lambda: 0.0  # nothing grows old any more
        new = {"/v1/models?limit=1", "/v1/images/models/t/none", "/v1/models?limit=3"}
        for path in {*asked, attacked} - new:
            assert (await stage.gateway.client.get(path)).status_code == 200

        def pace(path: str, ready: Any = ready) -> Pace:
            name, _, query = path.partition("?")
            wanted = ready.wanted(name.replace("/v1/", "/api/v1/"), query.encode(), [])
            found: Pace = ready.pace(wanted, ready.find(wanted))
            return found

        pace(attacked).charge(1 << 40, FAST_S)
        assert {path for path in asked if pace(path).wait_s} == WAITING[attacked]
        assert pace("/healthz").wait_s <= HEALTH_WAIT_MAX_S
        for path in asked:
            assert (await stage.gateway.client.get(path)).status_code == 200
