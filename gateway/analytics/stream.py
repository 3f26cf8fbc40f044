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

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.analytics.event import Event, Measured, Tried, event
from gateway.store import analytics_keys as keys
from gateway.store.client import Store

BATCH = 64
"""Most events of an entry: they are made in one go, and counted in one go, which holds the event loop and the store for
milliseconds each."""
QUEUE_MAX = 8192
"""Events that wait in a process; about 20 MB. More are lost."""
SALT_TTL_S = 10.0
"""A new salt is in use everywhere after so long."""
SALT_BYTES = 32
VERSION = 1

_FIELDS = Event.__struct_fields__
_TEXTS = frozenset(
    {
        *("endpoint", "org", "key", "app", "app_name", "finish", "api"),
        *("country", "category", "task", "language", "programming"),
    }
)
_IS_TEXT = tuple(name in _TEXTS for name in _FIELDS)
_AT = _FIELDS.index("at_ms")
_TRIED = _FIELDS.index("tried")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, list[str], list[list[Any]]]).decode


def pack(events: Sequence[Event]) -> bytes:
    """Events as they lie in the stream: about 60 bytes each, see docs/analytics.md."""
    texts: dict[str, int] = {}
    rows, begin_ms = [], min([each.at_ms for each in events], default=0)
    for each in events:
        row = [
            texts.setdefault(value, len(texts)) if is_text else value
            for value, is_text in zip(msgspec.structs.astuple(each), _IS_TEXT, strict=True)
        ]
        row[_AT] -= begin_ms
        row[_TRIED] = [part for t in each.tried for part in (texts.setdefault(t.endpoint, len(texts)), t.result)]
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
    values = {
        name: texts[value] if is_text else value for name, value, is_text in zip(_FIELDS, row, _IS_TEXT, strict=False)
    }
    values["at_ms"] += begin_ms
    tried = values.get("tried", ())
    values["tried"] = tuple([Tried(texts[tried[n]], tried[n + 1]) for n in range(0, len(tried), 2)])
    return Event(**values)


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
        self._writer = secrets.token_hex(6)
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
        while self._sending is not None or self._queue:
            if self._sending is None:
                await self._learn_salt()
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
        return first, after, pack([event(each, self._salt) for each in batch])

    async def _learn_salt(self) -> None:
        """Read the salt that all processes share; the first one makes it."""
        if self._clock() - self._salt_at < SALT_TTL_S:
            return
        call = self._store.mux.call
        salt = await call("GET", keys.SALT)
        if salt is None:
            await call("SET", keys.SALT, secrets.token_bytes(SALT_BYTES), "NX")
            salt = await call("GET", keys.SALT)
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
