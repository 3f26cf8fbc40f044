"""The Gemini dialect against its wire files: whole, cut anywhere, damaged; whole answers; refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

from providers._http import fast
from providers.errors import ProviderError
from providers.gemini import Gemini
from providers.types import Call, Clocks, Event, HttpResponse, Target, Usage
from providers.vertex import Vertex
from tests.support.rawserver import Peer, RawServer

WIRE = Path(__file__).parents[1] / "wire/gemini"
STREAMS = {
    path.stem: (path.read_bytes(), json.loads(path.with_suffix(".json").read_text()))
    for path in sorted((WIRE / "streams").glob("*.sse"))
}
ANSWERS = {path.stem: json.loads(path.read_text()) for path in sorted((WIRE / "answers").glob("*.json"))}
ERRORS = {path.stem: json.loads(path.read_text()) for path in sorted((WIRE / "errors").glob("*.json"))}
GOOD = [name for name, (_, expected) in STREAMS.items() if "error" not in expected]
BAD = [name for name, (_, expected) in STREAMS.items() if "error" in expected]
GEMINI = Gemini()


def decode(pieces: list[bytes]) -> tuple[list[Event], ProviderError | None]:
    """Every event, and the error that ended the stream if one did, as the driver would see them."""
    decoder, events = GEMINI.decoder(), []
    try:
        for piece in pieces:
            if decoder.error is not None or decoder.done:
                break
            events += decoder.feed(piece)
        if decoder.error is None and not decoder.done:
            events += decoder.close()
    except ProviderError as error:
        return events, error
    return events, decoder.error


def counted(usage: Usage | None) -> dict[str, Any] | None:
    return None if usage is None else {name: count for name, count in msgspec.to_builtins(usage).items() if count}


def made(ids: list[str], id: str) -> str:
    """A made-up id as ``*n``, a given one as it is."""
    return f"*{id.rpartition('_')[2]}" if id.startswith("call_") and id in ids else id


def summary(events: list[Event]) -> dict[str, Any]:
    """The first choice of a stream, put together as a client would."""
    seen: dict[str, Any] = {"text": "", "finish": [], "native": None, "content": sum(event.content for event in events)}
    tools: list[list[str]] = []
    sealed: list[tuple[str, str]] = []
    seen["usage"] = counted(events[-1].usage)
    for event in events:
        for choice in event.chunk["choices"]:
            if choice["index"] != 0:
                continue
            seen["finish"] += [choice["finish_reason"]] if choice["finish_reason"] else []
            seen["native"] = choice["native_finish_reason"] or seen["native"]
            delta = choice["delta"]
            for name, field in (("text", "content"), ("reasoning", "reasoning"), ("refusal", "refusal")):
                if delta.get(field):
                    seen[name] = seen.get(name, "") + delta[field]
            for tool in delta.get("tool_calls", ()):
                assert tool["index"] == len(tools)
                tools.append([tool["id"], tool["function"]["name"], tool["function"]["arguments"]])
            sealed += [(d["id"], d["data"]) for d in delta.get("reasoning_details", ()) if "data" in d]
            if delta.get("images"):
                seen["images"] = seen.get("images", 0) + len(delta["images"])
            if "audio" in delta:
                seen.setdefault("audio", []).append(delta["audio"]["data"])
            for one in delta.get("annotations", ()):
                at = one["url_citation"]
                seen.setdefault("cited", []).append([at["url"], at["start_index"], at["end_index"]])
            for one in (choice.get("logprobs") or {}).get("content", ()):
                ranked = [other["token"] for other in one["top_logprobs"]]
                seen.setdefault("logprobs", []).append([one["token"], one["logprob"], ranked])
    ids = [tool[0] for tool in tools]
    if tools:
        seen["tools"] = [[made(ids, tool[0]), *tool[1:]] for tool in tools]
    if sealed:
        seen["sealed"] = [[made(ids, id), data] for id, data in sealed]
    return seen


@pytest.mark.parametrize("name", GOOD)
def test_a_stream_says_what_it_says(name: str) -> None:
    """Text, thoughts, calls, pictures, sources, signatures, finish and usage come out as the description has them."""
    raw, expected = STREAMS[name]
    events, error = decode([raw])
    assert error is None
    assert summary(events) == {k: v for k, v in expected.items() if k != "source"}


@pytest.mark.parametrize("name", BAD)
def test_a_failure_is_that_failure(name: str) -> None:
    """An error, first, in the middle or as an ending that is none; what came before it is not lost."""
    raw, expected = STREAMS[name]
    events, error = decode([raw])
    assert error is not None
    assert error.failure.kind == expected["error"]
    assert sum(event.content for event in events) == expected["before"]


@pytest.mark.parametrize("name", list(STREAMS))
def test_byte_by_byte(name: str) -> None:
    """One byte at a time gives the same events and the same error."""
    raw, _ = STREAMS[name]
    whole, pieced = decode([raw]), decode([raw[at : at + 1] for at in range(len(raw))])
    assert [(event.chunk, event.usage) for event in pieced[0]] == [(event.chunk, event.usage) for event in whole[0]]
    assert (pieced[1] and pieced[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.lists(st.integers(0, 5000)))
def test_chunking_changes_nothing(name: str, places: list[int]) -> None:
    """However the network cuts a stream, also inside UTF-8 characters, the events and the error are the same."""
    raw, _ = STREAMS[name]
    marks = sorted({place % (len(raw) + 1) for place in places})
    pieces = [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]
    whole, pieced = decode([raw]), decode(pieces)
    assert [event.chunk for event in pieced[0]] == [event.chunk for event in whole[0]]
    assert (pieced[1] and pieced[1].failure.kind) == (whole[1] and whole[1].failure.kind)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "repeated-stop"])
def test_a_cut_stream_is_never_a_success(name: str) -> None:
    """Cut at every event's end: cut or empty, unless every choice has had its finish reason."""
    raw, expected = STREAMS[name]
    ends = [at for at in range(len(raw)) if raw[:at].endswith((b"\r\n\r\n", b"\n\n"))]
    for end in (0, *ends):
        events, error = decode([raw[:end]])
        if raw[:end].count(b"finishReason") >= raw.count(b"finishReason") + raw.count(b"blockReason"):
            assert (error, [event.finish for event in events if event.finish]) == (None, expected["finish"])
        elif raw[:end].count(b'"blockReason"') == 0:
            assert error is not None
            assert error.failure.kind == ("cut" if end else "empty")
            assert not [event.finish for event in events if event.finish]


