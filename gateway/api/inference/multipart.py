"""A strict parser of ``multipart/form-data`` (RFC 7578). Pure; the body is in memory already."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import BadRequest

MAX_PARTS = 128
MAX_PART_HEAD_BYTES = 4_096
_BOUNDARY = re.compile(rb'boundary=(?:"([^"\r\n]{1,70})"|([0-9A-Za-z\'()+_,./:=?-]{1,70}))(?:;|$)')
_PARAMETER = re.compile(rb';[ \t]*([A-Za-z*]+)=(?:"([^"\r\n]*)"|([^";\s]+))')
_IDENTITY_ENCODINGS = (b"", b"7bit", b"8bit", b"binary")


@dataclass(frozen=True, slots=True)
class Part:
    """One field; with a ``filename`` (perhaps empty) it is a file."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = ""

    @property
    def text(self) -> str:
        """The value of a plain field. Raises BadRequest when it is not UTF-8."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"{self.name}: is not UTF-8.", field=self.name) from None


def parse(raw: bytes, content_type: bytes) -> list[Part]:
    """The parts in order.

    Raises BadRequest for whatever two parsers could read differently: a missing or malformed boundary, bytes before, between or
    after the parts, a part without a name, an encoded part, a missing end.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _malformed("its Content-Type has no boundary")
    delimiter = b"--" + (found[1] or found[2])
    if not raw.startswith(delimiter):
        raise _malformed("it does not begin with its boundary")
    pieces = (b"\r\n" + raw).split(b"\r\n" + delimiter, MAX_PARTS + 2)[1:]
    if len(pieces) - 1 > MAX_PARTS:
        raise _malformed(f"it has more than {MAX_PARTS} parts")
    if pieces[-1].rstrip(b"\r\n") != b"--" or len(pieces) < 2:
        raise _malformed("it has no part, or its last boundary is missing")
    return [_part(piece) for piece in pieces[:-1]]


def _part(piece: bytes) -> Part:
    if not piece.startswith(b"\r\n"):
        raise _malformed("a boundary is followed by other bytes")
    head, blank, content = piece[2:].partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_PART_HEAD_BYTES:
        raise _malformed("the headers of a part do not end")
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name in headers or not name.replace(b"-", b"").isalnum():
            raise _malformed("a header of a part is malformed or given twice")
        headers[name] = value.strip()
    if headers.get(b"content-transfer-encoding", b"").lower() not in _IDENTITY_ENCODINGS:
        raise _malformed("a part is encoded; send it without Content-Transfer-Encoding")
    disposition = headers.get(b"content-disposition", b"")
    values = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(disposition)}
    if disposition.partition(b";")[0].strip().lower() != b"form-data" or not values.get(b"name"):
        raise _malformed("a part has no name")
    filename = values.get(b"filename")
    return Part(
        name=values[b"name"].decode("utf-8", "replace"),
        content=content,
        filename=filename.decode("utf-8", "replace") if filename is not None else None,
        content_type=headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1"),
    )


def _malformed(problem: str) -> BadRequest:
    return BadRequest(f"The request body is not valid multipart/form-data: {problem}.")
