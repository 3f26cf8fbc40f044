"""Google's error object ``{"error": {code, message, status, details}}``, also inside a list, as a failure. Pure.

Vendor facts, read 2026-11: ``details`` hold ``ErrorInfo.reason``, ``RetryInfo.retryDelay`` and ``QuotaFailure.violations``
(google.rpc.error_details); of the latter see ``google_status``. A wrong key is a 400 with reason API_KEY_INVALID. 400
FAILED_PRECONDITION is a country or a project without billing, but also a file of the request that is not ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from providers.errors import FAILURES, RAW_MAX, Failure, ProviderError, classify, excerpt
from providers.google_status import quota_code
from providers.retry_after import TOO_MANY, retry_after_s, retry_info_s
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
    "api_key_ip_address_blocked": "invalid_api_key",
    "api_key_http_referrer_blocked": "invalid_api_key",
    "consumer_invalid": "invalid_api_key",
    "consumer_suspended": "invalid_api_key",
    "service_disabled": "invalid_api_key",
    "billing_disabled": "invalid_api_key",
}
"""Google's codes to those of ``failures.yaml``."""
_TOO_LONG: Final = ("exceeds the maximum number of tokens allowed", "input token count exceeds", "input token count is")
_PROJECT: Final = ("location is not supported", "billing")
"""Of a FAILED_PRECONDITION: for the operator to solve, whatever is asked for."""


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
    quota = quota_code(error) if status == TOO_MANY else None
    if quota is not None:
        codes.add(quota)
    retry_s = retry_info_s(error)
    return ProviderError(
        _row(status, codes, f"{message} {raw}".lower()),
        message or f"the vendor answered {status}",
        status=status,
        raw=raw,
        retry_after_s=retry_after_s(headers, status) if retry_s is None else retry_s,
        provider_code=name or next(_reasons(error), None),
    )


def _row(status: int, codes: set[str], text: str) -> Failure:
    if status == 400:
        if "failed_precondition" in codes and any(part in text for part in _PROJECT):
            codes.add("invalid_api_key")
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
