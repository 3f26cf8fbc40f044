"""Reads YAML files strictly, and collects what is wrong with them in words that name the file, the key and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
else:
    # libyaml reads a catalogue of 300 models in well under a second; the pure Python loader needs ten times as long.
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_PROBLEMS = 20
"""An error lists this many problems and counts the rest: twenty lines are enough to see what went wrong."""
MAX_NAMES = 30
MISSING = "is missing; add it"
Row = TypeVar("Row", bound=BaseModel)


class Place(NamedTuple):
    """A file, and the path of a key in it: ``providers/acme.yaml``, ``data_policy.training``."""

    file: str
    path: str = ""

    def at(self, *location: str | int) -> Place:
        """The place of a key or list item below this one: ``at("endpoints", 0)`` → ``[3].endpoints[0]``."""
        path = self.path
        for part in location:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        return Place(self.file, path)


class Problem(NamedTuple):
    """One mistake in one place: ``providers/acme.yaml: base_url: must start with http:// or https://``."""

    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class CatalogError(Exception):
    """The catalogue cannot be used. ``problems`` holds up to twenty, ``str()`` gives one a line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems[:MAX_PROBLEMS])
        more = len(problems) - len(self.problems)
        lines = [str(problem) for problem in self.problems]
        super().__init__("\n".join([*lines, f"... and {more} more"] if more > 0 else lines))


class _StrictLoader(_Loader):
    """YAML without silent overwriting: a key written twice in one mapping is an error, as both cannot be meant."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(text: bytes, file: str) -> Any:
    """One YAML document. Raises CatalogError for broken syntax, a half-written or empty file, and duplicate keys."""
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derives from the safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CatalogError([Problem(file, _position(error), _syntax(error))]) from None
    if data is None:
        raise CatalogError([Problem(file, "", "the file is empty; write its rows or delete it")])
    return data


def _position(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _syntax(error: Exception) -> str:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"cannot be read as YAML: {problem}"


def validate(
    row_type: type[Row], data: Any, file: str, place: Callable[..., Place] | None = None
) -> tuple[Row | None, list[Problem]]:
    """One row as its type: the row, or everything wrong with it.

    ``place(*location)`` names where a key of the row is written; by default the row is the whole of ``file``.
    """
    place = place or Place(file).at
    if not isinstance(data, Mapping):
        return None, [Problem(*place(), not_a_mapping(data))]
    try:
        return row_type.model_validate(data), []
    except ValidationError as error:
        return None, [_explain(row_type, details, place) for details in error.errors(include_url=False)]


def not_a_mapping(data: Any) -> str:
    """The message about a row that is a list, a text or nothing."""
    return f"must be a mapping of keys to values, not {_kind(data)}"


def _explain(row_type: type[BaseModel], details: Any, place: Callable[..., Place]) -> Problem:
    match details["type"]:
        case "extra_forbidden":
            message = "unknown key" + suggest(str(details["loc"][-1]), _known_keys(row_type, details["loc"]))
        case "missing":
            message = MISSING
        case "value_error":
            message = str(details["ctx"]["error"])
        case _:
            message = f"{details['msg'][0].lower()}{details['msg'][1:]}, not {_kind(details['input'])}"
    return Problem(*place(*details["loc"]), message)


def _known_keys(row_type: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    for part in location[:-1]:
        field = row_type.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        inner = next((each for each in (inner, *getattr(inner, "__args__", ())) if hasattr(each, "model_fields")), None)
        if inner is not None:
            row_type = inner
    return [field.alias or name for name, field in row_type.model_fields.items()]


def nearest(wrong: str, known: Collection[str]) -> str | None:
    """The name that was probably meant; None when nothing is close."""
    return next(iter(difflib.get_close_matches(wrong[:64], known, n=1, cutoff=0.6)), None)


def suggest(wrong: str, known: Collection[str]) -> str:
    """``"; did you mean 'base_url'?"``, or when nothing is close ``"; known: ..."``.

    More than thirty names are not listed: the first thirty of them in the alphabet help nobody.
    """
    close = nearest(wrong, known)
    if close is not None:
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= MAX_NAMES else ""


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing", bool: "a yes/no value"}
    return names.get(type(value)) or repr(value)[:60]


def read(directory: Path, label: str) -> list[tuple[str, str, bytes]]:
    """Every ``*.yaml`` of a directory in name order as (``label/file.yaml``, stem, content); none when it does not exist.

    Raises CatalogError when the directory or a file in it cannot be read.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(".yaml"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CatalogError([Problem(f"{label}/", "", f"cannot be read: {error.strerror}")]) from None
    found = []
    for path in paths:
        file = f"{label}/{path.name}"
        try:
            found.append((file, path.stem, path.read_bytes()))
        except OSError as error:
            raise CatalogError([Problem(file, "", f"cannot be read: {error.strerror}")]) from None
    return found