MUTATIONS: dict[str, bytes] = {
    "not JSON": b"{",
    "plain text": b"hello",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"candidates":[],"usageMetadata":{"promptTokenCount":NaN}}',
    "invalid UTF-8": b'{"candidates":[{"content":{"parts":[{"text":"\xff\xfe"}]}}]}',
    "lone surrogate": b'{"candidates":[{"content":{"parts":[{"text":"\\ud800"}]}}]}',
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
    head, rest = STREAMS["text"][0].split(b"\r\n\r\n", 1)
    events, error = decode([head + b"\r\n\r\n", b"data: " + MUTATIONS[name] + b"\r\n\r\n", rest])
    assert error is not None
    assert error.failure.kind == "malformed"
    assert sum(event.content for event in events) == 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(GOOD), st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 3))
def test_any_damaged_byte_is_survived(name: str, place: int, byte: int, width: int) -> None:
    """A byte changed, lost or doubled anywhere gives events or a provider's failure, never another exception."""
    raw, _ = STREAMS[name]
    at = place % len(raw)
    events, error = decode([raw[:at] + bytes([byte]) * width + raw[at + 1 :]])
    assert error is not None or any(event.finish for event in events)


FIELDS = [
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id", "index",
    "inlineData", "mimeType", "data", "finishReason", "usageMetadata", "promptTokenCount", "promptTokensDetails", "modality",
    "groundingMetadata", "groundingSupports", "groundingChunks", "segment", "startIndex", "web", "uri", "webSearchQueries",
    "groundingChunkIndices", "logprobsResult", "chosenCandidates", "topCandidates", "token", "citationMetadata", "citations",
    "promptFeedback", "blockReason", "error", "code", "status", "details", "responseId", "modelVersion", "executableCode",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=4)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
        max_leaves=14,
    ),
    st.sampled_from(["whole", "candidate", "part", "grounds"]),
)
def test_any_json_is_an_answer_or_a_failure(inner: Any, place: str) -> None:
    """No JSON, at whatever place of a document, raises anything but a provider's failure."""
    document = {
        "whole": inner,
        "candidate": {"candidates": [inner], "usageMetadata": inner},
        "part": {"candidates": [{"content": {"parts": [inner]}, "finishReason": "STOP"}]},
        "grounds": {
            "candidates": [{"finishReason": "STOP", "groundingMetadata": inner, "citationMetadata": inner, "index": 0}]
        },
    }[place]
    raw = msgspec.json.encode(document)
    decode([b"data: " + raw + b"\n\n"])
    try:
        GEMINI.completion(raw)
    except ProviderError:
        return


