"""``multipart/form-data`` (RFC 7578), write only: the form in which some vendors take files."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_UNSAFE = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", "\0": "%00"})
"""As browsers escape names and file names (HTML standard, "multipart/form-data encoding algorithm")."""


@dataclass(frozen=True, slots=True)
class Field:
    """One part. With ``filename`` it is a file."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


def encode(fields: Sequence[Field]) -> tuple[bytes, str]:
    """The body and its ``Content-Type``. The boundary is random, 128 bits, and occurs in no content."""
    while True:
        boundary = "tokenway-" + secrets.token_hex(16)
        if not any(boundary.encode() in field.content for field in fields):
            break
    pieces: list[bytes] = []
    for field in fields:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field.name.translate(_UNSAFE)}"'
        if field.filename is not None:
            head += f'; filename="{field.filename.translate(_UNSAFE)}"'
        if field.content_type is not None:
            head += f"\r\nContent-Type: {field.content_type.translate(_UNSAFE)}"
        pieces += [head.encode("utf-8", "replace"), b"\r\n\r\n", field.content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"
