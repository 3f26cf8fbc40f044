"""JSON bodies as multipart forms, the way OpenAI's SDK encodes them (``openai`` 3.54, 2026-11). Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.transport.multipart import Field
from providers.types import Json


def form_fields(sent: Json) -> list[Field]:
    """The fields of a form: for a list one field ``name[]`` for each item, for an object its JSON, for null none."""
    fields = []
    for name, value in sent.items():
        if isinstance(value, list):
            fields += [Field(f"{name}[]", _text(one)) for one in value]
        elif value is not None:
            fields.append(Field(name, _text(value)))
    return fields


def _text(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else msgspec.json.encode(value)
