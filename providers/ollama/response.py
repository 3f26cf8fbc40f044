"""Ollama's answers in the inner language: whole ones, the stream of JSON lines, errors. Pure.

Sources: docs.ollama.com/api (chat, errors, streaming), ``api/types.go`` of the server, types of its SDK (``ollama`` 0.6.3);
2026-11.

- A stream is one JSON object a line (``application/x-ndjson``); the one with ``done`` ends it and carries the counts. An error
  in the middle is a line ``{"error": "..."}``, whose text may itself be the JSON of the runner below.
- A tool call comes whole, with an object of arguments; older servers give it no id. Ours is made of the answer's time, the
  call's place and what it says, so that it is the same however the bytes come and another one in every answer.
- ``eval_count`` counts thinking too. A missing or zero ``prompt_eval_count`` (a cached prompt on older servers) is no report.
- ``done_reason`` ``load`` and ``unload``: the model was loaded or dropped, nothing was answered.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from providers.chat.messages import thought
from providers.errors import ProviderError, excerpt, failed, failure_for, retry_after_s, status_of
from providers.ollama.request import THOUGHT
from providers.transport.sse import decode, object_in
from providers.types import Chunk, Completion, Event, HttpResponse, Json, Usage
from providers.usage import Counts

FINISH: Final = {"stop": "stop", "length": "length"}
LINE_MAX: Final = 16 * 1024 * 1024
"""Bytes of one line above which the stream is cut."""
_CANNOT: Final = ("does not support",)
"""``"llama3" does not support tools`` (or thinking, vision): another endpoint may."""
_TOO_LONG: Final = ("context length", "context size", "context window")


def whole(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    reader = Reader()
    delta = reader.read(body)
    for call in delta.get("tool_calls", ()):
        del call["index"]
    message: Json = {"role": "assistant", "content": None, "refusal": None, **delta}
    if message["content"] is None and not reader.calls:
        message["content"] = ""
    choice: Any = {"index": 0, "message": message, **reader.finish(body)}
    if "logprobs" in body:
        choice["logprobs"] = _logprobs(body)
    answer = {
        "id": "",
        "object": "chat.completion",
        "created": 0,
        "model": _text(body.get("model")),
        "choices": [choice],
    }
    return Completion(answer, usage(body))


class Reader:
    """Reads the messages of one answer and counts its calls."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def read(self, body: Json) -> Json:
        """The delta that one document carries. Raises ``ProviderError``: its error, or malformed."""
        if body.get("error"):
            raise fault(body)
        message = body.get("message")
        if message is None and body.get("done") is True:
            message = {}
        if not isinstance(message, dict):
            raise _broken("no message", body)
        delta: Json = {}
        content, thinking = message.get("content"), message.get("thinking")
        if not isinstance(content, str | None) or not isinstance(thinking, str | None):
            raise _broken("content or thinking is no text", body)
        if content:
            delta["content"] = content
        if thinking:
            delta["reasoning"], delta["reasoning_details"] = thinking, [thought(THOUGHT, 0, thinking)]
        calls = message.get("tool_calls")
        if calls:
            if not isinstance(calls, list):
                raise _broken("tool_calls is no list", body)
            delta["tool_calls"] = [self._call(call, body) for call in calls]
        return delta

    def _call(self, call: Any, body: Json) -> Json:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _broken("a tool call without a function's name", body)
        arguments = function.get("arguments")
        if not isinstance(arguments, dict | str | None):
            raise _broken("arguments are no object", body)
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
        id, number = call.get("id"), self.calls
        self.calls += 1
        if not isinstance(id, str) or not id:
            seed = f"{body.get('created_at')}\0{number}\0{function['name']}\0{text}"
            id = "call_" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        return {
            "index": number,
            "id": id,
            "type": "function",
            "function": {"name": function["name"], "arguments": text or "{}"},
        }

    def finish(self, body: Json) -> Json:
        """``finish_reason`` and ``native_finish_reason`` of the document that says ``done``."""
        native = body.get("done_reason")
        native = native if isinstance(native, str) else None
        if native in ("load", "unload"):
            raise failed("empty", f"the model answered nothing ({native})", status=200)
        if body.get("done") is not True:
            raise failed("cut", "the answer is not done", status=200)
        ours = FINISH.get(native or "stop", "stop")
        return {
            "finish_reason": "tool_calls" if self.calls and ours == "stop" else ours,
            "native_finish_reason": native,
        }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _broken(what: str, body: Json) -> ProviderError:
    return failed("malformed", what, status=200, raw=excerpt(body))


