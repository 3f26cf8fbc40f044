"""Checks a request against its documented types, which msgspec does; an error names the field. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from gateway.errors import BadRequest

T = TypeVar("T")
_LOCATION = re.compile(r" - at (?:`key` in )?`\$?\.?([^`]*)`")
_MISSING = re.compile(r"required field `(\w+)`")


def convert(value: dict[str, Any], type_: type[T], prefix: str = "") -> T:
    """The typed value. Raises BadRequest naming the field (below ``prefix``), what was expected and what came."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        message = str(error)
        location = _LOCATION.search(message)
        below = location[1] if location is not None else ""
        if not below and not prefix:
            missing = _MISSING.search(message)
            below = missing[1] if missing is not None else ""
        field = ".".join(part for part in (prefix, below) if part) or "body"
        problem = message[: location.start()] if location is not None else message
        raise BadRequest(f"{field}: {problem}", field=field) from None


def require_model(body: dict[str, Any]) -> None:
    """Raises BadRequest for a request without ``model`` and ``models``."""
    if body.get("model") is None and not body.get("models"):
        raise BadRequest('Name a model: {"model": "author/slug"}; GET /api/v1/models lists them.', field="model")
