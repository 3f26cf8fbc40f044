"""What a picture, film or file is: by how it begins, whatever its sender calls it. Pure."""

from __future__ import annotations

import re
import string
from typing import NamedTuple

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
_LOOSE = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-download", "application/download"}
)
"""What servers call anything."""
_WANTED = {"image_url": ("image/", "application/pdf"), "video_url": ("video/",), "input_video": ("video/",)}
"""Part type → the media types it takes. PDFs as pictures are an old habit of clients that Gemini's vendors understand."""
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
_DATA = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)

_ALPHABET = (string.ascii_letters + string.digits + "+/").encode()


class Bad(NamedTuple):
    """Why a data URL is none: a word of the wire contract, and ours."""

    error_type: str
    why: str


def magic(content: bytes) -> str | None:
    """The media type that the first bytes tell, or None."""
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "video/mp4")
    return next((kind for start, kind in MAGIC if content.startswith(start)), None)


def kind_of(part: str, called: str, content: bytes) -> str | None:
    """The media type of something fetched for a part of this type, or None when it cannot be that: an error page in place of a
    picture, a picture that is a program. A file may be anything but a picture, film or PDF in name only."""
    found = magic(content)
    if not content:
        return None
    wanted = _WANTED.get(part)
    if wanted is not None:
        return found if found is not None and found.startswith(wanted) else None
    if found is not None:
        return found
    if called.startswith(("image/", "video/")) or called == "application/pdf":
        return None
    return called if _TYPE.fullmatch(called) and called not in _LOOSE else "application/octet-stream"


def fault(part: str, url: str) -> Bad | None:
    """What is wrong with a data URL for a part of this type; None when nothing is."""
    head = _DATA.match(url)
    if head is None:
        return Bad("invalid_image", "is no data URL: it needs data:<media type>;base64,<data>")
    mime, wanted = head[1].strip().lower(), _WANTED.get(part)
    if mime and not _TYPE.fullmatch(mime):
        return Bad("unsupported_image_format", f"has no media type: {mime[:60]!r}")
    if wanted is not None and mime not in _LOOSE and not mime.startswith(wanted):
        return Bad("unsupported_image_format", f"has the media type {mime[:60]!r}, which {part} does not take")
    if head.end() == len(url):
        return Bad("invalid_image", "is empty")
    if head[2].lower().endswith(";base64") and not is_base64(url[head.end() :]):
        return Bad("invalid_image", "is not base64")
    return None


def is_base64(data: str) -> bool:
    """Base64 of RFC 4648 that says something; white space, and leaving out the padding, are forgiven. Decodes nothing: that
    would take five times as long (20 MB: 30 ms)."""
    if not data.isascii():
        return False
    rest = data.encode().translate(None, _ALPHABET)
    padding, size = b"".join(rest.split()), len(data) - len(rest)
    if size % 4 == 1 or not size or len(padding) not in (0, -size % 4) or padding.strip(b"="):
        return False
    return "=" not in data.rstrip("= \t\n\r\v\f")
