"""The encoder of Messages streams alone: however an answer is cut into chunks, the same blocks come out, one after another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference.chat.legacy_completions import Completions, CompletionsEncoder
from gateway.api.inference.messages import response, thinking
from gateway.api.inference.messages.stream import MessagesEncoder, PassthroughEncoder
from gateway.api.inference.messages.surface import Messages
from gateway.api.inference.messages.thinking import NATIVE
from gateway.errors import Unavailable
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from providers import registry
from providers.errors import ProviderError
from providers.types import Completion, Event
from tests.support import messageshape
from tests.support.examples import examples
from tests.unit.test_hostile_answers import ANSWER, CHUNK, WEIRD, conclude, paths, pipeline, served, with_value

__all__ = ["pipeline"]


def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
    body = {
        "id": "x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}],
    }
    return Event(body, bool(delta), finish)


def streamed(generation: Generation, batches: list[list[Event]]) -> list[messageshape.Event]:
    """Every event of a stream, checked against the protocol."""
    encoder = MessagesEncoder(generation)
    data = b"".join(encoder.events(batch) for batch in batches)
    conclude(generation)
    found = messageshape.events((data + encoder.finish()).decode())
    assert [name for name, _ in found[:2]] == ["message_start", "ping"]
    assert [name for name, _ in found[-2:]] == ["message_delta", "message_stop"]
    for name, event in found:
        if name != "ping":
            messageshape.EVENT.validate_python(event)
    return found


def tool(index: int, arguments: str, name: str | None = None, id: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    call = {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}
    return {"tool_calls": [call]}


def detail(**fields: Any) -> dict[str, Any]:
    return {"reasoning_details": [fields]}


# -- any cut, the same blocks ------------------------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=10)
ARGUMENTS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(0, 99)), max_size=3).map(json.dumps)


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A whole message and the deltas of the same message: thinking, text, and calls whose pieces are mixed."""
    details: list[dict[str, Any]] = []
    deltas: list[dict[str, Any]] = []
    for index in range(draw(st.integers(0, 2))):
        texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
        one = {"type": "reasoning.text", "signature": draw(TEXTS), "format": NATIVE, "index": index}
        details.append({**one, "text": "".join(texts)})
        deltas += [detail(type="reasoning.text", text=piece, format=NATIVE, index=index) for piece in texts]
        deltas.append(detail(**one))
    if draw(st.booleans()):
        one = {
            "type": "reasoning.encrypted",
            "data": draw(TEXTS),
            "format": draw(st.sampled_from([NATIVE, "x"])),
            "index": len(details),
        }
        details.append(one)
        deltas.append(detail(**one))
    texts = draw(st.lists(TEXTS, max_size=3))
    deltas += [{"content": piece} for piece in texts]
    calls: list[dict[str, Any]] = []
    pieces: list[list[dict[str, Any]]] = []
    for index in range(draw(st.integers(0, 3))):
        arguments, name = draw(ARGUMENTS), draw(st.text("abc", min_size=1))
        calls.append({"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}})
        cut = draw(st.integers(0, len(arguments)))
        pieces.append([tool(index, "", name, f"c{index}"), tool(index, arguments[:cut]), tool(index, arguments[cut:])])
    order = draw(st.permutations([index for index in range(len(pieces)) for _ in range(3)]))
    first_seen = list(dict.fromkeys(order))
    taken = [0] * len(pieces)
    for index in order:
        deltas.append(pieces[index][taken[index]])
        taken[index] += 1
    message = {
        "content": "".join(texts) or None,
        "reasoning_details": details,
        "tool_calls": [calls[i] for i in first_seen],
    }
    return message, deltas


@examples(200)
@given(answers(), st.integers(1, 4))
def test_any_cut_gives_the_blocks_of_the_whole(
    pipeline: Pipeline, answer: tuple[dict[str, Any], list[dict[str, Any]]], batch: int
) -> None:
    """Blocks of a stream are those of the whole message, whatever the pieces, their order and how many arrive together."""
    message, deltas = answer
    events = [*(chunk(delta) for delta in deltas), chunk({}, "stop")]
    found = streamed(served(pipeline), [events[at : at + batch] for at in range(0, len(events), batch)])
    assert messageshape.blocks(found) == response.content(message, "gen-1")
    assert found[-2][1]["delta"]["stop_reason"] == ("tool_use" if message["tool_calls"] else "end_turn")


# -- particular streams ------------------------------------------------------------------------------------------------


def made(pipeline: Pipeline, *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return messageshape.blocks(streamed(served(pipeline), [[chunk(delta)] for delta in deltas]))


def test_sequential_calls_stream_at_once(pipeline: Pipeline) -> None:
    """The usual order costs no delay: the pieces of each call leave with the chunk that brought them."""
    encoder = MessagesEncoder(served(pipeline))
    sent = [
        [name for name, _ in messageshape.events(encoder.events([chunk(delta)]).decode())]
        for delta in (tool(0, "", "f", "a"), tool(0, '{"x":'), tool(0, "1}"), tool(1, "", "g", "b"), tool(1, "{}"))
    ]
    assert sent[0][-1] == "content_block_start"
    assert sent[1] == sent[2] == ["content_block_delta"]
    assert sent[3] == ["content_block_stop", "content_block_start"]
    assert sent[4] == ["content_block_delta"]


def test_reasoning_text_and_its_details_are_one(pipeline: Pipeline) -> None:
    """Of vendors that send reasoning both as text and as details, it is counted once; a later signature belongs to it."""
    twin = {"reasoning": "Hm.", **detail(type="reasoning.text", text="Hm.", format=NATIVE, index=0)}
    signed = detail(type="reasoning.text", signature="S", format=NATIVE, index=0)
    assert made(pipeline, twin, signed, {"content": "x"}) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "S"},
        {"type": "text", "text": "x", "citations": []},
    ]


def test_plain_reasoning_signed_at_its_end(pipeline: Pipeline) -> None:
    """Text as ``reasoning``, the signature as a detail of its own: one block."""
    signed = detail(type="reasoning.text", signature="S", format=NATIVE, index=0)
    assert made(pipeline, {"reasoning": "H"}, {"reasoning": "m."}, signed) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "S"}
    ]


