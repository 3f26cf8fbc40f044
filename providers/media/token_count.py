"""How many tokens vendors make of sound, films and files in a chat: the least, a likely and the most. Pure; bounded work.

Vendors count seconds and pages, not bytes; what they say (2026-11):

- Sound: Gemini 32 tokens a second (ai.google.dev/gemini-api/docs/tokens); OpenAI 10 (developers.openai.com/api/docs/guides/
  realtime-costs: one for 100 ms); Voxtral 12.5, in blocks of 30 seconds (scaleway.com/en/docs/generative-apis/faq).
- Films: Gemini 258 tokens a picture at one a second, 66 at low resolution, and the sound (the same page of Gemini).
- PDF: Gemini 258 tokens a page up to 2.5, 560 from 3 on; Claude 1,500 to 3,000 of text a page beside its picture
  (platform.claude.com/docs/en/build-with-claude/pdf-support), measured 1,600 (scan) to 2,481 (table) in all
  (huggingface.co/datasets/JOHNISKING/pdf-token-cost, 2026-10). OpenAI takes text and a picture of each page.
- Other documents: their text.

A file that is not in the request (a URL, a vendor's file id) is assumed to be a document of ``UNKNOWN_PAGES``.

The most is what no file can exceed, however it was made: whoever writes a file also writes what it says of itself, a page of a PDF
may be shown a thousand times, and an hour of silence fits into a few bytes of FLAC. So only what can be counted has a most: PCM,
MP3, and text by its bytes. Everything else is ``UNBOUNDED``, and held at what fits into the model's context. It must not know:
prices, credit, which vendor will count.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Any, NamedTuple

from providers.media import audio_duration, pdf_pages
from providers.media.base64_text import without_blanks
from providers.media.picture_size import HEAD, JPEG_HEAD, Size, read
from providers.media.picture_tokens import UNKNOWN, anywhere
from providers.types import ContentPart

AUDIO_PER_S = (10, 17, 32)
AUDIO_BLOCK = 400
"""Least that a vendor may count for any recording, however short: 30 seconds of Voxtral."""
VIDEO_PER_S = (66, 295)
PAGE = (258, 1_500)
IMAGE = (85, 1_600)
"""A picture that is sent as a file (OpenAI at low detail; Anthropic: about 1,600; 2026-11)."""
UNKNOWN_PAGES = 20
UNKNOWN_VIDEO_S = 60
TEXT_BYTES_PER_TOKEN = (6, 4)
UNBOUNDED = 10**9
"""More than any context holds."""
FILE_OVERHEAD = 256
"""Tokens around a file: its name, and what a vendor says of it to the model."""
SAMPLE = 128 * 1024
"""Bytes from the beginning and from the end of a file that are looked at."""
SAMPLED_MAX = 1024 * 1024
"""Bytes that are looked at in one request: about ten milliseconds. Files behind them are estimated from their size."""
LINE = 1_024
"""Base64 with line ends has one within so many characters (MIME: 76, PEM: 64)."""
_TEXT_TYPES = (
    "text/",
    "application/json",
    "application/xml",
    "application/csv",
    "application/x-yaml",
    "application/yaml",
)


class Tokens(NamedTuple):
    """Counts of one or more files."""

    least: int
    """What any vendor would count at least: only this may rule out an endpoint whose context is too small."""
    likely: int
    most: int
    """For the hold."""


def of(parts: Iterable[ContentPart]) -> Tokens:
    """The tokens of content parts that are neither text nor pictures."""
    least = likely = most = 0
    left = SAMPLED_MAX
    for part in parts:
        sample = _sample(part, left if part.get("type") == "input_audio" else min(left, 2 * SAMPLE))
        left -= len(sample.data)
        one = _count(sample)
        least, likely, most = least + one.least, likely + one.likely, most + one.most
    return Tokens(least, likely, most)


def picture(url: object) -> Size:
    """The size of the picture in a data URL; ``picture_tokens.UNKNOWN`` where it is not in the request or does not show it."""
    if not isinstance(url, str) or url[:5].lower() != "data:":
        return UNKNOWN
    begin = url.find(";base64,", 0, LINE) + len(";base64,")
    if begin < len(";base64,"):
        return UNKNOWN
    head, _ = _decoded(url[begin : begin + 2 * HEAD], HEAD)
    if head[:2] == b"\xff\xd8":
        head, _ = _decoded(url[begin : begin + JPEG_HEAD], JPEG_HEAD)
    return read(head) or UNKNOWN


class _Sample(NamedTuple):
    """A file of a request, as much of it as is looked at."""

    kind: str
    """``audio``, ``video``, ``image``, or else a document."""
    media_type: str
    """As declared; of sound the format."""
    data: bytes
    length: int | None
    """Bytes of the whole; None: it is not in the request."""


def _sample(part: Any, most: int) -> _Sample:
    type_ = part.get("type")
    inner = part.get(type_)
    if type_ == "input_audio" and isinstance(inner, dict):
        data, length = _decoded(str(inner.get("data") or ""), most)
        return _Sample("audio", str(inner.get("format") or "").lower(), data, length)
    kind = "video" if type_ in ("video_url", "input_video") else "document"
    address = (inner.get("file_data") or inner.get("url")) if isinstance(inner, dict) else inner
    if not isinstance(address, str):
        return _Sample(kind, "", b"", None)
    media_type, begin = "", 0
    if address[:5].lower() == "data:":
        begin = address.find(",", 0, LINE) + 1
        head = address[:begin].lower()
        media_type = head[5:-1].partition(";")[0].strip()
        if not head.endswith(";base64,"):
            return _Sample(
                kind, media_type, address[begin : begin + most].encode(errors="replace"), len(address) - begin
            )
    elif ":" in address[:16]:
        return _Sample(kind, "", b"", None)
    family = media_type.partition("/")[0]
    return _Sample(
        family if family in ("audio", "video", "image") else kind, media_type, *_decoded(address, most, begin)
    )


def _decoded(text: str, most: int, begin: int = 0) -> tuple[bytes, int]:
    """Beginning and end of what base64 ``text`` holds from ``begin`` on, at most ``most`` bytes, and the length of the whole."""
    if any(blank in text[begin : begin + LINE] for blank in "\n\r\t "):
        text, begin = without_blanks(text, begin), 0
    size = len(text) - begin - text.count("=", -2)
    length, half = size * 3 // 4, most // 6 * 4
    if length <= most:
        text = text[begin : begin + size]
    else:
        end = begin + size // 4 * 4
        text = text[begin : begin + half] + text[end - half : end] if half else ""
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4)), length
    except ValueError:  # a request that is refused for it elsewhere
        return b"", length


def _count(sample: _Sample) -> Tokens:
    if sample.kind == "video":
        length_ms = UNKNOWN_VIDEO_S * 1_000
        if sample.length is not None:
            length_ms = audio_duration.video_ms(sample.data, sample.length)
        least, likely = (-(-length_ms * rate // 1_000) for rate in VIDEO_PER_S)
        return Tokens(least if sample.length is not None else 0, likely, UNBOUNDED)
    if sample.kind == "audio":
        format = sample.media_type.partition("/")[2] or sample.media_type
        length_ms = audio_duration.audio_ms(sample.data, format, sample.length or 0)
        least, likely = (-(-length_ms * rate // 1_000) for rate in AUDIO_PER_S[:2])
        most_ms = audio_duration.audio_ms_most(sample.data, format, sample.length or 0)
        most = UNBOUNDED if most_ms is None else -(-most_ms * AUDIO_PER_S[2] // 1_000) + AUDIO_BLOCK
        return Tokens(least, likely, max(most, likely))
    if sample.kind == "image":
        return Tokens(*IMAGE, anywhere(read(sample.data) or UNKNOWN))
    return _document(sample)


def _document(sample: _Sample) -> Tokens:
    length = sample.length
    if length is None:
        return Tokens(0, UNKNOWN_PAGES * PAGE[1], UNBOUNDED)
    if sample.data[:1024].find(b"%PDF-") >= 0 or sample.media_type == "application/pdf":
        pages = pdf_pages.read(sample.data, length)
        count = pages.likely or min(1 + length // pdf_pages.BYTES_PER_PAGE, UNKNOWN_PAGES)
        return Tokens((pages.seen or 1) * PAGE[0], count * PAGE[1], UNBOUNDED)
    if sample.media_type.startswith(_TEXT_TYPES):
        least, likely = (-(-length // each) for each in TEXT_BYTES_PER_TOKEN)
        return Tokens(least, likely, _text_most(sample.data, length) + FILE_OVERHEAD)
    count = min(1 + length // pdf_pages.BYTES_PER_PAGE, UNKNOWN_PAGES)
    return Tokens(0, count * PAGE[1], UNBOUNDED)


def _text_most(data: bytes, length: int) -> int:
    """A token for each byte of ASCII, three for others: so much may one grow to when it is normalised or converted to UTF-8."""
    if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        return 3 * length
    return len(data) + 2 * len(data.translate(None, _ASCII)) + 3 * (length - len(data))


_ASCII = bytes(range(128))
