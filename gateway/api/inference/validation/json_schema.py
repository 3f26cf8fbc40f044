"""Is it JSON Schema? The structure of what a caller calls one, so that no vendor has to say so in its own words. Pure.

The keywords of drafts 4 to 2020-12 with the types they must have; unknown keywords pass, and ``null`` is the same as leaving a
keyword out, as everywhere in requests. Which keywords a vendor understands is its dialect's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args

import msgspec
from msgspec import Meta

from gateway.errors import BadRequest

Kind = Literal["string", "number", "integer", "boolean", "object", "array", "null"]
Count = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
Sub = Union["_Schema", bool]
"""``true`` allows everything, ``false`` nothing."""
Named = dict[str, Sub]
Several = Annotated[list[Sub], Meta(min_length=1)]


class _Schema(msgspec.Struct, rename="camel"):
    type: Kind | Annotated[list[Kind], Meta(min_length=1)] | None = None
    properties: Named | None = None
    required: list[str] | None = None
    enum: list[Any] | None = None
    items: Sub | list[Sub] | None = None
    additional_properties: Sub | None = None
    any_of: Several | None = None
    one_of: Several | None = None
    all_of: Several | None = None
    ref: str | None = msgspec.field(default=None, name="$ref")
    defs: Named | None = msgspec.field(default=None, name="$defs")
    definitions: Named | None = None
    pattern_properties: Named | None = None
    dependent_schemas: Named | None = None
    prefix_items: list[Sub] | None = None
    additional_items: Sub | None = None
    unevaluated_items: Sub | None = None
    unevaluated_properties: Sub | None = None
    property_names: Sub | None = None
    contains: Sub | None = None
    not_: Sub | None = msgspec.field(default=None, name="not")
    if_: Sub | None = msgspec.field(default=None, name="if")
    then: Sub | None = None
    else_: Sub | None = msgspec.field(default=None, name="else")
    title: str | None = None
    description: str | None = None
    format: str | None = None
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | bool | None = None
    exclusive_maximum: float | bool | None = None
    multiple_of: Annotated[float, Meta(gt=0)] | None = None
    min_length: Count | None = None
    max_length: Count | None = None
    min_items: Count | None = None
    max_items: Count | None = None
    min_properties: Count | None = None
    max_properties: Count | None = None
    unique_items: bool | None = None


_ANY = _Schema | bool
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLE = (
    *("items", "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "propertyNames"),
    *("contains", "not", "if", "then", "else"),
)


class NotSchema(BadRequest):
    """``inside``: where in the schema, e.g. ``.properties.city.type``."""

    def __init__(self, inside: str, why: str) -> None:
        super().__init__(f"{inside.removeprefix('.') or 'the schema'}: not JSON Schema: {why}")
        self.inside, self.why = inside, why


def check(schema: Any) -> None:
    """Raises NotSchema. About 5 us for a tool of eight arguments. How deep and large a schema is, the body's limits bound."""
    try:
        msgspec.convert(schema, _ANY)
    except msgspec.ValidationError as error:
        raise _blame(schema, error) from None
    except RecursionError:
        raise NotSchema("", "it is nested too deep") from None


def _blame(schema: Any, error: msgspec.ValidationError) -> NotSchema:
    """The innermost schema that is none, by asking one level deeper each time: msgspec does not name a dictionary's keys."""
    inside, found = "", True
    while found:
        found = False
        for step, child in _children(schema):
            try:
                msgspec.convert(child, _ANY)
            except msgspec.ValidationError as deeper:
                inside, schema, error, found = inside + step, child, deeper, True
                break
    why, _, where = str(error).partition(" - at `$")
    if why.startswith("Invalid enum value"):
        why += f", not one of {', '.join(get_args(Kind))}"
    return NotSchema(inside + where.removesuffix("`"), why)


def _children(schema: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(schema, dict):
        return
    for keyword in _NAMED:
        named = schema.get(keyword)
        for name, child in named.items() if isinstance(named, dict) else ():
            yield f".{keyword}.{name[:64]}", child
    for keyword in _LISTED:
        listed = schema.get(keyword)
        for index, child in enumerate(listed if isinstance(listed, list) else ()):
            yield f".{keyword}[{index}]", child
    for keyword in _SINGLE:
        child = schema.get(keyword)
        if isinstance(child, dict):
            yield f".{keyword}", child