def test_interleaved_thinking(pipeline: Pipeline) -> None:
    """Thinking between texts and calls opens a block each time."""
    blocks = made(pipeline, {"reasoning": "a"}, {"content": "b"}, {"reasoning": "c"}, tool(0, "{}", "f", "i"))
    assert [block["type"] for block in blocks] == ["thinking", "text", "thinking", "tool_use"]


def test_a_signature_behind_the_text(pipeline: Pipeline) -> None:
    """Gemini signs a call behind its text: what must go back is a block of its own, never mixed into the text."""
    sealed = detail(type="reasoning.encrypted", data="gemini:xyz", format="google-gemini-v1", id="i", index=0)
    blocks = made(pipeline, {"content": "b"}, {**sealed, **tool(0, "{}", "f", "i")})
    assert [block["type"] for block in blocks] == ["text", "redacted_thinking", "tool_use"]


@pytest.mark.parametrize(
    ("more", "types"),
    [
        ([], ["thinking", "text"]),
        ([{"content": ""}], ["thinking", "text"]),
        ([{"content": "c"}], ["thinking", "text", "redacted_thinking", "text"]),
        ([tool(0, "{}", "f", "i")], ["thinking", "text", "redacted_thinking", "tool_use"]),
    ],
)
def test_no_answer_ends_with_a_signature_behind_its_text(
    pipeline: Pipeline, more: list[dict[str, Any]], types: list[str]
) -> None:
    """Gemini 3 signs its last text: Claude Code would print nothing of an answer that ends with redacted thinking."""
    sealed = detail(type="reasoning.encrypted", data="gemini:xyz", format="google-gemini-v1", id="text-0-1", index=1)
    blocks = made(pipeline, {"reasoning": "a"}, {"content": "b"}, sealed, *more)
    assert [block["type"] for block in blocks] == types


def test_a_whole_answer_keeps_the_signature_of_its_last_text() -> None:
    """Before the text, where Claude Code does not mind it; the next turn has it again, with what it signs."""
    sealed: Any = detail(
        type="reasoning.encrypted", data="gemini:xyz", format="google-gemini-v1", id="text-0-1", index=1
    )
    whole = response.content({"content": "b", **sealed}, "gen-1")
    assert [block["type"] for block in whole] == ["redacted_thinking", "text"]
    (again,), _ = thinking.details(whole)
    assert again == sealed["reasoning_details"][0]


def test_thinking_between_calls_stays_there(pipeline: Pipeline) -> None:
    """Claude wants it back between the very calls where it stood: whole, streamed, and read again in the next request."""
    thoughts = [
        {"type": "reasoning.text", "text": text, "signature": text, "format": NATIVE, "index": index}
        for text, index in (("A", 0), ("B", 3))
    ]
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ("c0", "c1")]
    message = {"content": "Hm.", "reasoning_details": thoughts, "tool_calls": calls}
    whole = response.content(message, "gen-1")
    assert [block["type"] for block in whole] == ["thinking", "text", "tool_use", "thinking", "tool_use"]
    first, second = ({"reasoning_details": [one]} for one in thoughts)
    found = made(pipeline, first, {"content": "Hm."}, tool(0, "{}", "f", "c0"), second, tool(1, "{}", "f", "c1"))
    assert found == whole
    again, _ = thinking.details(whole)
    assert [(one["text"], one["index"]) for one in again] == [("A", 0), ("B", 3)]


