"""Reading one YAML file strictly, and collecting what is wrong with it in words that name file, key and fix."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
else:
    # libyaml reads a catalogue of 300 models in well under a second; the pure Python loader needs ten times as long.
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_PROBLEMS = 20
"""A load stops collecting here: twenty lines are enough to see what went wrong."""


class Problem(NamedTuple):
    """One thing wrong in one place: ``providers/acme.yaml: base_url: must start with http:// or https://``."""

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


def validate(row: type[BaseModel], data: Any, file: str, prefix: str = "") -> tuple[BaseModel | None, list[Problem]]:
    """One row against its shape: the row, or everything wrong with it."""
    if not isinstance(data, Mapping):
        return None, [Problem(file, prefix, f"must be a mapping of keys to values, not {_kind(data)}")]
    try:
        return row.model_validate(data), []
    except ValidationError as error:
        return None, [_explain(row, details, file, prefix) for details in error.errors(include_url=False)]


def _explain(row: type[BaseModel], details: Any, file: str, prefix: str) -> Problem:
    path = prefix
    for part in details["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    match details["type"]:
        case "extra_forbidden":
            message = "unknown key" + suggest(str(details["loc"][-1]), _known_keys(row, details["loc"]))
        case "missing":
            message = "is missing; add it"
        case "value_error":
            message = str(details["ctx"]["error"])
        case _:
            message = f"{details['msg'][0].lower()}{details['msg'][1:]}, not {_kind(details['input'])}"
    return Problem(file, path, message)


def _known_keys(row: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    for part in location[:-1]:
        field = row.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        inner = next((each for each in (inner, *getattr(inner, "__args__", ())) if hasattr(each, "model_fields")), None)
        if inner is not None:
            row = inner
    return [field.alias or name for name, field in row.model_fields.items()]


def suggest(wrong: str, known: list[str]) -> str:
    """``"; did you mean 'base_url'?"`` or, with nothing close, the known words."""
    close = difflib.get_close_matches(wrong[:64], known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known)[:30])}"


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing", bool: "a yes/no value"}
    return names.get(type(value)) or repr(value)[:60]


def read(config_dir: Path, folder: str) -> list[tuple[str, str, bytes]]:
    """Every ``*.yaml`` of a folder in name order as (``folder/file.yaml``, stem, bytes). Raises CatalogError."""
    where = config_dir / folder
    if not where.is_dir():
        raise CatalogError([Problem(f"{folder}/", "", f"no such directory in {config_dir}; create it")])
    found = []
    for path in sorted(where.glob("*.yaml")):
        try:
            found.append((f"{folder}/{path.name}", path.stem, path.read_bytes()))
        except OSError as error:
            raise CatalogError([Problem(f"{folder}/{path.name}", "", f"cannot be read: {error.strerror}")]) from None
    return found
