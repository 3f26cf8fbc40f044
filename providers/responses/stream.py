"""Answers of the Responses API in the inner language: whole ones, and the stream's decoder. Pure.

Sources: the types of the openai SDK 3.54 (2026-11); a recorded stream of gpt-5 (github.com/SwiftedMind/SwiftAgent, 2025-09):
the encrypted reasoning differs between ``output_item.added``, ``.done`` and ``response.completed``, and that of ``.done`` is
the one to keep; llama.cpp's server (measured 2026-11), whose events have no ``output_index``, so that only item ids tell items
apart; GitHub Copilot, where ids change from event to event, so that the index is asked first
(github.com/BerriAI/litellm/pull/30072, 2026-06)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from providers.errors import excerpt, failed
from providers.openai import response as openai_answer
from providers.openai.response import FINISH, vendor_error
from providers.responses.errors import fault
from providers.responses.response import PHASES, Reader, chances, merge, objects, text
from providers.transport.sse import decode
from providers.types import Chunk, Completion, Event, Json, Usage
from providers.usage import Counts, normalise

_SHOWN: Final = frozenset({"content", "reasoning", "refusal", "tool_calls", "images"})


def whole(raw: bytes, format: str) -> Completion:
    """A whole answer. Raises ``ProviderError``: the failure it tells of, empty, or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    document = decode(raw)
    status = document.get("status")
    if document.get("error") or status in ("failed", "cancelled"):
        raise fault(document.get("error"))
    output = document.get("output")
    if not isinstance(output, list):
        error = vendor_error(dict(document))
        if error is not None:
            raise error
        raise failed("malformed", "the answer has no output", status=200, raw=excerpt(raw))
    if status in ("in_progress", "queued"):
        raise failed("malformed", f"the answer is {status}: nothing fetches it later", status=200)
    reader = Reader(format)
    message: Json = {"role": "assistant", "content": None}
    for item in objects(output):
        merge(message, reader.read(item))
    for call in message.get("tool_calls", ()):
        del call["index"]
    chosen = message.pop("logprobs", None)
    finish, native = _finish(document, reader)
    choice = {"index": 0, "message": message, "finish_reason": finish, "native_finish_reason": native}
    if chosen is not None:
        choice["logprobs"] = {"content": chosen, "refusal": None}
    body = {**_identity(document), "object": "chat.completion", "choices": [choice]}
    if isinstance(document.get("service_tier"), str):
        body["service_tier"] = document["service_tier"]
    return Completion(body, _count(document, reader), document)


def _identity(response: Json) -> Json:
    created = response.get("created_at")
    return {
        "id": text(response.get("id")),
        "created": int(created) if isinstance(created, int | float) and 0 <= created < 1e12 else 0,
        "model": text(response.get("model")),
    }


