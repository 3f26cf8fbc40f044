"""Which JSON Schemas contain themselves: vendors that constrain their output cannot take those."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.schema import is_recursive

LEAF: dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "recursive"),
    [
        ({"type": "object", "properties": {"a": LEAF}}, False),
        ({"properties": {"a": {"$ref": "#"}}}, True),
        ({"properties": {"a": {"type": "array", "items": {"anyOf": [LEAF, {"$ref": "#"}]}}}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/leaf"}}, "$defs": {"leaf": LEAF}}, False),
        ({"$ref": "#/$defs/tree", "$defs": {"tree": {"properties": {"left": {"$ref": "#/$defs/tree"}}}}}, True),
        (
            {"definitions": {"a": {"items": {"$ref": "#/definitions/b"}}, "b": {"items": {"$ref": "#/definitions/a"}}}},
            True,
        ),
        ({"$defs": {"a": {"$ref": "#"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}, True),
        (
            {"properties": {"a": {"$ref": "#/$defs/leaf"}, "b": {"$ref": "#/$defs/leaf"}}, "$defs": {"leaf": LEAF}},
            False,
        ),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, False),
        ({"properties": {"$ref": LEAF}}, False),
        ({}, False),
    ],
)
def test_is_recursive(schema: dict[str, Any], recursive: bool) -> None:
    """Through properties, lists and definitions, directly or by way of each other; a property named like the keyword is none."""
    assert is_recursive(schema) is recursive
