"""Base64 of any size as text: read and written in pieces, so that another thread gets its turn after each. Pure."""

from __future__ import annotations

import binascii
import string

PIECE = 2**20
"""Characters: whole groups of four. A decoder takes 2 ms for them, and keeps every other thread waiting meanwhile."""
_BLANKS = string.whitespace.encode()


def decoded(data: str) -> bytes:
    """The bytes of base64 without white space. In pieces: a decoder keeps all other threads waiting, 0.1 s for 25 MB. Raises
    ValueError.
    """
    pieces = []
    for at in range(0, len(data), PIECE):
        piece = data[at : at + PIECE]
        if at + PIECE < len(data) and "=" in piece:
            raise ValueError("data after the padding")
        pieces.append(binascii.a2b_base64(piece, strict_mode=True))
    return b"".join(pieces)


def encoded(content: bytes) -> str:
    """``content`` as base64, in pieces."""
    size = PIECE // 4 * 3
    return "".join(
        [binascii.b2a_base64(content[at : at + size], newline=False).decode() for at in range(0, len(content), size)]
    )


def without_blanks(data: str, begin: int = 0) -> str:
    """``data`` from ``begin`` on without white space. Piece by piece, and never as a list of words: of 20 MB in words of two
    characters that would be 400 MB, and half a second in which no other thread gets its turn.
    """
    pieces = []
    for at in range(begin, len(data), PIECE):
        piece = data[at : at + PIECE]
        pieces.append(piece.encode().translate(None, _BLANKS).decode() if piece.isascii() else piece)
    return "".join(pieces)
