"""Names of the keys of usage analytics. ARCHITECTURE.md lists them, and a test compares both.

Counters lie in *tables*: one hash for each row of a bucket of time, and one set for each bucket that names its rows. Small hashes
are packed by the store and take a fourth of the memory of large ones; the set makes ``SORT ... BY nosort GET`` return a whole
bucket in one call. A bucket is an hour, a day or a week (from Monday), numbered from 1970 in UTC.
"""

from __future__ import annotations

PREFIX = "tw:a1"

EVENTS = "tw:a1:events"
"""Stream ``w a f e``: events that the gateways wrote, until they are counted; bounded. See ``analytics/stream.py``."""
CURSOR = "tw:a1:cursor"
"""String: id of the last entry of the stream that is counted. It moves when all rows of a batch are written."""
PLAN = "tw:a1:plan"
"""String, JSON: the batch that is being counted, or that was the last; see ``analytics/consumer.py``."""
LEASE = "tw:a1:lease"
"""String: which process counts now. It expires by itself; it saves work, the cursor is what keeps the counters right."""
LOST = "tw:a1:lost"
"""Hash: UTC day in which it was noticed → events that were lost before they were counted."""
REVISIONS = "tw:a1:revisions"
"""Hash: week → how often it was changed after it had closed."""
HISTORY = "tw:a1:history"
"""Hash: sink of the history → how far the stream is written there, and what is known there of the processes that write it."""
COHORTS = "tw:a1:cohorts"
"""Hash: model → its cohorts of users, JSON; ``_``: when they were made. See ``analytics/cohorts.py``."""
SALT = "tw:a1:salt"
"""String: 32 random bytes; users are told apart by a keyed hash with it."""

BATCH, NAME = "_", "n"
"""Fields of a row that are no counters: number of the batch that wrote it last; name of an app."""


def history_lease(sink: str) -> str:
    """String: which process writes the history to a sink now. It expires by itself."""
    return f"{PREFIX}:lease:{sink}"


def asked(week: int) -> str:
    """Hash: organisation → requests of a week that its classifier may choose from. Expires after two weeks more."""
    return f"{PREFIX}:asked:{week}"


def seen(writer: str) -> str:
    """String: how many events of one gateway process are counted or given up. Expires a week after the last one."""
    return f"{PREFIX}:seen:{writer}"


def view(digest: str) -> str:
    """String: an answer that was dear to make, for all processes. Expires within minutes."""
    return f"{PREFIX}:view:{digest}"


def rows(table: str, bucket: int) -> str:
    """Set: the rows of one bucket of a table. ``table``: its grain (h, d, w) and its letter."""
    return f"{PREFIX}:{table}:{bucket}"


def row(table: str, bucket: int, name: str) -> str:
    """Hash of counters, or HyperLogLog of users: one row of a bucket."""
    return f"{PREFIX}:{table}:{bucket}:{name}"
