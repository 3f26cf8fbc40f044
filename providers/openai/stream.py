"""Streams of the OpenAI dialect. Pure.

Sources of the quirks, each read 2026-11: Azure's first chunk has no choices. Groq puts the usage of a stream under ``x_groq``,
Moonshot into the last choice.
"""

from __future__ import annotations

from typing import Any

from providers.errors import ProviderError, failed
from providers.openai.errors import reported_usage, vendor_error
from providers.openai.response import read_choice
from providers.openai.tool_calls import ToolCalls
from providers.transport.sse import SseDecoder, decode
from providers.types import Event, Json, Usage
from providers.usage import later, normalise


class _Choice:
    """One choice, while its chunks arrive."""

    __slots__ = ("calls", "number", "open", "said", "text")

    def __init__(self, number: int) -> None:
        self.number = number
        """In the order of the choices, from 0."""
        self.calls = ToolCalls()
        self.open = False
        """It has begun and has no finish reason yet."""
        self.said = False
        """It has had content."""
        self.text = ""
        """What chunks without a delta have said so far."""

    def instead_of_delta(self, choice: Json) -> Json:
        """The delta of a chunk that has none: from ``message``, as some servers send it, or from ``text``, as completions have it.

        Where deltas came before, a message repeats them. Messages that grow from chunk to chunk repeat what was said, too.
        """
        delta, text = choice.pop("message", None), choice.pop("text", None)
        if delta is None:
            return {} if text is None else {"content": text}
        if not isinstance(delta, dict):
            raise failed("malformed", "message is not an object")
        if self.said and not self.text:
            return {}
        said = delta.get("content")
        if isinstance(said, str) and said:
            grown = (
                self.text != ""
                and said.startswith(self.text)
                and (said != self.text or bool(choice.get("finish_reason")))
            )
            delta["content"] = said[len(self.text) :] if grown else said
            self.text = said if grown else self.text + said
        return delta


class Decoder(SseDecoder):
    """Decodes one stream. See ``base.Decoder``."""

    __slots__ = ("_choices", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}
        """By the vendor's index."""

    def _complete(self) -> bool:
        return self._finished and not any(choice.open for choice in self._choices.values())

    def _document(self, raw: bytes) -> ProviderError | None:
        return vendor_error(decode(raw), event="error")

    def _event(self, name: str, data: bytes) -> Event | None:
        chunk: Any = decode(data)
        if name == "error" or "error" in chunk or "choices" not in chunk:
            error = vendor_error(chunk, event=name)
            if error is not None:
                raise error
        choices = chunk.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise failed("malformed", "choices is not a list")
        has_usage = b"usage" in data or b"\\u" in data  # a key may be written in escapes
        if has_usage:
            _lift_usage(chunk)
        has_content, finish = False, None
        for position, choice in enumerate(choices or ()):
            index, state = choice.get("index") if type(choice) is dict else None, None
            if type(index) is int and type(choice.get("delta")) is dict:
                state = self._choices.get(index)
            if state is None:  # the first chunk of a choice, or an unusual one
                state = self._begin(choice, position)
            choice["index"], delta = state.number, choice["delta"]
            if "tool_calls" in delta or "function_call" in delta:
                state.calls.read(delta, data)
            try:
                choice_has_content, choice_finish = read_choice(choice, "delta", state.calls)
            except ProviderError as error:
                raise error.reporting(reported_usage(chunk)) from None
            has_content = has_content or choice_has_content
            if choice_finish is not None:
                finish = finish or choice_finish
                self._finished, state.open = True, False
            elif choice_has_content:
                state.open = state.said = True
        usage = self._count(chunk) if has_usage else None
        if choices is None:
            if usage is None:
                return None  # a ping
            chunk["choices"] = []
        self._seen = True
        chunk["object"] = "chat.completion.chunk"  # Azure's first chunk leaves it empty
        return Event(chunk, has_content, finish, usage)

    def _begin(self, choice: Any, position: int) -> _Choice:
        """The state of a choice, which gets a delta if it has none. Raises ``ProviderError`` (malformed)."""
        if not isinstance(choice, dict):
            raise failed("malformed", "a choice is not an object")
        index = choice.get("index")
        if type(index) is not int:
            if index is not None:
                raise failed("malformed", "a choice's index is not a number")
            index = position
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice(len(self._choices))
        delta = choice.get("delta")
        if delta is None:
            choice["delta"] = state.instead_of_delta(choice)
        elif not isinstance(delta, dict):
            raise failed("malformed", "delta is not an object")
        return state

    def _count(self, chunk: Json) -> Usage | None:
        """The usage that holds from this chunk on; None when the chunk reports none. It is final once every choice has ended."""
        raw = chunk.get("usage")
        if not isinstance(raw, dict):
            chunk.pop("usage", None)
            return None
        self._usage = later(self._usage, normalise(raw, interim=not self._complete()))
        return self._usage


def _lift_usage(chunk: Json) -> None:
    """Put the usage where OpenAI has it, in the chunk itself."""
    if chunk.get("usage") is not None:
        return
    if isinstance(chunk.get("x_groq"), dict):
        chunk["usage"] = chunk["x_groq"].get("usage")
    choices = chunk.get("choices")
    if chunk.get("usage") is None and choices and isinstance(choices[0], dict):
        chunk["usage"] = choices[0].pop("usage", None)  # Moonshot: in the last choice
