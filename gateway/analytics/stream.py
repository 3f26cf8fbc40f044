"""From the gateway to the stream: a bounded queue in the process, and one entry for each batch of events.

    emit()  --queue-->  flush(), once a second  --XADD-->  tw:a1:events  -->  consumer

A request does no more than append to the queue. While Redis is away the queue fills, then events are lost, and counted as such.
Every process numbers its events, and an entry says the number of its first one: what comes twice is recognised by it, and what is
missing, too, so that ``flush`` may repeat a call whose reply was lost.

An entry is ``w`` writer, ``a`` events that this writer knew to be in the stream or lost at its start, ``f`` number of the first
event, ``e`` the events: msgpack of ``[version, begin in unix ms, texts, rows]``, in which a row has the fields of ``Event`` in
their order, with the number of a text instead of a text, and its time since the begin. It must not know: how events are counted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from gateway.analytics.answer_checks import AnswerChecks
from gateway.analytics.event import FIELDS, Columns, Event, Measured, Tried, columns_of, event_columns, user_hash
from gateway.store import analytics_keys as keys
from gateway.store.client import Store

BATCH = 128
"""Most events of an entry: they are made in one go, which holds the event loop for a millisecond or two."""
QUEUE_MAX = 8192
"""Events that wait in a process; about 20 MB. More are lost."""
SALT_TTL_S = 10.0
"""A new salt is in use everywhere after so long."""
SALT_BYTES = 32
VERSION = 1

_TEXTS = frozenset(
    {
        *("endpoint", "org", "key", "app", "app_name", "finish", "api"),
        *("country", "category", "task", "language", "programming"),
    }
)
_TEXT_PLACES = tuple(place for place, name in enumerate(FIELDS) if name in _TEXTS)
_TRIED = FIELDS.index("tried")
_LAST = FIELDS.index("country")
"""From here on are fields that few events have: the rows of a batch without any of them end before."""
_DEFAULTS = msgspec.structs.astuple(Event(at_ms=0, endpoint="", org="", key=""))
_LAST_DEFAULTS = _DEFAULTS[_LAST:]
_TYPES = tuple(
    frozenset(
        {"int": (int, bool), "bool": (int, bool), "str": (str,), "bytes": (bytes,), "int | None": (int, type(None))}[
            kind
        ]
    )
    if kind[:5] != "tuple"
    else frozenset({tuple})
    for kind in map(str, Event.__annotations__.values())
)
log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, list[str], list[list[Any]]]).decode


class _Texts(dict[str, int]):
    """Text → its number in a batch."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


class _Packed(dict[tuple[Tried, ...], list[int]]):
    """Attempts → the same in a row: number of a text, result, number of the next one ... Most events have those of another."""

    def __init__(self, texts: _Texts) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, tried: tuple[Tried, ...]) -> list[int]:
        self[tried] = packed = [part for endpoint, result in tried for part in (self._texts[endpoint], result)]
        return packed


class _Unpacked(dict[tuple[int, ...], tuple[Tried, ...]]):
    """The reverse."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, packed: tuple[int, ...]) -> tuple[Tried, ...]:
        parts = iter(packed)
        tried = tuple([Tried(self._texts[place], result) for place, result in zip(parts, parts, strict=True)])
        self[packed] = tried
        return tried


def pack(events: Sequence[Event]) -> bytes:
    """Events as they lie in the stream: about 100 bytes each, see docs/analytics.md."""
    return pack_columns(columns_of(events))


def pack_columns(columns: Columns) -> bytes:
    """The same for events that are columns: what is done for each event is done by ``map`` and ``zip``."""
    if not columns[0]:
        return _encode((VERSION, 0, [], []))
    texts, begin_ms = _Texts(), min(columns[0])
    if all(set(column) == {default} for column, default in zip(columns[_LAST:], _LAST_DEFAULTS, strict=True)):
        columns = columns[:_LAST]
    packed = list(columns)
    packed[0] = [at_ms - begin_ms for at_ms in columns[0]]
    for place in _TEXT_PLACES:
        if place < len(packed):
            packed[place] = list(map(texts.__getitem__, columns[place]))
    packed[_TRIED] = list(map(_Packed(texts).__getitem__, columns[_TRIED]))
    rows = list(zip(*packed, strict=True))
    return _encode((VERSION, begin_ms, list(texts), rows))


def unpack(data: bytes) -> Columns:
    """The reverse of ``pack_columns``. Raises ValueError when it is not of this version's form; fields that are added at the end of
    ``Event`` do not change the form."""
    try:
        version, begin_ms, texts, rows = _decode(data)
        if version != VERSION:
            raise ValueError(f"events of version {version}")
        return _unpacked(begin_ms, texts, rows) if rows else [()] * len(FIELDS)
    except (msgspec.MsgspecError, IndexError, TypeError) as error:
        raise ValueError(f"not a batch of events: {error}") from None


def _checked(columns: Columns) -> Columns:
    """The columns. Raises TypeError for a value that is not of its field's type: it would be counted, or stop the counting."""
    for name, column, types in zip(FIELDS, columns, _TYPES, strict=True):
        if not types.issuperset(map(type, column)):
            raise TypeError(f"{name}: a value of another type")
    return columns


