"""Errors of Ollama: refusals, errors inside a 200 or a stream, unreadable answers. Pure.

An error is ``{"error": "<text>"}``; the text is sometimes the JSON of the runner's own error (docs.ollama.com/api/errors,
2026-11).
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.errors import ProviderError, excerpt, failed, failure_for, status_of
from providers.retry_after import retry_after_s
from providers.transport.sse import object_in
from providers.types import HttpResponse, Json

_UNSUPPORTED: Final = ("does not support",)
"""``"llama3" does not support tools`` (or thinking, vision): another endpoint may."""
_TOO_LONG: Final = ("context length", "context size", "context window")


def malformed(message: str, body: Json) -> ProviderError:
    """The error for an answer that breaks the format."""
    return failed("malformed", message, status=200, raw=excerpt(body))


def error_from_body(
    body: Json, status: int | None = None, *, retry_s: float | None = None, raw: str | None = None
) -> ProviderError:
    """The error of a document, classified by the vendor's ``status``, or by the codes inside the error when there was none."""
    raw = excerpt(body) if raw is None else raw
    error, code, type_ = body.get("error"), None, None
    if isinstance(error, str) and error.startswith("{"):
        try:
            nested = msgspec.json.decode(error)
        except (ValueError, RecursionError):
            nested = None
        error = nested.get("error", nested) if isinstance(nested, dict) else error
    if isinstance(error, dict):
        code, type_, error = error.get("code"), error.get("type"), error.get("message")
    message = error if isinstance(error, str) else ""
    if not message and status is not None:
        other = body.get("message")
        message = other if isinstance(other, str) else ""
    known = status if status is not None else status_of(code, type_)
    text = message.lower()
    if 400 <= known < 500 and any(part in text for part in _UNSUPPORTED):
        return failed("unsupported", message, status=known, raw=raw)
    too_long = 400 <= known < 500 and any(part in text for part in _TOO_LONG)
    also = ("context_length_exceeded",) if too_long else ()
    return failure_for(known, message, raw=raw, words=(code, type_), also=also, retry_s=retry_s)


def error_from_response(response: HttpResponse) -> ProviderError:
    """The error of a non-2xx answer."""
    retry_s, raw = retry_after_s(response.headers, response.status), excerpt(response.content)
    return error_from_body(object_in(response.content), response.status, retry_s=retry_s, raw=raw)
