"""Answers of Gemini, whole and streamed, in the inner language. Pure.

A stream is a sequence of the same documents as a whole answer; each carries new parts and the usage so far. It has no end
mark, and a finish reason may come more than once: the finish is told at the end of the body (``Decoder.close``).
A blocked prompt is a 200 without candidates (google-genai 3.4 ``types``, ai.google.dev/api/generate-content, 2026-11).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from providers.errors import ProviderError, excerpt, failed
from providers.gemini.candidates import Choice
from providers.gemini.errors import carried, error_of
from providers.gemini.usage import searches, usage_of
from providers.transport.sse import SseDecoder
from providers.types import Chunk, Completion, Event, Json, Usage
from providers.usage import later

CHOICES_MAX = 64
_decode = msgspec.json.Decoder().decode


def document(raw: bytes) -> Json:
    """A JSON object that is no error. Raises ``ProviderError``: malformed, or the error that it is."""
    try:
        body = _decode(raw)
    except (ValueError, RecursionError) as broken:
        raise failed("malformed", f"not JSON: {broken}", raw=excerpt(raw)) from broken
    if not isinstance(body, dict) or "error" in body:
        error = error_of(body)
        if error is not None:
            raise carried(error)
        if not isinstance(body, dict):
            raise failed("malformed", "not a JSON object", raw=excerpt(raw))
    return body


class _Answer:
    """What both kinds of answer gather: choices by index, usage, grounding."""

    __slots__ = ("choices", "id", "model", "origin", "usage")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.id = ""
        self.model = ""

    def read(self, body: Json, raw: bytes) -> list[tuple[Choice, Json]]:
        """The deltas of one document. Raises ``ProviderError``."""
        if not self.id:
            id, model = body.get("responseId"), body.get("modelVersion")
            self.model = model if isinstance(model, str) else ""
            self.id = blake2b(id.encode() if isinstance(id, str) else raw, digest_size=12).hexdigest()
        usage = body.get("usageMetadata")
        if usage is not None:
            counted = usage_of(usage)
            if counted is not None:
                self.usage = counted if self.usage is None else later(self.usage, counted)
        candidates = body.get("candidates")
        if candidates is None:
            self._blocked(body.get("promptFeedback"))
            return []
        if not isinstance(candidates, list):
            raise failed("malformed", "candidates is no list")
        deltas = []
        for position, candidate in enumerate(candidates):
            choice = self._choice(candidate, position)
            deltas.append((choice, choice.read(candidate)))
        return deltas

    def _choice(self, candidate: Any, position: int) -> Choice:
        index = candidate.get("index", position) if isinstance(candidate, dict) else None
        if not isinstance(index, int) or not 0 <= index < CHOICES_MAX:
            raise failed("malformed", "a candidate is no object or has no proper index")
        choice = self.choices.get(index)
        if choice is None:
            prefix = self.id if index == 0 else f"{self.id}{index:x}"
            choice = self.choices[index] = Choice(index, prefix, self.origin)
        return choice

    def _blocked(self, feedback: Any) -> None:
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if isinstance(reason, str) and not self.choices:
            choice = self.choices[0] = Choice(0, self.id, self.origin)
            choice.native = reason
            choice.blocked = True
            message = feedback.get("blockReasonMessage")
            choice.refusal = message if isinstance(message, str) else None

    def counted(self) -> Usage | None:
        """The usage with the searches made."""
        asked = sum(searches(choice.queries, self.model) for choice in self.choices.values())
        if self.usage is None or not asked:
            return self.usage
        return replace(self.usage, units={"web_search": asked})


def completion(raw: bytes, origin: str) -> Completion:
    """A whole answer. Raises ``ProviderError``."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    answer = _Answer(origin)
    deltas = answer.read(document(raw), raw)
    if not answer.choices:
        raise failed("empty", "the answer has no candidates", status=200)
    choices = []
    said = {choice.index: delta for choice, delta in deltas}
    for index, choice in sorted(answer.choices.items()):
        finish = choice.finish()  # raises what is no answer
        message: Json = {"role": "assistant", "content": None, "refusal": choice.refusal}
        message.update(said.get(index, {}))
        for call in message.get("tool_calls", ()):
            del call["index"]
        annotations = choice.annotations()
        if annotations:
            message["annotations"] = annotations
        one: Json = {"index": index, "message": message, "finish_reason": finish, "native_finish_reason": choice.native}
        logprobs = choice.logprobs
        one["logprobs"] = {"content": logprobs, "refusal": None} if logprobs else None
        choices.append(one)
    body = {"id": answer.id, "object": "chat.completion", "created": 0, "model": answer.model, "choices": choices}
    return Completion(body, answer.counted())


class Decoder(SseDecoder):
    """One stream: bytes to events. See ``base.Decoder``."""

    __slots__ = ("_answer",)

    documents: ClassVar[tuple[bytes, ...]] = (b"{", b"[")

    def __init__(self, origin: str) -> None:
        super().__init__()
        self._answer = _Answer(origin)

    def _mark(self) -> None:
        """Google sends no end mark, some proxies do: the end is the body's."""

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
            if not choice.began:
                choice.began = True
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
            finish = choice.finish()
            first = first or finish
            delta: Json = {} if choice.refusal is None else {"refusal": choice.refusal}
            annotations = choice.annotations()
            if annotations:
                delta["annotations"] = annotations
            if not choice.began:
                delta["role"] = "assistant"
            native = choice.native
            choices.append({"index": index, "delta": delta, "finish_reason": finish, "native_finish_reason": native})
        shown = any(choice.refusal for choice in answer.choices.values())
        return Event(self._chunk(choices), shown, first, answer.counted())
