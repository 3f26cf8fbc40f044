"""What is Claude's own on Vertex: addresses and bodies as AnthropicVertex of the vendor's SDK makes them, and Google's credentials."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import anthropic
import httpx2
import pytest

from providers import registry
from providers.errors import ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, HttpRequest, NativeRequest, Target
from providers.vertex.anthropic import VertexAnthropic, VertexAnthropicCount
from tests.support import dialectoracles
from tests.support.rawserver import Peer, RawServer

CHAT, COUNT = VertexAnthropic(), VertexAnthropicCount()
MODEL = "claude-sonnet-4-5@20250929"
BASE = "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}/publishers/google"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
CLOCKS = Clocks()


def by_sdk(region: str, *, stream: bool = False, count: bool = False) -> httpx2.Request:
    """The request that the vendor's SDK makes of the same; nothing is sent."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(400)

    client = anthropic.AnthropicVertex(
        region=region,
        project_id="acme-1",
        access_token="tok",
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    ask = client.messages.count_tokens if count else partial(client.messages.create, max_tokens=9, stream=stream)
    with pytest.raises(anthropic.BadRequestError):
        ask(model=MODEL, messages=messages)
    return seen[0]


async def made(region: str, dialect: VertexAnthropic = CHAT, *, stream: bool = False) -> HttpRequest:
    """Our request of the same, addressed as a target in a region is."""
    where = {"project": "acme-1", "region": region}
    upstream = Http1Client()
    target = await dialect.authorize(upstream, Target("gcp", BASE, MODEL, api_key="tok", credentials=where), CLOCKS)
    await upstream.aclose()
    return dialect.request(target, ASKED, stream=stream)


@pytest.mark.parametrize("region", ["us-east5", "global", "us", "eu"])
@pytest.mark.parametrize("stream", [False, True])
async def test_addresses_and_bodies_are_those_of_the_sdk(region: str, stream: bool) -> None:
    """Host, path and body; only the API's version differs, which the SDK has newer."""
    ours, sdk = await made(region, stream=stream), by_sdk(region, stream=stream)
    assert ours.url == str(sdk.url)
    body, theirs = json.loads(ours.content), json.loads(sdk.content)
    assert body.pop("anthropic_version") == "vertex-2023-10-16"
    del theirs["anthropic_version"]
    theirs.pop("stream", None) if not stream else None
    assert body == theirs
    headers = dict(ours.headers)
    assert headers["authorization"] == sdk.headers["authorization"] == "Bearer tok"
    assert not headers.keys() & {"anthropic-version", "anthropic-beta", "x-api-key"}


async def test_counting_names_the_model_in_the_body() -> None:
    """``count-tokens`` is a model of its own; a count is read as Anthropic's."""
    ours, sdk = await made("global", COUNT), by_sdk("global", count=True)
    assert ours.url == str(sdk.url)
    body, theirs = json.loads(ours.content), json.loads(sdk.content)
    dialectoracles.anthropic({name: value for name, value in body.items() if name != "anthropic_version"}, count=True)
    assert (body["model"], body["messages"]) == (theirs["model"], theirs["messages"])
    assert COUNT.completion(b'{"input_tokens": 33}').body == {"input_tokens": 33}


def test_betas_stand_in_the_body() -> None:
    """The operator's, the caller's and the needed ones, each once; another version is data; quirks of the body hold."""
    options = {"beta": ["context-1m-2025-08-07"], "version": "2026-10-21", "extra_body": {"speed": "fast"}}
    target = Target("gcp", BASE, MODEL, api_key="t", options=options, headers=(("x-team", "t"),))
    native = NativeRequest("messages", {"messages": [], "speed": "fast"}, ("context-1m-2025-08-07", "a-b"))
    body = json.loads(CHAT.passthrough(target, native, {}, stream=False).content)
    assert body["anthropic_beta"] == ["context-1m-2025-08-07", "a-b", "fast-mode-2026-02-01"]
    request = CHAT.request(target, ASKED, stream=False)
    body = json.loads(request.content)
    assert body["anthropic_beta"] == ["context-1m-2025-08-07", "fast-mode-2026-02-01"]
    assert body["anthropic_version"] == "2026-10-21"
    assert "model" not in body
    assert ("x-team", "t") in request.headers
    assert "anthropic_beta" not in json.loads(CHAT.request(Target("gcp", BASE, MODEL), ASKED, stream=False).content)


def test_a_request_in_the_vendors_shape_passes() -> None:
    """A Messages request goes on as it is, without its model and with the version; its betas move into the body."""
    wire = {
        "model": "anthropic/claude-sonnet-4.5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "provider": {"only": ["x"]},
    }
    before = json.dumps(wire)
    native = NativeRequest("messages", wire, ("interleaved-thinking-2025-05-14",))
    request = CHAT.passthrough(Target("gcp", BASE, "claude;x/y"), native, {"user": "u-1", "max_tokens": 5}, stream=True)
    assert json.dumps(wire) == before
    assert request.url.endswith("/publishers/anthropic/models/claude%3Bx%2Fy:streamRawPredict")
    assert json.loads(request.content) == {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"user_id": "u-1"},
        "anthropic_version": "vertex-2023-10-16",
        "anthropic_beta": ["interleaved-thinking-2025-05-14"],
        "stream": True,
    }


def test_media_by_url_are_fetched_here() -> None:
    """The vendor refuses URLs of pictures and documents, whatever their host."""
    assert CHAT.inlines_media
    assert COUNT.inlines_media
    assert not CHAT.opens("https://generativelanguage.googleapis.com/v1beta/files/x")


def test_the_registry_has_both_operations() -> None:
    """Chat and counting, with the tokens that Gemini's dialect on Vertex uses too."""
    assert registry.operations("vertex-anthropic") == {"chat", "count_tokens"}
    assert registry.dialect("vertex-anthropic").api_format == "messages"


async def test_a_call_with_an_access_token_over_real_sockets() -> None:
    """One address serves Gemini and Claude: what stands behind ``/publishers/`` is Claude's; a refusal of Google is its row."""
    heads: list[str] = []
    answer = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
    }
    refusal = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}

    async def vendor(peer: Peer) -> None:
        for status, body in ((200, answer), (429, refusal)):
            try:
                await peer.request()
            except asyncio.IncompleteReadError:
                return
            heads.append(peer.requests[-1][0])
            await peer.answer(json.dumps(body).encode(), status=status)

    async with RawServer(vendor) as server:
        upstream = Http1Client()
        target = Target(
            "gcp", f"{server.url}/v1/projects/acme-1/locations/eu/publishers/google", MODEL, api_key="ya29.x"
        )
        done = await CHAT.complete(upstream, target, Call(ASKED), CLOCKS)
        assert done.body["choices"][0]["message"]["content"] == "hi"
        with pytest.raises(ProviderError) as caught:
            await CHAT.complete(upstream, target, Call(ASKED), CLOCKS)
        assert caught.value.failure.kind == "rate_limited"
        await upstream.aclose()
    assert heads[0].startswith(
        f"POST /v1/projects/acme-1/locations/eu/publishers/anthropic/models/{MODEL}:rawPredict HTTP/1.1"
    )
    assert "authorization: Bearer ya29.x\r\n" in heads[0]
