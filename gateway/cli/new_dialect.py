"""``tokenway new-dialect``: the skeleton of a dialect, written into a checkout.

The skeleton is code that runs: the dialect of a made-up vendor, called ``acme`` in the files of ``dialect_skeleton/``, with TODO
comments where the real vendor's facts go. Each file of that folder is written to the same path of the checkout, without its
last suffix and with the new name in place of ``acme`` (``Acme`` for the class).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.output import refuse

SKELETON: Final = Path(__file__).parent / "dialect_skeleton"
REGISTRY: Final = "providers/registry.py"
FORMATS: Final = "simulator/formats/__init__.py"
PROJECT: Final = "pyproject.toml"
GUIDE: Final = "docs/writing-a-provider.md"
EDITED: Final = (REGISTRY, FORMATS, PROJECT, GUIDE)
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAME_MAX: Final = 20
"""Longer names would not fit into lines of 120 characters."""
_FROM: Final = re.compile(r"(?:^from [\w.]+ import [^(\n]+\n)+", re.M)
NEXT_STEPS: Final = """
Next:
  1. Run `make check` and `.venv/bin/pytest tests/contracts -k {name}`: the skeleton passes them as it is (a minute or two).
  2. Record the vendor's bytes into tests/wire/{name}/ and replace every TODO in the files above.
  3. When the dialect has tools and reasoning, add it to SOLD in tests/support/dialects.py and its path to
     tests/unit/test_simulated_formats_strict.py; until then two tests of the whole suite fail and name it.
  4. Document it in docs/dialects.md, and add providers, models and prices: docs/writing-a-provider.md."""


class SkeletonError(Exception):
    """The skeleton cannot be written; the message says why."""


def new_dialect(
    name: Annotated[str, typer.Argument(help="Lower case, letters, digits and underscores: the folder in providers/.")],
) -> None:
    """Write the skeleton of a new dialect into this checkout: code, simulated vendor, tests and example bytes."""
    try:
        root = find_checkout(Path.cwd())
        files = skeleton(root, name)
    except SkeletonError as error:
        refuse(str(error))
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        typer.echo(f"{'changed' if path in EDITED else 'wrote'}  {path}")
    typer.echo(NEXT_STEPS.format(name=name))


def find_checkout(start: Path) -> Path:
    """The checkout of Tokenway that contains ``start``. Raises ``SkeletonError``."""
    for folder in (start, *start.parents):
        if all((folder / path).is_file() for path in EDITED):
            return folder
    raise SkeletonError(f"{start} is not in a checkout of Tokenway: there is no {REGISTRY} in it or above it")


def skeleton(root: Path, name: str) -> dict[str, str]:
    """Path → text of every file to write or change, relative to the checkout. Writes nothing. Raises ``SkeletonError``."""
    if not _NAME.fullmatch(name) or len(name) > _NAME_MAX:
        raise SkeletonError(
            f"{name!r} is no name for a dialect: at most {_NAME_MAX} lower-case letters, digits and single underscores, "
            "a letter first"
        )
    class_name = "".join(word.capitalize() for word in name.split("_"))
    templates = {str(path.relative_to(SKELETON).with_suffix("")): path.read_text("utf-8") for path in _templates()}
    code = "".join(text for path, text in templates.items() if path.endswith(".py"))
    taken = re.search(rf"\b({name}|{class_name})\b", code)
    if keyword.iskeyword(name) or (taken is not None and name != "acme"):
        raise SkeletonError(f"{name!r} has another meaning in the code of a dialect; take a longer name")
    files = {_renamed(path, name, class_name): _renamed(text, name, class_name) for path, text in templates.items()}
    existing = [path for path in (f"providers/{name}", f"providers/{name}.py", *files) if (root / path).exists()]
    texts = {path: (root / path).read_text("utf-8") for path in EDITED}
    if existing or f'"{name}": {{' in texts[REGISTRY]:
        raise SkeletonError(f"there is a dialect {name!r} already: {existing[0] if existing else REGISTRY}")
    files |= {
        REGISTRY: _registered(texts[REGISTRY], name, class_name),
        FORMATS: _simulated(texts[FORMATS], name, class_name),
        PROJECT: _layered(texts[PROJECT], name),
        GUIDE: _listed(texts[GUIDE], name),
    }
    return files


def _templates() -> Iterator[Path]:
    return (path for path in sorted(SKELETON.rglob("*.txt")) if path.is_file())


def _renamed(text: str, name: str, class_name: str) -> str:
    """The template under the new name. Its imports are sorted anew: their order depends on the name."""
    text = text.replace("acme", name).replace("Acme", class_name).replace("ACME", name.upper())
    return _FROM.sub(lambda match: "".join(sorted(match[0].splitlines(keepends=True), key=_module)), text)


def _module(line: str) -> str:
    return line.split(" ")[1]


def _registered(text: str, name: str, class_name: str) -> str:
    """The registry with a row for the dialect, in alphabetical order."""
    head, begin, rest = text.partition("_CLASSES: Final[dict[str, dict[str, str]]] = {\n")
    rows, end, tail = rest.partition("\n}\n")
    if not begin or not end:
        raise SkeletonError(f"{REGISTRY} has no table _CLASSES")
    rows += "\n"
    later = (row.start() for row in re.finditer(r'^    "([\w-]+)": \{', rows, re.M) if row[1] > name)
    at = next(later, len(rows))
    row = f'    "{name}": {{"chat": "{name}.dialect.{class_name}"}},\n'
    return head + begin + rows[:at] + row + rows[at:] + end[1:] + tail


def _simulated(text: str, name: str, class_name: str) -> str:
    """The simulator's table with the format, tried last."""
    line = f"from simulator.formats.{name} import {class_name}\n"
    imports = list(re.finditer(r"^from (simulator[\w.]*) import .*\n", text, re.M))
    later = [found for found in imports if found[1] > f"simulator.formats.{name}"]
    if not later or "FORMATS: Final[" not in text:
        raise SkeletonError(f"{FORMATS} has no table FORMATS")
    text = text[: later[0].start()] + line + text[later[0].start() :]
    head, begin, rest = text.partition("FORMATS: Final[")
    rows, end, tail = rest.partition("\n)\n")
    return f"{head}{begin}{rows}\n    {class_name}(),{end}{tail}"


def _layered(text: str, name: str) -> str:
    """The import rules with the dialect's folder beside those of the other dialects."""
    found, count = re.subn(r'^(  "azure \| [^"]*)",$', rf'\1 | {name}",', text, count=1, flags=re.M)
    if not count:
        raise SkeletonError(f"{PROJECT} has no layer of dialects for import-linter")
    return found


def _listed(text: str, name: str) -> str:
    """The guide with the dialect among the values of ``dialect``."""
    found = re.search(r"^\| `dialect` \| (.*) \|$", text, re.M)
    if found is None:
        raise SkeletonError(f"{GUIDE} has no row for `dialect`")
    names = sorted([*re.findall(r"`([\w-]+)`", found[1]), name])
    row = f"| `dialect` | {', '.join(f'`{each}`' for each in names)} |"
    return text[: found.start()] + row + text[found.end() :]
