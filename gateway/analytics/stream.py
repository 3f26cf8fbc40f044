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

from gateway.analytics.answer_checks import AnswerChecks
from gateway.analytics.event import FIELDS, Event, Measured, Tried, event_values, user_hash
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
"""From here on are fields that few events have: a row without any of them ends before."""
_LAST_DEFAULTS = msgspec.structs.astuple(Event(at_ms=0, endpoint="", org="", key=""))[_LAST:]
_FIRST_TEXT_PLACES = tuple([place for place in _TEXT_PLACES if place < _LAST])
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, list[str], list[list[Any]]]).decode


class _Texts(dict[str, int]):
    """Text → its number in a batch."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number


def pack(events: Sequence[Event]) -> bytes:
    """Events as they lie in the stream: about 100 bytes each, see docs/analytics.md."""
    return pack_values([msgspec.structs.astuple(each) for each in events])


def pack_values(events: Sequence[tuple[Any, ...]]) -> bytes:
    """The same for the values of events, in the order of ``FIELDS``."""
    texts = _Texts()
    rows, begin_ms = [], min([each[0] for each in events], default=0)
    for each in events:
        row = list(each)
        for place in _TEXT_PLACES:
            row[place] = texts[row[place]]
        row[0] -= begin_ms
        row[_TRIED] = [part for endpoint, result in row[_TRIED] for part in (texts[endpoint], result)]
        if each[_LAST:] == _LAST_DEFAULTS:
            del row[_LAST:]
        rows.append(row)
    return _encode((VERSION, begin_ms, list(texts), rows))


def unpack(data: bytes) -> list[Event]:
    """The reverse of ``pack``. Raises ValueError when it is not of this version's form; fields that are added at the end of
    ``Event`` do not change the form."""
    try:
        version, begin_ms, texts, rows = _decode(data)
        if version != VERSION:
            raise ValueError(f"events of version {version}")
        return [_event(begin_ms, texts, row) for row in rows]
    except (msgspec.MsgspecError, IndexError, TypeError) as error:
        raise ValueError(f"not a batch of events: {error}") from None


def _event(begin_ms: int, texts: list[str], row: list[Any]) -> Event:
    for place in _TEXT_PLACES if len(row) > _LAST else _FIRST_TEXT_PLACES:
        row[place] = texts[row[place]]
    row[0] += begin_ms
    parts = iter(row[_TRIED])
    row[_TRIED] = tuple([Tried(texts[place], result) for place, result in zip(parts, parts, strict=True)])
    return Event(*row[: len(FIELDS)])  # by name it is 3 µs more


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
        self._queue: deque[tuple[int, Measured]] = deque()
        self._queue_max = queue_max
        self._emitted = 0
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
        number = self._emitted
        self._emitted += 1
        if len(self._queue) >= self._queue_max:
            self._on_lost(1)
        else:
            self._queue.append((number, measured))

    async def flush(self) -> None:
        """Write what has been queued. One task calls it once a second. Raises StoreError, and goes on there the next time."""
        async with self._one_at_a_time:
            while self._sending is not None or self._queue:
                if self._sending is None:
                    await self._learn_salt()
                    await self.checks.look()
                    self._sending = self._take()
                first, after, batch = self._sending
                most = max(64, self._most_events // (after - first))
                fields = ("w", self._writer, "a", self._settled, "f", first, "e", batch)
                await self._store.mux.call("XADD", keys.EVENTS, "MAXLEN", "~", most, "*", *fields)
                self._settled, self._sending = after, None

    def _take(self) -> tuple[int, int, bytes]:
        """A batch of events with consecutive numbers: a gap between them stands for lost ones."""
        first = after = self._queue[0][0]
        batch: list[Measured] = []
        while self._queue and self._queue[0][0] == after and len(batch) < BATCH:
            batch.append(self._queue.popleft()[1])
            after += 1
        return first, after, pack_values([event_values(each, self._salt) for each in batch])

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
    events: Sequence[Event]


def entry(fields: dict[bytes, bytes]) -> Entry:
    """Raises ValueError for what no version of this program wrote, or a later one."""
    try:
        settled, first = int(fields[b"a"]), int(fields[b"f"])
        return Entry(fields[b"w"].decode(), settled, first, unpack(fields[b"e"]))
    except KeyError as error:
        raise ValueError(f"an entry without {error}") from None
