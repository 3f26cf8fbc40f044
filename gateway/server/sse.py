"""Server-sent events (SSE) as bytes."""

from __future__ import annotations

from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"
"""The comment that OpenRouter's clients know; every SSE parser skips it."""
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_encode = msgspec.json.Encoder().encode


def frame(value: Any) -> bytes:
    """One ``data:`` event."""
    return b"data: %b\n\n" % _encode(value)
