"""The ledger's reading side: statements, accounts, records, open holds. Changes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from gateway.errors import BadRequest
from gateway.ledger.entries import GENERATION_ID, Balances, Entry, OpenHold, Record, parse_entry
from gateway.store import keys
from gateway.store.client import Calls, RedisCalls, Store, store_errors
from gateway.store.redis_functions import Library, ledger_unavailable

STEM = "tokenway_ledger_v1"
CURSOR = re.compile(r"\d{1,16}-\d{1,10}", re.ASCII)
ALL = 10**9


class Statements:
    """Every method raises LedgerUnavailable when Redis does not answer."""

    def __init__(self, store: Store, calls: Calls | None) -> None:
        self._store = store
        self._calls: Calls = calls or store.mux
        self._slow = RedisCalls(store.redis)  # what may take long must not stand before a caller's hold
        self._library = Library(Path(__file__).with_name("functions.lua"), STEM)
        self._holds = self._library.function("holds")

    async def journal(
        self, org: str, *, after: str | None = None, limit: int = 50, newest_first: bool = False
    ) -> tuple[list[Entry], str | None]:
        """A page of an organisation's lines and the cursor of the next page, None at the end.

        Raises BadRequest for a cursor of another form.
        """
        if after is not None and not CURSOR.fullmatch(after):
            raise BadRequest("The cursor is not one of ours.", field="cursor")
        start = "(" + after if after else ("+" if newest_first else "-")
        with ledger_unavailable(), store_errors():
            client, name = self._store.redis, keys.journal(org)
            if newest_first:
                found = await client.xrevrange(name, start, "-", count=limit + 1)
            else:
                found = await client.xrange(name, start, "+", count=limit + 1)
        page: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", found)
        entries: list[Entry] = []
        for cursor, fields in page[:limit]:
            with suppress(KeyError, ValueError):  # not a line of ours: the audit reports it
                entries.append(parse_entry(org, cursor, fields))
        return entries, page[limit - 1][0].decode() if len(page) > limit else None

    async def balances(self, org: str) -> Balances:
        """The organisation's account, zeros when nothing was ever posted."""
        values = await self._ask("HMGET", keys.organization(org), "bal", "hold", "used", "seq")
        balance, held, used, seq = (int(v or 0) for v in values)
        return Balances(balance, held, used, balance + used, seq)

    async def record(self, org: str, id: str) -> Record | None:
        """The record that was stored with the generation's ending."""
        if not GENERATION_ID.fullmatch(id):
            return None
        return _parse_record(await self._ask("GET", keys.record(keys.tag(org), id)))

    async def find_record(self, id: str) -> Record | None:
        """The same when the organisation is not known: asks every bucket in use."""
        if not GENERATION_ID.fullmatch(id):
            return None
        found = await asyncio.gather(*(self._ask("GET", keys.record(tag, id)) for tag in await self._tags()))
        return next((_parse_record(value) for value in found if value is not None), None)

    async def open_holds(self, *, limit: int = 1000) -> list[OpenHold]:
        """Holds that have not ended, soonest expiry first within a bucket."""
        found: list[OpenHold] = []
        for tag in await self._tags():
            if len(found) < limit:
                found += (await self._read_holds(tag, (), limit - len(found)))[0]
        return found

    async def open_hold_count(self) -> int:
        """How many holds have not ended; cheap, for a gauge."""
        counts = await asyncio.gather(*(self._ask("ZCARD", keys.holds_by_expiry(tag)) for tag in await self._tags()))
        return sum(counts)

    async def _read_holds(
        self, tag: str, counters: Sequence[str], limit: int = ALL
    ) -> tuple[list[OpenHold], list[int]]:
        """Open holds of a bucket and the `hold` field of each counter key, at one instant."""
        names = (keys.holds_by_expiry(tag), *counters)
        holds, held = await self._library.call(self._slow, self._holds, names, (limit,))
        return (
            [OpenHold(i.decode(), o.decode(), k.decode(), int(a), int(x) / 1000) for i, o, k, a, x in holds],
            [int(value) for value in held],
        )

    async def _tags(self) -> list[str]:
        return sorted(tag.decode() for tag in await self._ask("SMEMBERS", keys.BUCKETS_IN_USE))

    async def _ask(self, *args: str | bytes | int) -> Any:
        with ledger_unavailable():
            return await self._calls.call(*args)


def _parse_record(value: bytes | None) -> Record | None:
    if value is None:
        return None
    paid, _, blob = value.partition(b":")
    return Record(blob, int(paid))
