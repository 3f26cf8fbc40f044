"""Azure: addresses and headers as AzureOpenAI of the vendor's SDK makes them, filters, refusals, and tokens from a real server."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx2
import openai
import pytest
import uvloop

from providers.auth.entra import ClientSecret, EntraTokens
from providers.azure.dialect import Azure, AzureOperation
from providers.errors import ProviderError
from providers.openai.embeddings import Embeddings
from providers.openai.images import Images
from providers.openai.speech import Speech
from providers.openai.transcription import Transcription
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, HttpRequest, Target
from tests.support import dialectcases as cases
from tests.support.rawserver import Peer, RawServer

STREAMS, ANSWERS = cases.streams("azure"), cases.documents("azure", "answers")
RESOURCE = "https://res.openai.azure.com"
AZURE = Azure()
ASKED = {"model": "x/y", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


class AzureEmbeddings(AzureOperation, Embeddings):
    """Two lines make another operation Azure's."""

    name: ClassVar[str] = "azure"


class AzureImages(AzureOperation, Images):
    name: ClassVar[str] = "azure"


class AzureSpeech(AzureOperation, Speech):
    name: ClassVar[str] = "azure"


class AzureTranscription(AzureOperation, Transcription):
    name: ClassVar[str] = "azure"


def target(url: str = RESOURCE, *, credentials: dict[str, str] | None = None, **options: Any) -> Target:
    return Target("azure", url, "my gpt/4.1", api_key="k-1", options=options, credentials=credentials or {})


async def by_sdk(client: openai.AsyncAzureOpenAI | openai.AsyncOpenAI, operation: str) -> httpx2.Request:
    """The request that the vendor's SDK makes of the same operation; nothing is sent."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(500)

    client = client.with_options(http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer)), max_retries=0)
    calls: dict[str, Any] = {
        "chat": lambda: client.chat.completions.create(
            model="my gpt/4.1", messages=[{"role": "user", "content": "hi"}]
        ),
        "embeddings": lambda: client.embeddings.create(model="my gpt/4.1", input="a"),
        "images": lambda: client.images.generate(model="my gpt/4.1", prompt="a"),
        "speech": lambda: client.audio.speech.create(model="my gpt/4.1", input="a", voice="alloy"),
        "transcription": lambda: client.audio.transcriptions.create(model="my gpt/4.1", file=("a.wav", b"RIFF")),
    }
    with pytest.raises(openai.InternalServerError):
        await calls[operation]()
    await client.close()
    return seen[0]


BODIES: dict[str, tuple[AzureOperation, dict[str, Any]]] = {
    "chat": (AZURE, ASKED),
    "embeddings": (AzureEmbeddings(), {"input": "a"}),
    "images": (AzureImages(), {"prompt": "a"}),
    "speech": (AzureSpeech(), {"input": "a", "voice": "alloy", "response_format": "mp3"}),
    "transcription": (AzureTranscription(), {"input_audio": {"data": "UklGRg==", "format": "wav"}}),
}


@pytest.mark.parametrize("operation", list(BODIES))
async def test_addresses_are_those_of_the_sdk(operation: str) -> None:
    """Deployment and version in the URL, the key in its own header, as AzureOpenAI does; on the v1 API as OpenAI does there."""
    dialect, body = BODIES[operation]
    assert (dialect.name, dialect.operation) == ("azure", operation)
    dated = dialect.request(target(api_version="2024-10-21"), body, stream=False)
    sdk = await by_sdk(
        openai.AsyncAzureOpenAI(azure_endpoint=RESOURCE, api_version="2024-10-21", api_key="k-1"), operation
    )
    assert dated.url == str(sdk.url)
    assert dict(dated.headers)["api-key"] == sdk.headers["api-key"] == "k-1"
    assert "authorization" not in dict(dated.headers)
    assert "authorization" not in sdk.headers
    v1 = dialect.request(target(), body, stream=False)
    sdk = await by_sdk(openai.AsyncOpenAI(base_url=f"{RESOURCE}/openai/v1/", api_key="k-1"), operation)
    assert v1.url == str(sdk.url)
    assert dict(v1.headers)["api-key"] == "k-1"


def test_ways_to_write_the_resource_and_the_version() -> None:
    """With or without its suffixes the resource is the same; preview is a version of the v1 API."""
    for url in (RESOURCE, f"{RESOURCE}/openai", f"{RESOURCE}/openai/v1"):
        assert AZURE.request(target(url), ASKED, stream=False).url == f"{RESOURCE}/openai/v1/chat/completions"
        assert AZURE.request(target(url, api_version="v1"), ASKED, stream=True).url.endswith(
            "/openai/v1/chat/completions"
        )
        preview = AZURE.request(target(url, api_version="preview"), ASKED, stream=False).url
        assert preview == f"{RESOURCE}/openai/v1/chat/completions?api-version=preview"


def test_the_body_of_a_chat() -> None:
    """The deployment is the model; the v1 API gets ``max_completion_tokens``; options of the openai dialect hold."""
    body = json.loads(AZURE.request(target(), ASKED, stream=True).content)
    assert body == {
        "model": "my gpt/4.1",
        "messages": ASKED["messages"],
        "max_completion_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    dated = target(api_version="2024-10-21", drop_parameters=["temperature"])
    assert json.loads(AZURE.request(dated, {**ASKED, "temperature": 1}, stream=False).content)["max_tokens"] == 9
    assert "max_tokens" in json.loads(AZURE.request(target(max_tokens_field="max_tokens"), ASKED, stream=False).content)


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_annotations_end_nothing(name: str) -> None:
    """The choice with the finish reason is a stream's last, whatever filter results follow; those of the prompt are removed."""
    events, _ = cases.decode(AZURE, [STREAMS[name].raw])
    assert [event.finish for event in events if event.chunk["choices"]][-1] is not None
    assert not [event for event in events if "prompt_filter_results" in event.chunk]


