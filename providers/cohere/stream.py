"""Streams of Cohere's v2 chat as events of the inner language. Pure.

Order and fields of the events: docs.cohere.com/docs/streaming and /tool-use-streaming, types of the vendor's SDK (``cohere``
7.3, ``V2ChatStreamResponse``); 2026-11. A tool call begins with its id and name, its arguments come in pieces under the same
``index``; a citation comes whole in ``citation-start``. The last event is ``message-end``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from providers.chat.messages import reasoning_detail
from providers.cohere.errors import error_from_body, malformed
from providers.cohere.messages import PLAN, THOUGHT
from providers.cohere.response import demand, finish_reason, logprobs, text_of, url_citations, usage_of
from providers.errors import ProviderError
from providers.transport.sse import SseDecoder, decode
from providers.types import Chunk, Event, Json


class Decoder(SseDecoder):
    """See ``base.Decoder``. A stream ends with ``message-end``."""

    __slots__ = ("_calls", "_empty_calls", "_head", "_length", "_offsets", "_thoughts")

    ends_with: ClassVar[str] = "message-end"

    def __init__(self) -> None:
        super().__init__()
        self._head: Chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
        self._calls: dict[Any, int] = {}
        """Our number of each tool call by the vendor's index."""
        self._empty_calls: set[Any] = set()
        """Calls that have no arguments yet."""
        self._thoughts: dict[Any, int] = {}
        """Our number of each thinking block by the vendor's index."""
        self._offsets: dict[Any, int] = {}
        """Characters of content before each text block: citations count from there."""
        self._length = 0
        """Characters of content so far."""

    def _document(self, raw: bytes) -> ProviderError:
        return error_from_body(decode(raw), 500)

    def _event(self, name: str, data: bytes) -> Event | None:
        body = decode(data)
        kind = body.get("type")
        if not isinstance(kind, str):
            kind = name
        delta = body.get("delta")
        message = delta.get("message") if isinstance(delta, dict) else None
        if kind == "error" or (kind not in _READERS and "message" in body):
            raise error_from_body(body, 500)
        if kind == "message-end":
            self._seen = self._finished = self.done = True
            return self._last(delta if isinstance(delta, dict) else {}, body)
        reader = _READERS.get(kind)
        if reader is None:
            return None  # debug, citation-end, and events that may be added later
        self._seen = True
        made = reader(self, message if isinstance(message, dict) else {}, body)
        return None if made is None else self._event_of(made, body)

    def _event_of(self, delta: Json, body: Json) -> Event:
        choice: Any = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": logprobs(body["logprobs"]), "refusal": None}
        shown = bool(delta.get("content") or delta.get("reasoning") or delta.get("tool_calls"))
        return Event({**self._head, "choices": [choice]}, content=shown)

    def _start(self, message: Json, body: Json) -> Json:
        self._head["id"] = text_of(body.get("id"))
        return {"role": "assistant", "content": ""}

    def _block(self, message: Json, body: Json) -> Json | None:
        index = _index(body)
        content = message.get("content")
        if isinstance(content, dict) and content.get("type") == "thinking":
            self._thoughts.setdefault(index, len(self._thoughts) + 1)
        else:
            self._offsets[index] = self._length
        return self._text(message, body)

    def _text(self, message: Json, body: Json) -> Json | None:
        content = message.get("content")
        if not isinstance(content, dict):
            return None
        text, thinking = content.get("text"), content.get("thinking")
        if isinstance(text, str) and text:
            self._offsets.setdefault(_index(body), self._length)
            self._length += len(text)
            return {"content": text}
        if isinstance(thinking, str) and thinking:
            number = self._thoughts.setdefault(_index(body), len(self._thoughts) + 1)
            return {"reasoning": thinking, "reasoning_details": [reasoning_detail(THOUGHT, number, thinking)]}
        return None

    def _plan(self, message: Json, body: Json) -> Json | None:
        plan = message.get("tool_plan")
        if not isinstance(plan, str) or not plan:
            return None
        return {"reasoning": plan, "reasoning_details": [reasoning_detail(PLAN, 0, plan)]}

    def _call(self, message: Json, body: Json) -> Json:
        call = message.get("tool_calls")
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict):
            raise malformed("a tool call without function", body)
        index = _index(body)
        if index in self._calls:
            raise malformed("a tool call begins twice", body)
        number = self._calls[index] = len(self._calls)
        if not function.get("arguments"):
            self._empty_calls.add(index)
        called = {"name": demand(function, "name", body), "arguments": text_of(function.get("arguments"))}
        return {
            "tool_calls": [{"index": number, "id": demand(call, "id", body), "type": "function", "function": called}]
        }

    def _arguments(self, message: Json, body: Json) -> Json | None:
        call = message.get("tool_calls")
        function = call.get("function") if isinstance(call, dict) else None
        pieces = function.get("arguments") if isinstance(function, dict) else None
        if not isinstance(pieces, str) or not pieces:
            return None
        number = self._calls.get(_index(body))
        if number is None:
            raise malformed("arguments of a tool call that has not begun", body)
        self._empty_calls.discard(_index(body))
        return {"tool_calls": [{"index": number, "function": {"arguments": pieces}}]}

    def _call_end(self, message: Json, body: Json) -> Json | None:
        index = _index(body)
        if index not in self._empty_calls:
            return None
        self._empty_calls.discard(index)  # clients parse the arguments as JSON: none become an empty object
        return {"tool_calls": [{"index": self._calls[index], "function": {"arguments": "{}"}}]}

    def _citation(self, message: Json, body: Json) -> Json | None:
        citation = message.get("citations")
        if not isinstance(citation, dict):
            return None
        index = citation.get("content_index")
        offset = self._offsets.get(index, 0) if isinstance(index, int) else 0
        found = url_citations({**citation, "content_index": 0}, [offset])
        return {"annotations": found} if found else None

    def _last(self, delta: Json, body: Json) -> Event:
        native = delta.get("finish_reason")
        error = {"error": delta.get("error") or f"the vendor ended with {native}"}
        if delta.get("usage"):
            error["usage"] = delta["usage"]
        finish = finish_reason(native, error, calls=bool(self._calls))
        choice: Any = {"index": 0, "delta": {}, "finish_reason": finish, "native_finish_reason": native}
        usage = delta.get("usage")
        usage = usage_of(usage) if isinstance(usage, dict) else None
        return Event({**self._head, "choices": [choice]}, finish=finish, usage=usage)


def _index(body: Json) -> int:
    index = body.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else 0


_READERS: Final[dict[str, Callable[[Decoder, Json, Json], Json | None]]] = {
    "message-start": Decoder._start,
    "content-start": Decoder._block,
    "content-delta": Decoder._text,
    "tool-plan-delta": Decoder._plan,
    "tool-call-start": Decoder._call,
    "tool-call-delta": Decoder._arguments,
    "tool-call-end": Decoder._call_end,
    "citation-start": Decoder._citation,
}
