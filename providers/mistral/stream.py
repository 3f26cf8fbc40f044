"""Mistral's streams: OpenAI's, in which events with more than a text are rewritten first. Pure."""

from __future__ import annotations

from typing import Final

from providers.mistral.response import as_openai, with_own_counts
from providers.openai import stream
from providers.types import Event, Json, Usage

_MARKS: Final = (b'"type"', b'"tool_calls"', b'"raw_status_code"', b'"logprob"')
"""An event with more than a text contains one of these; most events contain none."""


class Decoder(stream.Decoder):
    """Decodes one stream. See ``base.Decoder``."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        if any(mark in data for mark in _MARKS):
            data = as_openai(data)
        return super()._event(name, data)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        usage = super()._count(chunk)
        if usage is not None and isinstance(raw, dict):
            usage = self._usage = with_own_counts(raw, usage)
        return usage
