"""``tests/wire/<dialect>/cases.yaml``: which recording shows which of the cases that every dialect must have, or why the vendor does not have it.

- ``cases``: for each of ``CASES`` its recordings by way, ``{stream: text, answer: text}``; a way, or the whole case, may be excused
  by ``{none: the reason}``. ``other/name`` is a recording of another dialect.
- ``targets``: endpoints to make requests for: ``base_url``, ``model``, ``options``.
- ``totals``: the vendor's own counts, whose sum the disjoint kinds of a usage must be, by the names of its fields;
  ``totals_apart``: recordings of which that does not hold, and why.
- ``untyped``: recordings that strict clients cannot read, and why.
- ``reasoning_back``: ``{none: the reason}`` where a vendor does not take its reasoning back; ``passes_reasoning``: why one gets
  everybody's.
- ``refuses``: requests of ``REFUSABLE`` that the dialect cannot express yet, and why: it must refuse them as ``unsupported``.
- ``oracle``: ``{none: the reason}`` where no SDK checks the dialect's requests yet, see ``tests/support/dialectoracles.py``.
- ``like``: another dialect of whose sheet and recordings everything holds here that is not stated anew; ``renamed``: texts that are
  spelled otherwise here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import yaml

from providers import registry
from providers.base import Dialect
from providers.types import Target
from tests.support.dialectcases import WIRE, Json, Stream, documents, streams

CASES: dict[str, tuple[str, ...]] = {
    "text": ("stream", "answer"),
    "tool": ("stream", "answer"),
    "parallel_tools": ("stream", "answer"),
    "reasoning": ("stream", "answer"),
    "image": ("stream", "answer"),
    "structured": ("stream", "answer"),
    "cached_usage": ("stream", "answer"),
    "error_before": ("refusal",),
    "error_within": ("stream",),
    "cut": ("stream",),
}
"""What every dialect of chat must show, and in which ways."""
REFUSABLE = ("tools", "image", "schema")
"""What a dialect may refuse to express as long as it says why."""
FOLDERS = {"stream": "streams", "answer": "answers", "refusal": "errors"}
HINT = """{path} is missing. A dialect of chat is checked by the contract suite of all dialects (tests/contracts/test_dialects.py):
record its vendor's bytes beside it (see tests/support/dialectcases.py), and name in it for each of {cases}
the file that shows it, or {{none: why the vendor does not have it}}; tests/wire/cohere/cases.yaml is an example."""


class Sheet:
    """One dialect's cases and everything that is recorded of its vendor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = WIRE / name / "cases.yaml"
        if not self.path.exists():
            raise FileNotFoundError(HINT.format(path=self.path.relative_to(WIRE.parents[1]), cases=", ".join(CASES)))
        own = yaml.safe_load(self.path.read_text("utf-8"))
        self._like = Sheet(own["like"]) if "like" in own else None
        base = self._like.document if self._like is not None else {}
        self.document: Json = {**base, **own, "cases": {**base.get("cases", {}), **own["cases"]}}

    @property
    def dialect(self) -> Dialect:
        return registry.dialect(self.name)

    @cached_property
    def targets(self) -> list[Target]:
        return [
            Target(self.name, one["base_url"], one["model"], api_key="key-1", options=one.get("options", {}))
            for one in self.document["targets"]
        ]

    @cached_property
    def streams(self) -> dict[str, Stream]:
        found = dict(self._like.streams) if self._like is not None else {}
        if (WIRE / self.name / "streams").exists():
            found |= streams(self.name)
        for other in self._borrowed("stream"):
            found[other] = streams(other.partition("/")[0])[other.partition("/")[2]]
        return found

    @cached_property
    def answers(self) -> dict[str, Json]:
        return self._documents("answer")

    @cached_property
    def refusals(self) -> dict[str, Json]:
        return self._documents("refusal")

    def _documents(self, way: str) -> dict[str, Json]:
        found = dict(self._like._documents(way)) if self._like is not None else {}
        found |= documents(self.name, FOLDERS[way])
        for other in self._borrowed(way):
            found[other] = documents(other.partition("/")[0], FOLDERS[way])[other.partition("/")[2]]
        return found

    def _borrowed(self, way: str) -> Iterator[str]:
        for named in self.document["cases"].values():
            if isinstance(named.get(way), str) and "/" in named[way]:
                yield named[way]

    def here(self, expected: Any) -> Any:
        """An expectation in this dialect's spelling."""
        text = json.dumps(expected)
        for theirs, ours in self.document.get("renamed", {}).items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    def typed(self, name: str) -> bool:
        """Strict clients can read this recording."""
        return name not in self.document["untyped"]

    def excuse(self, case: str, way: str) -> str | None:
        """Why there is no recording of a case in a way; None when there is one. Raises ``AssertionError``: neither."""
        named = self.document["cases"].get(case)
        assert named is not None, f"{self.path}: the case {case} is neither shown nor excused"
        reason = named.get("none") or (named[way].get("none") if isinstance(named.get(way), dict) else None)
        assert reason or way in named, f"{self.path}: the case {case} has no {way} and no reason why"
        assert reason is None or len(reason) > 20, f"{self.path}: {reason!r} is too short a reason"
        return reason

    def refusal_of(self, what: str) -> str | None:
        """Why the dialect cannot express one of ``REFUSABLE`` yet; None when it can."""
        return self._reason("refuses", what)

    @property
    def without_oracle(self) -> str | None:
        """Why no SDK checks the dialect's requests; None when one does."""
        return self._reason("oracle", "none")

    def _reason(self, section: str, key: str) -> str | None:
        reason: str | None = self.document.get(section, {}).get(key)
        assert reason is None or len(reason) > 20, f"{self.path}: {reason!r} is no reason"
        return reason

    def recording(self, case: str, way: str) -> str:
        """The name of the recording of a case, which exists."""
        name: str = self.document["cases"][case][way]
        recordings: dict[str, Mapping[str, Any]] = {
            "stream": self.streams,
            "answer": self.answers,
            "refusal": self.refusals,
        }
        assert name in recordings[way], f"{self.path}: there is no {way} {name}"
        return name


def chatting() -> list[str]:
    """Every dialect of chat that the registry has."""
    return [name for name in registry.names() if "chat" in registry.operations(name)]


SHEETS = {name: Sheet(name) for name in chatting() if (WIRE / name / "cases.yaml").exists()}
"""The sheets found; the suite fails for each missing one."""


def last_count(documents: Any, names: list[str]) -> int | None:
    """The sum of the last values that fields had anywhere in some documents; a dotted name is a path's end. None when the
    documents have none of them."""
    found: dict[str, int] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, list):
            for one in value:
                walk(one, path)
        elif isinstance(value, dict):
            for name, one in value.items():
                walk(one, f"{path}.{name}")
        elif isinstance(value, int | float):
            found.update({name: int(value) for name in names if path.endswith(f".{name}")})

    walk(documents, "")
    return sum(found.values()) if found else None
