"""What is Gemini's own in its answers: damage by name, made-up ids, every finish reason; its bytes as Google's types read them."""

from __future__ import annotations

import json

import pytest
from google.genai import types

from providers.errors import ProviderError
from providers.gemini.dialect import Gemini
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, Target
from tests.support import dialectcases as cases
from tests.support.rawserver import Peer, RawServer

STREAMS, ERRORS = cases.streams("gemini"), cases.documents("gemini", "errors")
GEMINI = Gemini()


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_the_bytes_are_the_vendors(name: str) -> None:
    """Every document of a good stream is what Google's own type accepts; the role comes once, in a choice's first delta."""
    started: set[int] = set()
    for event in cases.decode(GEMINI, [STREAMS[name].raw])[0]:
        for choice in event.chunk["choices"]:
            assert ("role" in choice["delta"]) is (choice["index"] not in started)
            started.add(choice["index"])
    if name not in ("unknown", "proxy-usage-zero"):
        for document in STREAMS[name].documents.values():
            types.GenerateContentResponse.model_validate(document)


MUTATIONS: dict[str, bytes] = {
    "not JSON": b"{",
    "plain text": b"hello",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"candidates":[],"usageMetadata":{"promptTokenCount":NaN}}',
    "2,000 deep": b"[" * 2000 + b"]" * 2000,
    "20,000 deep": b'{"a":' + b"[" * 20000 + b"]" * 20000 + b"}",
    "candidates is an object": b'{"candidates":{}}',
    "a candidate is a list": b'{"candidates":[[]]}',
    "a candidate is null": b'{"candidates":[null]}',
    "an index beyond reason": b'{"candidates":[{"index":1000000}]}',
    "index is text": b'{"candidates":[{"index":"0"}]}',
    "content is text": b'{"candidates":[{"content":"x"}]}',
    "parts is an object": b'{"candidates":[{"content":{"parts":{}}}]}',
    "a part is text": b'{"candidates":[{"content":{"parts":["x"]}}]}',
    "a call is text": b'{"candidates":[{"content":{"parts":[{"functionCall":"f"}]}}]}',
    "a call without name": b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}',
    "arguments are a list": b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":[]}}]}}]}',
    "a picture without data": b'{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png"}}]}}]}',
}


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_damaged_events_are_malformed(name: str) -> None:
    """Whatever is wrong with an event, it is the failure ``malformed``, and the events before it are kept."""
    head, *rest = STREAMS["text"].pieces
    events, error = cases.decode(GEMINI, [head, b"data: " + MUTATIONS[name] + b"\r\n\r\n", *rest])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


def test_made_ids_are_unique_and_stable() -> None:
    """Ids of calls that Gemini gave none: the same however often read, different in every answer, fit for every vendor."""
    raw = STREAMS["parallel-tools"].raw

    def ids(data: bytes) -> list[str]:
        return [id for id, _, _ in cases.summary(cases.decode(GEMINI, [data])[0])["tools"]]

    other = ids(raw.replace(b"kq4gacT6M5", b"Xq4gacT6M5"))
    assert ids(raw) == ids(raw)
    assert len({*ids(raw), *other}) == 6
    assert all(len(id) <= 40 and id.replace("_", "").isalnum() for id in ids(raw))
    twice = raw.replace(b'"name": "now"', b'"id": "same", "name": "now"').replace(b'"Rome"}', b'"Rome"}, "id": "same"')
    assert len(set(ids(twice))) == 3


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "empty"),
        (b"{}", "empty"),
        (b'{"candidates":[]}', "empty"),
        (b'{"candidates":[{"finishReason":"NO_IMAGE"}]}', "empty"),
        (b"[]", "malformed"),
        (b"<html>", "malformed"),
        (b'{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}', "malformed"),
        (b'{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL"}]}', "malformed"),
        (b'{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}', "forbidden"),
        (b'{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
        (b'[{"error":{"message":"x","status":"UNAVAILABLE"}}]', "overloaded"),
        (b'{"error":"boom"}', "server_error"),
    ],
)
def test_a_whole_answer_that_is_a_failure(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, an error inside, or a finish reason that means a failure, is that failure."""
    with pytest.raises(ProviderError) as caught:
        GEMINI.completion(raw)
    assert caught.value.failure.kind == kind


BROKEN = {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
BROKEN |= {"MISSING_THOUGHT_SIGNATURE", "PUP_LIMITED_DISABLED"}


@pytest.mark.parametrize("finish", [reason.value for reason in types.FinishReason])
def test_every_finish_reason_is_known(finish: str) -> None:
    """Each finish reason of Google's enumeration, after some text: one of ours with the original kept, or a failure."""
    document = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": finish}]}
    raw = json.dumps(document).encode()
    if finish in BROKEN:
        with pytest.raises(ProviderError, match=finish):
            GEMINI.completion(raw)
        return
    choice = GEMINI.completion(raw).body["choices"][0]
    assert choice["native_finish_reason"] == finish
    assert choice["finish_reason"] in ("stop", "length", "content_filter")


async def opened(upstream: Http1Client, target: Target) -> None:
    """A stream up to its first events."""
    stream = await GEMINI.stream(upstream, target, Call({"messages": [{"role": "user", "content": "x"}]}), Clocks())
    await stream.read()


@pytest.mark.parametrize(
    ("name", "status"), [("quota-minute", 429), ("quota-list", 429), ("invalid-key", 400), ("overloaded", 200)]
)
async def test_a_refused_stream(name: str, status: int) -> None:
    """An error before the stream, also one that says 200 and is a JSON document."""
    case = ERRORS[name]

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.answer(json.dumps(case["body"]).encode(), status=status, kind="application/json; charset=UTF-8")
        await peer.wait_gone()

    async with RawServer(vendor) as server:
        upstream = Http1Client()
        target = Target("google", server.url, "m", api_key="k")
        with pytest.raises(ProviderError) as caught:
            await opened(upstream, target)
        assert caught.value.failure.kind == case["kind"]
        await upstream.aclose()
