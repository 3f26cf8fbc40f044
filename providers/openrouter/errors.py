"""OpenRouter's errors. Pure.

An error names the vendor behind OpenRouter (``metadata.provider_name``) and that vendor's own answer (``metadata.raw``): the first
becomes part of the message, the second the error's ``raw`` (openrouter.ai/docs, errors; types of its SDK, ``openrouter`` 1.3.84;
2026-11). The headers of a limit of its own are in ``metadata.headers``, too, and in a stream nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.errors import RAW_MAX, ProviderError, classify, status_of
from providers.openai.errors import refusal as openai_refusal
from providers.openai.errors import reported_usage
from providers.retry_after import lower_case, retry_after_s
from providers.transport.sse import decode
from providers.types import HttpResponse, Json


def raise_error(raw: bytes) -> None:
    """Raise the error that a 200 or an event carries, if it carries one: at the top level, or in its first choice."""
    if b'"error"' not in raw:
        return
    body = decode(raw)
    error = body.get("error")
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not error and isinstance(first, dict) and first.get("finish_reason") == "error":
        error = first.get("error")
    if isinstance(error, dict):
        error_class, _, _ = _metadata_words(error)
        raise _provider_error(error, status_of(error.get("code"), error_class), {}).reporting(reported_usage(body))


def refusal(response: HttpResponse) -> ProviderError:
    """The error that a non-2xx answer stands for, with what its ``metadata`` says."""
    try:
        body = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return openai_refusal(response)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("metadata"), dict):
        return openai_refusal(response)
    return _provider_error(error, response.status, response.headers)


def _metadata_words(error: Json) -> tuple[str | None, str | None, str | None]:
    """The error's class, the vendor's own code and the vendor's name, from ``metadata``."""
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    values = [metadata.get(name) for name in ("error_type", "provider_code", "provider_name")]
    error_class, code, vendor = (
        str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None for value in values
    )
    return error_class, code, vendor


def _provider_error(error: Json, status: int, headers: Mapping[str, str]) -> ProviderError:
    error_class, code, vendor = _metadata_words(error)
    metadata = error.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    vendor_raw = metadata.get("raw")
    document = _json_text({"error": error})
    message = error.get("message")
    message = message if isinstance(message, str) and message else "the vendor sent an error"
    codes = frozenset(word.lower() for word in (error_class, code, str(error.get("type") or "")) if word)
    raw = vendor_raw or document
    return ProviderError(
        classify(status, codes, f"{message} {document}".lower()),
        f"{vendor}: {message}" if vendor else message,
        status=status,
        raw=(raw if isinstance(raw, str) else _json_text(raw))[:RAW_MAX],
        retry_after_s=retry_after_s({**dict(lower_case(metadata.get("headers"))), **headers}, status),
        provider_code=code or error_class,
    )


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")