def _logprobs(body: Json) -> Json:
    items = body.get("logprobs")
    found = []
    for item in items if isinstance(items, list) else ():
        token = _token(item)
        if token is not None:
            others = item.get("top_logprobs")
            tops = [_token(other) for other in others] if isinstance(others, list) else []
            found.append({**token, "top_logprobs": [top for top in tops if top is not None]})
    return {"content": found, "refusal": None}


def _token(item: Any) -> Json | None:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return None
    if type(item.get("logprob")) not in (int, float):
        return None
    return {"token": item["token"], "logprob": item["logprob"], "bytes": list(item["token"].encode("utf-8", "replace"))}


def usage(body: Json) -> Usage | None:
    """The counts of the document that says ``done``."""
    counts = Counts()
    prompt, completion = counts.take(body, "prompt_eval_count"), counts.take(body, "eval_count")
    if not prompt and not counts.suspect:
        return None
    return Usage(prompt=prompt, completion=completion, suspect=counts.suspect)


def fault(
    body: Json, status: int | None = None, *, retry_s: float | None = None, raw: str | None = None
) -> ProviderError:
    """The error that a document tells of: ``error`` is a text, sometimes the JSON of the runner's own error."""
    raw = excerpt(body) if raw is None else raw
    error, code, type_ = body.get("error"), None, None
    if isinstance(error, str) and error.startswith("{"):
        try:
            nested = msgspec.json.decode(error)
        except (ValueError, RecursionError):
            nested = None
        error = nested.get("error", nested) if isinstance(nested, dict) else error
    if isinstance(error, dict):
        code, type_, error = error.get("code"), error.get("type"), error.get("message")
    message = _text(error) or (_text(body.get("message")) if status is not None else "")
    known = status if status is not None else status_of(code, type_)
    text = message.lower()
    if 400 <= known < 500 and any(part in text for part in _CANNOT):
        return failed("unsupported", message, status=known, raw=raw)
    too_long = 400 <= known < 500 and any(part in text for part in _TOO_LONG)
    also = ("context_length_exceeded",) if too_long else ()
    return failure_for(known, message, raw=raw, words=(code, type_), also=also, retry_s=retry_s)


def refused(response: HttpResponse) -> ProviderError:
    """What a non-2xx answer means."""
    retry_s, raw = retry_after_s(response.headers), excerpt(response.content)
    return fault(object_in(response.content), response.status, retry_s=retry_s, raw=raw)


class Decoder:
    """One stream of lines to chunks. See ``base.Decoder``."""

    __slots__ = ("_begun", "_reader", "_seen", "_size", "_tail", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: ProviderError | None = None
        self._tail: list[bytes] = []
        self._size = 0
        self._reader = Reader()
        self._begun = False
        """A chunk with the role was sent."""
        self._seen = False

    def feed(self, data: bytes) -> list[Event]:
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return []
        complete = b"".join([*self._tail, data[:end]])
        self._tail.clear()
        self._size = 0
        if end < len(data):
            self._keep(data[end:])
        return self._read(complete.split(b"\n"))

    def close(self) -> list[Event]:
        if self.error is not None:
            raise self.error
        rest = b"".join(self._tail)
        self._tail.clear()
        events: list[Event] = []
        if not self.done:
            try:
                events = self._read([rest])  # a last line without its line feed counts when it is whole
            except ProviderError as error:
                half = error.failure.kind == "malformed" and (self._seen or rest.lstrip().startswith(b"{"))
                self.error = failed("cut", "the stream ended within a line", status=200) if half else error
        if not self.done and self.error is None:
            kind = "cut" if self._seen else "empty"
            self.error = failed(kind, f"the stream ended {'without done' if self._seen else 'empty'}", status=200)
        if self.error is not None and not events:
            raise self.error
        return events

    def _keep(self, data: bytes) -> None:
        self._tail.append(data)
        self._size += len(data)
        if self._size > LINE_MAX:
            raise failed("malformed", "a line of the stream is longer than 16 MB")

    def _read(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if self.done or self.error is not None:
                break
            if line.strip():
                try:
                    events.append(self._event(decode(line)))
                except ProviderError as error:
                    self.error = error
        if self.error is not None and not events:
            raise self.error
        return events

    def _event(self, body: Json) -> Event:
        delta = self._reader.read(body)
        self._seen = True
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", "content": "", **delta}
        choice: Any = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        if body.get("logprobs"):
            choice["logprobs"] = _logprobs(body)
        chunk: Chunk = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": _text(body.get("model")),
            "choices": [choice],
        }
        shown = bool(delta.get("content") or delta.get("reasoning") or delta.get("tool_calls"))
        if body.get("done") is not True:
            return Event(chunk, shown)
        choice |= self._reader.finish(body)
        self.done = True
        return Event(chunk, shown, choice["finish_reason"], usage(body))
