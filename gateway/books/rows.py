"""The rows of the two datasets of closed books. Money in nano-USD, times in unix ms.

    journal    a line of an organisation's journal, with the digest of it and of all lines before it
    records    what is known of one generation, as its writer encoded it

Both are in the days of their lines, by UTC. A record may be there twice, where a process died between two steps: the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.analytics.history.schema import Dataset, columns_of
from gateway.ledger.entries import Entry


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal; ``at_ms`` is the time in its cursor. Of a grant, the texts that only others have are empty."""

    at_ms: int
    org: str
    seq: int
    cursor: str
    type: str
    key: str = ""
    id: str
    part: int | None = None
    provider: str = ""
    cost: int
    fee: int
    paid: int
    loss: int
    balance: int
    actor: str = ""
    reason: str = ""
    digest: str


class KeptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record; ``at_ms`` is the time of the line that settled it."""

    at_ms: int
    org: str
    id: str
    paid: int
    record: bytes


JOURNAL = Dataset("journal", columns_of(Line), buckets=1, sorted_by="org, seq", group_rows=16_384)
"""One file a day, as of the events. An organisation's lines lie together in it."""
RECORDS = Dataset("records", columns_of(KeptRecord), buckets=1, sorted_by="id", group_rows=4_096)
"""Sorted by id, which begins with the second of the request."""
LINE_COLUMNS = ", ".join(column.quoted for column in JOURNAL.columns)


def living(superseded: Sequence[tuple[int, int]]) -> str:
    """SQL: a row is of a time of which the store has lines."""
    return " AND ".join(f"NOT (at_ms > {after} AND at_ms <= {until})" for after, until in superseded) or "true"


def line(entry: Entry, digest: str) -> Line:
    """The row of a line."""
    return Line(
        at_ms=at_ms(entry.cursor),
        org=entry.org,
        seq=entry.seq,
        cursor=entry.cursor,
        type=entry.type,
        key=entry.key_hash or "",
        id=entry.generation_id,
        part=entry.part,
        provider=entry.provider or "",
        cost=entry.cost_nano,
        fee=entry.fee_nano,
        paid=entry.user_nano,
        loss=entry.loss_nano,
        balance=entry.balance_nano,
        actor=entry.actor or "",
        reason=entry.reason or "",
        digest=digest,
    )


def entry(row: Sequence[Any]) -> tuple[Entry, str]:
    """The line of a row of ``LINE_COLUMNS``, and its digest."""
    kept = Line(**dict(zip(Line.__struct_fields__, row, strict=True)))
    grant = kept.type == "grant"
    found = Entry(
        cursor=kept.cursor,
        time=kept.at_ms / 1000,
        type=kept.type,
        seq=kept.seq,
        org=kept.org,
        key_hash=None if grant else kept.key,
        generation_id=kept.id,
        part=kept.part,
        provider=None if grant else kept.provider,
        cost_nano=kept.cost,
        fee_nano=kept.fee,
        user_nano=kept.paid,
        loss_nano=kept.loss,
        balance_nano=kept.balance,
        actor=kept.actor if grant else None,
        reason=kept.reason if grant else None,
    )
    return found, kept.digest


def at_ms(cursor: str) -> int:
    """The time in a line's cursor, which is ``<unix ms>-<number>``."""
    return int(cursor.partition("-")[0])
