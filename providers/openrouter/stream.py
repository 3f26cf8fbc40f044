"""OpenRouter's streams: OpenAI's, with its errors and the cost. Keep-alive comments are not events. Pure."""

from __future__ import annotations

from providers.openai import stream
from providers.openrouter.errors import raise_error
from providers.openrouter.response import with_cost
from providers.types import Event, Json, Usage


class Decoder(stream.Decoder):
    """Decodes one stream. See ``base.Decoder``."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        raise_error(data)
        return super()._event(name, data)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        usage = super()._count(chunk)
        if usage is not None and isinstance(raw, dict):
            usage = self._usage = with_cost(raw, usage)
        return usage
