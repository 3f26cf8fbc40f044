"""The recordings of every dialect's vendor and their meaning, in one shape for streams and whole answers of all dialects.

``tests/wire/<dialect>/``:

- ``streams/<name>.sse|.ndjson|.jsonl``: the bytes (``.jsonl``: see ``tests/wire/bedrock/frames.py``), and beside it
  ``<name>.json``: their ``summary``, or ``error`` (the kind) and ``before`` (events with content before it).
- ``answers/<name>.json``: ``body``, the vendor's document; ``expected``, its summary.
- ``errors/<name>.json``: ``status``, ``headers``, ``body``, and the ``kind`` of failure; a status of 200 is an error inside an answer.
- ``cases.yaml``: which of them shows which case, see ``tests/support/dialectsheets.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

from providers.base import Dialect
from providers.errors import ProviderError
from providers.types import Completion, Event, HttpResponse, Usage
from tests.wire.bedrock import frames

WIRE = Path(__file__).parents[1] / "wire"
Json = dict[str, Any]
Decoded = tuple[list[Event], ProviderError | None]
"""Every event, and the error that ended the stream if one did."""
_SSE_EVENT = re.compile(rb".*?(?:\r?\n){2}|.+", re.DOTALL)
_SSE_DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Stream:
    """One recorded stream."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes, cut behind every event."""
        raw = self.path.read_bytes()
        if self.path.suffix == ".jsonl":
            return tuple(frames.line(text) for text in raw.decode().splitlines() if text)
        if self.path.suffix == ".ndjson":
            return tuple(raw.splitlines(keepends=True))
        return tuple(_SSE_EVENT.findall(raw))

    @cached_property
    def raw(self) -> bytes:
        return b"".join(self.pieces)

    @cached_property
    def expected(self) -> Json:
        """Its summary, without its source."""
        document = json.loads(self.path.with_suffix(".json").read_text("utf-8"))
        return {name: value for name, value in document.items() if name != "source"}

    @property
    def fails(self) -> bool:
        return "error" in self.expected

    @cached_property
    def documents(self) -> dict[int, Any]:
        """The JSON of every piece that has some."""
        found = {}
        texts: Iterable[bytes] = self.pieces
        if self.path.suffix == ".jsonl":
            texts = self.path.read_bytes().splitlines()
        elif self.path.suffix == ".sse":
            texts = [b"".join(_SSE_DATA.findall(piece)) for piece in self.pieces]
        for place, text in enumerate(texts):
            try:
                found[place] = json.loads(text)
            except ValueError:
                continue
        return found

    def with_document(self, place: int, document: Any) -> list[bytes]:
        """The pieces, the JSON of one of them replaced."""
        is_framed = self.path.suffix == ".jsonl"
        piece = frames.strange(document) if is_framed else self.piece(place, json.dumps(document).encode())
        return [*self.pieces[:place], piece, *self.pieces[place + 1 :]]

    def piece(self, place: int, text: bytes) -> bytes:
        """One of the pieces with other JSON, which need not be proper; of ``jsonl`` an object with the event's name."""
        if self.path.suffix == ".jsonl":
            name, _, payload = text[1:-1].partition(b":")
            return frames.frame({":message-type": "event", ":event-type": json.loads(name)}, payload)
        if self.path.suffix == ".ndjson":
            return text + b"\n"
        return _SSE_DATA.sub(lambda _: b"data: " + text, self.pieces[place], count=1)


def streams(folder: str) -> dict[str, Stream]:
    """Name → stream of a dialect's folder."""
    return {path.stem: Stream(path) for path in sorted((WIRE / folder / "streams").glob("*")) if path.suffix != ".json"}


def documents(dialect: str, folder: str) -> dict[str, Json]:
    """Name → document of a folder of JSON files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / dialect / folder).glob("*.json"))}


def decode(dialect: Dialect, pieces: Iterable[bytes]) -> Decoded:
    """Every event, and the error that ended the stream if one did, as the stream's reader would get them."""
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


def same(one: Decoded, other: Decoded) -> bool:
    """Two readings of one stream are the same."""
    kinds = [error.failure.kind if error is not None else None for _, error in (one, other)]
    return one[0] == other[0] and kinds[0] == kinds[1]


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    """``raw`` in pieces."""
    marks = sorted({place % (len(raw) + 1) for place in places})
    return [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]