def test_every_call_has_an_id_of_its_own(pipeline: Pipeline) -> None:
    """Vendors repeat ids or send none: clients find a call by its id."""
    deltas = [tool(0, "{}", "f", "same"), tool(1, "{}", "g", "same"), tool(2, "{}", "h")]
    calls = [
        {"id": id, "function": {"name": name, "arguments": "{}"}}
        for id, name in (("same", "f"), ("same", "g"), (None, "h"))
    ]
    expected = ["same", "toolu_gen-1-x_1", "toolu_gen-1-x_2"]
    assert [block["id"] for block in made(pipeline, *deltas)] == expected
    assert [block["id"] for block in response.content({"tool_calls": calls}, "gen-1-x")] == expected


def test_odd_calls(pipeline: Pipeline) -> None:
    """No id, no name at first, no arguments, a piece behind the end: nothing breaks the sequence."""
    blocks = made(
        pipeline,
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f"}}]},
        tool(1, "{}", "g"),
        tool(0, " "),
        tool(2, "", "h", "c"),
    )
    assert [(b["id"], b["name"], b["input"]) for b in blocks] == [
        ("toolu_gen-1-x_0", "f", {}),
        ("toolu_gen-1-x_1", "g", {}),
        ("c", "h", {}),
    ]


def test_an_empty_answer(pipeline: Pipeline) -> None:
    """Nothing at all is still a message."""
    found = streamed(served(pipeline), [[chunk({}, "stop")]])
    assert messageshape.blocks(found) == []
    assert found[-2][1]["delta"]["stop_reason"] == "end_turn"


def test_an_answer_that_never_began(pipeline: Pipeline) -> None:
    """Interrupted before the first event: only the error event, without usage."""
    for encoder in (MessagesEncoder(served(pipeline)), PassthroughEncoder(served(pipeline))):
        ((name, data),) = messageshape.events(encoder.failure(Unavailable("Stopping."), "error").decode())
        assert name == "error"
        messageshape.error(data, "overloaded_error", id="gen-1-x")
        assert "usage" not in data


# -- hostile vendors ---------------------------------------------------------------------------------------------------

FIELDS = ("reasoning_details", "annotations", "images", "tool_calls", "logprobs")


@pytest.mark.parametrize(
    "path",
    [
        *paths("message"),
        *(("choices", 0, "message", field) for field in FIELDS),
        ("choices", 0, "native_finish_reason"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_hostile_answers(pipeline: Pipeline, path: tuple[Any, ...]) -> None:
    """Whatever a vendor's answer holds: the dialect refuses it, or both surfaces can write it."""
    for value in [
        *WEIRD,
        [{"url_citation": {"url": "u", "title": 5}}],
        [{"type": "reasoning.text", "text": [], "signature": 5}],
    ]:
        generation = served(pipeline)
        try:
            generation.attempts.completion = registry.dialect("openai").completion(with_value(ANSWER, path, value))
        except ProviderError:
            continue
        generation.opened()
        conclude(generation)
        for surface in (Messages, Completions):
            body, _ = surface.reply(surface.__new__(surface), generation)
            assert json.loads(body)


@pytest.mark.parametrize(
    "path",
    [*paths("delta"), *(("choices", 0, "delta", field) for field in FIELDS), ("choices", 0, "native_finish_reason")],
    ids=lambda path: ".".join(map(str, path)),
)
def test_hostile_events(pipeline: Pipeline, path: tuple[Any, ...]) -> None:
    """The same for events."""
    for value in WEIRD:
        generation = served(pipeline)
        try:
            events = registry.dialect("openai").decoder().feed(b"data: " + with_value(CHUNK, path, value) + b"\n\n")
        except ProviderError:
            continue
        for event in events:
            generation.delivered.event(event)
        conclude(generation)
        for encoder in (MessagesEncoder(generation), CompletionsEncoder(generation)):
            assert encoder.events(events) + encoder.finish()


@pytest.mark.parametrize("value", WEIRD)
def test_hostile_documents_of_the_same_shape(pipeline: Pipeline, value: Any) -> None:
    """A vendor of our own shape may send anything in the fields that we rewrite."""
    generation = served(pipeline)
    generation.attempts.passthrough = True
    generation.attempts.completion = Completion(
        json.loads(json.dumps(ANSWER)), None, native={"usage": value, "id": value}
    )
    generation.opened()
    conclude(generation)
    answer = Messages.answer(Messages.__new__(Messages), generation)
    messageshape.usage(json.loads(Messages.reply(Messages.__new__(Messages), generation)[0])["usage"])
    assert answer["id"] == "gen-1-x"
    encoder = PassthroughEncoder(generation)
    wires: list[Any] = [
        ("message_start", {"message": value}),
        ("message_delta", {"usage": value}),
        ("message_stop", {}),
    ]
    encoder.events([Event({}, native=wire) for wire in wires])
    assert encoder.finish()
