"""JSON of vendors whose text is broken: a byte order mark, invalid UTF-8, half of a surrogate pair. Pure.

Whoever owns the bytes reads them strictly first and comes here only when that has failed, so a proper answer pays nothing. What
cannot be read becomes U+FFFD, as the specification of event streams says (html.spec.whatwg.org, 9.2.6: a stream is decoded as
UTF-8 with replacement; read 2026-11). An emoji that a vendor splits over two events, ``"\\ud83d"`` and ``"\\ude00"``, is one to a
JavaScript client, which appends the halves; here the first half is held back until the same field of the next event.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final, NoReturn

import msgspec

SIZE_MAX: Final = 2 * 1024 * 1024
"""Bytes of a document above which it is not repaired: the event loop would stand still for too long."""
VALUES_MAX: Final = 16_384
"""Commas and brackets of it, for the same reason: half a microsecond each."""

HALVES_MAX: Final = 64
"""Halves of one stream that are held back at the same time."""
_HALF: Final = re.compile("[\ud800-\udfff]")

Path = tuple[str | int, ...]
Halves = dict[Path, str]
"""First halves of surrogate pairs that wait for their second, by the field whose text they ended."""


def repaired(raw: bytes, halves: Halves | None = None) -> bytes | None:
    """The same document as proper JSON; None when its text is sound, so that something else is wrong with it, or nothing.

    ``halves`` belongs to one stream: a half at the end of a text is moved there, and taken from there by the next document. A
    document must be given to this function also when ``halves`` is not empty.
    """
    if len(raw) > SIZE_MAX or raw.count(b",") + raw.count(b"[") + raw.count(b"{") > VALUES_MAX:
        return None
    text = raw.decode("utf-8-sig", "replace")
    was_sound = not raw.startswith(codecs.BOM_UTF8) and text.encode() == raw
    repair = _Repair(halves)
    try:
        document = repair.value(json.loads(text, parse_constant=_refuse), ())
        return None if was_sound and not repair.changed else msgspec.json.encode(document)
    except (ValueError, RecursionError):
        return None


class _Repair:
    """Walks through one document."""

    def __init__(self, halves: Halves | None) -> None:
        self.changed = False
        self._halves = halves

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {self._paired(name): self.value(item, (*path, name)) for name, item in value.items()}
        return value

    def _text(self, text: str, path: Path) -> str:
        if self._halves is None:
            return self._paired(text)
        text = self._halves.pop(path, "") + text
        if "\ud800" <= text[-1:] <= "\udbff" and len(self._halves) < HALVES_MAX:
            self._halves[path] = text[-1]
            text, self.changed = text[:-1], True
        return self._paired(text)

    def _paired(self, text: str) -> str:
        """Halves that meet become one character, the others U+FFFD."""
        if _HALF.search(text) is None:
            return text
        self.changed = True
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
