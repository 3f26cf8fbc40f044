"""Whether JSON follows a schema that a stranger wrote (Draft 7), in bounded time.

It is jsonschema's validator, of the extra ``analytics``, with each keyword counted: after ``STEPS_MAX`` of them nothing is said.
Left out is what a hostile schema could stop the process with although it runs on a thread, as Python's regular expressions hold
the interpreter while they search: ``pattern``, ``patternProperties`` and what depends on it; and ``uniqueItems``, which may compare
everything with everything. Nothing is fetched: a ``$ref`` to elsewhere is not resolved. It must not know: requests, events.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import msgspec

STEPS_MAX = 5_000
"""Keywords, each with the values that it lists: some 30 ms on a thread. A call of a usual tool takes 10 to 200."""
SCHEMA_BYTES_MAX = 65_536
"""Larger schemas are not looked at."""
VALIDATORS_KEPT = 256
LEFT_OUT = frozenset({"pattern", "patternProperties", "uniqueItems", "format"})

Check = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class TooMuch(Exception):
    """The check has taken as many steps as it may."""


class _Steps:
    """One per process, as one thread checks."""

    left = 0

    def take(self, value: object) -> None:
        self.left -= 1 + (len(value) if isinstance(value, list | dict) else 0)
        if self.left < 0:
            raise TooMuch


_STEPS = _Steps()


def is_available() -> bool:
    """Whether jsonschema is installed."""
    return importlib.util.find_spec("jsonschema") is not None


def follows(value: object, schema: object) -> bool | None:
    """Whether a value follows a schema; None where that cannot be said: no schema, one that is none, too large, too much work, no
    jsonschema. Not to be called on the event loop.
    """
    if not isinstance(schema, dict) or not is_available():
        return None
    try:
        written = msgspec.json.encode(schema)
        if len(written) > SCHEMA_BYTES_MAX:
            return None
        _STEPS.left = STEPS_MAX
        return bool(_validator(written).is_valid(value))
    except _broken():
        return None


@lru_cache(maxsize=VALIDATORS_KEPT)
def _validator(written: bytes) -> Any:
    """The validator of a schema, given as JSON."""
    referencing = importlib.import_module("referencing")  # with an empty registry nothing is fetched
    return _bounded()(msgspec.json.decode(written), registry=referencing.Registry())


@cache
def _broken() -> tuple[type[Exception], ...]:
    """What the validator raises for a schema that is none."""
    jsonschema, referencing = (importlib.import_module(f"{name}.exceptions") for name in ("jsonschema", "referencing"))
    ours = (TooMuch, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
    return (*ours, jsonschema.SchemaError, jsonschema.UnknownType, referencing.Unresolvable)


@cache
def _bounded() -> Any:
    """jsonschema's class for Draft 7, with every keyword counted. Importing it takes 0.15 s."""
    jsonschema = importlib.import_module("jsonschema")  # an optional dependency, loaded when it is used
    draft = jsonschema.Draft7Validator
    keywords = {name: _counted(check) for name, check in draft.VALIDATORS.items()}
    keywords |= dict.fromkeys(LEFT_OUT, _nothing)
    keywords["additionalProperties"] = _additional(keywords["additionalProperties"])
    return jsonschema.validators.extend(draft, keywords)


def _counted(check: Check) -> Check:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        _STEPS.take(value)
        return check(validator, value, instance, schema)

    return counted


def _nothing(validator: Any, value: Any, instance: Any, schema: Any) -> None:
    """A keyword that is left out."""


def _additional(check: Check) -> Check:
    """``additionalProperties`` beside ``patternProperties`` would search with its patterns."""

    def additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        return None if "patternProperties" in schema else check(validator, value, instance, schema)

    return additional
