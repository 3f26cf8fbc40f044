"""What a dialect's recorded bytes say, in one small shape for streams and whole answers alike, and ways to damage them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

from providers.base import Dialect
from providers.errors import ProviderError
from providers.types import Completion, Event, HttpResponse

WIRE = Path(__file__).parents[1] / "wire"
Streams = dict[str, tuple[bytes, dict[str, Any]]]


def streams(dialect: str) -> Streams:
    """Name → bytes and expectation of every stream of a dialect."""
    found = {}
    for path in sorted((WIRE / dialect / "streams").iterdir()):
        if path.suffix != ".json":
            found[path.stem] = (path.read_bytes(), json.loads(path.with_suffix(".json").read_text("utf-8")))
    return found


def documents(dialect: str, folder: str) -> dict[str, dict[str, Any]]:
    """Name → document of a folder of JSON files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / dialect / folder).glob("*.json"))}


def decode(dialect: Dialect, pieces: Iterable[bytes]) -> tuple[list[Event], ProviderError | None]:
    """Every event, and the error that ended the stream if one did, as the driver would see them."""
    decoder, events = dialect.decoder(), []
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


def _counted(usage: Any) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {name: count for name, count in msgspec.to_builtins(usage).items() if count}


def _join(details: list[dict[str, Any]]) -> list[list[Any]]:
    """Reasoning details as [type, id, text, signature or data], fragments of one id joined."""
    found: list[list[Any]] = []
    for one in details:
        more = one.get("signature") or one.get("data")
        if found and found[-1][:2] == [one["type"], one.get("id")] and more is None:
            found[-1][2] += one.get("text", "")
        else:
            found.append([one["type"], one.get("id"), one.get("text", ""), more])
    return found


def _shape(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in (None, "", [])}


def summary(events: list[Event]) -> dict[str, Any]:
    """What a stream said."""
    text, reasoning, native, usage = "", "", None, None
    finish: list[str] = []
    tools: dict[int, list[str]] = {}
    details: list[dict[str, Any]] = []
    annotations, images = [], []
    logprobs: list[dict[str, Any]] = []
    for event in events:
        usage = event.usage if event.usage is not None else usage
        finish += [event.finish] if event.finish else []
        for choice in event.chunk["choices"]:
            delta, native = choice["delta"], choice["native_finish_reason"] or native
            text += delta.get("content") or ""
            reasoning += delta.get("reasoning") or ""
            details += delta.get("reasoning_details", ())
            annotations += [note["url_citation"] for note in delta.get("annotations", ())]
            images += [image["image_url"]["url"] for image in delta.get("images", ())]
            logprobs += (choice.get("logprobs") or {}).get("content") or ()
            for tool in delta.get("tool_calls", ()):
                one = tools.setdefault(tool["index"], ["", "", ""])
                for place, piece in enumerate(
                    (tool.get("id", ""), tool["function"].get("name", ""), tool["function"].get("arguments", ""))
                ):
                    one[place] += piece
    return _shape(
        {
            "text": text,
            "reasoning": reasoning,
            "details": _join(details),
            "tools": [tools[index] for index in sorted(tools)],
            "annotations": annotations,
            "images": images,
            "logprobs": [[token["token"], token["logprob"]] for token in logprobs],
            "finish": finish,
            "native": native,
            "usage": _counted(usage),
        }
    )


def told(completion: Completion) -> dict[str, Any]:
    """What a whole answer said, in the same shape."""
    choice = completion.body["choices"][0]
    message = choice["message"]
    calls = message.get("tool_calls", ())
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    return _shape(
        {
            "text": message["content"],
            "reasoning": message.get("reasoning"),
            "details": _join(message.get("reasoning_details", [])),
            "tools": [[call["id"], call["function"]["name"], call["function"]["arguments"]] for call in calls],
            "annotations": [note["url_citation"] for note in message.get("annotations", ())],
            "images": [image["image_url"]["url"] for image in message.get("images", ())],
            "logprobs": [[token["token"], token["logprob"]] for token in logprobs],
            "finish": [choice["finish_reason"]],
            "native": choice["native_finish_reason"],
            "usage": _counted(completion.usage),
        }
    )


def strict(events: list[Event]) -> None:
    """Every chunk is one that the two official clients can read, and content is marked where there is some."""
    for event in events:
        ChatCompletionChunk.model_validate(event.chunk)
        ChatStreamChunk.model_validate({**event.chunk, "model": "m"})
        shown = False
        for choice in event.chunk["choices"]:
            assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
            names = ("content", "reasoning", "reasoning_details", "tool_calls", "images", "refusal")
            shown = shown or any(choice["delta"].get(name) for name in names)
        assert event.content is shown


def strict_whole(completion: Completion) -> None:
    """The answer is one that the two official clients can read, once the surface has added its own fields."""
    body = {**completion.body, "id": "gen-1", "created": 1, "model": "m", "system_fingerprint": None}
    body.pop("usage", None)
    ChatCompletion.model_validate(body)
    ChatResult.model_validate(body)


def failure_of(dialect: Dialect, case: dict[str, Any]) -> ProviderError:
    """The error that a recorded refusal is read as; a text stands for bytes that are no JSON."""
    body = case["body"]
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if case["status"] == 200:
        try:
            dialect.completion(content)
        except ProviderError as error:
            return error
        raise AssertionError("no error")
    return dialect.failure(HttpResponse(case["status"], case.get("headers", {}), content))


def same(one: tuple[list[Event], ProviderError | None], other: tuple[list[Event], ProviderError | None]) -> bool:
    """Two readings of one stream are the same."""
    kinds = [error.failure.kind if error is not None else None for _, error in (one, other)]
    return [(e.chunk, e.usage, e.finish) for e in one[0]] == [(e.chunk, e.usage, e.finish) for e in other[0]] and (
        kinds[0] == kinds[1]
    )


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    """``raw`` in pieces."""
    marks = sorted({place % (len(raw) + 1) for place in places})
    return [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]


def junk(*names: str) -> st.SearchStrategy[Any]:
    """Any JSON whose keys are often those that a dialect looks for."""
    keys = st.sampled_from(names)
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | keys
    return st.recursive(
        scalars,
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(keys, deeper, max_size=5),
        max_leaves=14,
    )


def survives(read: Callable[[bytes], Any], raw: bytes) -> None:
    """Nothing but a provider's failure comes out, whatever goes in."""
    try:
        read(raw)
    except ProviderError:
        return
