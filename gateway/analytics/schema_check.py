"""Whether JSON follows a schema that a stranger wrote (Draft 7), in bounded time.

It is jsonschema's validator, of the extra ``analytics``, with each keyword counted: after ``STEPS_MAX`` of them, or ``THREAD_S``,
nothing is said. A part of a schema that says ``$schema`` gets no other validator.
Left out is what a hostile schema could stop the process with although it runs on a thread, as Python's regular expressions hold
the interpreter while they search: ``pattern``, ``patternProperties`` and what depends on it; and ``uniqueItems``, which may compare
everything with everything. Nothing is fetched: a ``$ref`` to elsewhere is not resolved. It must not know: requests, events.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import msgspec

STEPS_MAX = 5_000
"""Keywords, each with the values that it lists and those that it is applied to. A call of a usual tool takes 10 to 200."""
THREAD_S = 0.05
"""CPU of the thread."""
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
    until_s = 0.0

    def begin(self) -> None:
        self.left, self.until_s = STEPS_MAX, time.thread_time() + THREAD_S

    def take(self, *values: object) -> None:
        self.left -= 1 + sum(len(value) for value in values if isinstance(value, list | dict))
        if self.left < 0 or time.thread_time() > self.until_s:
            raise TooMuch


_STEPS = _Steps()


def is_available() -> bool:
    """Whether jsonschema is installed."""
    return importlib.util.find_spec("jsonschema") is not None


def written(schema: object) -> bytes | None:
    """A schema as ``follows`` takes it; None for none, and for one that is too large."""
    if not isinstance(schema, dict):
        return None
    try:
        made = msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError):
        return None
    return made if len(made) <= SCHEMA_BYTES_MAX else None


def follows(value: object, schema: bytes | None) -> bool | None:
    """Whether a value follows a schema that is ``written``; None where that cannot be said: no schema, one that is none, too much
    work, no jsonschema. Not to be called on the event loop.
    """
    if schema is None or not is_available():
        return None
    try:
        validator = _validator(schema)
        _STEPS.begin()
        return bool(validator.is_valid(value))
    except Exception:  # noqa: BLE001 - strangers write the schemas: whatever a library raises for one, the others go on
        return None


@lru_cache(maxsize=VALIDATORS_KEPT)
def _validator(schema: bytes) -> Any:
    referencing = importlib.import_module("referencing")  # with an empty registry nothing is fetched
    return _bounded()(msgspec.json.decode(schema), registry=referencing.Registry())


@cache
def _bounded() -> Any:
    """jsonschema's class for Draft 7, with every keyword counted. Importing it takes 0.15 s."""
    jsonschema = importlib.import_module("jsonschema")  # an optional dependency, loaded when it is used
    draft = jsonschema.Draft7Validator
    keywords = {name: _counted(check) for name, check in draft.VALIDATORS.items()}
    keywords |= dict.fromkeys(LEFT_OUT, _nothing)
    keywords["additionalProperties"] = _additional(keywords["additionalProperties"])
    bounded = jsonschema.validators.extend(draft, keywords)
    evolve = importlib.import_module("attrs").evolve
    # The library's own would take another class, with all keywords, for a part that says ``$schema``.
    bounded.evolve = evolve
    return bounded


def _counted(check: Check) -> Check:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        _STEPS.take(value, instance)
        return check(validator, value, instance, schema)

    return counted


def _nothing(validator: Any, value: Any, instance: Any, schema: Any) -> None:
    """A keyword that is left out."""


def _additional(check: Check) -> Check:
    """``additionalProperties`` beside ``patternProperties`` would search with its patterns."""

    def additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
        return None if "patternProperties" in schema else check(validator, value, instance, schema)

    return additional
