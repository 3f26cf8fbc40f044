"""Rows → YAML text in the manner of the files that are kept by hand, and the files themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

KEPT_BY_HAND = re.compile(r"(sim(-.*)?|local-.*|huggingfacetb)\.yaml")
"""Files of the demo, which no build touches."""
PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+()' -]*[A-Za-z0-9_./@+)]|[A-Za-z]|https?://[^\s,\[\]{}#?:]+")
WORDS_OF_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
HEADERS = {
    "providers": "# data_policy: what the vendor says of paid API use, or the worst where it is not known. "
    "Check it before you rely on it.",
    "models": "# created: the vendor's release date, or the day it was listed here where that is not known.",
    "prices": "# Dated prices are appended, never edited. Dollars, as text; per million tokens where nothing else is said.",
}
SCHEMAS = {"providers": "provider", "models": "models", "prices": "prices"}
GENERATED = "# Written by `python -m tools.catalog build`: change its inputs in tools/catalog, not this file."


def scalar(value: Any) -> str:
    """A value as YAML that reads back as itself. Texts of digits are quoted: a price is text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | date):
        return str(value)
    text = str(value)
    if PLAIN.fullmatch(text) and text.lower() not in WORDS_OF_YAML and ": " not in text and " #" not in text:
        return text
    return json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """Lists and mappings on one line: ``{prompt: "0.15", completion: "0.6"}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def _block(row: Mapping[str, Any], indent: str, *, item: bool) -> Iterable[str]:
    for number, (key, value) in enumerate(row.items()):
        lead = indent + ("- " if number == 0 else "  ") if item else indent
        if key == "endpoints" and value:
            yield f"{lead}{key}:"
            for endpoint in value:
                yield f"{indent}    - {flow(endpoint)}"
        else:
            yield f"{lead}{key}: {flow(value)}"


def text_of(folder: str, content: Any, note: str = "") -> str:
    """One whole file. ``content``: a mapping for providers, a list of rows else."""
    lines = [f"# yaml-language-server: $schema=../schema/{SCHEMAS[folder]}.schema.json", GENERATED, HEADERS[folder]]
    if note:
        lines.append(f"# {note}")
    if isinstance(content, Mapping):
        lines += _block(content, "", item=False)
    elif folder == "prices":
        lines += [f"- {flow(row)}" for row in content]
    else:
        for row in content:
            lines += _block(row, "", item=True)
    return "\n".join(lines) + "\n"


def write(config: Path, files: Mapping[str, str]) -> None:
    """Make the folders hold exactly ``files`` (``prices/openai.yaml`` → text) and what is kept by hand."""
    for folder in HEADERS:
        (config / folder).mkdir(parents=True, exist_ok=True)
        for path in (config / folder).glob("*.yaml"):
            if f"{folder}/{path.name}" not in files and not KEPT_BY_HAND.fullmatch(path.name):
                path.unlink()
    for name, text in files.items():
        path = config / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def listed(config: Path) -> dict[str, str]:
    """Slug → ``created`` of the models that a directory has."""
    found: dict[str, str] = {}
    for path in (config / "models").glob("*.yaml"):
        for row in yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or ():  # noqa: S506
            found[row["slug"]] = str(row["created"])
    return found


def dated(old: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` behind the prices that a file already has for the same ids.

    A price that has not changed keeps its day; one of the same day, or of an older source, is corrected in place.
    """
    known: dict[str, list[dict[str, Any]]] = {}
    if old.exists():
        for row in yaml.load(old.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or ():  # noqa: S506
            known.setdefault(row["upstream_id"], []).append(row)
    written: list[dict[str, Any]] = []
    for row in rows:
        earlier = sorted(known.get(row["upstream_id"], ()), key=lambda one: str(one["from"]))
        if earlier and _same_price(earlier[-1], row):
            row = {**row, "from": min(earlier[-1]["from"], row["from"])}
        written += [one for one in earlier if str(one["from"]) < str(row["from"])] + [row]
    return written


def _same_price(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ignored = ("from", "source")
    return {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}
