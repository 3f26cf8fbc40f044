"""How large a request other than chat is, before it is sent: tokens, estimated without a tokenizer, and other units of prices.

Pure. The constants for text are chat's (``gateway/pricing.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import pricing
from gateway.api.inference.operations_schema import audio_bytes
from providers.media.audio_duration import audio_ms

DOCUMENTS_PER_SEARCH_UNIT = 100
TOKENS_PER_DOCUMENT = 500
"""Cohere: a search unit is one query with up to 100 documents; a document of more than 500 tokens, the query included, counts as
several (docs.cohere.com/docs/how-does-cohere-pricing-work, 2026-11)."""
AUDIO_TOKENS_PER_MINUTE = 1_000
"""OpenAI's transcription models: $6 a million audio tokens is sold as "about $0.006 a minute" (2026-11)."""

Json = dict[str, Any]


def measure(operation: str, body: Json) -> pricing.Prompt:
    """The size of an inner request. Raises BadRequest for audio that is not base64."""
    return _MEASURES[operation](body)


def _embeddings(body: Json) -> pricing.Prompt:
    inputs = body["input"]
    if not isinstance(inputs, list) or isinstance(inputs[0], int):
        inputs = [inputs]
    tokens = bound = images = 0
    modalities: set[str] = set()
    for one in inputs:
        if isinstance(one, str):
            size = _size(one)
            tokens += -(-size // pricing.BYTES_PER_TOKEN)
            bound += -(-size // pricing.BOUND_BYTES_PER_TOKEN) + pricing.BOUND_MESSAGE_OVERHEAD
        elif isinstance(one, list):
            tokens += len(one)
            bound += len(one)
        else:
            parts = pricing.measure({"messages": [one]})
            tokens, bound, images = tokens + parts.tokens, bound + parts.tokens_bound, images + parts.images
            modalities |= parts.modalities if _has_text(one) else parts.modalities - {"text"}
            continue
        modalities.add("text")
    return _prompt(tokens, bound, images, frozenset(modalities) if modalities != {"text"} else pricing.TEXT_ONLY)


def _has_text(one: Json) -> bool:
    return any(part.get("type") == "text" for part in one["content"])


def _rerank(body: Json) -> pricing.Prompt:
    """Vendors that bill tokens count the query once for each document (Voyage, Jina, 2026-11)."""
    query = -(-_size(body["query"]) // pricing.BYTES_PER_TOKEN)
    tokens = chunks = images = 0
    for document in body["documents"]:
        text = document if isinstance(document, str) else document.get("text") or ""
        if not isinstance(document, str) and document.get("image") is not None:
            images += 1
        document_tokens = -(-_size(text) // pricing.BYTES_PER_TOKEN) + query
        tokens += document_tokens
        chunks += max(1, -(-document_tokens // TOKENS_PER_DOCUMENT))
    factor = pricing.BYTES_PER_TOKEN // pricing.BOUND_BYTES_PER_TOKEN
    media = images * pricing.IMAGE_TOKENS
    return _prompt(
        tokens + media,
        factor * (tokens + media) + pricing.BOUND_MESSAGE_OVERHEAD * len(body["documents"]),
        images,
        pricing.TEXT_ONLY | {"image"} if images else pricing.TEXT_ONLY,
        search_unit=-(-chunks // DOCUMENTS_PER_SEARCH_UNIT),
    )


def _images(body: Json) -> pricing.Prompt:
    images = len(body.get("input_references") or ())
    size, media = _size(body["prompt"]), images * pricing.IMAGE_TOKENS
    return _prompt(
        -(-size // pricing.BYTES_PER_TOKEN) + media,
        -(-size // pricing.BOUND_BYTES_PER_TOKEN) + pricing.BOUND_MESSAGE_OVERHEAD + 2 * media,
        images,
        pricing.TEXT_ONLY | {"image"} if images else pricing.TEXT_ONLY,
        image_output=body.get("n") or 1,
    )


def _speech(body: Json) -> pricing.Prompt:
    text = body["input"]
    if not isinstance(text, str):
        text = "\n".join(turn["text"] for turn in text)
    size = _size(text) + _size(body.get("instructions") or "")
    return _prompt(
        -(-size // pricing.BYTES_PER_TOKEN),
        -(-size // pricing.BOUND_BYTES_PER_TOKEN) + pricing.BOUND_MESSAGE_OVERHEAD,
        0,
        pricing.TEXT_ONLY,
        character=len(text),
    )


def _transcription(body: Json) -> pricing.Prompt:
    audio = body["input_audio"]
    length_ms = audio_ms(audio_bytes(audio["data"]), audio["format"].lower())
    audio_tokens = -(-length_ms * AUDIO_TOKENS_PER_MINUTE // 60_000)
    size = _size(body.get("prompt") or "")
    return _prompt(
        -(-size // pricing.BYTES_PER_TOKEN) + audio_tokens,
        -(-size // pricing.BOUND_BYTES_PER_TOKEN) + pricing.BOUND_MESSAGE_OVERHEAD + 2 * audio_tokens,
        0,
        frozenset({"audio"}),
        audio_ms=length_ms,
    )


def _prompt(tokens: int, bound: int, images: int, modalities: frozenset[str], **units: int) -> pricing.Prompt:
    return pricing.Prompt(
        tokens=tokens,
        tokens_least=tokens,
        tokens_bound=bound,
        images=images,
        modalities=modalities,
        units=units or None,
    )


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


_MEASURES: dict[str, Callable[[Json], pricing.Prompt]] = {
    "embeddings": _embeddings,
    "rerank": _rerank,
    "images": _images,
    "speech": _speech,
    "transcription": _transcription,
}