# -- summaries ---------------------------------------------------------------------------------------------------------


def message_of(choices: Iterable[Json]) -> Json:
    """The message that a client makes of the deltas of one choice; a whole message is one delta. Fragments of reasoning stay as
    they came, as most clients keep them."""
    message: Json = {"role": "assistant", "content": None}
    calls: dict[int, Json] = {}
    for choice in choices:
        delta = choice["delta"] if "delta" in choice else choice["message"]
        for name in ("content", "reasoning", "refusal"):
            if delta.get(name):
                message[name] = (message.get(name) or "") + delta[name]
        for name in ("reasoning_details", "images", "annotations"):
            if delta.get(name):
                message[name] = [*message.get(name, ()), *delta[name]]
        if delta.get("phase"):
            message["phase"] = delta["phase"]
        for place, call in enumerate(delta.get("tool_calls") or ()):
            one = calls.setdefault(call.get("index", place), {})
            one |= {name: call[name] for name in ("id", "type") if name in call}
            for kind in ("function", "custom"):
                if kind in call:
                    _add(one.setdefault(kind, {}), call[kind])
    return message | ({"tool_calls": [calls[index] for index in sorted(calls)]} if calls else {})


def _add(whole: dict[str, str], pieces: dict[str, str]) -> None:
    for name, piece in pieces.items():
        whole[name] = whole.get(name, "") + piece


def joined(details: Iterable[Json]) -> list[Json]:
    """Reasoning details with the fragments of a run put together, as the contract has it."""
    found: list[Json] = []
    for detail in details:
        last = found[-1] if found else {}
        if [last.get(name, "-") for name in ("type", "id", "index")] == [
            detail.get(name, "-") for name in ("type", "id", "index")
        ]:
            words = {name: last.get(name, "") + detail[name] for name in ("text", "summary") if name in detail}
            found[-1] = last | detail | words
        else:
            found.append(dict(detail))
    return found


def _short(url: str) -> str:
    return url if len(url) < 100 else f"{url[:40]}... ({len(url)})"


def _calls(message: Json) -> Iterator[list[str]]:
    for call in message.get("tool_calls", ()):
        own = call.get("function") or call.get("custom") or {}
        yield [call.get("id", ""), own.get("name", ""), own.get("arguments") or own.get("input") or ""]


def counted(usage: Usage) -> Json:
    """What is not zero of a usage."""
    return {name: count for name, count in msgspec.to_builtins(usage).items() if count}


def _token(token: Json) -> list[Any]:
    ranked = [other["token"] for other in token.get("top_logprobs") or ()]
    return [token["token"], token["logprob"], *([ranked] if ranked else [])]


def _choice_summary(choices: Sequence[Json]) -> Json:
    """The summary of one choice, from its deltas or its message."""
    message = message_of(choices)
    tokens = [one for choice in choices for one in (choice.get("logprobs") or {}).get("content") or ()]
    deltas = [choice["delta"] if "delta" in choice else choice["message"] for choice in choices]
    kept = {name: message.get(name) for name in ("reasoning", "refusal", "phase")}
    return {
        "text": message["content"],
        **kept,
        "details": joined(message.get("reasoning_details", ())),
        "tools": list(_calls(message)),
        "annotations": [one.get("url_citation", one) for one in message.get("annotations", ())],
        "images": [_short(image["image_url"]["url"]) for image in message.get("images", ())],
        "audio": [_short(delta["audio"].get("data", "")) for delta in deltas if delta.get("audio")],
        "logprobs": [_token(token) for token in tokens],
        "findings": [choice["content_filter_results"] for choice in choices if choice.get("content_filter_results")],
        "native": next((c["native_finish_reason"] for c in reversed(choices) if c["native_finish_reason"]), None),
    }


def _without_empty(summary: Json) -> Json:
    return {name: value for name, value in summary.items() if value not in (None, "", [], {})}


