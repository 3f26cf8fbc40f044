"""JSON Schema in Gemini's two schema formats. Pure.

``parametersJsonSchema`` and ``responseJsonSchema`` take JSON Schema itself, with these keywords: ``$id $defs $ref
$anchor type format title description enum items prefixItems minItems maxItems minimum maximum anyOf oneOf properties
additionalProperties required propertyOrdering``; ``enum`` holds strings and numbers only, and a ``$ref`` may not
have siblings (googleapis ``GenerationConfig.responseJsonSchema``, read 2026-11). The vendor ignores other keywords, so they
stay; what it would refuse is rewritten to an equivalent.

``parameters`` and ``responseSchema`` are the older message ``Schema``, a subset of OpenAPI 3.0 that refuses every unknown
keyword (google-genai 3.4 ``types.Schema``): for models that do not take the newer fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from providers.errors import failed
from providers.types import Json

DEPTH_MAX: Final = 64
"""Levels of nesting after which a schema is refused."""

_PLAIN = frozenset(
    {
        "description", "title", "default", "example", "minItems", "maxItems", "minLength", "maxLength", "minProperties",
        "maxProperties", "minimum", "maximum", "pattern", "propertyOrdering", "required",
    }
)  # fmt: skip
_TYPES: Final = {
    "string": "STRING", "number": "NUMBER", "integer": "INTEGER", "boolean": "BOOLEAN", "array": "ARRAY", "object": "OBJECT",
}  # fmt: skip
_FORMATS: Final = {"STRING": {"date-time", "enum"}, "NUMBER": {"float", "double"}, "INTEGER": {"int32", "int64"}}
_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONES = ("items", "additionalProperties", "not", "propertyNames", "contains", "if", "then", "else")


def json_schema(schema: Any, where: str) -> Json:
    """``schema`` for the fields that take JSON Schema. Raises ``ProviderError`` (unsupported) naming ``where``."""
    if not isinstance(schema, dict):
        raise failed("unsupported", f"{where} is not a JSON Schema object")
    return _json(schema, where, 0)


def openapi(schema: Any, where: str) -> Json:
    """``schema`` as Gemini's ``Schema`` message: references resolved, unknown keywords dropped. Raises as ``json_schema``."""
    if not isinstance(schema, dict):
        raise failed("unsupported", f"{where} is not a JSON Schema object")
    return _OpenApi(schema, where).convert(schema, ())


def _json(schema: Json, where: str, depth: int) -> Json:
    if depth > DEPTH_MAX:
        raise failed("unsupported", f"{where} is nested deeper than {DEPTH_MAX} levels")
    made: Json = {}
    for name, value in schema.items():
        if name in ("$defs", "definitions") and isinstance(value, dict):
            made["$defs"] = {**made.get("$defs", {}), **{k: _sub(v, where, depth) for k, v in value.items()}}
        elif name in _MAPS and isinstance(value, dict):
            made[name] = {k: _sub(v, where, depth) for k, v in value.items()}
        elif name in _LISTS and isinstance(value, list):
            made[name] = [_sub(v, where, depth) for v in value]
        elif name in _ONES and isinstance(value, dict):
            made[name] = _json(value, where, depth + 1)
        else:
            made[name] = value
    return _rewritten(made)


def _sub(schema: Any, where: str, depth: int) -> Any:
    return _json(schema, where, depth + 1) if isinstance(schema, dict) else {} if schema is True else schema


def _rewritten(made: Json) -> Json:
    """One level of a schema without what Gemini refuses, in place."""
    reference = made.get("$ref")
    if isinstance(reference, str):
        made["$ref"] = reference = reference.replace("#/definitions/", "#/$defs/", 1)
        if any(not name.startswith("$") for name in made) and "anyOf" not in made:
            del made["$ref"]
            made["anyOf"] = [{"$ref": reference}]
    if "const" in made and isinstance(made["const"], str | int | float) and not isinstance(made["const"], bool):
        made.setdefault("enum", [made.pop("const")])
    values = made.get("enum")
    if isinstance(values, list) and None in values and "anyOf" not in made:
        kinds = made.pop("type", None)
        del made["enum"]
        choice: Json = {"enum": [value for value in values if value is not None]}
        rest = [kind for kind in kinds if kind != "null"] if isinstance(kinds, list) else [kinds] if kinds else []
        if rest:
            choice["type"] = rest[0] if len(rest) == 1 else rest
        made["anyOf"] = [choice, {"type": "null"}] if choice["enum"] else [{"type": "null"}]
    return made


