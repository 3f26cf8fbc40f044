"""What browsers, load balancers and careless clients need of every path: CORS, HEAD, request ids, slashes, no redirects."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gateway.store.embedded import Embedded
from tests.support.gateway import Sale, Stage, staged
from tests.support.management import Managed, bearer
from tests.support.responders import on_both

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stages = tuple[Stage, ...]
ORIGIN = {"origin": "https://app.example"}
CHAT = {"model": "t/a", "messages": [{"role": "user", "content": "x"}]}
LISTS = ("/api/v1/models", "/v1/models", "/api/v1/models/count", "/api/v1/providers", "/api/v1/model/acme/fast-1")


async def test_both_responders_send_the_same_headers(servers: Stages) -> None:
    """Answers, streams and refusals can be read by a web page and carry the caller's request id."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        seen: list[object] = []
        async with httpx.AsyncClient(base_url=stage.gateway.url) as client:
            for key, body in (
                (caller.secret, CHAT),
                (caller.secret, {**CHAT, "stream": True}),
                (caller.secret, {}),
                ("wrong", CHAT),
            ):
                headers = {**ORIGIN, **bearer(key), "x-request-id": "mine-1"}
                answer = await client.post("/api/v1/chat/completions", json=body, headers=headers)
                assert answer.headers["x-request-id"] == answer.headers["request-id"] == "mine-1"
                seen.append((answer.status_code, answer.headers["access-control-allow-origin"]))
            plain = await client.post("/api/v1/chat/completions", json=CHAT, headers=bearer(caller.secret))
            assert "access-control-allow-origin" not in plain.headers
            assert plain.headers["x-request-id"].startswith("req-")
            for bad in ("x" * 129, "a b", ""):
                odd = await client.post("/v1/chat/completions", json={}, headers={"x-request-id": bad})
                assert odd.headers["x-request-id"].startswith("req-")
        return seen

    assert await on_both(servers, case) == [(200, "*"), (200, "*"), (400, "*"), (401, "*")]


async def test_preflight(servers: Stages) -> None:
    """A browser may ask first, without a key, on every path of the public API, and only there."""

    async def case(stage: Stage) -> list[object]:
        wanted = {
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-title",
        }
        seen: list[object] = []
        async with httpx.AsyncClient(base_url=stage.gateway.url) as client:
            for path in ("/api/v1/chat/completions", "/v1/messages", "/api/v1/models", "/api/v1/keys"):
                answer = await client.options(path, headers=wanted)
                assert answer.headers["access-control-allow-headers"] == "authorization,x-title"
                assert "POST" in answer.headers["access-control-allow-methods"]
                seen.append(answer.status_code)
            seen.append((await client.options("/metrics", headers=wanted)).status_code)
            assert "access-control-allow-origin" not in (await client.get("/metrics", headers=ORIGIN)).headers
        return seen

    assert await on_both(servers, case) == [200, 200, 200, 200, 405]


async def test_slashes(servers: Stages) -> None:
    """A base URL with a slash too many works, for inference as for lists."""

    async def case(stage: Stage) -> list[object]:
        caller = await stage.caller()
        async with httpx.AsyncClient(base_url=stage.gateway.url, headers=bearer(caller.secret)) as client:
            posts = ("/api/v1/chat/completions/", "/api/v1//chat/completions", "/v1/chat//completions")
            gets = ("/api/v1/models/", "/v1//models", "/api/v1/key/", "/healthz/")
            statuses = [(await client.post(path, json=CHAT)).status_code for path in posts]
            return statuses + [(await client.get(path)).status_code for path in gets]

    assert await on_both(servers, case) == [200] * 7


@pytest.mark.asyncio(loop_scope="function")
async def test_head(managed: Managed) -> None:
    """HEAD is the head of GET, with its length and without its body; where GET is not, it is refused."""
    for path in (*LISTS, "/healthz", "/readyz", "/metrics", "/openapi.json"):
        whole, head = await managed.anyone.get(path), await managed.anyone.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        if path != "/metrics":  # it grows with every request
            assert head.headers["content-length"] == whole.headers["content-length"]  # packed or not
    assert (await managed.anyone.head("/api/v1/chat/completions")).status_code == 405
    assert (await managed.anyone.head("/api/v1/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ("", {}),
        ("https://app.example", {"https://app.example": "https://app.example"}),
        ("https://other.example, https://app.example/", {"https://app.example": "https://app.example"}),
        ("*", {"https://app.example": "*", "https://evil.example": "*", "null": "*"}),
    ],
)
@pytest.mark.asyncio(loop_scope="function")
async def test_origins(tmp_path: Path, valkey_server: Embedded, origins: str, allowed: dict[str, str]) -> None:
    """Only the configured origins, compared whole; caches learn that the answer depends on the origin."""
    async with (
        staged(tmp_path, valkey_server.url, Sale("t/a", "alpha", "ok"), cors_origins=origins) as stage,
        httpx.AsyncClient(base_url=stage.gateway.url) as client,
    ):
        for origin in ("https://app.example", "https://evil.example", "https://app.example.evil", "null"):
            for answer in (
                await client.get("/api/v1/models", headers={"origin": origin}),
                await client.post("/api/v1/chat/completions", json={}, headers={"origin": origin}),
                await client.options("/api/v1/chat/completions", headers={"origin": origin}),
            ):
                expected = "*" if origins == "*" else allowed.get(origin)
                assert answer.headers.get("access-control-allow-origin") == expected
                assert ("origin" in answer.headers.get("vary", "")) == (origins != "*")
