"""The ledger: hold → settle | void | expire. Each call is idempotent by its id, atomic in Redis, and one round trip.

Every method raises LedgerUnavailable when Redis does not answer. The call may still have run: repeat it, and the id
makes sure that it counts once.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from gateway.errors import (
    BadRequest,
    Conflict,
    LedgerUnavailable,
    NotFound,
    PaymentRequired,
    RateLimited,
    Unauthorized,
    Unprocessable,
)
from gateway.ledger.audit import audit, read_closed_usage, read_closing, read_orgs
from gateway.ledger.closing import Closing
from gateway.ledger.entries import (
    GENERATION_ID,
    AuditReport,
    Balances,
    Entry,
    GrantResult,
    Hold,
    OpenHold,
    Posting,
    PostingRefused,
    Receipt,
    Record,
    StalePolicy,
    StalePosting,
    parse_entry,
)
from gateway.ledger.tail import Tail
from gateway.money import MAX_NANO, format_usd
from gateway.store import keys
from gateway.store.client import Calls, RedisCalls, Store, store_errors
from gateway.store.errors import StoreError
from gateway.store.policy import UNLIMITED, KeyPolicy, RateLimits, parse_policy
from gateway.store.redis_functions import Argument, Library, ledger_unavailable
from gateway.store.writes import set_when_full

STEM = "tokenway_ledger_v1"
CURSOR = re.compile(r"\d{1,16}-\d{1,10}", re.ASCII)
ALL = 10**9
FEW, MANY, PAUSE_S = 64, 512, 0.002
"""Buckets that are looked at in one write: by the sweeper, which then pauses, and for whoever waits for an answer."""
NO_SUCH_KEY = "No such API key, or it is disabled or expired."
_SOURCES = {b"KEYLIM": "key_limit", b"CREDIT": "credits"}
_LIMITS = {b"requests": "requests_per_minute", b"tokens": "tokens_per_minute", b"concurrent": "max_concurrent"}
CLOSED_AT_ONCE = 100
"""Lines."""
TOKENS_MAX = 10**10
"""More tokens than any request has; the functions take no more."""


class _Names(NamedTuple):
    """Redis keys that all calls of one API key share. The last three are prefixes."""

    account: str
    key: str
    expiry: str
    journal: str
    stale: str
    hold: str
    done: str
    record: str


@lru_cache(maxsize=16_384)
def _names(org: str, key_hash: str) -> _Names:
    tag = keys.tag(org)
    return _Names(
        account=keys.organization(org),
        key=keys.api_key(tag, key_hash),
        expiry=keys.holds_by_expiry(tag),
        journal=keys.journal(org),
        stale=keys.stale(tag),
        hold=keys.hold(tag, ""),
        done=keys.done(tag, ""),
        record=keys.record(tag, ""),
    )


def _ending(function: str, hold: Hold, *args: Argument) -> list[Argument]:
    """The command that ends a hold: eight keys, then the id and ``args``."""
    n = _names(hold.org, hold.key_hash)
    id = hold.id
    names = (n.account, n.key, n.hold + id, n.expiry, n.done + keys.hour(id), n.journal, n.record + id, n.stale)
    return ["FCALL", function, 8, *names, id, *args]


class Ledger:
    """One per process. ``calls`` sends the hot calls; by default the store's multiplexer."""

    def __init__(
        self,
        store: Store,
        *,
        record_ttl_s: int = 2_592_000,
        unpaid_record_ttl_s: int = 86_400,
        calls: Calls | None = None,
        key_limits: RateLimits = UNLIMITED,
        org_limits: RateLimits = UNLIMITED,
    ) -> None:
        """``key_limits``, ``org_limits``: those of keys and organisations that have none of their own. ``unpaid_record_ttl_s``: of
        records that no line leads to, so that they are never archived.
        """
        self._store = store
        self._calls: Calls = calls or store.mux
        self._slow = RedisCalls(store.redis)  # slow calls must not delay a caller's hold
        self._library = Library(Path(__file__).with_name("functions.lua"), STEM)
        self._holds = self._library.function("holds")
        self._record_ttl_s = record_ttl_s
        self._unpaid_record_ttl_s = min(unpaid_record_ttl_s, record_ttl_s)
        self._key_limits, self._org_rate = key_limits, org_limits.stored()
        self._limited = bool(key_limits.stored() or self._org_rate)
        name = self._library.function
        self._hold, self._settle, self._void, self._expire = name("hold"), name("settle"), name("void"), name("expire")
        self._beat, self._extend, self._grant = name("beat"), name("extend"), name("grant")
        self._overdue, self._close = name("overdue"), name("close")
        self._tail = Tail()

    async def prepare(self) -> None:
        """Load the functions at start, and give the books their name. Raises LedgerUnavailable."""
        await self._library.load(self._calls)
        await self.books()

    async def hold(
        self,
        id: str,
        policy: KeyPolicy,
        amount_nano: int,
        ttl_s: float,
        tokens: int = 0,
        *,
        least_nano: int | None = None,
        share: int = 1,
    ) -> Hold:
        """Authenticate, check the key's limit, the credits and the rate limits, set ``amount_nano`` aside: one atomic call.

        ``tokens``: how many the request may use; ``settle`` corrects it. A refused request takes nothing of any limit.

        With ``least_nano`` it sets aside less where ``amount_nano`` is more than one part in ``share`` of what is free: that
        part, but not less than ``least_nano``. The hold says how much it is.

        Raises StalePolicy, PaymentRequired (``metadata``: limit_source credits | key_limit, remaining), RateLimited,
        Unauthorized, Conflict (the id has already ended), LedgerUnavailable.
        """
        if not 0 <= amount_nano <= MAX_NANO:
            raise _payment_required("credits", amount_nano, 0)
        n = _names(policy.org, policy.key_hash)
        names = (n.account, n.key, n.hold + id, n.expiry, n.done + keys.hour(id))
        least = amount_nano if least_nano is None else least_nano
        command: tuple[Argument, ...] = (
            *("FCALL", self._hold, 5, *names),
            *(id, policy.version, amount_nano, int(ttl_s * 1000), min(tokens, TOKENS_MAX), least, share),
        )
        if self._limited or policy.limits is not UNLIMITED:
            command += (policy.limits.over(self._key_limits).stored(), self._org_rate)
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, command)
        status = reply[0]
        if status == b"OK":
            return Hold(id, policy.org, policy.key_hash, int(reply[2]) if len(reply) > 2 else amount_nano)
        if status == b"DUP":  # a repeated call: the reply to the first one was lost
            return Hold(id, policy.org, policy.key_hash, int(reply[1]))
        raise _refusal(reply, policy, least)

    def limits_of(self, own: RateLimits) -> RateLimits:
        """The rate limits in force for a key with these of its own."""
        return own.over(self._key_limits)

    async def settle(
        self,
        hold: Hold,
        posting: Posting,
        *,
        record: bytes | None = None,
        losses: Sequence[Posting] = (),
        tokens: int = 0,
        abandoned: bool = False,
    ) -> Receipt:
        """Charge what was delivered and release the hold.

        The user pays at most the balance of the account; a balance that is too small is not an error.

        ``tokens``: how many were used, in place of those that the hold reserved.
        ``losses``: failed attempts, each gets its own line ``<id>/1``, ``<id>/2`` ... and is paid by the operator.
        ``record`` is stored by the same call. ``abandoned``: the caller did not wait for the answer; the key counts that. A second
        call returns the first one's receipt. Raises LedgerUnavailable (call again), StalePosting and PostingRefused (do not).
        """
        command = _ending(self._settle, hold, record or b"", self._record_ttl_s, min(tokens, TOKENS_MAX))
        for p in (posting, *losses):
            command += (p.provider, p.cost_nano, p.fee_nano, p.want_nano)
        if abandoned:
            command.append(b"abandoned")
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, tuple(command))
        status = reply[0]
        if status == b"STALE":
            raise StalePosting(hold.id)
        if status == b"BADARG":
            raise PostingRefused(f"the ledger refuses the arguments for {hold.id}")
        paid, balance, seq = int(reply[1]), int(reply[2]), int(reply[3])
        self._tail.keep(command)
        return Receipt(paid, balance, seq, status == b"DUP", status == b"LATE", status != b"NOHOLD")

    async def void(self, hold: Hold, *, record: bytes | None = None, losses: Sequence[Posting] = ()) -> None:
        """Nothing was delivered: release the hold, charge nothing. A hold that was never made cannot be made later.

        If the hold has expired and its checkpoint was charged, the charge is returned. Raises as ``settle`` does.
        """
        command = _ending(self._void, hold, record or b"", self._unpaid_record_ttl_s)
        for p in losses:
            command += (p.provider, p.cost_nano, p.fee_nano, p.want_nano)
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, tuple(command))
        if reply[0] == b"STALE":
            raise StalePosting(hold.id)
        if reply[0] == b"BADARG":
            raise PostingRefused(f"the ledger refuses the arguments for {hold.id}")

    async def beat(self, hold: Hold, posting: Posting, ttl_s: float) -> bool:
        """Keep a running hold alive and store a checkpoint, which ``expire`` would charge. False: the hold has ended.

        Raises LedgerUnavailable.
        """
        n = _names(hold.org, hold.key_hash)
        args = (hold.id, int(ttl_s * 1000), posting.provider, posting.cost_nano, posting.fee_nano, posting.want_nano)
        reply = await self._library.call(self._calls, self._beat, (n.hold + hold.id, n.expiry), args)
        if reply[0] == b"BADARG":
            raise PostingRefused(f"the ledger refuses the arguments for {hold.id}")
        return bool(reply[0] == b"OK")

    async def extend(self, hold: Hold, more_nano: int) -> Hold:
        """Grow a running hold. Repeated with the same ``hold`` it grows once.

        Raises PaymentRequired, Conflict (the hold has ended), LedgerUnavailable.
        """
        n = _names(hold.org, hold.key_hash)
        total = hold.amount_nano + more_nano
        if more_nano < 0:
            raise ValueError("a hold only grows")
        if total > MAX_NANO:
            raise _payment_required("credits", more_nano, 0)
        reply = await self._library.call(self._calls, self._extend, (n.account, n.key, n.hold + hold.id), (total,))
        if reply[0] == b"OK":
            return Hold(hold.id, hold.org, hold.key_hash, int(reply[1]))
        if reply[0] in (b"KEYLIM", b"CREDIT"):
            raise _payment_required(_SOURCES[reply[0]], more_nano, int(reply[1]))
        if reply[0] == b"GONE":
            raise Conflict("the hold has already ended")
        raise ValueError(f"the ledger refuses to extend {hold.id}: {reply!r}")

    async def expire(self, limit: int = 500) -> int:
        """End overdue holds, charging their last checkpoint. Any process may call it at any time. Returns how many ended.

        Raises LedgerUnavailable.
        """
        return (await self.sweep(limit))[0]

    async def sweep(self, limit: int = 500) -> tuple[int, int]:
        """As ``expire``; and how many holds were open before. Some buckets at a time, so that callers do not wait behind it."""
        ended, open_holds = 0, 0
        async for tag, count in self._open_buckets(FEW):
            open_holds += count
            found = await self._library.call(self._calls, self._overdue, (keys.holds_by_expiry(tag),), (limit,))
            for org, key_hash, id in zip(*[iter([part.decode() for part in found])] * 3, strict=True):
                with ledger_unavailable():
                    reply = await self._calls.call(*_ending(self._expire, Hold(id, org, key_hash, 0)))
                ended += reply[0] == b"OK"
        return ended, open_holds

    async def repair(self) -> int:
        """Post again what a store that was restarted has lost of the settlements of the last seconds → how many those were. To be
        called every few seconds in a process that settles. Raises LedgerUnavailable.
        """

        async def send(command: Sequence[Argument]) -> list[Any]:
            try:
                return await self._calls.call(*command)  # type: ignore[no-any-return]
            except StoreError as error:  # a new store does not have the functions yet
                return await self._library.recover(self._calls, error, tuple(command))

        return await self._tail.repair(self._calls, send)

    async def grant(self, org: str, amount_nano: int, *, id: str, actor: str, reason: str) -> GrantResult:
        """Add credits, or take them away (negative amount). An ``id`` counts once, for ever.

        Raises NotFound (no such organisation), Conflict (same id, other amount or reason), Unprocessable (range: held credits
        cannot be taken, a balance has a cap), LedgerUnavailable.
        """
        if amount_nano == 0 or abs(amount_nano) > MAX_NANO:
            raise Unprocessable("The amount must not be zero, nor beyond the cap of an account.")
        if not id:
            raise BadRequest("A grant needs an id.", field="Idempotency-Key")
        if not await self._read("HEXISTS", keys.ORGANIZATIONS, org):
            raise NotFound("No such organization.")
        names = (keys.organization(org), keys.grants(org), keys.journal(org))
        reply = await self._library.call(self._calls, self._grant, names, (id, amount_nano, actor, reason))
        match reply[0]:
            case b"OK" | b"DUP":
                return GrantResult(int(reply[1]), duplicate=reply[0] == b"DUP")
            case b"CONFLICT":
                raise Conflict(
                    "This Idempotency-Key was used for another grant: "
                    f"the amount ({format_usd(int(reply[2]))}) or the reason differs."
                )
            case b"RANGE" if reply[1] == b"held":
                raise Unprocessable(f"Only {format_usd(int(reply[2]))} can be taken away: the rest is spent or held.")
            case b"RANGE":
                raise Unprocessable(
                    f"An account holds at most {format_usd(MAX_NANO)}; there is room for {format_usd(int(reply[2]))}."
                )
        raise ValueError(f"the ledger refuses the grant: {reply!r}")

    async def closing(self, org: str) -> Closing:
        """Up to where the organisation's lines are in the archive, and what they sum up to.

        Raises LedgerUnavailable; ValueError for what is no closing.
        """
        with ledger_unavailable(), store_errors():
            try:
                return await read_closing(self._store.redis, org)
            except (KeyError, ValueError) as error:
                raise ValueError(f"{keys.closing(org)} is no closing: {error!r}") from error

    async def books(self) -> str:
        """The name of this store's books, which stays with them: copies of the store bear it, and the archive of closed books.

        Raises LedgerUnavailable.
        """
        with ledger_unavailable(), store_errors():
            stored: Any = await self._store.redis.get(keys.BOOKS)
            if stored is None:
                await set_when_full(self._store.redis, keys.BOOKS, secrets.token_hex(8), nx=True)
                stored = await self._store.redis.get(keys.BOOKS)  # another process may have been faster
        return str(stored.decode())

    async def superseded(self) -> list[tuple[int, int]]:
        """Times, as (after, until) in unix ms, of which this store has no line, because an older copy of it was put in its place.

        Raises LedgerUnavailable.
        """
        with ledger_unavailable(), store_errors():
            stored: Any = await self._store.redis.get(keys.SUPERSEDED)
        return [] if stored is None else msgspec.json.decode(stored, type=list[tuple[int, int]])

    async def close(
        self, org: str, lines: Sequence[Entry], before: Closing, after: Closing, records: Mapping[str, int]
    ) -> bool:
        """Let lines go that are in the archive, durably: those between two closings, in one atomic call. At most
        ``CLOSED_AT_ONCE``, which keeps the store from others for less than a millisecond.

        ``records``: id of a generation → bytes of its record as it was archived, which goes, too. Said twice it is said once.
        False: these are not the lines that follow the last closing. Raises LedgerUnavailable.
        """
        usage = Counter[str]()
        for line in lines:
            if line.key_hash is not None:
                usage[line.key_hash] += line.user_nano
        tag, (milliseconds, _, number) = keys.tag(org), after.cursor.partition("-")
        names = [keys.organization(org), keys.journal(org), keys.closing(org)]
        names += [keys.api_key(tag, key_hash) for key_hash in usage]
        names += [keys.record(tag, id) for id in records]
        args: list[Argument] = [
            before.seq + 1,
            after.seq,
            after.cursor,
            f"{milliseconds}-{int(number) + 1}",
            len(usage),
        ]
        args += [after.balance_nano, after.digest, after.used_nano, after.granted_nano]
        args += [after.cost_nano, after.fee_nano, after.loss_nano]
        args += [part for pair in after.cost_by_provider_nano.items() for part in pair]
        args += [b"", *usage.values(), *records.values()]
        reply = await self._library.call(self._slow, self._close, tuple(names), tuple(args))
        if reply[0] == b"BADARG":
            raise PostingRefused(f"the ledger refuses to close the books of {org}")
        return reply[0] in (b"OK", b"DUP")

    async def closed_usage(self, org: str, closing: Closing) -> dict[str, int] | None:
        """What each key has used in the lines up to this closing; None when it is no longer the last one.

        Raises LedgerUnavailable.
        """
        with ledger_unavailable(), store_errors():
            found = await read_closed_usage(self._store.redis, org)
        return found if await self.closing(org) == closing else None

    async def organizations(self) -> list[str]:
        """Ids of all organisations. Raises LedgerUnavailable."""
        with ledger_unavailable(), store_errors():
            return await read_orgs(self._store.redis)

    async def lines(self, org: str, after: str, *, until_ms: int, limit: int) -> list[Entry]:
        """Lines behind a cursor that are not newer than this, oldest first. It ends before a line that is not one of ours."""
        with ledger_unavailable(), store_errors():
            found = await self._store.redis.xrange(keys.journal(org), f"({after}", str(until_ms), count=limit)
        page: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", found)
        entries: list[Entry] = []
        for cursor, fields in page:
            try:
                entries.append(parse_entry(org, cursor, fields))
            except (KeyError, ValueError):
                break
        return entries

    async def stored_records(self, org: str, ids: Sequence[str]) -> dict[str, bytes]:
        """What is stored as records of these generations: the amount paid, a colon, the record."""
        if not ids:
            return {}
        tag = keys.tag(org)
        with ledger_unavailable(), store_errors():
            found = await self._store.redis.mget([keys.record(tag, id) for id in ids])
        values: list[bytes | None] = cast("Any", found)
        return {id: value for id, value in zip(ids, values, strict=True) if value is not None}

    async def audit(self) -> AuditReport:
        """Recompute every balance from the journal, since the last closing, while traffic runs. Raises LedgerUnavailable."""
        with ledger_unavailable(), store_errors():
            return await audit(self._store.redis, self._read_holds)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def journal(
        self, org: str, *, after: str | None = None, limit: int = 50, newest_first: bool = False
    ) -> tuple[list[Entry], str | None]:
        """A page of an organisation's lines and the cursor of the next page, None at the end.

        Raises BadRequest for a cursor of another form.
        """
        if after is not None and not CURSOR.fullmatch(after):
            raise BadRequest(
                "cursor: not a cursor of this API; pass the one that the previous page gave.", field="cursor"
            )
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
            with suppress(KeyError, ValueError):  # not written by the ledger: the audit reports it
                entries.append(parse_entry(org, cursor, fields))
        return entries, page[limit - 1][0].decode() if len(page) > limit else None

    async def balances(self, org: str) -> Balances:
        """The organisation's account, zeros when nothing was ever posted."""
        values = await self._read("HMGET", keys.organization(org), "bal", "hold", "used", "seq")
        balance, held, used, seq = (int(v or 0) for v in values)
        return Balances(balance, held, used, balance + used, seq)

    async def record(self, org: str, id: str) -> Record | None:
        """The record that was stored with the generation's ending."""
        if not GENERATION_ID.fullmatch(id):
            return None
        value = await self._read("GET", keys.record(keys.tag(org), id))
        return None if value is None else parse_record(value)

    async def find_record(self, id: str) -> Record | None:
        """The same when the organisation is not known: looks in every bucket in use."""
        if not GENERATION_ID.fullmatch(id):
            return None
        for tags in _chunks(await self._tags(), MANY):
            with ledger_unavailable():
                found = await asyncio.gather(*(self._calls.call("GET", keys.record(tag, id)) for tag in tags))
            if (value := next((value for value in found if value is not None), None)) is not None:
                return parse_record(value)
        return None

    async def open_holds(self, *, limit: int = 1000) -> list[OpenHold]:
        """Holds that have not ended, soonest expiry first within a bucket."""
        found: list[OpenHold] = []
        async for tag, _ in self._open_buckets(MANY):
            if len(found) >= limit:
                break
            found += (await self._read_holds(tag, (), limit - len(found)))[0]
        return found

    async def open_hold_count(self) -> int:
        """How many holds have not ended."""
        return sum([count async for _, count in self._open_buckets(MANY)])

    async def _open_buckets(self, at_once: int) -> AsyncIterator[tuple[str, int]]:
        """Hash tags of the buckets with open holds, and how many. There are up to 4,096 buckets to look at."""
        for tags in _chunks(await self._tags(), at_once):
            with ledger_unavailable():
                counts = await asyncio.gather(*(self._calls.call("ZCARD", keys.holds_by_expiry(tag)) for tag in tags))
            for tag, count in zip(tags, counts, strict=True):
                if count:
                    yield tag, count
            if len(tags) == FEW:
                await asyncio.sleep(PAUSE_S)

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
        return sorted(tag.decode() for tag in await self._read("SMEMBERS", keys.BUCKETS_IN_USE))

    async def _read(self, *args: str | bytes | int) -> Any:
        with ledger_unavailable():
            return await self._calls.call(*args)


