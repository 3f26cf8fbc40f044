"""The labels that requests are counted by, and what the local classifier knows of each: ``config/taxonomy``.

It must not know: texts of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from gateway.settings import shipped_config_dir

VERSION = "2026.1"
NO_CATEGORY = "other"
"""The label that stands for everything that is none of the twelve: such a request stays unclassified."""
OTHER_LANGUAGE = "Other"
DECLARED_MAX = 2
"""Values of ``X-OpenRouter-Categories`` that count; so in the public contract (docs, 2026-08)."""
DECLARED_CHARS = 30
"""Longest value of that header, as there."""
HEADER_CHARS = 256
"""Of the header that are looked at."""


WRITTEN = {"impl": "implementation", "qa": "Q&A", "sql": "SQL", "ui": "UI", "devops": "DevOps", "seo": "SEO"}
"""Words of labels that are not written as they are spelled there."""


def written(label: str) -> str:
    """What a task or a category is called where it is shown: ``sql_database`` → ``SQL database``."""
    text = "".join(WRITTEN.get(word, word) for word in re.split(r"(\W)", label.replace("_", " ")))
    return text[:1].upper() + text[1:]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one category or task is recognised."""

    examples: tuple[str, ...]
    words: tuple[str, ...] = ()
    """Lower case; each that a text has makes the label likelier. ``word*`` is the beginning of words."""
    signs: tuple[str, ...] = ()
    """Regular expressions, the same."""
    tools: tuple[str, ...] = ()
    """Names of tools that a request offers, the same."""
    categories: tuple[str, ...] = ()
    """Of a task: categories that make it likelier."""


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A natural language: its script, and small words that tell it from others of the same script."""

    script: str
    words: tuple[str, ...] = ()


class ProgrammingLanguage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A programming language: its names in prose, behind code fences, as endings of files; and how it looks."""

    names: tuple[str, ...] = ()
    fences: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of the labels."""

    version: str
    categories: Mapping[str, Label]
    tasks: Mapping[str, Mapping[str, Label]]
    """Group → task → how it is recognised."""
    app_categories: Mapping[str, str | None]
    """What an app may declare → the category of its requests."""
    languages: Mapping[str, Language]
    programming_languages: Mapping[str, ProgrammingLanguage]

    @property
    def category_names(self) -> tuple[str, ...]:
        """The twelve."""
        return tuple(name for name in self.categories if name != NO_CATEGORY)

    @property
    def all_tasks(self) -> dict[str, Label]:
        """The tasks of all groups."""
        return {name: label for group in self.tasks.values() for name, label in group.items()}

    def group_of(self, task: str) -> str:
        """The group that a task belongs to; empty for a task of another version."""
        return next((group for group, tasks in self.tasks.items() if task in tasks), "")


class Declared(NamedTuple):
    """What an app says about itself by ``X-OpenRouter-Categories``."""

    categories: tuple[str, ...]
    """Known ones, at most ``DECLARED_MAX``."""
    ignored: tuple[str, ...]
    """Unknown ones and those beyond, as the caller wrote them, cut."""


def load(path: Path) -> Taxonomy:
    """Raises msgspec.ValidationError, yaml.YAMLError or OSError: a broken file is a mistake of whoever wrote it."""
    with path.open(encoding="utf-8") as stream:
        found: Any = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    return msgspec.convert(found, Taxonomy)


@lru_cache(maxsize=1)
def shipped() -> Taxonomy:
    """The version that this program counts by."""
    return load(shipped_config_dir() / "taxonomy" / f"{VERSION}.yaml")


def declared(header: str) -> Declared:
    """The header's values, separated by commas: those that count, and those that do not."""
    return _declared(header[:HEADER_CHARS])


@lru_cache(maxsize=1024)
def _declared(header: str) -> Declared:
    known, ignored = shipped().app_categories, []
    counted: list[str] = []
    for value in _values(header):
        if value.lower() in known and len(counted) < DECLARED_MAX:
            counted.append(value.lower())
        else:
            ignored.append(value[:DECLARED_CHARS])
    return Declared(tuple(counted), tuple(ignored))


def _values(header: str) -> Iterator[str]:
    seen: set[str] = set()
    for part in header.split(","):
        value = part.strip()
        if value and value.lower() not in seen:
            seen.add(value.lower())
            yield value


def category_of(found: Declared) -> str:
    """The category of an app's requests: that of the first declared value that stands for one, else empty."""
    known = shipped().app_categories
    return next((category for value in found.categories if (category := known[value])), "")
