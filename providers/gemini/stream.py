"""Streams of Gemini as events of the inner language. Pure.

Each document of a stream carries new parts and the usage so far. There is no end mark, and a finish reason may come more than
once: the finish is emitted at the end of the body (``Decoder.close``). (google-genai 3.4 ``types``, 2026-11.)
"""

from __future__ import annotations

from typing import Any, ClassVar

from providers.errors import ProviderError
from providers.gemini.response import Answer, document
from providers.transport.sse import SseDecoder
from providers.types import Chunk, Event, Json


class Decoder(SseDecoder):
    """See ``base.Decoder``."""

    __slots__ = ("_answer",)

    documents: ClassVar[tuple[bytes, ...]] = (b"{", b"[")

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._answer = Answer(origin)

    def _mark(self) -> None:
        """Ignores an end mark: Google sends none, some proxies do. The end of the body is the end of the stream."""

    def _document(self, raw: bytes) -> None:
        document(raw)

    def _ended(self, events: list[Event]) -> ProviderError | None:
        try:
            events.append(self._last())
        except ProviderError as error:
            return error
        return None

    def _event(self, name: str, data: bytes) -> Event | None:
        body = document(data)
        answer = self._answer
        deltas = answer.read(body, data)
        if "candidates" not in body and "promptFeedback" not in body and "usageMetadata" not in body:
            return None
        self._seen = True
        choices = []
        shown = False
        for choice, delta in deltas:
            if delta:
                shown = True
            if not choice.started:
                choice.started = True
                delta["role"] = "assistant"
            one: Json = {"index": choice.index, "delta": delta, "finish_reason": None, "native_finish_reason": None}
            if choice.logprobs:
                one["logprobs"] = {"content": choice.logprobs, "refusal": None}
                choice.logprobs = []
            choices.append(one)
        return Event(self._chunk(choices), shown, None, answer.usage)

    def _chunk(self, choices: list[Any]) -> Chunk:
        answer = self._answer
        return {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": answer.model,
            "choices": choices,
        }

    def _last(self) -> Event:
        answer = self._answer
        if not answer.choices or any(choice.native is None for choice in answer.choices.values()):
            raise self._unfinished()
        choices = []
        first = None
        for index, choice in sorted(answer.choices.items()):
            finish = answer.finish(choice)
            first = first or finish
            delta: Json = {} if choice.refusal is None else {"refusal": choice.refusal}
            annotations = choice.annotations()
            if annotations:
                delta["annotations"] = annotations
            if not choice.started:
                delta["role"] = "assistant"
            native = choice.native
            choices.append({"index": index, "delta": delta, "finish_reason": finish, "native_finish_reason": native})
        shown = any(choice.refusal for choice in answer.choices.values())
        return Event(self._chunk(choices), shown, first, answer.counted())
