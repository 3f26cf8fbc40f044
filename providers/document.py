"""Answers that are one document: read although their text is broken, and read where a stream was asked for. Pure.

Some vendors and proxies ignore ``stream``. Their document is read as a whole answer of its dialect is, and becomes events of the
inner language that say the same.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable
from typing import Any, Final

import msgspec

from providers.errors import ProviderError, failed
from providers.transport.client import JSON_MAX, REFUSAL_MAX, HttpStream
from providers.transport.json_bounds import FREE, VECTORS_ROOM, TooMuch, check_answer, check_in_turns
from providers.transport.json_repair import repaired
from providers.transport.stream import Decoder
from providers.types import ChatCompletion, Choice, Completion, Event, HttpResponse, Message

Reader = Callable[[HttpResponse], Completion]
"""A dialect's ``read``."""
_SHOWN: Final = ("content", "reasoning", "refusal", "tool_calls", "images", "audio", "reasoning_details")
"""Fields of a message that a caller could show."""


def read_whole(read: Reader, response: HttpResponse) -> Completion:
    """``read(response)``; an answer whose text is broken is repaired and read again. Raises what ``read`` raises."""
    try:
        return read(response)
    except ProviderError as error:
        sound = repaired(response.content) if error.failure.kind == "malformed" else None
        if sound is None:
            raise
    return read(msgspec.structs.replace(response, content=sound))


async def read_answer(read: Reader, response: HttpResponse, operation: str) -> Completion:
    """``read_whole``; a large answer is counted in turns before, and read in a thread.

    Raises ``ProviderError``, malformed for one that consists of too much. What is no JSON, such as sound, is not counted.
    """
    content = response.content
    if len(content) <= FREE:
        return read_whole(read, response)
    if content[:64].removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[", b""):
        try:
            await check_in_turns(content, VECTORS_ROOM if operation == "embeddings" else 1)
        except TooMuch as error:
            raise failed("malformed", f"the answer {error.problem}", status=200) from None
    return await asyncio.to_thread(read_whole, read, response)


def legible(refusal: HttpResponse) -> HttpResponse:
    """A refusal whose text is repaired if it is broken, so that its codes are found."""
    sound = repaired(refusal.content) if len(refusal.content) <= REFUSAL_MAX else None
    return refusal if sound is None else msgspec.structs.replace(refusal, content=sound)


def decoder_for(http: HttpStream, stream_type: str, stream: Decoder, read: Reader) -> Decoder:
    """What decodes an opened answer: ``stream``, unless its ``content-type`` does not begin with ``stream_type``."""
    if http.headers.get("content-type", "").startswith(stream_type):
        return stream
    return DocumentDecoder(stream, lambda content: read_whole(read, HttpResponse(http.status, http.headers, content)))


class DocumentDecoder:
    """See ``Decoder``. For an answer whose type does not say that it is a stream: its first byte decides which of the two it is."""

    __slots__ = ("_is_stream", "_pieces", "_read", "_size", "_stream")

    def __init__(self, stream: Decoder, read: Callable[[bytes], Completion]) -> None:
        self._stream = stream
        """Reads the answer if it is a stream."""
        self._read = read
        self._is_stream = False
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def done(self) -> bool:
        return self._stream.done

    @property
    def error(self) -> ProviderError | None:
        return self._stream.error

    def feed(self, data: bytes) -> list[Event]:
        if self._is_stream:
            return self._stream.feed(data)
        if not self._pieces:
            begin = data.removeprefix(codecs.BOM_UTF8).lstrip()
            if not begin:
                return []  # blanks that keep the connection alive
            if not begin.startswith((b"{", b"[")):
                self._is_stream = True
                return self._stream.feed(data)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > JSON_MAX:
            raise failed("malformed", "the answer is larger than 64 MB", status=200)
        return []

    def close(self) -> list[Event]:
        if self._pieces:
            content = b"".join(self._pieces)
            self._pieces.clear()
            check_answer("answer", content)
            return events_of(self._read(content))
        return self._stream.close()


def events_of(completion: Completion) -> list[Event]:
    """A whole answer as events: what it says, and the end of each choice. Raises ``ProviderError`` (empty) when it has neither."""
    body: ChatCompletion = completion.body
    choices = body["choices"]
    deltas = [_delta(choice["message"]) for choice in choices]
    has_content = any(delta.get(name) for delta in deltas for name in _SHOWN)
    if not has_content and not any(choice.get("finish_reason") for choice in choices):
        raise failed("empty", "the answer has neither content nor a finish reason", status=200)
    head: Any = {name: value for name, value in body.items() if name not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    said: Any = {**head, "choices": [_said(choice, delta) for choice, delta in zip(choices, deltas, strict=True)]}
    events = [Event(said, content=has_content)]
    for choice in choices:
        end: Any = {**head, "choices": [_end(choice)]}
        events.append(Event(end, finish=_finish(choice)))
    events[-1].usage = completion.usage
    return events


def _said(choice: Choice, delta: Any) -> Any:
    others = {name: value for name, value in choice.items() if name not in ("message", "index")}
    return {
        **others,
        "index": choice.get("index", 0),
        "delta": delta,
        "finish_reason": None,
        "native_finish_reason": None,
    }


def _end(choice: Choice) -> Any:
    finish, native = _finish(choice), choice.get("native_finish_reason")
    return {"index": choice.get("index", 0), "delta": {}, "finish_reason": finish, "native_finish_reason": native}


def _finish(choice: Choice) -> str:
    return choice.get("finish_reason") or ("tool_calls" if choice["message"].get("tool_calls") else "stop")


def _delta(message: Message) -> dict[str, Any]:
    delta: dict[str, Any] = dict(message)
    for name in ("tool_calls", "reasoning_details"):  # the fragments of a stream are joined by their index
        if delta.get(name):
            delta[name] = [{"index": index, **part} for index, part in enumerate(delta[name])]
    return delta