def _unpacked(begin_ms: int, texts: list[str], rows: list[list[Any]]) -> Columns:
    shortest, longest = min(map(len, rows)), max(map(len, rows))
    if shortest < longest:  # those that end before the last fields, and others
        texts.append("")
        blank = [len(texts) - 1 if place in _TEXT_PLACES else default for place, default in enumerate(_DEFAULTS)]
        rows = [row + blank[len(row) :] for row in rows]
    columns: Columns = list(zip(*[row[: len(FIELDS)] for row in rows], strict=True))
    for place in _TEXT_PLACES:
        if place < len(columns):
            columns[place] = list(map(texts.__getitem__, columns[place]))
    columns[0] = [begin_ms + since for since in columns[0]]
    columns[_TRIED] = list(map(_Unpacked(texts).__getitem__, map(tuple, columns[_TRIED])))
    return _checked(columns + [[default] * len(rows) for default in _DEFAULTS[len(columns) :]])


class EventWriter:
    """One per gateway process; its event loop owns it. ``most_events``: about how many the stream keeps, at most twice as many."""

    def __init__(
        self,
        store: Store,
        *,
        most_events: int,
        on_lost: Callable[[int], object] = lambda count: None,
        clock: Callable[[], float] = time.monotonic,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self._store, self._most_events, self._on_lost, self._clock = store, most_events, on_lost, clock
        self._queue: list[Measured] = []
        self._queue_max = queue_max
        self._number = 0
        """That of the first event of the queue, or, when that is empty, of the next one that comes."""
        self._gaps: deque[tuple[int, int]] = deque()
        """Events that were lost behind some of the queue: number of the first one, and how many."""
        self._settled = 0
        """Events that are in the stream for certain, or lost."""
        self._sending: tuple[int, int, bytes] | None = None
        """Number of the first event, of the one after the last, and the batch: until the store has acknowledged it."""
        self._one_at_a_time = asyncio.Lock()
        """The loop that writes once a second, and the last writing of a process that stops, would take each other's events."""
        self._writer = secrets.token_hex(6)
        self.checks = AnswerChecks()
        """What fills in the answers that events have; every event is written after it."""
        self._salt = b""
        self._salt_at = float("-inf")

    @property
    def waiting(self) -> int:
        """Events that are not in the stream yet, as far as is known."""
        return len(self._queue) + (self._sending[1] - self._sending[0] if self._sending else 0)

    def emit(self, measured: Measured) -> None:
        """Queue the event of a generation that has ended. When the queue is full it is lost."""
        if len(self._queue) < self._queue_max:
            self._queue.append(measured)
        else:
            self._lose()

    def _lose(self) -> None:
        number = self._number + len(self._queue) + sum(lost for _, lost in self._gaps)
        begin, lost = self._gaps.pop() if self._gaps and sum(self._gaps[-1]) == number else (number, 0)
        self._gaps.append((begin, lost + 1))
        self._on_lost(1)

    async def flush(self) -> None:
        """Write what has been queued. One task calls it once a second. Raises StoreError, and goes on there the next time."""
        async with self._one_at_a_time:
            while self._sending is not None or self._queue:
                if self._sending is None:
                    await self._learn_salt()
                    await self.checks.look()
                    self._sending = self._take()
                if self._sending is None:
                    continue
                first, after, batch = self._sending
                most = max(64, self._most_events // (after - first))
                fields = ("w", self._writer, "a", self._settled, "f", first, "e", batch)
                await self._store.mux.call("XADD", keys.EVENTS, "MAXLEN", "~", most, "*", *fields)
                self._settled, self._sending = after, None

    def _take(self) -> tuple[int, int, bytes] | None:
        """A batch of events with consecutive numbers: a gap between them stands for lost ones. None: it could not be written down,
        and is lost; better than to try for ever."""
        count = min(len(self._queue), BATCH)
        if self._gaps and self._gaps[0][0] == self._number:
            self._number += self._gaps.popleft()[1]
        if self._gaps:
            count = min(count, self._gaps[0][0] - self._number)
        first, batch = self._number, self._queue[:count]
        del self._queue[:count]
        self._number += count
        try:
            return first, self._number, pack_columns(event_columns(batch, self._salt))
        except (
            TypeError,
            ValueError,
            ArithmeticError,
        ) as error:  # msgspec's errors, an integer beyond 64 bits among them
            log.error("events of analytics could not be written down", events=count, error=str(error))
            self._on_lost(count)
            return None

    async def _learn_salt(self) -> None:
        """Read the salt that all processes share; the first one makes it."""
        if self._clock() - self._salt_at < SALT_TTL_S:
            return
        call = self._store.mux.call
        salt = await call("GET", keys.SALT)
        if salt is None:
            await call("SET", keys.SALT, secrets.token_bytes(SALT_BYTES), "NX")
            salt = await call("GET", keys.SALT)
        if salt != self._salt:
            user_hash.cache_clear()  # nothing made with the old one stays
        self._salt, self._salt_at = bytes(salt), self._clock()


async def rotate_salt(store: Store) -> None:
    """Make a new salt: nobody can connect a user's future events with the counted ones any more. Raises StoreError."""
    await store.mux.call("SET", keys.SALT, secrets.token_bytes(SALT_BYTES))


class Entry(msgspec.Struct, frozen=True):
    """One entry of the stream, decoded."""

    writer: str
    settled: int
    first: int
    columns: Columns
    """Its events."""

    @property
    def after(self) -> int:
        """The number that follows that of the last event."""
        return self.first + len(self.columns[0])

    def events_from(self, number: int) -> Columns:
        """Its events from this number on."""
        skipped = max(number - self.first, 0)
        return [column[skipped:] for column in self.columns] if skipped else self.columns


def entry(fields: dict[bytes, bytes]) -> Entry:
    """Raises ValueError for what no version of this program wrote, or a later one."""
    try:
        settled, first = int(fields[b"a"]), int(fields[b"f"])
        return Entry(fields[b"w"].decode(), settled, first, unpack(fields[b"e"]))
    except KeyError as error:
        raise ValueError(f"an entry without {error}") from None
