"""Pictures from OpenAI-compatible vendors: ``POST /images/generations``, and ``/images/edits`` when the request has references.

``Target.options`` beside those of every operation (see ``operation``):

- ``images_shape``: what the vendor takes for the dimensions. ``size`` (default: ``WIDTHxHEIGHT``, computed from ``resolution``
  and ``aspect_ratio`` where the caller gives those), ``pixels`` (Together: ``width`` and ``height``), ``aspect`` (xAI:
  ``aspect_ratio`` and ``resolution`` themselves).
- ``images_sizes``: the only sizes it knows, e.g. ``[1024x1024, 1536x1024, 1024x1536]``; the one with the nearest
  aspect ratio is taken.
- ``images_response_format``: the value that makes it answer with bytes instead of URLs (``b64_json``; Together: ``base64``).
  OpenAI's present models refuse the field and always send bytes.
- ``images_seed: true``: it takes a ``seed``; OpenAI refuses the field.
- ``images_edits_path``: instead of ``/images/edits``; ``null`` when the vendor takes no references.

Sources: ``openai`` 3.54 (``image_generate_params``, ``image_edit_params``, ``images_response``), docs.x.ai and docs.together.ai
references of image generation; 2026-11.
"""

from __future__ import annotations

import binascii
import re
from typing import Any, ClassVar

import msgspec

from providers.errors import failed
from providers.media import base64_text
from providers.media.kinds import data_url
from providers.openai.errors import malformed
from providers.openai.form import form_fields
from providers.openai.operation import FileOperation
from providers.openai.response import json_object
from providers.transport.multipart import Field, encode
from providers.types import Completion, HttpRequest, Json, Target, Usage
from providers.usage import Counts, normalise

TIERS = {"512": 512, "768": 768, "1k": 1024, "1.5k": 1536, "2k": 2048, "4k": 4096}
"""Resolution → the side of a square of that many pixels."""
STEP = 16
"""Sides are multiples of this (gpt-image-2 demands it)."""
_PIXELS = re.compile(r"(\d{2,5})x(\d{2,5})")
_TRANSLATED_FIELDS = ("input_references", "resolution", "aspect_ratio", "size", "seed")
_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "image/svg+xml"),
)


class Images(FileOperation):
    """References must be data URLs already. An answer has ``data[].b64_json`` and ``media_type``."""

    operation: ClassVar[str] = "images"
    path: ClassVar[str] = "/images/generations"
    inlines_media: ClassVar[bool] = True

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            return super().request(target, body, stream=True)
        sent = {name: value for name, value in body.items() if name not in _TRANSLATED_FIELDS}
        if body.get("seed") is not None and target.options.get("images_seed"):
            sent["seed"] = body["seed"]
        sent |= dimensions(body, target.options)
        if response_format := target.options.get("images_response_format"):
            sent["response_format"] = response_format
        references = body.get("input_references")
        if not references:
            return super().request(target, sent, stream=False)
        path = target.options.get("images_edits_path", "/images/edits")
        if path is None:
            raise failed("unsupported", "input_references: this provider makes pictures from text only")
        files = [_file(index, one) for index, one in enumerate(references)]
        content, kind = encode([*files, *form_fields(self._vendor_body(target, sent))])
        return self._post(
            msgspec.structs.replace(target, options={**target.options, "images_path": path}), path, content, kind
        )

    def completion(self, raw: bytes) -> Completion:
        body = json_object(raw)
        rows = body.get("data")
        if not isinstance(rows, list):
            raise malformed("the answer has no data", raw)
        pictures = [picture for picture in (_picture(row, body) for row in rows) if picture is not None]
        if not pictures:
            if any(isinstance(row, dict) and isinstance(row.get("url"), str) for row in rows):
                raise failed(
                    "malformed", "the vendor sent URLs instead of pictures; set images_response_format", status=200
                )
            raise failed("empty", "the answer has no picture", status=200)
        answer: Json = {"created": body.get("created"), "data": pictures}
        for name in ("background", "output_format", "quality", "size"):
            if isinstance(body.get(name), str):
                answer[name] = body[name]
        return Completion(answer, _usage(body.get("usage"), len(pictures)))


def dimensions(body: Json, options: Any) -> Json:
    """The vendor's fields for the picture's size and aspect ratio. Raises ``ProviderError`` (unsupported)."""
    style = options.get("images_shape", "size")
    size, ratio = body.get("size"), body.get("aspect_ratio")
    tier = body.get("resolution")
    if isinstance(size, str) and size.lower() in TIERS:  # by the contract, a tier as size is a resolution
        size, tier = None, size
    if ratio == "auto":
        ratio = None
    if style == "aspect":
        found: Json = {"aspect_ratio": ratio or _ratio_of(size), "resolution": tier.lower() if tier else None}
        return {name: value for name, value in found.items() if value is not None}
    if size is None and (ratio is not None or tier is not None):
        size = _pixels(str(ratio or "1:1"), TIERS.get(str(tier or "1k").lower(), 1024))
    if size is None or size == "auto":
        return {} if size is None or style == "pixels" else {"size": size}
    if known := options.get("images_sizes"):
        size = _nearest(str(size), known)
    if style == "pixels":
        match = _PIXELS.fullmatch(str(size))
        if match is None:
            raise failed("unsupported", f"size: {size} is not WIDTHxHEIGHT")
        return {"width": int(match[1]), "height": int(match[2])}
    return {"size": size}


