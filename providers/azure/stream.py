"""Azure's streams: OpenAI's, in which every chunk may carry what the content filters found. Pure.

Whole answers keep the filters' results. A stream keeps only those that say that something was filtered or detected
(learn.microsoft.com/azure/ai-foundry/openai/concepts/content-streaming, 2026-11: with asynchronous filters, results come behind the
text, some even behind the finish reason).
"""

from __future__ import annotations

from typing import Any

from providers.openai import stream
from providers.types import Event, Json

_FILTER_RESULTS = ("content_filter_results", "content_filter_result", "content_filter_offsets", "prompt_filter_results")
_DEPTH_MAX = 6
"""Filter results are nested less deeply than this."""


class Decoder(stream.Decoder):
    """OpenAI's decoder, without the results of filters that let the text pass."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        event = super()._event(name, data)
        if event is not None:
            _remove_results(event.chunk)
        return event


def _remove_results(chunk: Any) -> None:
    """Remove results that found nothing, and choices that held nothing else."""
    _remove_unfiltered(chunk)
    choices = []
    for choice in chunk["choices"]:
        had_results = any(name in choice for name in _FILTER_RESULTS)
        _remove_unfiltered(choice)
        empty = choice["finish_reason"] is None and not any(choice["delta"].values()) and not choice.get("logprobs")
        keeps_results = any(name in choice for name in _FILTER_RESULTS)
        if keeps_results or not (had_results and empty):
            choices.append(choice)
    chunk["choices"] = choices


def _remove_unfiltered(owner: Json) -> None:
    for name in _FILTER_RESULTS:
        if name in owner and not _filtered(owner[name]):
            del owner[name]


def _filtered(results: Any, depth: int = 0) -> bool:
    """Whether any of the nested results says that something was filtered or detected."""
    if depth > _DEPTH_MAX:
        return False
    if isinstance(results, list):
        return any(_filtered(one, depth + 1) for one in results)
    if not isinstance(results, dict):
        return False
    return any(
        value is True if name in ("filtered", "detected") else _filtered(value, depth + 1)
        for name, value in results.items()
    )
