"""The contract of a dialect, the half about requests: nothing is changed in place, every content arrives, what cannot be
expressed is ``unsupported`` and nothing else, and an answer goes back to its vendor unchanged."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ProviderError
from providers.types import HttpRequest, Target
from tests.support import dialectcases as cases
from tests.support import dialectrequests as chat_requests
from tests.support.dialectoracles import has_judge, judge
from tests.support.dialectsheets import SHEETS, chatting
from tests.support.examples import examples

Json = dict[str, Any]
TARGETS = {name: sheet.targets for name, sheet in SHEETS.items()}
BACK = [
    *(
        (name, "stream", one)
        for name, sheet in SHEETS.items()
        for one, stream in sheet.streams.items()
        if not stream.fails
    ),
    *((name, "answer", one) for name, sheet in SHEETS.items() for one in sheet.answers),
]


def requested(name: str, target: Target, body: Json, *, stream: bool = False) -> HttpRequest:
    """The request for a body, which stays as it is."""
    before = copy.deepcopy(body)
    try:
        return SHEETS[name].dialect.request(target, body, stream=stream)
    finally:
        assert body == before


def refuses(name: str, what: str, body: Json) -> bool:
    """Whether the dialect's sheet says that it cannot express this; if so, it must refuse the request as ``unsupported``."""
    if SHEETS[name].refusal_of(what) is None:
        return False
    for target in TARGETS[name]:
        with pytest.raises(ProviderError) as caught:
            requested(name, target, body)
        assert caught.value.failure.kind == "unsupported"
    return True


@pytest.mark.parametrize("name", list(SHEETS))
def test_every_dialect_has_an_oracle(name: str) -> None:
    """The types of the vendor's SDK judge every request of the property below; a sheet that says why not is skipped by name."""
    reason = SHEETS[name].without_oracle
    assert (reason is None) is has_judge(name), f"{name}: an oracle and an excuse for having none"
    if reason is not None:
        pytest.skip(f"no oracle of {name} yet: {reason}")


@pytest.mark.parametrize("name", chatting())
def test_every_dialects_requests_can_be_read(name: str) -> None:
    """A new dialect comes with a reader of its requests, and with the endpoints to make them for."""
    body = {"model": "a/b", "messages": [{"role": "user", "content": "hello"}]}
    for target in TARGETS[name]:
        for stream in (False, True):
            request = requested(name, target, body, stream=stream)
            assert "hello" in " ".join(chat_requests.read_request(name, request.content).texts)
            assert request.url.startswith("http")
            headers = dict(request.headers)
            assert headers["content-type"] == "application/json"
            assert all(value.isascii() and value.isprintable() for value in headers.values())


