"""Every error that Tokenway answers with, as one tree. It is independent of any web framework.

GatewayError
    BadRequest            400  the caller's request is wrong; names the field and what would fix it
    Unauthorized          401  the key does not exist, is disabled or expired; never for a failure of the gateway
    PaymentRequired       402  credits or the key's limit do not cover the request
    Forbidden             403
    NotFound              404
        NoEndpoints       404  filters left nothing; names each filter
    RequestTimeout        408  the body came too slowly
    Conflict              409
    PayloadTooLarge       413
    Unprocessable         422
    TooManyRequests       429
        RateLimited       429  a limit of the key or its organisation; names it
    Unavailable           503  a failure of the gateway, with Retry-After
        LedgerUnavailable 503  Redis does not answer
        NoHealthyEndpoint 503  endpoints exist, none is up
    UpstreamFailed        4xx/5xx of the failure's row: the failure of the last attempt
"""

from __future__ import annotations

import math
import time
from typing import Any

from providers.context_length import ContextOverflow, overflow_of

UNKNOWN_OVERFLOW = "The messages exceed this model's maximum context length"


class GatewayError(Exception):
    """Shape on the wire: ``{"error": {"code": <int status>, "message": str, "metadata": {"error_type": str, ...}}}``."""

    status = 500
    error_type = "server"

    def __init__(
        self,
        message: str,
        *,
        metadata: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
        availability: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s
        self.availability = availability
        self.overflow: ContextOverflow | None = None
        """The sizes of a ``context_length_exceeded``, where they are known: each surface says them as its clients expect."""
        self.recorded = False
        """Whether a generation has ended with this error, so that its canonical log line is already written."""

    def envelope(self) -> dict[str, Any]:
        """The one documented error shape."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "metadata": {"error_type": self.error_type, **self.metadata},
        }
        if self.availability is not None:
            error["availability"] = self.availability
        return {"error": error}

    def headers(self) -> list[tuple[str, str]]:
        """Headers that belong to this error: ``Retry-After`` in whole seconds, rounded up, when waiting helps."""
        if self.retry_after_s is None:
            return []
        return [("retry-after", str(max(1, -(-int(self.retry_after_s * 1000) // 1000))))]


class BadRequest(GatewayError):
    status, error_type = 400, "invalid_request"

    def __init__(self, message: str, *, field: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        if field is not None:
            self.metadata = {"field": field, **self.metadata}


class Unauthorized(GatewayError):
    status, error_type = 401, "authentication"


class PaymentRequired(GatewayError):
    status, error_type = 402, "payment_required"


class Forbidden(GatewayError):
    status, error_type = 403, "permission_denied"


class NotFound(GatewayError):
    status, error_type = 404, "not_found"


class NoEndpoints(NotFound):
    """``availability.excluded_by`` lists the filters; ``metadata.dropped`` each endpoint with its reason."""


class MethodNotAllowed(GatewayError):
    status, error_type = 405, "invalid_request"


class RequestTimeout(GatewayError):
    status, error_type = 408, "timeout"


class Conflict(GatewayError):
    status, error_type = 409, "conflict"


class PayloadTooLarge(GatewayError):
    status, error_type = 413, "payload_too_large"


class Unprocessable(GatewayError):
    status, error_type = 422, "unprocessable"


class TooManyRequests(GatewayError):
    """The vendors' rate limits keep every endpoint away, or a caller asks too often; ``Retry-After`` says until when."""

    status, error_type = 429, "rate_limit_exceeded"


class RateLimited(TooManyRequests):
    """A limit of the caller's key, or of its organisation, is reached. ``name``: requests_per_minute, tokens_per_minute or
    max_concurrent; ``scope``: key or organization; ``wait_s``: None when no waiting helps, as the request alone is too large.

    Its headers are those of OpenRouter, of which ``X-RateLimit-Reset`` is in Unix milliseconds; the metadata repeat them, as
    there (github.com/Gitlawb/openclaude/issues/936, 2026-04). SDKs of OpenAI and Anthropic obey ``x-should-retry``.
    """

    def __init__(self, name: str, *, scope: str, limit: int, remaining: int, wait_s: float | None) -> None:
        what = name.replace("_", " ") if name != "max_concurrent" else "requests at once"
        whose = f"this {'key' if scope == 'key' else 'organization'}"
        if wait_s is None:
            advice = f"{limit} is less than this one request may use: lower max_tokens, shorten the prompt or raise the limit."
        elif name == "max_concurrent":
            advice = "Wait until one of the running requests has ended."
        else:
            advice = f"Try again in {max(1, math.ceil(wait_s))} s."
        self.name, self.limit, self.remaining = name, limit, remaining
        self.reset_at = time.time() + (60.0 if wait_s is None else wait_s)
        figures = (limit, remaining, math.ceil(self.reset_at * 1000))
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        self._limit_headers = {name: str(figure) for name, figure in zip(names, figures, strict=True)}
        super().__init__(
            f"Rate limit of {whose} reached: {limit} {what}. {advice}",
            metadata={
                "limit_name": name,
                "limit_source": scope,
                "limit": limit,
                "remaining": remaining,
                "headers": self._limit_headers,
            },
            retry_after_s=wait_s,
        )

    def headers(self) -> list[tuple[str, str]]:
        limits = [(name.lower(), value) for name, value in self._limit_headers.items()]
        return super().headers() + limits + ([("x-should-retry", "false")] if self.retry_after_s is None else [])


class Unavailable(GatewayError):
    status, error_type = 503, "provider_overloaded"


class LedgerUnavailable(Unavailable):
    """Redis did not answer in time. The caller's key is not at fault, and nothing was charged."""

    error_type = "ledger_unavailable"

    def __init__(
        self,
        message: str = "The credit ledger is not reachable right now; nothing was charged.",
        *,
        retry_after_s: int = 2,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)


class NoHealthyEndpoint(Unavailable):
    error_type = "provider_overloaded"


class UpstreamFailed(GatewayError):
    """The last attempt's failure, with the status of its row in ``providers/failures.yaml``.

    A context that is too small is told in the words that clients know, whichever vendor refused; the vendor's own stand in the
    metadata.
    """

    def __init__(self, message: str, *, status: int, error_type: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.status = status
        self.error_type = error_type
        if error_type == "context_length_exceeded":
            self.overflow = overflow_of(message)
            self.message = self.overflow.words if self.overflow else f"{UNKNOWN_OVERFLOW}: {message}"
