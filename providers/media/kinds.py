"""Media types of images, videos and files, recognised by their first bytes. Pure."""

from __future__ import annotations

import re
import string
from typing import NamedTuple

from providers.media.base64_text import PIECE, without_blanks

MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"FLV\x01", "video/x-flv"),
)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    b"qt  ": "video/quicktime",
}
_RIFF = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}
_GENERIC = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-download", "application/download"}
)
"""Media types that servers give to any file."""
_ACCEPTED = {"image_url": ("image/", "application/pdf"), "video_url": ("video/",), "input_video": ("video/",)}
"""Part type → the media types it takes. Some clients send PDFs as ``image_url``, which Gemini accepts."""
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
DATA_HEAD_MAX = 1_024
"""Characters of a data URL before its data: a media type and its parameters."""
_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()


class DataUrlError(NamedTuple):
    """Why a data URL is refused."""

    error_type: str
    why: str
    """To follow the name of the field, e.g. ``is empty``."""


class DataUrl(NamedTuple):
    """The parts of a data URL (RFC 2397) before its data."""

    media_type: str
    """Lower case; empty where it names none."""
    is_base64: bool
    begin: int
    """Where its data begin."""


def data_url(url: str) -> DataUrl | None:
    """None for what is no data URL. Its data are not looked at, so it costs the same for any size."""
    head, comma, _ = url[:DATA_HEAD_MAX].partition(",")
    if not comma or head[:5].lower() != "data:":
        return None
    media_type, *parameters = head[5:].split(";")
    encoded = bool(parameters) and parameters[-1].strip().lower() == "base64"
    return DataUrl(media_type.strip().lower(), encoded, len(head) + 1)


def sniff(content: bytes) -> str | None:
    """The media type that the first bytes show, or None."""
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "video/mp4")
    return next((kind for start, kind in MAGIC if content.startswith(start)), None)


def media_type_of(part: str, declared: str, content: bytes) -> str | None:
    """The media type of something fetched for a part of this type, whose server ``declared`` a type. None when it cannot be
    that: an error page in place of an image, a program named as an image. A file may be anything, except that what was declared
    an image, video or PDF must be one."""
    sniffed = sniff(content)
    if not content:
        return None
    accepted = _ACCEPTED.get(part)
    if accepted is not None:
        return sniffed if sniffed is not None and sniffed.startswith(accepted) else None
    if sniffed is not None:
        return sniffed
    if declared.startswith(("image/", "video/")) or declared == "application/pdf":
        return None
    return declared if _MEDIA_TYPE.fullmatch(declared) and declared not in _GENERIC else "application/octet-stream"


def data_url_error(part: str, url: str) -> DataUrlError | None:
    """What is wrong with a data URL for a part of this type; None for a valid one."""
    head, accepted = data_url(url), _ACCEPTED.get(part)
    if head is None:
        return DataUrlError("invalid_image", "is not a data URL: it must be data:<media type>;base64,<data>")
    media_type = head.media_type
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        return DataUrlError("unsupported_image_format", f"has an invalid media type: {media_type[:60]!r}")
    if accepted is not None and media_type not in _GENERIC and not media_type.startswith(accepted):
        return DataUrlError(
            "unsupported_image_format", f"has the media type {media_type[:60]!r}, which {part} does not take"
        )
    if head.begin == len(url):
        return DataUrlError("invalid_image", "is empty")
    if head.is_base64 and not is_base64(url, head.begin):
        return DataUrlError("invalid_image", "is not base64")
    return None


def is_base64(data: str, begin: int = 0) -> bool:
    """Whether ``data``, from ``begin`` on, is base64 (RFC 4648) and not empty; white space and missing padding are allowed. It is
    not decoded: that would take five times as long (20 MB: 30 ms). Piece by piece, so that another thread gets its turn.
    """
    end = data.find("=", begin)
    if end < 0:
        end = len(data)
    size = 0
    for at in range(begin, end, PIECE):
        piece = data[at : min(at + PIECE, end)]
        if not piece.isascii():
            return False
        rest = piece.encode().translate(None, _ALPHABET)
        if rest and not rest.isspace():
            return False
        size += len(piece) - len(rest)
    if size % 4 == 1 or not size:
        return False
    padding = without_blanks(data, end)
    return not padding or padding == "=" * (-size % 4)