@pytest.mark.parametrize("name", list(ANSWERS))
def test_what_filters_found_is_kept(name: str) -> None:
    """A whole answer has what filters found in it."""
    body = ANSWERS[name]["body"]
    choice = AZURE.completion(json.dumps(body).encode()).body["choices"][0]
    assert choice["content_filter_results"] == body["choices"][0]["content_filter_results"]


def test_deep_findings_are_survived() -> None:
    """Findings nested a hundred deep are not followed to their end."""
    chunk = b'data: {"choices":[],"prompt_filter_results":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}\n\n"
    events, _ = cases.decode(AZURE, [chunk])
    assert events[0].chunk["choices"] == []


# -- Entra ID ----------------------------------------------------------------------------------------------------------

SECRET = "s3cr3t/+&="
CREDENTIALS = {"tenant_id": "tenant 1", "client_id": "app", "client_secret": SECRET}


class Authority:
    """A token server: keeps the requests it gets, and answers as the test says."""

    def __init__(self, **answer: Any) -> None:
        self.requests: list[tuple[str, dict[str, list[str]]]] = []
        self.status = 200
        self.answer: Any = {"token_type": "Bearer", "expires_in": 3600, **answer}
        self.hold: asyncio.Event | None = None

    async def __call__(self, peer: Peer) -> None:
        while True:
            try:
                body = await peer.request()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.requests.append(
                (peer.requests[-1][0].partition("\r\n")[0], parse_qs(body.decode(), strict_parsing=True))
            )
            if self.hold is not None:
                await self.hold.wait()
            answer = self.answer
            if isinstance(answer, dict) and self.status == 200:
                answer = {"access_token": f"token-{len(self.requests)}", **answer}
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await peer.answer(content, status=self.status)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_chat_with_a_token() -> None:
    """Over real sockets: the token is fetched once, as the grant demands, and goes with every request behind Bearer."""
    authority, heads = Authority(), []

    async def vendor(peer: Peer) -> None:
        for _ in range(3):
            await peer.request()
            heads.append(peer.requests[-1][0])
            await peer.answer(json.dumps(ANSWERS["structured"]["body"]).encode())

    async with RawServer(authority) as tokens, RawServer(vendor) as server:
        client = Http1Client()
        there = Target("azure", server.url, "gpt", options={"authority": tokens.url + "/"}, credentials=CREDENTIALS)
        azure = Azure()
        for _ in range(3):
            await azure.complete(client, there, Call(ASKED), Clocks())
        await client.aclose()
    assert len(heads) == 3
    for head in heads:
        assert "authorization: Bearer token-1\r\n" in head
        assert "api-key" not in head
        assert SECRET not in head
    ((line, form),) = authority.requests
    assert line == "POST /tenant%201/oauth2/v2.0/token HTTP/1.1"
    assert form == {
        "grant_type": ["client_credentials"],
        "client_id": ["app"],
        "client_secret": [SECRET],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }


