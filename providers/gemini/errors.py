"""Google's error object ``{"error": {code, message, status, details}}``, also inside a list, as a failure. Pure.

Vendor facts, read 2026-11: ``details`` hold ``ErrorInfo.reason``, ``RetryInfo.retryDelay`` and ``QuotaFailure.violations``
(google.rpc.error_details). A wrong key is a 400 with reason API_KEY_INVALID. Every 429 of AI Studio, per minute as per day,
says "You exceeded your current quota, please check your plan and billing details" (github.com/google-gemini/gemini-cli/
issues/10925): only the names of the violated quotas tell a rate limit from an exhausted quota.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.errors import (
    FAILURES,
    RAW_MAX,
    RETRY_AFTER_MAX_S,
    Failure,
    ProviderError,
    classify,
    excerpt,
    retry_after_s,
)
from providers.types import HttpResponse, Json

_STATUS: Final = {
    "invalid_argument": 400, "failed_precondition": 400, "out_of_range": 400, "unauthenticated": 401, "permission_denied": 403,
    "not_found": 404, "aborted": 409, "resource_exhausted": 429, "cancelled": 499, "internal": 500, "unknown": 500,
    "unimplemented": 501, "unavailable": 503, "deadline_exceeded": 504,
}  # fmt: skip
"""google.rpc.Code to HTTP, as in google/rpc/code.proto."""
_CODES: Final = {
    "api_key_invalid": "invalid_api_key",
    "api_key_expired": "invalid_api_key",
    "api_key_service_blocked": "invalid_api_key",
    "consumer_suspended": "invalid_api_key",
    "failed_precondition": "invalid_api_key",  # "User location is not supported", billing not enabled: for the operator to solve
}
"""Google's codes to those of ``failures.yaml``."""
_TOO_LONG: Final = ("exceeds the maximum number of tokens allowed", "input token count exceeds", "input token count is")
_EXHAUSTED: Final = ("perday", "per day", "limit: 0", "credits are depleted", "spending cap", "spend cap")


def error_object(document: Any) -> Json | None:
    """The error object of a document, or None."""
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) and error else None


def error_from_response(response: HttpResponse) -> ProviderError:
    """The error of a non-2xx answer."""
    try:
        error = error_object(msgspec.json.decode(response.content))
    except (ValueError, RecursionError):
        error = None  # a load balancer's page: the status alone decides
    raw = excerpt(response.content)
    return _failure(response.status, error or {}, raw, response.headers)


def error_from_body(error: Json) -> ProviderError:
    """The error of an error object inside a 200 or a stream."""
    code = error.get("code")
    status = (
        code if isinstance(code, int) and 400 <= code <= 599 else _STATUS.get(str(error.get("status")).lower(), 500)
    )
    raw = excerpt(error)
    return _failure(status, error, raw, {})


def _failure(status: int, error: Json, raw: str, headers: Mapping[str, str]) -> ProviderError:
    message = error.get("message")
    message = message[:RAW_MAX] if isinstance(message, str) else ""
    name = error.get("status") if isinstance(error.get("status"), str) else None
    codes = {str(code).lower() for code in (name, error.get("code"), *_reasons(error)) if code is not None}
    text = f"{message} {raw}".lower()
    return ProviderError(
        _row(status, codes, text),
        message or f"the vendor answered {status}",
        status=status,
        raw=raw,
        retry_after_s=_delay_s(error) or retry_after_s(headers),
        provider_code=name or next(_reasons(error), None),
    )


def _row(status: int, codes: set[str], text: str) -> Failure:
    if status == 429:
        return FAILURES["quota_exhausted" if any(part in text for part in _EXHAUSTED) else "rate_limited"]
    if status == 400:
        if "thought signature" in text or "thought_signature" in text:
            return FAILURES["unsupported"]  # another vendor signed the history: it may take it back
        if any(part in text for part in _TOO_LONG):
            codes.add("context_length_exceeded")
    codes |= {_CODES[code] for code in codes if code in _CODES}
    return classify(status, frozenset(codes), text)


def _details(error: Json) -> Iterator[Json]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail


def _reasons(error: Json) -> Iterator[str]:
    for detail in _details(error):
        if isinstance(detail.get("reason"), str):
            yield detail["reason"]


def _delay_s(error: Json) -> float | None:
    for detail in _details(error):
        delay = detail.get("retryDelay")
        if isinstance(delay, dict):  # google.protobuf.Duration spelled out
            delay = str(delay.get("seconds"))
        if isinstance(delay, str):
            number = delay.removesuffix("s")[:16]
            if number.isascii() and number.replace(".", "", 1).isdecimal() and float(number) > 0:
                return min(float(number), RETRY_AFTER_MAX_S)
    return None