def _finish(response: Json, reader: Reader) -> tuple[str, str]:
    """Our finish reason and the vendor's: why it is incomplete, else the status. Raises ``ProviderError`` if it gave up."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = text(details.get("reason")) if isinstance(details, dict) else ""
        finish = FINISH.get(reason, "stop") if reason else "length"
        if finish == "error":
            raise fault({"message": f"the vendor ended the answer with {reason}"})
        return finish, reason or "incomplete"
    return "tool_calls" if reader.calls else "stop", "completed"


def _count(response: Json, reader: Reader) -> Usage | None:
    """Tokens, and what was done beside them: searches as the vendor bills them where it says so, else as it made them."""
    raw = response.get("usage")
    if not isinstance(raw, dict):
        return None
    usage = normalise(
        raw
        | {"prompt_tokens_details": raw.get("input_tokens_details")}
        | {"completion_tokens_details": raw.get("output_tokens_details")}
    )
    counts, searches = Counts(), reader.searches
    tools = response.get("tool_usage")
    billed = tools.get("web_search") if isinstance(tools, dict) else None
    if isinstance(billed, dict):
        searches = counts.take(billed, "num_requests")
    units = {name: count for name, count in (("web_search", searches), ("image_output", reader.pictures)) if count}
    return replace(usage, units=units or None, suspect=usage.suspect or counts.suspect)


class Decoder(openai_answer.Decoder):
    """One stream of events to chunks; ends with ``response.completed`` or ``response.incomplete``. See ``base.Decoder``."""

    __slots__ = ("_begun", "_calls", "_head", "_items", "_part", "_reader", "_told")

    def __init__(self, format: str) -> None:
        super().__init__()
        self._reader = Reader(format)
        self._head: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
        self._begun = False
        """A chunk with the role was sent."""
        self._told: set[Any] = set()
        """Items whose deltas came: by output index, where the vendor has none by id."""
        self._items: set[Any] = set()
        """Items that were told to their end."""
        self._calls: dict[Any, tuple[int, str, str]] = {}
        """Items that are tool calls: number of the call, its type, field of its arguments."""
        self._part: Any = None
        """The part of the reasoning that the last delta belonged to."""

    def _event(self, name: str, data: bytes) -> Event:
        document = decode(data)
        kind = document.get("type")
        if kind == "response.output_text.delta":  # most events are these: the short way
            words = document.get("delta")
            if isinstance(words, str) and words:
                self._told.add(_key(document))
                self._reader.length += len(words)
                delta: Json = {"content": words}
                if document.get("logprobs"):
                    delta["logprobs"] = chances(document["logprobs"])
                return self._say(delta, (kind, document))
        if not isinstance(kind, str):
            kind = name
        read = _READS.get(kind)
        if read is not None:
            self._seen = True
            told = read(self, document)
            if told is not None:
                return self._say(told, (kind, document))
        elif kind in _ENDS:
            return self._end(kind, document)
        elif document.get("error"):
            raise fault(document["error"])
        return Event({**self._head, "choices": []}, native=(kind, document))

    def _say(self, delta: Json, wire: tuple[str, Json]) -> Event:
        self._seen = True
        shown = not _SHOWN.isdisjoint(delta)  # encrypted reasoning alone is nothing that anybody could read
        choice: Any = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        if "logprobs" in delta:
            choice["logprobs"] = {"content": delta.pop("logprobs"), "refusal": None}
        if not self._begun:
            self._begun = True
            choice["delta"] = {"role": "assistant", "content": "", **delta}
        return Event({**self._head, "choices": [choice]}, shown, native=wire)

    def _end(self, kind: str, document: Json) -> Event:
        response = _response(document)
        if response.get("error") or response.get("status") in ("failed", "cancelled"):
            raise fault(response.get("error"))
        self._name(response)
        rest: Json = {}
        if not (self._told or self._items or self._calls):  # a vendor that says everything at the end
            for item in objects(response.get("output")):
                merge(rest, self._reader.read(item))
            for index, call in enumerate(rest.get("tool_calls", ())):
                call["index"] = index
        event = self._say(rest, (kind, document))
        ended = response | {"status": "incomplete"} if kind == "response.incomplete" else response
        event.finish, native = _finish(ended, self._reader)
        event.chunk["choices"][0] |= {"finish_reason": event.finish, "native_finish_reason": native}
        if isinstance(response.get("service_tier"), str):
            event.chunk["service_tier"] = response["service_tier"]
        event.usage = _count(response, self._reader)
        self.done = self._finished = True
        return event

    def _name(self, response: Json) -> None:
        named: Any = {name: value for name, value in _identity(response).items() if value}
        self._head |= named

    def _opened(self, document: Json) -> Json | None:
        self._name(_response(document))
        return None if self._begun else {}

    def _failed(self, document: Json) -> Json | None:
        flat = {name: document[name] for name in ("code", "message", "param") if name in document}
        raise fault(document.get("error") or _response(document).get("error") or flat)

    def _item_added(self, document: Json) -> Json | None:
        item, key = document.get("item"), _key(document)
        if not isinstance(item, dict):
            return None
        if item.get("type") in ("function_call", "custom_tool_call") and key not in self._calls:
            call = self._reader.call(item, whole=False)
            custom = call["type"] == "custom"
            self._calls[key] = (call["index"], call["type"], "input" if custom else "arguments")
            return {"tool_calls": [call]}
        phase = item.get("phase")
        return {"phase": phase} if phase in PHASES else None

    def _part_added(self, _: Json) -> None:
        self._reader.offset = self._reader.length

    def _refusal(self, document: Json) -> Json | None:
        words = text(document.get("delta"))
        if words:
            self._told.add(_key(document))
        return {"refusal": words} if words else None

    def _arguments(self, document: Json) -> Json | None:
        key, words = _key(document), text(document.get("delta"))
        if not words or key not in self._calls:  # its beginning was not told: the finished item has it whole
            return None
        self._told.add(key)
        return self._more(key, words)

    def _more(self, key: Any, words: str) -> Json:
        index, kind, field = self._calls[key]
        return {"tool_calls": [{"index": index, "type": kind, kind: {field: words}}]}

    def _reason(self, document: Json) -> Json | None:
        words, key = text(document.get("delta")), _key(document)
        if not words:
            return None
        self._told.add(key)
        summary = "summary_index" in document
        part = (key, summary, document.get("summary_index" if summary else "content_index"))
        more, self._part = part == self._part, part
        kind, field = ("summary", "summary") if summary else ("text", "text")
        detail = self._reader.detail(kind, field, words, document, more=more)
        return {"reasoning": words if more else self._reader.between() + words, "reasoning_details": [detail]}

    def _citation(self, document: Json) -> Json | None:
        cited = self._reader.citation(document.get("annotation"))
        return {"annotations": [cited]} if cited is not None else None

    def _item_done(self, document: Json) -> Json | None:
        item, key = document.get("item"), _key(document)
        if not isinstance(item, dict) or key in self._items:
            return None
        self._items.add(key)
        self._part = None
        if key in self._told:
            return self._reader.extras(item) or None
        if key in self._calls:
            words = text(item.get(self._calls[key][2]))
            return self._more(key, words) if words else None
        return self._reader.read(item) or None


def _response(document: Json) -> Json:
    response = document.get("response")
    return response if isinstance(response, dict) else {}


def _key(document: Json) -> int | str | None:
    """What an event's item is known by."""
    index = document.get("output_index")
    if type(index) is int:
        return index
    item = document.get("item")
    id = document.get("item_id") or (item.get("id") if isinstance(item, dict) else None)
    return id if isinstance(id, str) else None


_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_READS: Final[dict[str, Callable[[Decoder, Json], Json | None]]] = {
    "response.created": Decoder._opened,
    "response.queued": Decoder._opened,
    "response.in_progress": Decoder._opened,
    "response.output_item.added": Decoder._item_added,
    "response.content_part.added": Decoder._part_added,
    "response.refusal.delta": Decoder._refusal,
    "response.function_call_arguments.delta": Decoder._arguments,
    "response.custom_tool_call_input.delta": Decoder._arguments,
    "response.reasoning_summary_text.delta": Decoder._reason,
    "response.reasoning_text.delta": Decoder._reason,
    "response.output_text.annotation.added": Decoder._citation,
    "response.output_item.done": Decoder._item_done,
    "response.failed": Decoder._failed,
    "response.cancelled": Decoder._failed,
    "error": Decoder._failed,
}
