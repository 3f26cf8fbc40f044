"""The words of incoming bodies: amounts, instants, names. Each checks itself and says what would be right."""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.money import parse_usd

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
        raise ValueError("is not a time of the calendar") from None
    if unix_s <= time.time():
        raise ValueError("lies in the past")
    return unix_s


def said(text: str) -> str:
    if not text.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("must be text without control characters, and not blank")
    return text


Limit = Annotated[
    int,
    BeforeValidator(_nano),
    AfterValidator(_not_negative),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": TEXT_PATTERN}]}),
]
"""Nano-USD inside; dollars with at most nine places outside, as a number or a decimal string."""
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
"""Unix seconds inside."""
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(said)]
OrganizationId = Annotated[str, Field(min_length=1, max_length=64)]
Reset = Literal["daily", "weekly", "monthly"]