@pytest.mark.parametrize("name", GOOD)
def test_strict_clients_can_read_every_event(name: str) -> None:
    """What leaves here satisfies the types of both official clients, and each event is what Google's own type accepts."""
    raw, _ = STREAMS[name]
    told: list[int] = []
    for event in decode([raw])[0]:
        ChatCompletionChunk.model_validate(event.chunk)
        ChatStreamChunk.model_validate(event.chunk)
        for choice in event.chunk["choices"]:
            assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
            if choice["index"] not in told:  # the role comes once, in a choice's first delta
                assert choice["delta"].pop("role") == "assistant"
                told.append(choice["index"])
            assert "role" not in choice["delta"]
    if name not in ("unknown", "proxy-usage-zero"):
        for data in raw.decode().split("\r\n\r\n")[:-1]:
            types.GenerateContentResponse.model_validate_json(data.removeprefix("data: "))


def test_made_ids_are_unique_and_stable() -> None:
    """Ids of calls that Gemini gave none: the same however often read, different in every answer, fit for every vendor."""
    raw, _ = STREAMS["parallel-tools"]

    def ids(data: bytes) -> list[str]:
        deltas = [choice["delta"] for event in decode([data])[0] for choice in event.chunk["choices"]]
        return [tool["id"] for delta in deltas for tool in delta.get("tool_calls", ())]

    other = ids(raw.replace(b"kq4gacT6M5", b"Xq4gacT6M5"))
    assert ids(raw) == ids(raw)
    assert len({*ids(raw), *other}) == 6
    assert all(len(id) <= 40 and id.replace("_", "").isalnum() for id in ids(raw))
    twice = raw.replace(b'"name": "now"', b'"id": "same", "name": "now"').replace(b'"Rome"}', b'"Rome"}, "id": "same"')
    assert len(set(ids(twice))) == 3


@pytest.mark.parametrize("name", list(ANSWERS))
def test_a_whole_answer_says_what_it_says(name: str) -> None:
    """A document of ``generateContent`` becomes the described message, and a type of every client."""
    body, expected = ANSWERS[name]["body"], ANSWERS[name]["expected"]
    answer = GEMINI.completion(json.dumps(body).encode())
    ChatCompletion.model_validate(answer.body)
    ChatResult.model_validate({**answer.body, "system_fingerprint": None})
    choice = answer.body["choices"][0]
    message = choice["message"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (expected["finish"], expected["native"])
    assert counted(answer.usage) == expected["usage"]
    ids = [call["id"] for call in message.get("tool_calls", ())]
    said: dict[str, Any] = {"content": message["content"]}
    for field in ("reasoning", "refusal"):
        if message.get(field):
            said[field] = message[field]
    if ids:
        said["tool_calls"] = [
            [made(ids, call["id"]), call["function"]["name"], call["function"]["arguments"]]
            for call in message["tool_calls"]
        ]
    if "images" in message:
        said["images"] = len(message["images"])
    if "audio" in message:
        said["audio"] = message["audio"]["data"]
    if "annotations" in message:
        places = [one["url_citation"] for one in message["annotations"]]
        said["annotations"] = [[at["url"], at["start_index"], at["end_index"]] for at in places]
    assert said == expected["message"]
    sealed = [[made(ids, d["id"]), d["data"]] for d in message.get("reasoning_details", ()) if "data" in d]
    assert sealed == [[id, f"gemini:{data}"] for id, data in expected.get("sealed", [])]


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
        (b'{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}', "credential"),
        (b'{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
        (b'[{"error":{"message":"x","status":"UNAVAILABLE"}}]', "overloaded"),
        (b'{"error":"boom"}', "server_error"),
    ],
)
def test_a_whole_answer_that_is_none(raw: bytes, kind: str) -> None:
    """A 200 with junk, nothing, an error inside, or an ending that is no answer, is that failure."""
    with pytest.raises(ProviderError) as caught:
        GEMINI.completion(raw)
    assert caught.value.failure.kind == kind


