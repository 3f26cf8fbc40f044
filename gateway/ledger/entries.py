"""The values that the ledger takes and returns. Amounts are integers of nano-dollars."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.store.policy import KeyPolicy

GENERATION_ID = re.compile(r"gen-\d{10}-[A-Za-z0-9]{20}", re.ASCII)
LINE_MAX_NANO = 10**15
"""The largest amount of one line: $1,000,000."""
ENTRY_TYPES = {"S": "settled", "X": "expired", "A": "adjusted", "L": "loss", "G": "grant"}


def generation_id(now: float) -> str:
    """``gen-<unix seconds>-<20 hex digits>``: 80 random bits, and the time, which the dedupe memory uses. Opaque to clients."""
    return f"gen-{int(now)}-{os.urandom(10).hex()}"


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Credit set aside for one request."""

    id: str
    org: str
    key_hash: str
    amount_nano: int


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One line of the journal: what the provider bills, our fee, and what the user should pay.

    The rest of cost + fee is the operator's loss.
    """

    provider: str
    cost_nano: int
    fee_nano: int
    want_nano: int

    def __post_init__(self) -> None:
        if not (0 <= self.cost_nano <= LINE_MAX_NANO and 0 <= self.fee_nano <= LINE_MAX_NANO >= self.want_nano >= 0):
            raise ValueError(f"a posting carries 0 to {LINE_MAX_NANO} nano-dollars: {self}")


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """``paid_nano`` by the user in total; balance and ``seq`` after it.

    ``late``: posted after the hold had expired. ``held``: False when no hold was found.
    """

    paid_nano: int
    balance_nano: int
    seq: int
    duplicate: bool
    late: bool = False
    held: bool = True


@dataclass(frozen=True, slots=True)
class GrantResult:
    """Balance after the grant; ``duplicate`` when the same grant had been made before."""

    balance_nano: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Balances:
    """An organisation's account. ``granted - used == balance``; what may still be held is ``balance - held``."""

    balance_nano: int
    held_nano: int
    used_nano: int
    granted_nano: int
    seq: int


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that has not ended. ``expires_at``: unix seconds by the store's clock."""

    id: str
    org: str
    key_hash: str
    amount_nano: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Record:
    """A generation's record as its writer encoded it, and what the user paid for it."""

    blob: bytes
    paid_nano: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an organisation's journal.

    ``type``: settled, expired, adjusted, loss or grant. ``generation_id``: of the request; for a grant the grant's id.
    ``part``: number of the failed attempt for a loss line. ``user_nano``: what the line takes from the balance,
    negative when it adds. Double entry: ``user + loss == cost + fee`` for every type but grant.
    """

    cursor: str
    time: float
    type: str
    seq: int
    org: str
    key_hash: str | None
    generation_id: str
    part: int | None
    provider: str | None
    cost_nano: int
    fee_nano: int
    user_nano: int
    loss_nano: int
    balance_nano: int
    actor: str | None
    reason: str | None

    @property
    def total_nano(self) -> int:
        """Cost + fee, by definition."""
        return self.cost_nano + self.fee_nano


def parse_entry(org: str, cursor: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """A line of the stream. Raises KeyError or ValueError for a line that the ledger did not write."""

    def text(name: bytes) -> str | None:
        value = fields.get(name)
        return None if value is None else value.decode()

    def amount(name: bytes) -> int:
        return int(fields.get(name, b"0"))

    kind = ENTRY_TYPES[fields[b"t"].decode()]
    identity = fields[b"h"].decode()
    part: int | None = None
    if kind == "loss":
        identity, _, number = identity.rpartition("/")
        part = int(number)
    return Entry(
        cursor=cursor.decode(),
        time=int(cursor.split(b"-")[0]) / 1000,
        type=kind,
        seq=int(fields[b"q"]),
        org=org,
        key_hash=text(b"k"),
        generation_id=identity,
        part=part,
        provider=text(b"p"),
        cost_nano=amount(b"c"),
        fee_nano=amount(b"f"),
        user_nano=int(fields[b"u"]),
        loss_nano=amount(b"l"),
        balance_nano=int(fields[b"b"]),
        actor=text(b"by"),
        reason=text(b"why"),
    )


class StalePolicy(Exception):
    """The hold was made with an old version of its key's policy. ``policy`` is the one in force, None when the key is gone."""

    def __init__(self, policy: KeyPolicy | None) -> None:
        super().__init__("the key's policy has changed")
        self.policy = policy


class StalePosting(Exception):
    """The id is older than the dedupe memory and has no hold: posting it could charge twice.

    It was put aside for a person to decide. Do not retry: sending it again changes nothing.
    """


class PostingRefused(ValueError):
    """The ledger does not take these arguments, now or later: they are no posting, or name another key's hold."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that should be equal.

    ``what``: chain, residue, balance, used, held, key_held, key_used, line, stale, twice, closing; of the archive: digest, file.
    """

    org: str
    what: str
    detail: str
    expected: Any
    found: Any


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every balance recomputed from the journal. ``residue_nano``: user + loss - cost - fee over all lines."""

    clean: bool
    differences: list[Difference]
    organizations: int
    entries: int
    open_holds: int
    balance_nano: int
    held_nano: int
    granted_nano: int
    used_nano: int
    cost_nano: int
    fee_nano: int
    loss_nano: int
    residue_nano: int
    cost_by_provider_nano: Mapping[str, int] = field(default_factory=dict)
