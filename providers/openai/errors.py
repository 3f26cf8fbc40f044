"""Errors of OpenAI and of the vendors compatible with it: refusals, and errors inside a 200 or a stream. Pure.

Sources, each read 2026-11: vLLM and Mistral send errors without the ``error`` wrapper (github.com/vllm-project/vllm/issues/4667,
github.com/mistralai/mistral-vibe/issues/617), some behind ``event: error`` (github.com/foundation-model-stack/
fms-guardrails-orchestrator/pull/436). llama.cpp answers 200 and puts the error into the stream (github.com/ggml-org/llama.cpp/
issues/14566), once as an ``error:`` line.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.errors import (
    FAILURES,
    RAW_MAX,
    ProviderError,
    excerpt,
    failed,
    failure_for,
    status_of,
)
from providers.google_status import quota_code
from providers.retry_after import TOO_MANY, retry_after_s, retry_info_s
from providers.types import HttpResponse, Json, Usage
from providers.usage import normalise


def refusal(response: HttpResponse) -> ProviderError:
    """The error that a non-2xx answer stands for."""
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        body = None  # a load balancer's HTML page: only the status has a meaning
    code, type_, message = error_fields(body)
    retry_s = retry_info_s(error_object(body))
    return failure_for(
        response.status,
        message,
        raw=excerpt(response.content),
        words=(code, type_),
        also=_quota(body, response.status),
        retry_s=retry_after_s(response.headers, response.status) if retry_s is None else retry_s,
    )


def vendor_error(body: Json, *, event: str = "") -> ProviderError | None:
    """The error that a 200 or an event of a stream carries, classified by the status that its code stands for; else None.

    ``event``: the name of the event. A false ``error`` (null, empty) is removed from ``body``.
    """
    if not body.get("error"):
        body.pop("error", None)
        if event != "error" and body.get("object") != "error":
            return None
    code, type_, message = error_fields(body)
    message, status = message or "the vendor sent an error", status_of(code, type_)
    retry_s = retry_info_s(error_object(body))
    raw = excerpt(body)
    error = failure_for(status, message, raw=raw, words=(code, type_), also=_quota(body, status), retry_s=retry_s)
    return error.reporting(reported_usage(body))


def reported_usage(body: Json) -> Usage | None:
    """The usage of an answer or a chunk that is in error."""
    usage = body.get("usage")
    return normalise(usage) if isinstance(usage, dict) else None


def choice_error(choice: Json, native_finish: str) -> ProviderError:
    """The error of a choice whose finish reason stands for one; the choice may carry an error object, too."""
    nested = choice.get("error")
    error = vendor_error({"error": nested}) if isinstance(nested, dict) else None
    if error is not None:
        return error
    kind = "overloaded" if native_finish == "insufficient_system_resource" else "server_error"
    return ProviderError(
        FAILURES[kind], f"the vendor ended the answer with {native_finish}", provider_code=native_finish
    )


def malformed(problem: str, raw: bytes) -> ProviderError:
    """The error for a 200 without a usable answer."""
    return failed("malformed", problem, status=200, raw=excerpt(raw))


def error_object(body: Any) -> Any:
    """The error inside a body; Google's compatible endpoint wraps it in a list."""
    body = body[0] if isinstance(body, list) and body else body
    return body.get("error") if isinstance(body, dict) else None


def _quota(body: Any, status: int) -> tuple[str, ...]:
    """The code of the quota that Google's compatible endpoint says is used up."""
    code = quota_code(error_object(body)) if status == TOO_MANY else None
    return () if code is None else (code,)


def error_fields(body: Any) -> tuple[Any, Any, str]:
    """``code``, ``type`` and message of an error body in any of the shapes that vendors use."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None, None, str(body)[:RAW_MAX] if body is not None else ""
    error = body.get("error")
    if isinstance(error, str):
        return body.get("code"), body.get("type"), error
    if not isinstance(error, dict):
        error = body
    message = (
        error.get("message")
        or error.get("msg")
        or error.get("details")
        or body.get("detail")
        or body.get("message")
        or ""
    )
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode("utf-8", "replace")
    return error.get("code"), error.get("type") or error.get("status"), message[:RAW_MAX]
