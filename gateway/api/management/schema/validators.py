"""Field types of request bodies: amounts, times, names. Their error messages say what a correct value looks like."""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.money import parse_usd
from gateway.settings import RATE_MAX

DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
TEXT_PATTERN = r"^-?[0-9]{1,12}(\.[0-9]{1,9})?$"


def _text_nano(value: Any) -> int:
    if not isinstance(value, str) or DECIMAL.fullmatch(value) is None:
        raise ValueError('must be a decimal string with at most nine places, such as "12.50"')
    return parse_usd(value)


def _nano(value: Any) -> int:
    if isinstance(value, str):
        return _text_nano(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number of US dollars, or a decimal string")
    return parse_usd(value)


def _not_negative(nano: int) -> int:
    if nano < 0:
        raise ValueError("must not be negative")
    return nano


def _not_zero(nano: int) -> int:
    if nano == 0:
        raise ValueError("must not be zero")
    return nano


def _unix_s(value: Any) -> float:
    if not isinstance(value, str) or INSTANT.fullmatch(value) is None:
        raise ValueError("must be a time with seconds and zone, such as 2027-01-31T23:59:59Z")
    try:
        unix_s = datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("is not a date and time that exists") from None
    if unix_s <= time.time():
        raise ValueError("is in the past")
    return unix_s


def printable_text(text: str) -> str:
    """The text itself. Raises ValueError when it is blank or has control characters or lone surrogates."""
    if not text.strip() or any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("must be text without control characters, and not blank")
    return text


Limit = Annotated[
    int,
    BeforeValidator(_nano),
    AfterValidator(_not_negative),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": TEXT_PATTERN}]}),
]
"""Nano-USD, from US dollars with at most nine places, given as a number or a decimal string."""
Grant = Annotated[
    int,
    BeforeValidator(_text_nano),
    AfterValidator(_not_zero),
    WithJsonSchema({"type": "string", "pattern": TEXT_PATTERN, "examples": ["25.00", "-3.5"]}),
]
Instant = Annotated[
    float,
    BeforeValidator(_unix_s),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-31T23:59:59Z"]}),
]
"""Unix seconds, from an ISO 8601 time in the future."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(printable_text)]
OrganizationId = Annotated[str, Field(min_length=1, max_length=64)]
Rate = Annotated[int, Field(ge=1, le=RATE_MAX)]
Reset = Literal["daily", "weekly", "monthly"]
