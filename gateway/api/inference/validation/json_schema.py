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


CONTAINERS_MAX = 5_000
"""Objects and lists of one schema (OpenAI: 5,000 properties of all levels; its guide to structured outputs, 2026-11)."""
LOOKED_AT_MAX = 20_000
"""Objects and lists that are looked at to find out where a schema is wrong."""
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
    """Raises NotJsonSchema. About 6 us for a tool of eight arguments, 0.7 us for each object in a large one."""
    size = _size(schema)
    try:
        msgspec.convert(schema, _ANY)
    except msgspec.ValidationError as error:
        raise _located(schema, error, LOOKED_AT_MAX // size) from None
    except RecursionError:
        raise NotJsonSchema("", "it is nested too deep") from None


def _size(schema: Any) -> int:
    """Objects and lists of a schema. Raises NotJsonSchema for more than ``CONTAINERS_MAX``."""
    found = [schema]
    for value in found:
        found += [
            child
            for child in (value.values() if type(value) is dict else value if type(value) is list else ())
            if type(child) is dict or type(child) is list
        ]
        if len(found) > CONTAINERS_MAX:
            raise NotJsonSchema("", f"it has more than {CONTAINERS_MAX:,} objects and lists")
    return len(found)


def _located(schema: Any, error: msgspec.ValidationError, levels: int) -> NotJsonSchema:
    """The error with the path of the innermost schema that is wrong. It is found by checking one level deeper each time,
    because msgspec does not name the keys of a dictionary; of a large schema only the first ``levels`` are named.
    """
    path, found = "", True
    while found and levels > 0:
        found, levels = False, levels - 1
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