def summary(events: Sequence[Event]) -> Json:
    """The summary of a stream: its first choice, further ones under ``others``."""
    by_index: dict[int, list[Json]] = {}
    for event in events:
        chunk: Json = dict(event.chunk)
        for choice in chunk["choices"]:
            by_index.setdefault(choice["index"], []).append(choice)
    summaries = [_without_empty(_choice_summary(by_index[index])) for index in sorted(by_index)]
    usage = next((event.usage for event in reversed(events) if event.usage is not None), None)
    finish = [event.finish for event in events if event.finish]
    whole = _without_empty({**(summaries[0] if summaries else {}), "others": summaries[1:], "finish": finish})
    return whole if usage is None else {**whole, "usage": counted(usage)}


def summary_of_completion(completion: Completion) -> Json:
    """The summary of a whole answer, in the same shape."""
    choices = completion.body["choices"]
    summaries = [_without_empty(_choice_summary([choice])) for choice in choices]
    finish = [choice["finish_reason"] for choice in choices]
    whole = _without_empty({**summaries[0], "others": summaries[1:], "finish": finish})
    return whole if completion.usage is None else {**whole, "usage": counted(completion.usage)}


# -- what clients demand -----------------------------------------------------------------------------------------------

_SHOWN = ("content", "reasoning", "refusal", "tool_calls", "images", "audio")
_SEALED = ("signature", "data")
"""Fields of reasoning details that no reader can show. A dialect may count them as content or not."""


def strict(events: Sequence[Event], *, typed: bool = True) -> None:
    """Every chunk is one that the two official clients can read, and content is marked where a caller could show something."""
    begun: set[tuple[int, int]] = set()
    for event in events:
        if typed:
            whole = {**event.chunk, "id": "gen-1", "created": 1, "model": "m"}
            ChatCompletionChunk.model_validate(whole)
            ChatStreamChunk.model_validate(whole)
        shown = sealed = False
        for choice in event.chunk["choices"]:
            assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
            delta = choice["delta"]
            assert delta.get("role", "assistant") == "assistant"
            shown = shown or any(delta.get(name) for name in _SHOWN)
            for detail in delta.get("reasoning_details") or ():
                shown = shown or bool(detail.get("text") or detail.get("summary"))
                sealed = sealed or any(detail.get(name) for name in _SEALED)
            for call in delta.get("tool_calls") or () if typed else ():
                first = (choice["index"], call["index"]) not in begun
                begun.add((choice["index"], call["index"]))
                assert not first or (call["id"] and call["type"] == "function" and call["function"]["name"])
        assert event.content is shown or (sealed and not shown), event.chunk


def strict_whole(completion: Completion, *, typed: bool = True) -> None:
    """The answer is one that the two official clients can read, once the surface has added its own fields."""
    body = {**completion.body, "id": "gen-1", "created": 1, "model": "m", "system_fingerprint": None}
    body.pop("usage", None)
    assert body["object"] == "chat.completion"
    ChatCompletion.model_validate(body)
    if typed:
        ChatResult.model_validate(body)


def failure_of(dialect: Dialect, case: Json) -> ProviderError:
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


# -- damage ------------------------------------------------------------------------------------------------------------


def words(documents: Iterable[Any]) -> list[str]:
    """Every name and short text of some documents."""
    found: set[str] = set()
    waiting: list[Any] = list(documents)
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found.update(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and len(one) < 32:
            found.add(one)
    return sorted(found)


def junk(known: Sequence[str]) -> st.SearchStrategy[Any]:
    """Any JSON, whose names and texts are often those that the vendor uses."""
    names = st.sampled_from(known)
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        plain | st.text(max_size=4) | names,
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(names, deeper, max_size=4),
        max_leaves=10,
    )


def grafted(data: st.DataObject, document: Any, strange: Any) -> Any:
    """``document`` with something strange at one place."""
    if not isinstance(document, dict | list) or not document or data.draw(st.integers(0, 5)) == 0:
        return strange
    copy: Any = document.copy()
    at = data.draw(
        st.sampled_from(sorted(document)) if isinstance(document, dict) else st.integers(0, len(document) - 1)
    )
    copy[at] = grafted(data, document[at], strange)
    return copy


def survives(read: Callable[[bytes], Any], raw: bytes) -> None:
    """Nothing but a provider's failure comes out, whatever goes in."""
    try:
        read(raw)
    except ProviderError:
        return
