"""The ledger: hold → settle | void | expire, each call idempotent by its id, one round trip, atomic in Redis.

Any trouble on the way raises LedgerUnavailable, which never means that the call did not run: say it again, the id
decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.errors import (
    BadRequest,
    Conflict,
    LedgerUnavailable,
    NotFound,
    PaymentRequired,
    Unauthorized,
    Unprocessable,
)
from gateway.ledger.audit import audit
from gateway.ledger.entries import (
    AuditReport,
    GrantResult,
    Hold,
    Posting,
    Receipt,
    StalePolicy,
    StalePosting,
)
from gateway.ledger.statements import Statements
from gateway.money import MAX_NANO, format_usd
from gateway.store import keys
from gateway.store.client import Calls, Store, store_errors
from gateway.store.errors import StoreError
from gateway.store.policy import KeyPolicy, parse_policy
from gateway.store.redis_functions import Argument, ledger_unavailable

NO_SUCH_KEY = "No such API key, or it is disabled or expired."
_SOURCES = {b"KEYLIM": "key_limit", b"CREDIT": "credits"}


class _Names(NamedTuple):
    """Names that all calls of one key share."""

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


class Ledger(Statements):
    """One per process. ``calls``: what sends the hot calls; the multiplexer unless told otherwise."""

    def __init__(self, store: Store, *, record_ttl_s: int = 2_592_000, calls: Calls | None = None) -> None:
        super().__init__(store, calls)
        self._record_ttl_s = record_ttl_s
        name = self._library.function
        self._hold, self._settle, self._void, self._expire = name("hold"), name("settle"), name("void"), name("expire")
        self._beat, self._extend, self._grant = name("beat"), name("extend"), name("grant")
        self._overdue = name("overdue")

    async def prepare(self) -> None:
        """Load the functions at start. Raises LedgerUnavailable."""
        await self._library.load(self._calls)

    async def hold(self, id: str, policy: KeyPolicy, amount_nano: int, ttl_s: float) -> Hold:
        """Authenticate, check the key's limit and the credits, set ``amount_nano`` aside: one atomic call.

        Raises StalePolicy, PaymentRequired (``metadata``: limit_source credits | key_limit, remaining), Unauthorized,
        Conflict (the id has already ended), LedgerUnavailable.
        """
        if not 0 <= amount_nano <= MAX_NANO:
            raise _payment_required("credits", amount_nano, 0)
        n = _names(policy.org, policy.key_hash)
        names = (n.account, n.key, n.hold + id, n.expiry, n.done + keys.hour(id))
        command = ("FCALL", self._hold, 5, *names, id, policy.version, amount_nano, int(ttl_s * 1000))
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, command)
        word = reply[0]
        if word == b"OK":
            return Hold(id, policy.org, policy.key_hash, amount_nano)
        if word == b"DUP":  # our own call again, its first reply was lost
            return Hold(id, policy.org, policy.key_hash, int(reply[1]))
        raise _refusal(reply, policy, amount_nano)

    async def settle(
        self, hold: Hold, posting: Posting, *, record: bytes | None = None, losses: Sequence[Posting] = ()
    ) -> Receipt:
        """Charge what was delivered and release the hold. The user pays at most what is there; it never fails for that.

        ``losses``: failed attempts, each its own line ``<id>/1``, ``<id>/2`` ... paid by us. ``record`` is stored by
        the same call. A second call returns the first one's receipt. Raises LedgerUnavailable (call again),
        StalePosting (do not).
        """
        command = _ending(self._settle, hold, record or b"", self._record_ttl_s)
        for p in (posting, *losses):
            command += (p.provider, p.cost_nano, p.fee_nano, p.want_nano)
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, tuple(command))
        word = reply[0]
        if word == b"STALE":
            raise StalePosting(hold.id)
        if word == b"BADARG":
            raise ValueError(f"the ledger refuses the arguments for {hold.id}")
        paid, balance, seq = int(reply[1]), int(reply[2]), int(reply[3])
        return Receipt(paid, balance, seq, word == b"DUP", word == b"LATE", word != b"NOHOLD")

    async def void(self, hold: Hold, *, record: bytes | None = None, losses: Sequence[Posting] = ()) -> None:
        """Nothing was delivered: release the hold, charge nothing. A hold that was never made cannot be made later.

        After an expiry that charged a checkpoint it gives that back. Raises LedgerUnavailable, StalePosting.
        """
        command = _ending(self._void, hold, record or b"", self._record_ttl_s)
        for p in losses:
            command += (p.provider, p.cost_nano, p.fee_nano, p.want_nano)
        try:
            reply = await self._calls.call(*command)
        except StoreError as error:
            reply = await self._library.recover(self._calls, error, tuple(command))
        if reply[0] == b"STALE":
            raise StalePosting(hold.id)
        if reply[0] == b"BADARG":
            raise ValueError(f"the ledger refuses the arguments for {hold.id}")

    async def beat(self, hold: Hold, posting: Posting, ttl_s: float) -> bool:
        """Keep a running hold alive and leave a checkpoint, what ``expire`` would charge. False: the hold has ended.

        Raises LedgerUnavailable.
        """
        n = _names(hold.org, hold.key_hash)
        args = (hold.id, int(ttl_s * 1000), posting.provider, posting.cost_nano, posting.fee_nano, posting.want_nano)
        reply = await self._library.call(self._calls, self._beat, (n.hold + hold.id, n.expiry), args)
        if reply[0] == b"BADARG":
            raise ValueError(f"the ledger refuses the arguments for {hold.id}")
        return bool(reply[0] == b"OK")

    async def extend(self, hold: Hold, more_nano: int) -> Hold:
        """Grow a running hold. Saying it twice with the same ``hold`` grows it once.

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
        """End overdue holds, charging their last checkpoint. Safe from any replica at any time; returns how many ended.

        Raises LedgerUnavailable.
        """
        call, function = self._library.call, self._overdue
        lists = [call(self._calls, function, (keys.holds_by_expiry(tag),), (limit,)) for tag in await self._tags()]
        ended = 0
        for found in await asyncio.gather(*lists):
            for org, key_hash, id in zip(*[iter([part.decode() for part in found])] * 3, strict=True):
                with ledger_unavailable():
                    reply = await self._calls.call(*_ending(self._expire, Hold(id, org, key_hash, 0)))
                ended += reply[0] == b"OK"
        return ended

    async def grant(self, org: str, amount_nano: int, *, id: str, actor: str, reason: str) -> GrantResult:
        """Add credits, or take them away (negative). Once per ``id``, for ever.

        Raises NotFound (no such organisation), Conflict (same id, other amount or reason), Unprocessable (range: held credits
        cannot be taken, a balance has a cap), LedgerUnavailable.
        """
        if amount_nano == 0 or abs(amount_nano) > MAX_NANO:
            raise Unprocessable("The amount must not be zero, nor beyond the cap of an account.")
        if not id:
            raise BadRequest("A grant needs an id.", field="Idempotency-Key")
        if not await self._ask("HEXISTS", keys.ORGANIZATIONS, org):
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

    async def audit(self) -> AuditReport:
        """Recompute every balance from the journal while traffic runs. Raises LedgerUnavailable."""
        with ledger_unavailable(), store_errors():
            return await audit(self._store.redis, self._read_holds)


def _payment_required(source: str, wanted_nano: int, remaining_nano: int) -> PaymentRequired:
    what = (
        "The key's limit leaves" if source == "key_limit" else "The credits that are not held by running requests are"
    )
    return PaymentRequired(
        f"This request may cost up to ${format_usd(wanted_nano)}. {what} ${format_usd(remaining_nano)}. "
        "Add credits, raise the limit, or lower max_tokens.",
        metadata={"limit_source": source, "remaining": format_usd(remaining_nano), "required": format_usd(wanted_nano)},
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
        case b"DONE":
            return Conflict("a request with this id has already ended")
        case b"STALE":
            return LedgerUnavailable("The clocks of the gateway and its ledger differ by hours; nothing was charged.")
    return ValueError(f"the ledger refuses the hold: {reply!r}")
