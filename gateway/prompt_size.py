"""How large the prompt of a chat request is, before it is sent, and what its checks have to look at. Pure.

A request is walked once, by ``survey``; ``measure`` and the checks go on with what it found. It must not know: prices, endpoints,
the formats of API surfaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from providers.media import token_count
from providers.transport.json_body import json_body

BYTES_PER_TOKEN = 4
"""Estimate for text without a tokenizer: 1 token ≈ 4 bytes of English, OpenAI's rule of thumb."""
BOUND_BYTES_PER_TOKEN = 2
"""Upper bound used for holds: no vocabulary in use averages below two bytes a token on real prompts."""
MESSAGE_OVERHEAD = 4
PRIMER_OVERHEAD = 3
BOUND_MESSAGE_OVERHEAD = 16
IMAGE_TOKENS = 1_600
"""One large image (Anthropic: ~1,600 at most; OpenAI high detail: 765–1,445), 2026-11."""
TEXT_ONLY = frozenset({"text"})
_NO_FILES = token_count.Tokens(0, 0, 0)
_PART_MODALITY = {
    "image_url": "image",
    "input_audio": "audio",
    "file": "file",
    "video_url": "video",
    "input_video": "video",
}


class Prompt(msgspec.Struct, frozen=True):
    """How large a prompt is, measured without a tokenizer."""

    tokens: int
    """Best estimate; what is billed when a vendor reports no usage."""
    tokens_least: int
    """The least that any vendor would count: sound, films and documents at the lowest rate in use."""
    tokens_bound: int
    """Upper bound, for the hold: the vendor's count is almost never larger."""
    images: int
    modalities: frozenset[str]
    units: Mapping[str, int] | None = None
    """Units other than tokens that are known before the call, by price kind: ``character``, ``audio_ms``, ``image_output``,
    ``search_unit``. They are held, and billed when the vendor reports nothing."""


class Survey(msgspec.Struct, frozen=True):
    """What one walk over a request finds."""

    messages: int
    text_bytes: int
    """Of plain contents and of tool calls, as JSON; parts are not in it."""
    parts: Sequence[Sequence[Mapping[str, Any]]]
    """The contents that are lists of parts."""
    has_media: bool
    """Some message holds parts or images."""
    paired: bool
    """Each call is known to have its result right behind it, and each result its call. False: whether that is so has to be
    looked at more closely."""
    tools: bytes
    """The tools as JSON; empty without tools."""


def survey(body: Mapping[str, Any]) -> Survey:
    """Walk a request in the OpenAI chat format.

    An agent's turn has hundreds of messages, nearly all of them plain texts, calls and results in order: those cost a quarter of a
    microsecond each, and everything else is left to those who need it.
    """
    messages: Sequence[Mapping[str, Any]] = body.get("messages") or ()
    text_bytes, pictures, paired = 0, False, True
    parts: list[Any] = []
    turns: list[Any] = []
    waiting: set[Any] = set()
    """Ids of the calls of the last turn that have no result yet."""
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            text_bytes += len(content) if content.isascii() else len(content.encode())
        elif content:
            parts.append(content)
        if message.get("role") == "tool":
            id = message.get("tool_call_id")
            if id in waiting:
                waiting.remove(id)
            else:
                paired = False
            continue
        if waiting:
            paired = False
        if len(message) > 2:
            calls = message.get("tool_calls")
            if calls:
                turns += calls
                text_bytes += 1
                waiting = {call.get("id") for call in calls}
                if len(waiting) < len(calls) or None in waiting or "" in waiting:
                    paired = False
            if "images" in message:
                pictures = True
    if turns:  # the calls of each message are a list of their own
        text_bytes += len(json_body(turns)) - 1
    tools = body.get("tools")
    return Survey(
        messages=len(messages),
        text_bytes=text_bytes,
        parts=parts,
        has_media=pictures or bool(parts),
        paired=paired and not waiting,
        tools=json_body(tools) if tools else b"",
    )


def measure(body: Mapping[str, Any], found: Survey | None = None) -> Prompt:
    """Measure the prompt of a request in the OpenAI chat format. ``found``: its survey, if there is one."""
    if found is None:
        found = survey(body)
    text_bytes, images, modalities = found.text_bytes + len(found.tools), 0, TEXT_ONLY
    files: list[Any] = []
    for part in chain.from_iterable(found.parts):
        kind = part.get("type")
        if kind == "text":
            text_bytes += utf8_bytes(part.get("text") or "")
            continue
        modalities = modalities | {_PART_MODALITY.get(kind, "file")}  # type: ignore[arg-type]
        if kind == "image_url" and not _is_pdf(part):
            images += 1
        else:
            files.append(part)
    for extra in ("response_format", "prompt"):
        value = body.get(extra)
        if value:
            text_bytes += len(json_body(value))
    media = token_count.of(files) if files else _NO_FILES
    text = -(-text_bytes // BYTES_PER_TOKEN) + MESSAGE_OVERHEAD * found.messages + PRIMER_OVERHEAD
    bound = -(-text_bytes // BOUND_BYTES_PER_TOKEN) + BOUND_MESSAGE_OVERHEAD * (found.messages + 1)
    pictures = images * IMAGE_TOKENS
    return Prompt(
        tokens=text + pictures + media.likely,
        tokens_least=text + pictures + media.least,
        tokens_bound=bound + 2 * pictures + media.most,
        images=images,
        modalities=modalities,
    )


def _is_pdf(part: Mapping[str, Any]) -> bool:
    """Whether a picture is a document: some clients send PDFs as ``image_url``, which Gemini accepts."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url[:20].lower() == "data:application/pdf"


def utf8_bytes(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