def application(url: str, **more: Any) -> ClientSecret:
    return ClientSecret(
        **{"authority": url, "tenant_id": "t", "client_id": "c", "client_secret": SECRET, "scope": "s", **more}
    )


async def test_tokens_are_kept_until_shortly_before_their_end() -> None:
    """An hour's token is fetched anew five minutes before its end, a short one at nine tenths; another client has its own.
    The present token is valid until then, so no request waits for the new one."""
    authority, clock = Authority(), Clock()
    async with RawServer(authority) as server:
        client, tokens = Http1Client(), EntraTokens(clock)

        async def renewed(old: str) -> str:
            assert await tokens.access_token(client, application(server.url), Clocks()) == old
            while (token := await tokens.access_token(client, application(server.url), Clocks())) == old:
                await asyncio.sleep(0.001)
            return token

        assert await tokens.access_token(client, application(server.url), Clocks()) == "token-1"
        clock.now += 3_299
        assert await tokens.access_token(client, application(server.url), Clocks()) == "token-1"
        clock.now += 2
        authority.answer["expires_in"] = "100"
        assert await renewed("token-1") == "token-2"
        clock.now += 89
        assert await tokens.access_token(client, application(server.url), Clocks()) == "token-2"
        clock.now += 2
        assert await renewed("token-2") == "token-3"
        assert await tokens.access_token(client, application(server.url, scope="other"), Clocks()) == "token-4"
        for odd in (None, -5, True, "soon", 10**40):
            clock.now += 100_000
            authority.answer["expires_in"] = odd
            count = len(authority.requests)
            await tokens.access_token(client, application(server.url), Clocks())
            assert len(authority.requests) == count + 1
        await client.aclose()


async def test_a_hundred_callers_fetch_once() -> None:
    """Callers that come while a token is fetched wait for that fetch."""
    authority = Authority()
    authority.hold = asyncio.Event()
    async with RawServer(authority) as server:
        client, tokens = Http1Client(), EntraTokens()
        waiting = [
            asyncio.ensure_future(tokens.access_token(client, application(server.url), Clocks())) for _ in range(100)
        ]
        while not authority.requests:
            await asyncio.sleep(0)
        authority.hold.set()
        assert set(await asyncio.gather(*waiting)) == {"token-1"}
        await client.aclose()
    assert len(authority.requests) == 1


async def test_a_failure_is_shared_and_not_kept() -> None:
    """All callers that waited get the one failure; a later one fetches again."""
    authority = Authority()
    authority.hold, authority.status = asyncio.Event(), 401
    authority.answer = {
        "error": "invalid_client",
        "error_description": f"AADSTS7000215: Invalid client secret {SECRET}.",
    }
    async with RawServer(authority) as server:
        client, tokens = Http1Client(), EntraTokens()
        waiting = [
            asyncio.ensure_future(tokens.access_token(client, application(server.url), Clocks())) for _ in range(20)
        ]
        while not authority.requests:
            await asyncio.sleep(0)
        authority.hold.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert len(authority.requests) == 1
        for failure in failures:
            assert isinstance(failure, ProviderError)
            assert (failure.failure.kind, failure.status) == ("credential", 401)
            assert failure.message == "no token from Entra ID: invalid_client"
            assert SECRET not in f"{failure!r} {failure.raw}"
        authority.status, authority.answer = 200, {}
        assert await tokens.access_token(client, application(server.url), Clocks()) == "token-2"
        await client.aclose()


