"""Streams of the OpenAI dialect. Pure.

Sources of the quirks, each read 2026-11: Azure's first chunk has no choices. Groq puts the usage of a stream under ``x_groq``,
Moonshot into the last choice.
"""

from __future__ import annotations

from typing import Any

from providers.errors import ProviderError, failed
from providers.openai.errors import vendor_error
from providers.openai.response import read_choice
from providers.transport.sse import SseDecoder, decode
from providers.types import Event, Json, Usage
from providers.usage import later, normalise


class Decoder(SseDecoder):
    """Decodes one stream. See ``base.Decoder``."""

    __slots__ = ("_open", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._usage: Usage | None = None
        self._open: set[int] = set()
        """Indices of choices that have begun and have no finish reason yet."""

    def _complete(self) -> bool:
        return self._finished and not self._open

    def _document(self, raw: bytes) -> ProviderError | None:
        return vendor_error(decode(raw), event="error")

    def _event(self, name: str, data: bytes) -> Event | None:
        chunk: Any = decode(data)
        if name == "error" or "error" in chunk or "choices" not in chunk:
            error = vendor_error(chunk, event=name)
            if error is not None:
                raise error
        usage = self._count(chunk) if b"usage" in data or b"\\u" in data else None  # a key may be written in escapes
        choices = chunk.get("choices")
        if choices is None:
            if usage is None:
                return None  # a ping
            choices = chunk["choices"] = []
        elif not isinstance(choices, list):
            raise failed("malformed", "choices is not a list")
        self._seen = True
        chunk["object"] = "chat.completion.chunk"  # Azure's first chunk leaves it empty
        has_content, finish = False, None
        for position, choice in enumerate(choices):
            choice_has_content, choice_finish = read_choice(choice, position, "delta")
            has_content = has_content or choice_has_content
            if choice_finish is not None:
                finish = finish or choice_finish
                self._finished = True
                self._open.discard(choice["index"])
            elif choice_has_content:
                self._open.add(choice["index"])
        return Event(chunk, has_content, finish, usage)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        if raw is None:
            chunk.pop("usage", None)
            if "x_groq" in chunk and isinstance(chunk["x_groq"], dict):
                raw = chunk["x_groq"].get("usage")
            choices = chunk.get("choices")
            if raw is None and isinstance(choices, list) and choices and isinstance(choices[0], dict):
                raw = choices[0].pop("usage", None)  # Moonshot: in the last choice
        if not isinstance(raw, dict):
            chunk.pop("usage", None)
            return None
        self._usage = later(self._usage, normalise(raw))
        return self._usage