@pytest.mark.parametrize("name", list(SHEETS))
@examples(60)
@given(st.data())
def test_a_conversation_arrives(name: str, data: st.DataObject) -> None:
    """Every text once and in order; every call with its name and arguments; ids distinct, and those of calls those of their
    results; every tool. The vendor's SDK could have sent it."""
    body = data.draw(chat_requests.talks())
    if body.get("tools") and refuses(name, "tools", body):
        return
    target = data.draw(st.sampled_from(TARGETS[name]))
    stream = data.draw(st.booleans())
    request = requested(name, target, body, stream=stream)
    if SHEETS[name].without_oracle is None:
        judge(name, request, target.upstream_id, stream=stream)
    parsed = chat_requests.read_request(name, request.content)
    everything = "\n".join(parsed.texts)
    places = []
    for message in body["messages"]:
        text = (
            message["content"]
            if isinstance(message["content"], str)
            else (message["content"] or [{"text": ""}])[0]["text"]
        )
        if text:
            assert everything.count(text.split()[0]) == 1
            if message["role"] not in ("system", "developer"):
                places.append(everything.index(text.split()[0]))
                role = "user" if message["role"] == "tool" else message["role"]
                assert [one for one, written in parsed.turns if text.split()[0] in written] == [role]
    assert places == sorted(places)
    calls = [one for message in body["messages"] for one in message.get("tool_calls", ())]
    results = [message for message in body["messages"] if message["role"] == "tool"]
    assert [(called, arguments) for _, called, arguments in parsed.calls] == [
        (one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls
    ]
    texts = [
        result["content"] if isinstance(result["content"], str) else result["content"][0]["text"] for result in results
    ]
    assert len(parsed.results) == len(texts)
    assert all(text in written for text, (_, written) in zip(texts, parsed.results, strict=True))
    ids = [id for id, _, _ in parsed.calls]
    if None in ids:  # a format without ids goes by names and order
        assert [id for id, _ in parsed.results] == [called for _, called, _ in parsed.calls]
    else:
        assert [id for id, _ in parsed.results] == ids
        assert len(set(ids)) == len(ids)
    assert sorted(parsed.tools) == sorted(one["function"]["name"] for one in body.get("tools", ()))


@pytest.mark.parametrize("name", list(SHEETS))
@examples(150)
@given(st.data())
def test_whatever_cannot_be_expressed_is_unsupported(name: str, data: st.DataObject) -> None:
    """For anything that the surface lets through there is a request, or the failure that sends it to another endpoint."""
    body = data.draw(chat_requests.wild())
    target = data.draw(st.sampled_from(TARGETS[name]))
    refused: ProviderError | None = None
    try:
        request = requested(name, target, body, stream=data.draw(st.booleans()))
    except ProviderError as error:
        refused = error
    else:
        assert isinstance(json.loads(request.content), dict)
    assert refused is None or (refused.failure.kind == "unsupported" and refused.message), refused


HI = {"role": "user", "content": "hi"}
NASTY: dict[str, Json] = {
    "an invalid URL": {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://[::1"}}]}]},
    "pictures that are not a list": {"messages": [{"role": "assistant", "content": "a", "images": True}, HI]},
    "allowed tools that are not a list": {
        "messages": [HI],
        "tools": [chat_requests.tool("f")],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": -1.5}},
    },
    "a tool with an empty type": {"messages": [HI], "tools": [{"type": ""}]},
    "arguments of another kind": {
        "messages": [{"role": "assistant", "content": None, "tool_calls": [chat_requests.call("a", "f", [1])]},
                     {"role": "tool", "tool_call_id": "a", "content": "x"}, HI],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize("nasty", list(NASTY))
def test_what_once_broke_a_dialect(name: str, nasty: str) -> None:
    """Requests that the surface lets through and that raised something else than ``unsupported`` somewhere."""
    for target in TARGETS[name]:
        refused: ProviderError | None = None
        try:
            requested(name, target, {"model": "a/b", **NASTY[nasty]})
        except ProviderError as error:
            refused = error
        assert refused is None or refused.failure.kind == "unsupported"


@pytest.mark.parametrize("where", ["arguments", "result", "reasoning"])
@pytest.mark.parametrize("name", list(SHEETS))
def test_what_can_just_be_read_but_not_written_is_unsupported(name: str, where: str) -> None:
    """JSON in a text, or in reasoning that was packed, may be deeper than a body: what is left of the stack decides."""
    refused = set()
    for depth in (300, *range(900, 1_000, 5)):
        nested: Any = functools.reduce(lambda inner, _: [inner], range(depth), [])
        text = '{"a":' + "[" * depth + "]" * depth + "}"
        call = {"name": "f", "arguments": text if where == "arguments" else "{}"}
        turn: Json = {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "type": "function", "function": call}],
        }
        if where == "reasoning":
            turn["reasoning_details"] = [{"type": "reasoning.encrypted", "data": "x", "format": "x", "extra": nested}]
        result = {"role": "tool", "tool_call_id": "c", "content": text if where == "result" else "done"}
        body = {"model": "a/b", "messages": [{"role": "user", "content": "x"}, turn, result]}
        try:
            SHEETS[name].dialect.request(TARGETS[name][0], body, stream=False)
        except ProviderError as error:
            refused.add(error.failure.kind)
    assert refused <= {"unsupported"}


@pytest.mark.parametrize("name", list(SHEETS))
def test_a_picture_arrives(name: str) -> None:
    """A picture inside of the request is there to the byte, and the words around it."""
    parts = [
        {"type": "text", "text": "before"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{chat_requests.PNG}"}},
        {"type": "text", "text": "behind"},
    ]
    body = {"model": "a/b", "messages": [{"role": "user", "content": parts}]}
    if refuses(name, "image", body):
        return
    text = "\n".join(chat_requests.read_request(name, requested(name, TARGETS[name][0], body).content).texts)
    assert chat_requests.PNG in text
    assert text.index("before") < text.index("behind")


@pytest.mark.parametrize("name", list(SHEETS))
def test_a_schema_arrives(name: str) -> None:
    """A request for structured output arrives with its schema or is refused; it is never ignored."""
    schema = {"type": "object", "properties": {"uncommon_field": {"type": "string"}}, "required": ["uncommon_field"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    body = {"model": "a/b", "messages": [{"role": "user", "content": "hi"}], "response_format": wanted}
    if refuses(name, "schema", body):
        return
    for target in TARGETS[name]:
        assert b"uncommon_field" in requested(name, target, body).content


def shown(name: str, way: str, recording: str) -> Json:
    """The message that a client makes of a recording."""
    sheet = SHEETS[name]
    if way == "answer":
        raw = json.dumps(sheet.answers[recording]["body"]).encode()
        return cases.message_of(sheet.dialect.completion(raw).body["choices"][:1])
    events, _ = cases.decode(sheet.dialect, [sheet.streams[recording].raw])
    return cases.message_of(choice for event in events for choice in event.chunk["choices"] if choice["index"] == 0)


@pytest.mark.parametrize(("name", "way", "recording"), BACK)
def test_an_answer_goes_back_as_it_came(name: str, way: str, recording: str) -> None:
    """Text, ids, names and arguments of calls and what was signed or encrypted of the reasoning return to the vendor unchanged,
    whether a client keeps the fragments of reasoning or joins them; another vendor's reasoning does not reach this one."""
    sheet, message = SHEETS[name], shown(name, way, recording)
    message.pop("function_call", None)
    if any("custom" in one for one in message.get("tool_calls", ())):
        message.pop("tool_calls")  # the results of such calls are no messages of chat
    calls = message.get("tool_calls", ())
    tools = [chat_requests.tool(one["function"]["name"]) for one in calls]
    joined = {**message, "reasoning_details": cases.joined(message.get("reasoning_details", ()))}
    foreign = {"type": "reasoning.encrypted", "data": "foreign-secret", "format": "meta-responses-v1", "index": 0}
    for turn in (message, joined, {**message, "reasoning_details": [foreign, *joined["reasoning_details"]]}):
        body = {"model": "a/b", "messages": chat_requests.answered(turn), **({"tools": tools} if tools else {})}
        parsed = chat_requests.read_request(name, requested(name, TARGETS[name][0], body).content)
        everything = "\n".join(parsed.texts)
        assert "foreign-secret" not in everything or sheet.document.get("passes_reasoning")
        if message["content"]:
            assert message["content"].rstrip() in "".join(text for role, text in parsed.turns if role == "assistant")
        expected = [(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls]
        assert parsed.calls == expected
        assert [id for id, _ in parsed.results] == [id for id, _, _ in expected]
        if sheet.document.get("reasoning_back") is None and (message["content"] or calls):
            for detail in message.get("reasoning_details", ()):
                for sealed in (detail.get("signature"), detail.get("data")):
                    assert (sealed or "").removeprefix(f"{name}:") in everything
