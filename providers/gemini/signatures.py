"""Gemini's thought signatures as ``reasoning_details``, in both directions. Pure.

A ``thoughtSignature`` must be sent back on the very part it came with. Gemini 3 answers 400 when the first call of a step in
the current turn has no signature; for history that another model wrote it accepts ``skip_thought_signature_validator``
(ai.google.dev/gemini-api/docs/thought-signatures, 2026-11). AI Studio and Vertex refuse each other's signatures
(github.com/vercel/ai/issues/14196, 2026-04), therefore ``data`` begins with its origin: ``gemini:`` or ``vertex:``.

The ``id`` of a ``reasoning.encrypted`` detail names the part that its signature belongs to: a call's id; ``thought-N``, the
thought whose ``index`` is N; ``text-A-B``, the characters A to B of ``content``; ``image-N``, the image N.
"""

from __future__ import annotations

import re
from typing import Any, Final

from providers.types import Json

FORMAT: Final = "google-gemini-v1"
UNSIGNED: Final = "skip_thought_signature_validator"
_TEXT = re.compile(r"text-(\d{1,9})-(\d{1,9})")
_OTHER = re.compile(r"(thought|image)-(\d{1,9})")
_SIGNATURE = re.compile(r"(?:(gemini|vertex):)?([A-Za-z0-9+/_=-]+)")


def sealed(origin: str, signature: str, id: str, index: int) -> Json:
    """A signature as a reasoning detail."""
    return {"type": "reasoning.encrypted", "data": f"{origin}:{signature}", "format": FORMAT, "id": id, "index": index}


class Signed:
    """The reasoning details of one message, sorted by the part they belong to. Those of other vendors are left out."""

    def __init__(self, details: Any, ids: list[Any], origin: str) -> None:
        self.thoughts: list[Json] = []
        self.calls: dict[Any, str] = {}
        self.images: dict[int, str] = {}
        self._texts: list[tuple[int, int, str]] = []
        self._ids = ids
        self._by_index: dict[Any, Json] = {}
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and detail.get("format") == FORMAT:
                if detail.get("type") == "reasoning.encrypted":
                    found = _SIGNATURE.fullmatch(detail["data"]) if isinstance(detail.get("data"), str) else None
                    if found is not None and found[1] in (None, origin):
                        self._assign(detail.get("id"), found[2])
                elif detail.get("type") == "reasoning.text" and isinstance(detail.get("text"), str):
                    self._thought(detail.get("index"), detail["text"])

    def _thought(self, index: Any, text: str) -> None:
        if isinstance(index, int) and index in self._by_index:
            self._by_index[index]["text"] += text
            return
        part: Json = {"text": text, "thought": True}
        self.thoughts.append(part)
        if isinstance(index, int):
            self._by_index[index] = part

    def _assign(self, id: Any, signature: str) -> None:
        text, other = (_TEXT.fullmatch(id), _OTHER.fullmatch(id)) if isinstance(id, str) else (None, None)
        if id in self._ids and id is not None:
            self.calls.setdefault(id, signature)
        elif text is not None:
            self._texts.append((int(text[1]), int(text[2]), signature))
        elif other is not None and other[1] == "image":
            self.images[int(other[2])] = signature
        elif other is not None:
            part = self._by_index.get(int(other[2]))
            if part is None:
                part = {"text": "", "thought": True}
                self.thoughts.append(part)
            part["thoughtSignature"] = signature
        elif self._ids:  # an id made by another gateway: the first call carries the signature
            self.calls.setdefault(self._ids[0], signature)
        else:
            self._texts.append((10**9, 10**9, signature))

    def texts(self, text: str) -> list[Json]:
        """The text cut into the parts that its signatures belong to."""
        made: list[Json] = []
        at = 0
        for start, end, signature in sorted(self._texts):
            start = max(at, min(start, len(text)))
            end = max(start, min(end, len(text)))
            if start > at:
                made.append({"text": text[at:start]})
            made.append({"text": text[start:end], "thoughtSignature": signature})
            at = end
        if at < len(text):
            made.append({"text": text[at:]})
        return made


def mark_unsigned(turns: list[Json]) -> None:
    """Marks the first calls of the current turn's steps that have no signature, in place."""
    for turn in reversed(turns):
        parts = turn["parts"]
        if turn["role"] == "user" and not any("functionResponse" in part for part in parts):
            return
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = UNSIGNED