async def test_a_caller_that_is_cancelled_takes_nothing_from_the_others() -> None:
    """When the caller that started the fetch is cancelled, the fetch goes on for the others."""
    authority = Authority()
    authority.hold = asyncio.Event()
    async with RawServer(authority) as server:
        client, tokens = Http1Client(), EntraTokens()
        first, second = (
            asyncio.ensure_future(tokens.access_token(client, application(server.url), Clocks())) for _ in range(2)
        )
        while not authority.requests:
            await asyncio.sleep(0)
        first.cancel()
        authority.hold.set()
        assert await second == "token-1"
        assert first.cancelled()
        assert len(authority.requests) == 1
        await client.aclose()


def test_several_loops_share_what_is_kept() -> None:
    """Loops in threads, asyncio's and uvloop's, use one cache: each may fetch, none disturbs the callers of another."""
    authority, tokens, got = Authority(), EntraTokens(), []

    async def many(url: str) -> None:
        client = Http1Client()
        got.extend(await asyncio.gather(*(tokens.access_token(client, application(url), Clocks()) for _ in range(20))))
        await client.aclose()

    async def run() -> None:
        async with RawServer(authority) as server:
            runners = [asyncio.run, uvloop.run, asyncio.run]
            threads = [threading.Thread(target=runner, args=(many(server.url),)) for runner in runners]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)

    asyncio.run(run())
    assert len(got) == 60
    assert 1 <= len(authority.requests) <= 3
    assert set(got) <= {"token-1", "token-2", "token-3"}


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (
            400,
            {"error": "unauthorized_client", "error_description": "AADSTS700016: not found in the directory"},
            "credential",
        ),
        (403, b"<html>", "credential"),
        (302, b"", "credential"),
        (429, {"error": "temporarily_unavailable"}, "rate_limited"),
        (503, b"busy", "overloaded"),
        (500, {"error": {"code": 1}}, "server_error"),
        (200, b"{", "credential"),
        (200, b"[]", "credential"),
        (200, {"access_token": ""}, "credential"),
        (200, {"access_token": 7}, "credential"),
        (200, {"access_token": "a\r\nx-evil: 1"}, "credential"),
        (200, {"access_token": "tökén"}, "credential"),
    ],
)
async def test_no_token(status: int, answer: Any, kind: str) -> None:
    """A refusal is the credential's failure, a passing problem is a failure of its own; an answer without a usable token is no token."""
    authority = Authority()
    authority.status, authority.answer = status, answer
    async with RawServer(authority) as server:
        client = Http1Client()
        with pytest.raises(ProviderError) as caught:
            await EntraTokens().access_token(client, application(server.url), Clocks())
        await client.aclose()
    assert caught.value.failure.kind == kind


async def test_without_credentials_nothing_is_fetched() -> None:
    """A key needs no token: the target passes through as it is; a secret is never part of a text."""
    client = Http1Client()
    for there in (target(), target(credentials={"tenant_id": "t", "client_id": "c"})):
        assert await AZURE.authorize(client, there, Clocks()) is there
    await client.aclose()
    assert SECRET not in repr(application("https://x"))


def test_a_request_of_a_token_holder_is_pure() -> None:
    """Before ``authorize`` a target with credentials has no key: the request simply has no authorization."""
    there = Target("azure", RESOURCE, "gpt", credentials=CREDENTIALS)
    request: HttpRequest = AZURE.request(there, ASKED, stream=False)
    assert not {"authorization", "api-key"} & dict(request.headers).keys()
