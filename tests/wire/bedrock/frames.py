"""Lines of ``streams/*.jsonl`` as bytes: the writing side of ``application/vnd.amazon.eventstream``."""

from __future__ import annotations

import json
import struct
from typing import Any
from zlib import crc32


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message; every header is text, as Bedrock's are."""
    head = b"".join(
        bytes([len(name.encode())]) + name.encode() + b"\x07" + struct.pack("!H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    prelude += struct.pack("!I", crc32(prelude))
    body = prelude + head + payload
    return body + struct.pack("!I", crc32(body))


def line(text: str) -> bytes:
    """``{"contentBlockDelta": {...}}``, an event; ``{"!throttlingException": {...}}``, an exception; ``{"?code": "message"}``,
    an error that no model describes."""
    ((name, body),) = json.loads(text).items()
    if name.startswith("?"):
        return frame({":message-type": "error", ":error-code": name[1:], ":error-message": body}, b"")
    payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    kind = {":content-type": "application/json", ":message-type": "event", ":event-type": name}
    if name.startswith("!"):
        kind = {":message-type": "exception", ":exception-type": name[1:], ":content-type": "application/json"}
    return frame(kind, payload)


def strange(document: Any) -> bytes:
    """Any JSON as if it were a line: what names no event is the payload of one."""
    name, body = next(iter(document.items())) if isinstance(document, dict) and len(document) == 1 else ("x", document)
    if name.startswith("?") and not isinstance(body, str):
        name = name[1:]
    return line(json.dumps({name: body}))
