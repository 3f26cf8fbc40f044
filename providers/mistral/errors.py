"""Mistral's refusals. Pure."""

from __future__ import annotations

from typing import Final

from providers.errors import ProviderError, failed
from providers.openai.errors import refusal as openai_refusal
from providers.types import HttpResponse

_OWN_LIMITS: Final = (
    "invalid_request_message_order",
    "but not both",
    "does not support",
    "is not enabled for this model",
    "is not supported for this model",
)
"""Parts of refusals of what this vendor, or one model of it, cannot do although the inner language has it."""


def refusal(response: HttpResponse) -> ProviderError:
    """The error that a non-2xx answer stands for.

    A limit of the vendor's own is ``unsupported``, so that another endpoint is tried.
    """
    error = openai_refusal(response)
    if error.failure.kind not in ("bad_request", "unprocessable"):
        return error
    text = f"{error.message} {error.raw}".lower()
    if not any(part in text for part in _OWN_LIMITS):
        return error
    return failed("unsupported", error.message, status=error.status, raw=error.raw, provider_code=error.provider_code)
