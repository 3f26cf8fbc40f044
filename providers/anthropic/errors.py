"""Errors of Anthropic's Messages API: refusals, errors inside a 200 or a stream, unreadable answers. Pure.

The error object is ``{"type": "error", "error": {"type", "message", "details"}}``; the finer code of an error is
``error.details.error_code`` (platform.claude.com/docs/en/api/errors and the types of the vendor's SDK, ``anthropic`` 2.12;
2026-11).
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.errors import ProviderError, excerpt, failed, failure_for, status_of
from providers.openai.errors import error_fields, error_object
from providers.retry_after import retry_after_s, retry_info_s
from providers.types import HttpResponse, Json


def malformed(message: str, body: Json) -> ProviderError:
    """The error for an answer that breaks the format."""
    return failed("malformed", message, status=200, raw=excerpt(body))


def error_from_body(body: Json) -> ProviderError:
    """The error that a 200 or an event carries, classified by the status that its type stands for."""
    code, type_, message = _fields(body)
    message = message or "the vendor sent an error"
    return failure_for(status_of(code, type_), message, raw=excerpt(body), words=(code, type_))


def error_from_response(response: HttpResponse) -> ProviderError:
    """The error of a non-2xx answer. Where the body is not the vendor's (a load balancer's page), the status alone decides."""
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        body = None
    code, type_, message = _fields(body)
    retry_s, raw = retry_info_s(error_object(body)), excerpt(response.content)  # the first from Vertex
    if retry_s is None:
        retry_s = retry_after_s(response.headers, response.status)
    return failure_for(response.status, message, raw=raw, words=(code, type_), retry_s=retry_s)


def _fields(body: Any) -> tuple[Any, Any, str]:
    """Code, type and message of an error object."""
    code, type_, message = error_fields(body)
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    finer = details.get("error_code") if isinstance(details, dict) else None
    return finer or code, type_, message
