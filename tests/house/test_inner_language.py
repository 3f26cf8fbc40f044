"""docs/inner-language.md has every field of the inner language's types in the table of its type, and no other."""

from __future__ import annotations

import re
from typing import Any, Required, get_origin, get_type_hints, is_typeddict

import msgspec
import pytest

from providers import types
from tests.house.test_docs import first_cells, page

PAGE = "docs/inner-language.md"
TYPES: dict[str, Any] = {name: kind for name, kind in vars(types).items() if is_typeddict(kind)} | {
    "Usage": types.Usage
}


def table(name: str) -> str:
    """The first table behind the sentence that begins with the type's name."""
    found = re.search(rf"^`{name}`[^|]*\n\n(\|.*?)(?:\n\n|\Z)", page(PAGE), flags=re.M | re.S)
    assert found, f"{PAGE} has no table of {name}"
    return found[1]


@pytest.mark.parametrize("name", list(TYPES))
def test_every_field_is_documented(name: str) -> None:
    """The rows of a table are the fields of the type, each once, and each row says something."""
    fields = msgspec.structs.fields(TYPES[name]) if name == "Usage" else get_type_hints(TYPES[name])
    known = [getattr(field, "name", field) for field in fields]
    assert sorted(first_cells(table(name))) == sorted(known)
    assert all(re.search(r"\w", row.split("|", 3)[2]) for row in table(name).splitlines()[2:])


@pytest.mark.parametrize("name", [name for name in TYPES if name != "Usage"])
def test_required_fields_are_marked(name: str) -> None:
    """The fields that are marked required are those that the type requires."""
    marked = re.findall(r"^\| `(\w+)` \|.*\*\*required\*\*", table(name), flags=re.M)
    hints = get_type_hints(TYPES[name], include_extras=True)
    assert set(marked) == {field for field, hint in hints.items() if get_origin(hint) is Required}


def test_no_other_type_is_documented() -> None:
    """Every table is that of a type."""
    assert len(re.findall(r"^\|---", page(PAGE), flags=re.M)) == len(TYPES)
