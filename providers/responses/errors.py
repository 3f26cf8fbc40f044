"""Errors in answers and streams of the Responses API. Pure.

An error event wraps its error in ``error`` although the types of the openai SDK 3.54 have it flat
(github.com/vercel/ai/issues/6534, 2025-05); Azure reports rate limits in ``response.failed``
(github.com/earendil-works/pi/pull/1458, 2026-02). What is not a 200 has OpenAI's usual error body.
"""

from __future__ import annotations

from typing import Any, Final

from providers.errors import ProviderError, excerpt, failure_for, status_of
from providers.openai.errors import error_fields
from providers.types import Json, Usage
from providers.usage import normalise

_STATUS: Final = {
    "invalid_prompt": 400, "bio_policy": 400, "misalignment_policy_violation": 400, "data_residency_mismatch": 400,
    "invalid_image": 400, "invalid_image_format": 400, "invalid_base64_image": 400, "invalid_image_url": 400,
    "image_too_large": 400, "image_too_small": 400, "image_parse_error": 400, "image_content_policy_violation": 400,
    "invalid_image_mode": 400, "image_file_too_large": 400, "unsupported_image_media_type": 400, "empty_image_file": 400,
    "failed_to_download_image": 400, "image_file_not_found": 400, "invalid_encrypted_content": 400,
    "vector_store_timeout": 504, "server_is_overloaded": 503, "slow_down": 503,
}  # fmt: skip
"""``response.error.code`` → the HTTP status it stands for; for other codes see ``providers.errors.status_of``."""


def answer_error(error: Any, answer: Json) -> ProviderError:
    """The error of a failed ``answer``, which may report usage, or of an error event.

    Its ``raw`` holds the error object alone: the rest repeats the prompt.
    """
    if not isinstance(error, dict):
        error = {"message": error} if error else {}
    code, type_, message = error_fields({"error": error})
    status = _STATUS.get(str(code), 0) or status_of(code, type_)
    return failure_for(
        status,
        message or "the vendor failed and gave no reason",
        raw=excerpt(error),
        words=(code, type_),
    ).reporting(reported_usage(answer))


def reported_usage(answer: Json) -> Usage | None:
    """The tokens that an answer reports."""
    raw = answer.get("usage")
    if not isinstance(raw, dict):
        return None
    return normalise(
        raw
        | {"prompt_tokens_details": raw.get("input_tokens_details")}
        | {"completion_tokens_details": raw.get("output_tokens_details")}
    )
