"""How much a large JSON document may consist of, found out from its bytes before anything is made of them.

A decoder holds the interpreter's lock from its first byte to its last, so a thread brings nothing: while it runs, nobody else is
served. Its time follows what it makes, not the size: 20 MB of one picture take 15 ms, 20 MB of ``[],`` take 3 s and 2 GB. So what
it would make is counted first, at 0.6 ns a byte, and each bound stands for about 10 ms of decoding (msgspec 0.21 on CPython 3.11,
2026-12). Of each a document may use a part, of all together one whole. It must not know: who sent the document, and what it says.
"""

from __future__ import annotations

import asyncio
from typing import Final

from providers.errors import failed

FREE: Final = 512 * 1024
"""Bytes of a document that is decoded uncounted: an agent's turn of 450 KB pays nothing, and the worst of this size takes 20 ms."""
VALUES_MAX: Final = 400_000
"""Numbers, texts, lists, everything: 27 ns each. OpenAI takes 300,000 tokens in one request for embeddings (2026-11)."""
TEXTS_MAX: Final = 150_000
"""Texts and names of fields: 80 ns each."""
CONTAINERS_MAX: Final = 100_000
"""Objects and lists: 100 ns each, and each of them is walked through several times."""
ESCAPES_MAX: Final = 1_000_000
"""Backslashes: 10 to 20 ns each. ``json.dumps`` makes one of each letter that is not ASCII."""
WIDE_MAX: Final = 6 * 1024 * 1024
"""Bytes beyond ASCII: 2.5 ns each. Two million Chinese characters, more than any context."""
DIGITS_MAX: Final = 4 * 1024 * 1024
"""Digits of numbers: 2 to 5 ns each, as long as one number has at most ``INTEGER_DIGITS_MAX``."""
INTEGER_DIGITS_MAX: Final = 640
"""Digits of one integer. The time of reading one grows with their square: 0.1 ms for the 4,300 that Python takes by itself. It is
the least bound that ``sys.set_int_max_str_digits`` takes; a double has at most 309 digits before its point."""
VECTORS_ROOM: Final = 8
"""So many times as many numbers may be in an answer with embeddings (2,000 vectors of 1,536): it is decoded vector by vector."""

_PIECE: Final = 64 * 1024
_COUNTED: Final = b',[{"\\0123456789'
_UNCOUNTED: Final = bytes(set(range(256)) - set(_COUNTED))
_DIGITS: Final = b"0123456789"
_ASCII: Final = bytes(range(128))


class TooMuch(Exception):
    """A document beyond the bounds. ``problem`` is to follow its name: ``has too many values; ...``."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class _Upper:
    """Counts a document piece by piece, as if nothing in it were text: never too little. Raises ``TooMuch``."""

    __slots__ = ("_room", "containers", "digits", "escapes", "quotes", "values", "wide")

    def __init__(self, room: int = 1) -> None:
        self._room = room
        """For numbers."""
        self.containers = self.digits = self.escapes = self.quotes = self.values = self.wide = 0

    def feed(self, piece: bytes | bytearray) -> None:
        if not piece.isascii():
            self.wide += len(piece.translate(None, _ASCII))
        self._structure(piece.translate(None, _UNCOUNTED), piece)
        self._weigh()

    def _structure(self, counted: bytes | bytearray, piece: bytes | bytearray) -> None:
        quotes, escapes = counted.count(b'"'), counted.count(b"\\")
        self.quotes += quotes
        self.escapes += escapes
        self._values(counted, len(counted) - quotes - escapes)

    def _values(self, counted: bytes | bytearray, size: int) -> None:
        """``size``: of what is neither quote nor backslash."""
        containers, commas = counted.count(b"{") + counted.count(b"["), counted.count(b",")
        self.containers += containers
        self.values += commas + containers
        self.digits += size - containers - commas

    def _weigh(self) -> None:
        parts = (
            (self.values / VALUES_MAX / self._room, VALUES_MAX * self._room, "values"),
            (self.quotes / (2 * TEXTS_MAX), TEXTS_MAX, "texts and names of fields"),
            (self.containers / CONTAINERS_MAX, CONTAINERS_MAX, "objects and lists"),
            (self.escapes / ESCAPES_MAX, ESCAPES_MAX, "escaped characters"),
            (self.wide / WIDE_MAX, WIDE_MAX, "bytes beyond ASCII"),
            (self.digits / DIGITS_MAX / self._room, DIGITS_MAX * self._room, "digits of numbers"),
        )
        if sum(part for part, _, _ in parts) > 1:
            _, most, name = max(parts)
            raise TooMuch(f"has too many {name}; at most {most:,} are accepted, fewer with much else beside them")


class _Exact(_Upper):
    """Leaves out what stands in texts. Ten times as dear where many characters are escaped."""

    __slots__ = ("_escaped", "_in_text")

    def __init__(self, room: int = 1) -> None:
        super().__init__(room)
        self._in_text = False
        """The last piece ended within a text ..."""
        self._escaped = False
        """... and with a backslash whose character is the first of the next piece."""

    def _structure(self, counted: bytes | bytearray, piece: bytes | bytearray) -> None:
        self.escapes += counted.count(b"\\")
        if self._escaped:
            piece = piece[1:]
        self._escaped = (len(piece) - len(piece.rstrip(b"\\"))) % 2 == 1
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b"".join(parts[self._in_text :: 2]).translate(None, _UNCOUNTED)
        self.quotes += len(parts) - 1
        self._in_text ^= len(parts) % 2 == 0
        self._values(outside, len(outside) - outside.count(b"\\"))


def check_answer(name: str, document: bytes) -> None:
    """For a vendor's ``event`` or ``answer``, decoded in the callback in which it arrived. Commas and brackets in texts count:
    such documents are large for their pictures only. Raises ``ProviderError`` (malformed).
    """
    if len(document) <= FREE:
        return
    counts = _Upper()
    try:
        for at in range(0, len(document), _PIECE):
            counts.feed(document[at : at + _PIECE])
    except TooMuch as error:
        raise failed("malformed", f"the {name} {error.problem}", status=200) from None


async def check_in_turns(document: bytes | bytearray, room: int = 1) -> None:
    """Raises ``TooMuch``. Others get their turn after each piece, and what stands in texts does not count."""
    counts = _Upper(room)
    try:
        for at in range(0, len(document), _PIECE):
            counts.feed(document[at : at + _PIECE])
            await asyncio.sleep(0)
        return
    except TooMuch:
        counts = _Exact(room)
    for at in range(0, len(document), _PIECE):
        counts.feed(document[at : at + _PIECE])
        await asyncio.sleep(0)