def _chunks(tags: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (tags[first : first + size] for first in range(0, len(tags), size))


def _payment_required(source: str, required_nano: int, remaining_nano: int) -> PaymentRequired:
    limit = (
        "The key's limit leaves" if source == "key_limit" else "The credits that are not held by running requests are"
    )
    return PaymentRequired(
        f"This request may cost up to ${format_usd(required_nano)}. {limit} ${format_usd(remaining_nano)}. "
        "Add credits, raise the limit, or lower max_tokens.",
        metadata={
            "limit_source": source,
            "remaining": format_usd(remaining_nano),
            "required": format_usd(required_nano),
        },
    )


def _rate_limited(reply: list[Any]) -> RateLimited:
    """``RATE``, key or org, the limit's name, its size, what is left of it, the milliseconds to wait: -1 when that is no help."""
    wait_ms = int(reply[5])
    return RateLimited(
        _LIMITS[reply[2]],
        scope="key" if reply[1] == b"key" else "organization",
        limit=int(reply[3]),
        remaining=int(reply[4]),
        wait_s=None if wait_ms < 0 else wait_ms / 1000,
    )


def _refusal(reply: list[Any], policy: KeyPolicy, amount_nano: int) -> Exception:
    match reply[0]:
        case b"POLICY":
            return StalePolicy(parse_policy(policy.key_hash, reply[1:]))
        case b"NOKEY":
            return StalePolicy(None)
        case b"KEYOFF" | b"KEYEXP":
            return Unauthorized(NO_SUCH_KEY)
        case b"KEYLIM" | b"CREDIT":
            return _payment_required(_SOURCES[reply[0]], amount_nano, int(reply[1]))
        case b"RATE":
            return _rate_limited(reply)
        case b"DONE":
            return Conflict("a request with this id has already ended")
        case b"STALE":
            return LedgerUnavailable("The clocks of the gateway and its ledger differ by hours; nothing was charged.")
    return ValueError(f"the ledger refuses the hold: {reply!r}")


def parse_record(value: bytes) -> Record:
    """What is stored: the amount paid, a colon, the record."""
    paid, _, blob = value.partition(b":")
    return Record(blob, int(paid))