def _pixels(ratio: str, side: int) -> str:
    """``WIDTHxHEIGHT`` of that ratio and of about ``side``² pixels, in multiples of ``STEP``."""
    wide, _, high = ratio.partition(":")
    try:
        proportion = float(wide) / float(high)
    except (ValueError, ZeroDivisionError):
        raise failed("unsupported", f"aspect_ratio: {ratio} is not W:H") from None
    if not 0.05 <= proportion <= 20:
        raise failed("unsupported", f"aspect_ratio: {ratio} is outside this provider's range")
    width, height = side * proportion**0.5, side / proportion**0.5
    return f"{max(STEP, round(width / STEP) * STEP)}x{max(STEP, round(height / STEP) * STEP)}"


def _proportion(size: Any) -> float | None:
    match = _PIXELS.fullmatch(size) if isinstance(size, str) else None
    return int(match[1]) / int(match[2]) if match and int(match[2]) else None


def _ratio_of(size: Any) -> str | None:
    """``1792x1024`` → the nearest of the usual ratios."""
    proportion = _proportion(size)
    if proportion is None:
        return None
    usual = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2")
    return min(usual, key=lambda one: abs(int(one.split(":")[0]) / int(one.split(":")[1]) - proportion))


def _nearest(size: str, known: Any) -> str:
    proportion = _proportion(size)
    if size in known or proportion is None:
        return size
    return min((str(one) for one in known), key=lambda one: abs((_proportion(one) or 1e9) - proportion))


def _file(index: int, reference: Any) -> Field:
    """A reference picture as a file of the form."""
    url = (reference.get("image_url") or {}).get("url") if isinstance(reference, dict) else None
    head = data_url(url) if isinstance(url, str) else None
    if not isinstance(url, str) or head is None or not head.is_base64:
        raise failed(
            "unsupported", f"input_references[{index}].image_url.url: this provider takes pictures as bytes only"
        )
    kind = head.media_type or "image/png"
    try:
        content = base64_text.decoded(base64_text.without_blanks(url, head.begin))
    except ValueError:
        raise failed("unsupported", f"input_references[{index}].image_url.url is not base64") from None
    extension = kind.partition("/")[2].partition("+")[0]
    return Field("image[]", content, f"reference-{index}.{extension}", kind)


def _picture(row: Any, body: Json) -> Json | None:
    """The picture of a row, or None for a row without one."""
    if not isinstance(row, dict):
        return None
    text, kind = row.get("b64_json") or row.get("url"), row.get("media_type")
    if not isinstance(text, str):
        return None
    head = data_url(text)
    if head is not None and head.is_base64:
        text, kind = text[head.begin :], head.media_type or kind
    elif row.get("b64_json") is None:
        return None
    try:
        content = binascii.a2b_base64(text)
    except ValueError:
        return None
    if not content:
        return None
    picture: Json = {"b64_json": text}
    sniffed = next((name for magic, name in _MAGIC if content.lstrip().startswith(magic)), None)
    declared = body.get("output_format")
    kind = sniffed or (kind if isinstance(kind, str) else None) or (f"image/{declared}" if declared else None)
    if kind is not None:
        picture["media_type"] = kind
    if isinstance(row.get("revised_prompt"), str):
        picture["revised_prompt"] = row["revised_prompt"]
    return picture


def _usage(raw: Any, pictures: int) -> Usage:
    """The number of pictures, and for gpt-image models the tokens of prompt and answer, text and pictures apart."""
    units = {"image_output": pictures}
    if not isinstance(raw, dict):
        return Usage(units=units)
    counts = Counts()
    input_details, output_details = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    if not isinstance(input_details, dict):
        input_details = raw.get("prompt_tokens_details")
    if not isinstance(output_details, dict):
        output_details = raw.get("completion_tokens_details")
    prompt = counts.take(raw, "input_tokens", "prompt_tokens")
    completion = counts.take(raw, "output_tokens", "completion_tokens")
    image_prompt = min(counts.take(input_details, "image_tokens"), prompt)
    text = min(counts.take(output_details, "text_tokens"), completion)
    reasoning = min(counts.take(output_details, "reasoning_tokens"), completion - text)
    return Usage(
        prompt=prompt - image_prompt,
        image_prompt=image_prompt,
        completion=text,
        reasoning=reasoning,
        image_completion=completion - text - reasoning,
        units=units,
        cost_usd=normalise(raw).cost_usd,
        suspect=counts.suspect,
    )