class _OpenApi:
    """One conversion to the ``Schema`` message."""

    def __init__(self, root: Json, where: str) -> None:
        self._root = root
        self._where = where

    def convert(self, schema: Any, seen: tuple[str, ...], depth: int = 0) -> Json:
        if depth > DEPTH_MAX:
            raise failed("unsupported", f"{self._where} is nested deeper than {DEPTH_MAX} levels")
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in seen:
                return {"type": "OBJECT"}  # a recursive schema cannot be written out
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return self.convert({**self._find(reference), **rest}, (*seen, reference), depth + 1)
        if isinstance(schema.get("allOf"), list):
            schema = self._merged(schema)
            if "$ref" in schema:
                return self.convert(schema, seen, depth + 1)
        made = {name: value for name, value in schema.items() if name in _PLAIN}
        self._kind(schema, made)
        self._values(schema, made)
        self._inside(schema, made, seen, depth)
        return made

    def _find(self, reference: str) -> Json:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#") else ["$"]:
            node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) and step else node
        if not isinstance(node, dict):
            raise failed("unsupported", f"{self._where} refers to {reference[:80]!r}, which is not in it")
        return node

    @staticmethod
    def _merged(schema: Json) -> Json:
        made = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            for name, value in part.items() if isinstance(part, dict) else ():
                if name == "properties" and isinstance(value, dict) and isinstance(made.get(name), dict):
                    made[name] = {**value, **made[name]}
                elif name == "required" and isinstance(value, list) and isinstance(made.get(name), list):
                    made[name] = [*made[name], *(one for one in value if one not in made[name])]
                else:
                    made.setdefault(name, value)
        return made

    @staticmethod
    def _kind(schema: Json, made: Json) -> None:
        kind = schema.get("type")
        kinds = [one for one in kind if isinstance(one, str)] if isinstance(kind, list) else [kind]
        if "null" in kinds or schema.get("nullable") is True:
            made["nullable"] = True
        known = [_TYPES[one.lower()] for one in kinds if isinstance(one, str) and one.lower() in _TYPES]
        if len(known) > 1:
            made["anyOf"] = [{"type": one} for one in known]
        elif known:
            made["type"] = known[0]
        elif "properties" in schema:
            made["type"] = "OBJECT"
        format_ = schema.get("format")
        if isinstance(format_, str) and format_ in _FORMATS.get(made.get("type", ""), ()):
            made["format"] = format_

    @staticmethod
    def _values(schema: Json, made: Json) -> None:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(values, list):
            if None in values:
                made["nullable"] = True
            if any(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values):
                made.setdefault("type", "STRING")
                made["format"] = "enum"
                made["enum"] = [str(v) for v in values if isinstance(v, str | int | float) and not isinstance(v, bool)]

    def _inside(self, schema: Json, made: Json, seen: tuple[str, ...], depth: int) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:  # Gemini refuses an empty map, but not a missing one
            made["properties"] = {name: self.convert(one, seen, depth + 1) for name, one in properties.items()}
        items: Any = schema.get("items")
        if isinstance(schema.get("prefixItems"), list):
            items = {"anyOf": schema["prefixItems"]}
        if isinstance(items, dict):
            made["items"] = self.convert(items, seen, depth + 1)
        elif made.get("type") == "ARRAY":
            made["items"] = {}
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list):
                self._union(schema[name], made, seen, depth)

    def _union(self, choices: Iterable[Any], made: Json, seen: tuple[str, ...], depth: int) -> None:
        kept = []
        for choice in choices:
            if isinstance(choice, dict) and choice.get("type") == "null":
                made["nullable"] = True
            else:
                kept.append(self.convert(choice, seen, depth + 1))
        if len(kept) == 1:
            for name, value in kept[0].items():
                made.setdefault(name, value)
        elif kept:
            made["anyOf"] = kept