BROKEN = {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
BROKEN |= {"MISSING_THOUGHT_SIGNATURE", "PUP_LIMITED_DISABLED"}


@pytest.mark.parametrize("finish", [reason.value for reason in types.FinishReason])
def test_every_finish_reason_is_known(finish: str) -> None:
    """Each word of Google's enumeration, behind some text: an ending of ours with the word kept, or a failure."""
    document = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": finish}]}
    raw = json.dumps(document).encode()
    if finish in BROKEN:
        with pytest.raises(ProviderError, match=finish):
            GEMINI.completion(raw)
        return
    choice = GEMINI.completion(raw).body["choices"][0]
    assert choice["native_finish_reason"] == finish
    assert choice["finish_reason"] in ("stop", "length", "content_filter")


@pytest.mark.parametrize("name", list(ERRORS))
def test_a_refusal_is_its_row(name: str) -> None:
    """Google's error bodies: the row of ``failures.yaml``, the message, the advice when to come back."""
    case = ERRORS[name]
    raw = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    for dialect in (GEMINI, Vertex()):
        error = dialect.failure(HttpResponse(case["status"], case["headers"], raw.encode()))
        assert error.failure.kind == case["kind"]
        assert error.status == case["status"]
        assert error.retry_after_s == case.get("retry_after_s")
        assert error.message


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200) | st.from_regex(r'\[?\{"error":\{"details":\[[0-9a-z{}":,]*\]\}\}\]?', fullmatch=True),
    st.integers(300, 599),
)
def test_any_refusal_is_a_failure(raw: bytes | str, status: int) -> None:
    """Whatever a refusal's body holds, it is a provider's failure with the vendor's status."""
    data = raw.encode() if isinstance(raw, str) else raw
    assert GEMINI.failure(HttpResponse(status, {}, data)).status == status


@pytest.mark.parametrize("name", [*GOOD, "error-middle", "error-cut"])
async def test_a_stream_over_a_real_connection(name: str) -> None:
    """The driver reads what the decoder says, in pieces of eleven bytes, to the proper end or the failure."""
    raw, expected = STREAMS[name]

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        for at in range(0, len(raw), 11):
            await peer.chunk(raw[at : at + 11])
        await peer.end()
        await peer.wait_gone()

    async with RawServer(vendor) as server:
        upstream = fast()
        target = Target("google", server.url, "m", api_key="k")
        body = {"messages": [{"role": "user", "content": "x"}]}
        stream = await GEMINI.stream(upstream, target, Call(body), Clocks())
        events: list[Event] = []
        try:
            while found := await stream.read():
                events += found
        except ProviderError as error:
            assert error.failure.kind == expected["error"]  # noqa: PT017 - beside the events before it
            assert sum(event.content for event in events) == expected["before"]
        else:
            assert summary(events) == {k: v for k, v in expected.items() if k != "source"}
        assert server.peers[0].requests[0][0].startswith("POST /models/m:streamGenerateContent?alt=sse HTTP/1.1")
        await stream.aclose()
        await upstream.aclose()


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
        upstream = fast()
        target = Target("google", server.url, "m", api_key="k")
        with pytest.raises(ProviderError) as caught:
            await GEMINI.stream(upstream, target, Call({"messages": [{"role": "user", "content": "x"}]}), Clocks())
        assert caught.value.failure.kind == case["kind"]
        await upstream.aclose()
