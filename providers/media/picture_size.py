"""Width and height of a picture, from the first bytes of its file. Pure; nothing is decoded.

What is read is what a decoder obeys: PNG's IHDR, JPEG's frame header (the first one, behind whatever EXIF holds), GIF's screen,
WebP's canvas. Sources: PNG 3rd edition 11.2.1; ITU-T T.81 B.2; GIF89a 18; RFC 9649 2.5 to 2.7; all read 2026-11.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = 64
"""Bytes that show the size of anything but a JPEG."""
JPEG_HEAD = 256 * 1024
"""Bytes of a JPEG before its frame header that are looked at: four full segments of EXIF, colour profile and preview."""
_SEGMENTS_MAX = 64
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: SOF0 to SOF15 without the tables among them."""


class Size(NamedTuple):
    """In pixels."""

    width: int
    height: int


def read(data: bytes) -> Size | None:
    """The size of the picture that begins with ``data``; None: it is not to be seen here, or is another format."""
    size = None
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        size = _big(data[16:20]), _big(data[20:24])
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        size = _little(data[6:8]), _little(data[8:10])
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = _webp(data)
    elif data[:3] == b"\xff\xd8\xff":
        size = _jpeg(data)
    return Size(*size) if size is not None and min(size) > 0 else None


def _big(field: bytes) -> int:
    return int.from_bytes(field, "big")


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _webp(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if chunk == b"VP8L" and data[20:21] == b"\x2f":
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(_SEGMENTS_MAX):
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if data[at : at + 1] != b"\xff":
            return None
        if data[at + 1 : at + 2] and data[at + 1] in _FRAMES:
            return _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7])
        at += 2 + max(_big(data[at + 2 : at + 4]), 2)
    return None
