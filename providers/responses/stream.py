"""Streams of the Responses API in the inner language. Pure.

Sources: the types of the openai SDK 3.54 (2026-11); a recorded stream of gpt-5 (github.com/SwiftedMind/SwiftAgent, 2025-09):
the encrypted reasoning differs between ``output_item.added``, ``.done`` and ``response.completed``, and that of ``.done`` is
the one to keep; llama.cpp's server (measured 2026-11), whose events have no ``output_index``, so that items can only be told
apart by their ids; GitHub Copilot, where ids change from event to event, so that the index comes before the id
(github.com/BerriAI/litellm/pull/30072, 2026-06).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from providers.openai import stream
from providers.responses.errors import answer_error
from providers.responses.response import (
    PHASES,
    Reader,
    count_usage,
    finish_reason,
    identity,
    logprobs,
    merge,
    objects,
    text,
)
from providers.transport.sse import decode
from providers.types import Chunk, Event, Json

_CONTENT_FIELDS: Final = frozenset({"content", "reasoning", "refusal", "tool_calls", "images"})


class Decoder(stream.Decoder):
    """Decodes one stream, which ends with ``response.completed`` or ``response.incomplete``. See ``base.Decoder``."""

    __slots__ = ("_begun", "_calls", "_completed", "_head", "_part", "_reader", "_streamed")

    def __init__(self, format: str) -> None:
        super().__init__()
        self._reader = Reader(format)
        self._head: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
        self._begun = False
        """The chunk with the role has been made."""
        self._streamed: set[Any] = set()
        """Keys (see ``_key``) of the items whose content came in deltas."""
        self._completed: set[Any] = set()
        """Keys of the items that are complete."""
        self._calls: dict[Any, tuple[int, str, str]] = {}
        """Keys of the items that are tool calls → index of the call, its type, the field of its arguments."""
        self._part: Any = None
        """The part of the reasoning that the last delta belonged to."""

    def _event(self, name: str, data: bytes) -> Event:
        document = decode(data)
        kind = document.get("type")
        if kind == "response.output_text.delta":  # most events: handled first
            fragment = document.get("delta")
            if isinstance(fragment, str) and fragment:
                self._streamed.add(_key(document))
                self._reader.length += len(fragment)
                delta: Json = {"content": fragment}
                if document.get("logprobs"):
                    delta["logprobs"] = logprobs(document["logprobs"])
                return self._chunk(delta, (kind, document))
        if not isinstance(kind, str):
            kind = name
        read = _READERS.get(kind)
        if read is not None:
            self._seen = True
            read_delta = read(self, document)
            if read_delta is not None:
                return self._chunk(read_delta, (kind, document))
        elif kind in _ENDS:
            return self._end(kind, document)
        elif document.get("error"):
            raise answer_error(document["error"], document)
        return Event({**self._head, "choices": []}, native=(kind, document))

    def _chunk(self, delta: Json, native: tuple[str, Json]) -> Event:
        self._seen = True
        has_content = not _CONTENT_FIELDS.isdisjoint(delta)  # encrypted reasoning alone cannot be shown
        choice: Any = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        if "logprobs" in delta:
            choice["logprobs"] = {"content": delta.pop("logprobs"), "refusal": None}
        if not self._begun:
            self._begun = True
            choice["delta"] = {"role": "assistant", "content": "", **delta}
        return Event({**self._head, "choices": [choice]}, has_content, native=native)

    def _end(self, kind: str, document: Json) -> Event:
        response = _response(document)
        if response.get("error") or response.get("status") in ("failed", "cancelled"):
            raise answer_error(response.get("error"), response)
        self._set_identity(response)
        rest: Json = {}
        if not (
            self._streamed or self._completed or self._calls
        ):  # a vendor that sends the whole answer with its last event
            for item in objects(response.get("output")):
                merge(rest, self._reader.read(item))
            for index, call in enumerate(rest.get("tool_calls", ())):
                call["index"] = index
        event = self._chunk(rest, (kind, document))
        ended = response | {"status": "incomplete"} if kind == "response.incomplete" else response
        event.finish, native = finish_reason(ended, self._reader)
        event.chunk["choices"][0] |= {"finish_reason": event.finish, "native_finish_reason": native}
        if isinstance(response.get("service_tier"), str):
            event.chunk["service_tier"] = response["service_tier"]
        event.usage = count_usage(response, self._reader)
        self.done = self._finished = True
        return event

    def _set_identity(self, response: Json) -> None:
        known: Any = {name: value for name, value in identity(response).items() if value}
        self._head |= known

    def _opened(self, document: Json) -> Json | None:
        self._set_identity(_response(document))
        return None if self._begun else {}

    def _failed(self, document: Json) -> Json | None:
        flat = {name: document[name] for name in ("code", "message", "param") if name in document}
        response = _response(document)
        raise answer_error(document.get("error") or response.get("error") or flat, response or document)

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
        fragment = text(document.get("delta"))
        if fragment:
            self._streamed.add(_key(document))
        return {"refusal": fragment} if fragment else None

    def _arguments(self, document: Json) -> Json | None:
        key, fragment = _key(document), text(document.get("delta"))
        if not fragment or key not in self._calls:  # without its beginning: the completed item holds the whole call
            return None
        self._streamed.add(key)
        return self._arguments_delta(key, fragment)

    def _arguments_delta(self, key: Any, fragment: str) -> Json:
        index, kind, field = self._calls[key]
        return {"tool_calls": [{"index": index, "type": kind, kind: {field: fragment}}]}

    def _reason(self, document: Json) -> Json | None:
        fragment, key = text(document.get("delta")), _key(document)
        if not fragment:
            return None
        self._streamed.add(key)
        summary = "summary_index" in document
        part = (key, summary, document.get("summary_index" if summary else "content_index"))
        continues, self._part = part == self._part, part
        kind, field = ("summary", "summary") if summary else ("text", "text")
        detail = self._reader.detail(kind, field, fragment, document, more=continues)
        return {
            "reasoning": fragment if continues else self._reader.separator() + fragment,
            "reasoning_details": [detail],
        }

    def _citation(self, document: Json) -> Json | None:
        citation = self._reader.citation(document.get("annotation"))
        return {"annotations": [citation]} if citation is not None else None

    def _item_done(self, document: Json) -> Json | None:
        item, key = document.get("item"), _key(document)
        if not isinstance(item, dict) or key in self._completed:
            return None
        self._completed.add(key)
        self._part = None
        if key in self._streamed:
            return self._reader.extras(item) or None
        if key in self._calls:
            _, kind, field = self._calls[key]
            fragment = text(item.get(field)) or ("{}" if kind == "function" else "")
            return self._arguments_delta(key, fragment) if fragment else None
        return self._reader.read(item) or None


def _response(document: Json) -> Json:
    response = document.get("response")
    return response if isinstance(response, dict) else {}


def _key(document: Json) -> int | str | None:
    """The key of an event's item: its output index, or its id where the vendor sends no index."""
    index = document.get("output_index")
    if type(index) is int:
        return index
    item = document.get("item")
    id = document.get("item_id") or (item.get("id") if isinstance(item, dict) else None)
    return id if isinstance(id, str) else None


_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_READERS: Final[dict[str, Callable[[Decoder, Json], Json | None]]] = {
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
