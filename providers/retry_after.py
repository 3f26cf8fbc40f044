"""How long a vendor asks to be left alone: what its headers and its error object say, in seconds. Pure.

``Retry-After`` as seconds or as a date (RFC 9110, 10.2.3) and ``retry-after-ms`` are advice. The headers of rate limits are
not: they say when a limit is full again, and stand on good answers, too. So they count with a 429 only, and only those of a
limit that is used up:

- OpenAI, Groq, Azure: ``x-ratelimit-reset-requests``, ``-tokens`` as ``6m0s``, ``1.5s``, ``120ms`` (platform.openai.com/docs/
  guides/rate-limits; console.groq.com/docs/rate-limits)
- Anthropic: ``anthropic-ratelimit-requests-reset``, ``-input-tokens-reset``, ... as RFC 3339 (platform.claude.com/docs/en/api/
  rate-limits)
- OpenRouter: ``X-RateLimit-Reset`` as Unix milliseconds, also in ``error.metadata.headers`` (openrouter.ai/docs/api-reference/
  limits)
- others: the same names, or ``ratelimit-reset``, with seconds or Unix seconds
- Google: ``RetryInfo.retryDelay`` in ``error.details`` (google/rpc/error_details.proto)

All read 2026-11. Dates are compared with the answer's own ``Date`` where it has one, so that a wrong clock here does no harm.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

RETRY_AFTER_MAX_S = 300.0
"""The longest pause that a vendor can ask for: a ``Retry-After`` of a week must not switch an endpoint off for a week."""
TOO_MANY = 429
_VALUE_MAX: Final = 64
"""Characters read of a header's value."""
_DURATION: Final = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_UNITS_S: Final = (86_400.0, 3600.0, 60.0, 1.0, 0.001)
_UNIX_S, _UNIX_MS = 1e9, 1e11
"""From here on a number is no duration but a time (since 2001, since 1973)."""


def retry_after_s(headers: Mapping[str, str], status: int = 0, *, now: float | None = None) -> float | None:
    """Seconds to wait, at most 300; 0 means at once. None without advice, and for garbage.

    ``headers``: names in lower case. ``now``: Unix seconds, for dates when the answer has none.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and "," in text:
        date = _http_date(text)
        seconds = None if date is None else max(0.0, date - _now(headers, now))
    if seconds is None and status == TOO_MANY:
        seconds = _until_reset(headers, _now(headers, now))
    return None if seconds is None else _bounded(seconds)


def retry_info_s(error: Any) -> float | None:
    """``RetryInfo.retryDelay`` of Google's error object, in seconds, at most 300; None without it."""
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, dict):  # google.protobuf.Duration spelled out
            delay = f"{delay.get('seconds', 0)}s"
        seconds = _duration(delay) if isinstance(delay, str) else None
        if seconds is not None:
            return _bounded(seconds)
    return None


def _until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until every limit that is used up is full again; where no header says what is left, the earliest reset."""
    used_up, unknown = [], []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        seconds = _reset(value[:_VALUE_MAX].strip(), now)
        if seconds is None:
            continue
        left = _number(headers.get(name.replace("reset", "remaining"), ""))
        if left is None:
            unknown.append(seconds)
        elif left == 0:
            used_up.append(seconds)
    return max(used_up) if used_up else min(unknown, default=None)


def _reset(text: str, now: float) -> float | None:
    """Seconds until a reset that is written as a duration, a number of seconds, a Unix time or an RFC 3339 date."""
    number = _number(text)
    if number is None:
        date = _rfc3339(text)
        return _duration(text) if date is None else max(0.0, date - now)
    if number >= _UNIX_MS:
        return max(0.0, number / 1000 - now)
    return max(0.0, number - now) if number >= _UNIX_S else number


def _duration(text: str) -> float | None:
    """``6m0s``, ``1h2m3.5s``, ``120ms``: as Go and protobuf write durations."""
    match = _DURATION.fullmatch(text[:_VALUE_MAX].strip())
    if match is None or not any(match.groups()):
        return None
    return sum(float(count) * unit_s for count, unit_s in zip(match.groups(), _UNITS_S, strict=True) if count)


def _bounded(seconds: float) -> float:
    return min(seconds, RETRY_AFTER_MAX_S)


def _number(text: str) -> float | None:
    """A plain decimal number; None for anything else, also for signs, exponents, ``nan`` and ``inf``."""
    text = text.strip()[:_VALUE_MAX]
    return float(text) if text.isascii() and text.replace(".", "", 1).isdecimal() else None


def _now(headers: Mapping[str, str], now: float | None) -> float:
    date = _http_date(headers.get("date", ""))
    return date if date is not None else time.time() if now is None else now


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text[:_VALUE_MAX]).timestamp() if text else None
    except (ValueError, OverflowError):
        return None


def _rfc3339(text: str) -> float | None:
    try:
        date = datetime.fromisoformat(text) if "-" in text else None
    except ValueError:
        return None
    if date is None:
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


def lower_case(headers: Any) -> Iterator[tuple[str, str]]:
    """(name, value) of headers inside a document, as ``retry_after_s`` takes them; nothing when they are not an object of texts."""
    if isinstance(headers, dict):
        for name, value in headers.items():
            yield str(name).lower(), str(value)
