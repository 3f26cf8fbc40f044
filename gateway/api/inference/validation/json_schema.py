"""Whether what a caller calls a JSON Schema is one, so that it is refused here and not by each vendor in its own words. Pure.

The keywords of drafts 4 to 2020-12 with the types they must have; unknown keywords pass, and ``null`` is the same as leaving a
keyword out, as everywhere in requests. Which keywords a vendor understands is known to its dialect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args

import msgspec
from msgspec import Meta

Type = Literal["string", "number", "integer", "boolean", "object", "array", "null"]
Count = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
Subschema = Union["_Schema", bool]
"""``true`` allows everything, ``false`` nothing."""
Schemas = dict[str, Subschema]
AtLeastOne = Annotated[list[Subschema], Meta(min_length=1)]


class _Schema(msgspec.Struct, rename="camel"):
    type: Type | Annotated[list[Type], Meta(min_length=1)] | None = None
    properties: Schemas | None = None
    required: list[str] | None = None
    enum: list[Any] | None = None
    items: Subschema | list[Subschema] | None = None
    additional_properties: Subschema | None = None
    any_of: AtLeastOne | None = None
    one_of: AtLeastOne | None = None
    all_of: AtLeastOne | None = None
    ref: str | None = msgspec.field(default=None, name="$ref")
    defs: Schemas | None = msgspec.field(default=None, name="$defs")
    definitions: Schemas | None = None
    pattern_properties: Schemas | None = None
    dependent_schemas: Schemas | None = None
    prefix_items: list[Subschema] | None = None
    additional_items: Subschema | None = None
    unevaluated_items: Subschema | None = None
    unevaluated_properties: Subschema | None = None
    property_names: Subschema | None = None
    contains: Subschema | None = None
    not_: Subschema | None = msgspec.field(default=None, name="not")
    if_: Subschema | None = msgspec.field(default=None, name="if")
    then: Subschema | None = None
    else_: Subschema | None = msgspec.field(default=None, name="else")
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
_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLES = (
    *("items", "additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "propertyNames"),
    *("contains", "not", "if", "then", "else"),
)


class NotJsonSchema(Exception):
    """``path``: where in the schema, e.g. ``.properties.city.type``; ``problem``: what is wrong there."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path.removeprefix('.') or 'the schema'}: {problem}")
        self.path, self.problem = path, problem


def check(schema: Any) -> None:
    """Raises NotJsonSchema. About 5 us for a tool of eight arguments. The body's limits bound a schema's depth and size."""
    try:
        msgspec.convert(schema, _ANY)
    except msgspec.ValidationError as error:
        raise _located(schema, error) from None
    except RecursionError:
        raise NotJsonSchema("", "it is nested too deep") from None


def _located(schema: Any, error: msgspec.ValidationError) -> NotJsonSchema:
    """The error with the path of the innermost schema that is wrong. It is found by checking one level deeper each time,
    because msgspec does not name the keys of a dictionary.
    """
    path, found = "", True
    while found:
        found = False
        for step, child in _children(schema):
            try:
                msgspec.convert(child, _ANY)
            except msgspec.ValidationError as deeper:
                path, schema, error, found = path + step, child, deeper, True
                break
    problem, _, below = str(error).partition(" - at `$")
    if problem.startswith("Invalid enum value"):
        problem += f", not one of {', '.join(get_args(Type))}"
    return NotJsonSchema(path + below.removesuffix("`"), problem)


def _children(schema: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(schema, dict):
        return
    for keyword in _MAPS:
        named = schema.get(keyword)
        for name, child in named.items() if isinstance(named, dict) else ():
            yield f".{keyword}.{name[:64]}", child
    for keyword in _LISTS:
        listed = schema.get(keyword)
        for index, child in enumerate(listed if isinstance(listed, list) else ()):
            yield f".{keyword}[{index}]", child
    for keyword in _SINGLES:
        child = schema.get(keyword)
        if isinstance(child, dict):
            yield f".{keyword}", child
