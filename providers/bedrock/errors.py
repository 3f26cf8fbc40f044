"""Errors of Bedrock: refusals and errors inside a stream, as rows of ``failures.yaml``. Pure.

Names and statuses from botocore 1.44.5's service model of bedrock-runtime (2026-11). The name comes in the header
``x-amzn-errortype`` (``ValidationException:http://internal.amazon.com/...``), in ``__type`` of the body, or in the headers of
an event. Most errors of a request are a ``ValidationException``, distinguished by the text only:
"Input is too long for requested model." (github.com/aws-samples/bedrock-chat/issues/95), "The provided model identifier is
invalid.", "Invocation of model ID ... with on-demand throughput isn't supported", "This model doesn't support ...".
"""

from __future__ import annotations

from typing import Any

from providers.errors import FAILURES, RAW_MAX, ProviderError, classify, excerpt
from providers.retry_after import retry_after_s
from providers.transport.aws_eventstream import Message
from providers.transport.sse import object_in
from providers.types import HttpResponse

STATUS = {
    "accessdeniedexception": 403,
    "throttlingexception": 429,
    "servicequotaexceededexception": 429,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 504,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
    "validationexception": 400,
    "unknownoperationexception": 404,
    "modelnotreadyexception": 503,
    "modelerrorexception": 500,
    "modelstreamerrorexception": 500,
    "unrecognizedclientexception": 401,
    "invalidsignatureexception": 401,
    "expiredtokenexception": 401,
}
"""The status that a name stands for: within a stream, and where the vendor's own (424, 408, 400) is less precise."""
_CODES = {
    "input is too long": "context_length_exceeded",
    "prompt is too long": "context_length_exceeded",
    "too many input tokens": "context_length_exceeded",
    "exceeds the maximum number of tokens": "context_length_exceeded",
    "model identifier is invalid": "model_not_found",
    "on-demand throughput isn": "model_not_found",
    "blocked by content filtering policy": "content_filter",
    "too many tokens per day": "quota_of_the_model",
}
"""Texts of a ``ValidationException`` or ``ThrottlingException`` to the codes that ``failures.yaml`` knows."""
_UNSUPPORTED = (
    "this model doesn't support",
    "this model does not support",
    "not supported for this model",
    "is deprecated for this model",
    "your request did not allow prompt caching",
)
"""Texts of a ``ValidationException`` about something that another endpoint may support."""


def error_from_response(response: HttpResponse) -> ProviderError:
    """The error of an answer whose status is not 200."""
    raw = excerpt(response.content)
    body = object_in(response.content)
    inner = body.get("Output")  # of an operation that this host does not know
    typed = body.get("__type") or (inner.get("__type") if isinstance(inner, dict) else None)
    name = _name(response.headers.get("x-amzn-errortype") or typed)
    error = _error(name, _message(body), raw, response.status)
    error.status = response.status
    error.retry_after_s = retry_after_s(response.headers, response.status)
    return error


def error_from_event(message: Message) -> ProviderError:
    """The error of an event that is an exception (in the service model) or an error (not in it)."""
    raw = excerpt(message.payload)
    body = object_in(message.payload)
    name = _name(message.word(":exception-type") or message.word(":error-code"))
    text = _message(body) or message.word(":error-message")
    original = body.get("originalStatusCode")
    status = original if isinstance(original, int) and 400 <= original <= 599 and original != 424 else 500
    return _error(name, text, raw, status)


def _error(name: str, text: str, raw: str, status: int) -> ProviderError:
    key = name.lower()
    if key != "modelstreamerrorexception" or status == 500:
        status = STATUS.get(key, status)
    full_text = f"{text} {raw}".lower()
    codes = frozenset([key, *(code for part, code in _CODES.items() if part in full_text)])
    row = classify(status, codes, full_text)
    if row.kind == "bad_request" and any(part in full_text for part in _UNSUPPORTED):
        row = FAILURES["unsupported"]
    return ProviderError(
        row, text or f"the vendor answered {name or status}", status=status, raw=raw, provider_code=name or None
    )


def _message(body: dict[str, Any]) -> str:
    for name in ("message", "Message", "originalMessage"):
        if isinstance(body.get(name), str) and body[name]:
            return str(body[name])[:RAW_MAX]
    return ""


def _name(value: Any) -> str:
    """``com.amazon.coral.service#ValidationException:http://...`` → ``ValidationException``."""
    return value.partition(":")[0].rpartition("#")[2].strip()[:100] if isinstance(value, str) else ""
