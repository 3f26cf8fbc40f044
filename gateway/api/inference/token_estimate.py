"""How large a request other than chat is, before it is sent: tokens, estimated without a tokenizer, and other units of prices.

Pure. The constants for text are chat's (``gateway/prompt_size.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from gateway import prompt_size
from gateway.api.inference.operations_schema import audio_bytes
from gateway.prompt_size import (
    BOUND_MESSAGE_OVERHEAD,
    BYTES_PER_TOKEN,
    IMAGE_TOKENS,
    TEXT_ONLY,
    Prompt,
    text_bound,
    utf8_bytes,
)
from providers.media import token_count
from providers.media.audio_duration import audio_ms, audio_ms_most, size_ms
from providers.media.picture_size import Size

DOCUMENTS_PER_SEARCH_UNIT = 100
TOKENS_PER_DOCUMENT = 500
"""Cohere: a search unit is one query with up to 100 documents; a document of more than 500 tokens, the query included, counts as
several (docs.cohere.com/docs/how-does-cohere-pricing-work, 2026-11)."""
AUDIO_TOKENS_PER_MINUTE = 1_000
"""OpenAI's transcription models: $6 a million audio tokens is sold as "about $0.006 a minute" (2026-11)."""
FAITHFUL_IMAGE_TOKENS = 6_240
"""What ``input_fidelity: high`` adds for a picture at OpenAI (developers.openai.com/api/docs/guides/image-generation, 2026-11)."""

Json = dict[str, Any]


def measure(operation: str, body: Json) -> Prompt:
    """The size of an inner request. Raises BadRequest for audio that is not base64."""
    return _MEASURES[operation](body)


def _embeddings(body: Json) -> Prompt:
    inputs = body["input"]
    if not isinstance(inputs, list) or isinstance(inputs[0], int):
        inputs = [inputs]
    tokens = bound = 0
    modalities: set[str] = set()
    pictures: list[Size] = []
    texts: list[str] = []
    for one in inputs:
        if isinstance(one, str):
            size = utf8_bytes(one)
            tokens += -(-size // BYTES_PER_TOKEN)
            bound += BOUND_MESSAGE_OVERHEAD
            texts.append(one)
        elif isinstance(one, list):
            tokens += len(one)
            bound += len(one)
        else:
            parts = prompt_size.measure({"messages": [{"content": one["content"]}]})
            tokens, bound = tokens + parts.tokens, bound + parts.plain_bound
            pictures += parts.pictures
            modalities |= parts.modalities if _has_text(one) else parts.modalities - {"text"}
            continue
        modalities.add("text")
    bound += text_bound(*texts)
    return _prompt(tokens, bound, pictures, frozenset(modalities) if modalities != {"text"} else TEXT_ONLY)


def _has_text(one: Json) -> bool:
    return any(part.get("type") == "text" for part in one["content"])


def _rerank(body: Json) -> Prompt:
    """Vendors that bill tokens count the query once for each document (Voyage, Jina, 2026-11)."""
    query = -(-utf8_bytes(body["query"]) // BYTES_PER_TOKEN)
    tokens = chunks = 0
    pictures: list[Size] = []
    texts: list[str] = []
    for document in body["documents"]:
        text = document if isinstance(document, str) else document.get("text") or ""
        if not isinstance(document, str) and document.get("image") is not None:
            pictures.append(token_count.picture(document["image"]))
        texts.append(text)
        document_tokens = -(-utf8_bytes(text) // BYTES_PER_TOKEN) + query
        tokens += document_tokens
        chunks += max(1, -(-document_tokens // TOKENS_PER_DOCUMENT))
    return _prompt(
        tokens + len(pictures) * IMAGE_TOKENS,
        text_bound(*texts) + len(texts) * (text_bound(body["query"]) + BOUND_MESSAGE_OVERHEAD),
        pictures,
        TEXT_ONLY | {"image"} if pictures else TEXT_ONLY,
        search_unit=-(-chunks // DOCUMENTS_PER_SEARCH_UNIT),
    )


def _images(body: Json) -> Prompt:
    pictures = [token_count.picture(_url(part)) for part in body.get("input_references") or ()]
    return _prompt(
        -(-utf8_bytes(body["prompt"]) // BYTES_PER_TOKEN) + len(pictures) * IMAGE_TOKENS,
        text_bound(body["prompt"]) + BOUND_MESSAGE_OVERHEAD + len(pictures) * FAITHFUL_IMAGE_TOKENS,
        pictures,
        TEXT_ONLY | {"image"} if pictures else TEXT_ONLY,
        image_output=body.get("n") or 1,
    )


def _speech(body: Json) -> Prompt:
    text = body["input"]
    if not isinstance(text, str):
        text = "\n".join(turn["text"] for turn in text)
    instructions = body.get("instructions") or ""
    return _prompt(
        -(-(utf8_bytes(text) + utf8_bytes(instructions)) // BYTES_PER_TOKEN),
        text_bound(text, instructions) + BOUND_MESSAGE_OVERHEAD,
        (),
        TEXT_ONLY,
        character=len(text),
    )


def _transcription(body: Json) -> Prompt:
    audio = body["input_audio"]
    data, format = audio_bytes(audio["data"]), audio["format"].lower()
    length_ms, most_ms = audio_ms(data, format), audio_ms_most(data, format, len(data))
    if most_ms is None:
        most_ms = size_ms(len(data))
    most_ms = max(length_ms, most_ms)
    hint = body.get("prompt") or ""
    prompt = _prompt(
        -(-utf8_bytes(hint) // BYTES_PER_TOKEN) + _audio_tokens(length_ms),
        text_bound(hint) + BOUND_MESSAGE_OVERHEAD + 2 * _audio_tokens(most_ms),
        (),
        frozenset({"audio"}),
        audio_ms=length_ms,
    )
    return structs.replace(prompt, units_most={"audio_ms": most_ms})


def _audio_tokens(length_ms: int) -> int:
    return -(-length_ms * AUDIO_TOKENS_PER_MINUTE // 60_000)


def _url(part: Any) -> Any:
    image = part.get("image_url") if isinstance(part, dict) else None
    return image.get("url") if isinstance(image, dict) else image


def _prompt(tokens: int, bound: int, pictures: Sequence[Size], modalities: frozenset[str], **units: int) -> Prompt:
    return Prompt(
        tokens=tokens,
        tokens_least=tokens,
        plain_bound=bound,
        images=len(pictures),
        pictures=tuple(pictures),
        modalities=modalities,
        units=units or None,
    )


_MEASURES: dict[str, Callable[[Json], Prompt]] = {
    "embeddings": _embeddings,
    "rerank": _rerank,
    "images": _images,
    "speech": _speech,
    "transcription": _transcription,
}
