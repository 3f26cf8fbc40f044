"""Errors of Cohere's v2 API: refusals, errors inside a 200 or a stream, unreadable answers. Pure.

The error object is ``{"message"}``, with ``id`` in newer versions (docs.cohere.com/reference/errors, 2026-11). Status 498 is an
unsafe request in the documentation and an invalid token in the SDK (``cohere`` 7.3): the text decides.
"""

from __future__ import annotations

from providers.errors import ProviderError, excerpt, failed, failure_for
from providers.openai.errors import error_fields
from providers.retry_after import retry_after_s
from providers.transport.sse import object_in
from providers.types import HttpResponse, Json

_UNSAFE = ("usage guidelines", "usage policy", "unsafe", "blocked", "safety")
_TOO_LONG = ("too many tokens", "size limit exceeded")


def malformed(message: str, body: Json) -> ProviderError:
    """The error for an answer that breaks the format."""
    return failed("malformed", message, status=200, raw=excerpt(body))


def error_from_body(body: Json, status: int, *, retry_s: float | None = None, raw: str | None = None) -> ProviderError:
    """The error of a document, classified as if (or because) the vendor had answered ``status``."""
    code, type_, message = error_fields(body)
    raw = excerpt(body) if raw is None else raw
    text = f"{message} {raw}".lower()
    also, meant = set(), status
    if status == 498:
        if any(part in text for part in _UNSAFE):
            also.add("content_policy_violation")
        else:
            meant = 401
    if any(part in text for part in _TOO_LONG):
        also.add("context_length_exceeded")
        meant = 400 if status == 500 else status
    return failure_for(status, message, raw=raw, words=(code, type_), also=also, meant=meant, retry_s=retry_s)


def error_from_response(response: HttpResponse) -> ProviderError:
    """The error of a non-2xx answer."""
    retry_s, raw = retry_after_s(response.headers, response.status), excerpt(response.content)
    return error_from_body(object_in(response.content), response.status, retry_s=retry_s, raw=raw)
