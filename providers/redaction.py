"""Secrets out of what a vendor writes: a refusal may quote the key that it refuses. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit

from providers.errors import RAW_MAX, ProviderError
from providers.types import Target

MASK: Final = "[secret]"
SHORTEST: Final = 8
"""A shorter value is no secret but a word such as ``none`` or ``ollama``, which a message may need."""
_QUOTED: Final = 12
"""Characters of a secret by which a shortened quotation (``Incorrect API key: sk-proj-Ab12...``) is recognised."""
WORDS_MAX: Final = 300
_TAGS: Final = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SHAPES: Final = re.compile(
    r"(?i:\bbearer\s+)[\w.~+/=-]{8,}"
    r"|\b(?:sk|gsk|xai|tvly|pplx)[-_][\w-]{16,}"
    r"|\barn:aws[\w-]*:[\w-]*:[\w-]*:\d*:[\w./+=@-]+"
    r"|\bAIza[\w-]{30,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\bya29\.[\w-]+"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|[\w.-]{0,64}\*{4,}[\w.*-]*"
)
"""What keys and tokens of the large vendors look like, also half masked by them: some are fetched while a request is being sent,
and are in no configuration."""


def redact(error: ProviderError, target: Target) -> None:
    """Take the target's secrets out of everything that an error says."""
    secrets = secrets_of(target)
    error.message, error.raw = redacted(error.message[:RAW_MAX], secrets), redacted(error.raw[:RAW_MAX], secrets)
    if error.provider_code is not None:
        error.provider_code = redacted(error.provider_code, secrets)
    error.args = (f"{error.failure.kind}: {error.message}",)


def words(error: ProviderError) -> str:
    """What the vendor said, in one line: its message, or the beginning of a body that is none of its own, such as a page."""
    said = error.message
    if error.raw and said.startswith("the vendor answered"):
        said = f"{said}: {_TAGS.sub(' ', error.raw)}"
    said = " ".join(said.split())
    return said if len(said) <= WORDS_MAX else f"{said[: WORDS_MAX - 3]}..."


def redacted(text: str, secrets: Iterable[str]) -> str:
    """``text`` without the secrets, in plain, URL-encoded and JSON-escaped form, and without anything that is shaped like a key."""
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("/", "\\/")}:
            text = text.replace(form, MASK)
        if len(secret) >= 2 * _QUOTED and secret[:_QUOTED] in text:
            text = re.sub(re.escape(secret[:_QUOTED]) + r"[\w.~+/=*-]*", MASK, text)
    return _SHAPES.sub(MASK, text)


def secrets_of(target: Target) -> list[str]:
    """Every configured value of a target that nobody else may see: its key, credentials, own headers and its proxy's password."""
    values = [target.api_key, *target.credentials.values()]
    for _, value in target.headers:
        values += [value, value.rpartition(" ")[2]]
    if target.proxy is not None:
        values.append(_password(target.proxy))
    return sorted({value for value in values if value is not None and len(value) >= SHORTEST}, key=len, reverse=True)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
