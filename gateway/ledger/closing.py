"""The closing of an organisation's books, and the sums and the digest that are carried from one line to the next.

Lines are added up in the same way wherever they are: when books are closed, by the audit, and by the audit of the archive. Each
line's digest is made of it and of the digest before it, so the last one vouches for all lines. It must not know: Redis, files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from gateway.ledger.charged_once import ChargedOnce
from gateway.ledger.entries import Difference, Entry

DIGEST_BYTES = 16
NOTHING = "0-0"
"""The cursor before every line."""
_PROVIDER = b"p:"


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What all lines up to ``seq`` sum up to, in nano-USD. They are in the archive; ``cursor`` is that of the last of them."""

    seq: int = 0
    cursor: str = NOTHING
    digest: str = ""
    """Of the last line, in hex; empty before the first."""
    balance_nano: int = 0
    used_nano: int = 0
    granted_nano: int = 0
    cost_nano: int = 0
    fee_nano: int = 0
    loss_nano: int = 0
    cost_by_provider_nano: Mapping[str, int] = {}

    @classmethod
    def parsed(cls, stored: Mapping[bytes, bytes]) -> Closing:
        """Of the fields of the hash, which are none before the first closing. Raises KeyError or ValueError for others."""
        if not stored:
            return NEVER_CLOSED
        providers = {name[2:].decode(): int(value) for name, value in stored.items() if name.startswith(_PROVIDER)}
        return cls(
            seq=int(stored[b"seq"]),
            cursor=stored[b"cur"].decode(),
            digest=stored[b"dig"].decode(),
            balance_nano=int(stored[b"bal"]),
            used_nano=int(stored[b"used"]),
            granted_nano=int(stored[b"gr"]),
            cost_nano=int(stored[b"cost"]),
            fee_nano=int(stored[b"fee"]),
            loss_nano=int(stored[b"loss"]),
            cost_by_provider_nano=providers,
        )


NEVER_CLOSED = Closing()


def digest_after(before: str, line: Entry) -> str:
    """The digest of a line, in hex: BLAKE2b of the digest before it and of every field."""
    fields = (
        *(before, line.org, line.cursor, line.seq, line.type, line.key_hash, line.generation_id, line.part),
        *(line.provider, line.cost_nano, line.fee_nano, line.user_nano, line.loss_nano, line.balance_nano),
        *(line.actor, line.reason),
    )
    return blake2b(msgspec.json.encode(fields), digest_size=DIGEST_BYTES).hexdigest()


class Sums:
    """What the lines of one organisation sum up to, from a closing on. What does not fit together is in ``differences``."""

    def __init__(self, org: str, since: Closing = NEVER_CLOSED) -> None:
        self.org = org
        self.seq, self.cursor, self.balance = since.seq, since.cursor, since.balance_nano
        self.used, self.granted = since.used_nano, since.granted_nano
        self.cost, self.fee, self.loss = since.cost_nano, since.fee_nano, since.loss_nano
        self.residue = self.used + self.loss - self.cost - self.fee
        """user + loss - cost - fee; zero where double entry was obeyed."""
        self.by_key: Counter[str] = Counter()
        """Of the lines that were added; a closing says nothing of keys."""
        self.by_provider: Counter[str] = Counter(since.cost_by_provider_nano)
        self.charges = ChargedOnce()
        self.differences: list[Difference] = []
        self.differ("residue", f"user + loss - cost - fee of the closing at line {since.seq}", 0, self.residue)
        self.differ(
            "balance", f"granted - used of the closing at line {since.seq}", self.granted - self.used, self.balance
        )

    def differ(self, what: str, detail: str, expected: object, found: object) -> None:
        """Note a difference, if it is one."""
        if expected != found:
            self.differences.append(Difference(self.org, what, detail, expected, found))

    def add(self, line: Entry) -> None:
        """Check one more line (its place in the chain, its double entry) and add it to the sums."""
        self.differ("chain", f"sequence after {self.seq} at {line.cursor}", self.seq + 1, line.seq)
        self.balance -= line.user_nano
        self.differ("chain", f"balance of line {line.seq} ({line.generation_id})", self.balance, line.balance_nano)
        # a broken link is reported once, not at every later line
        self.seq, self.cursor, self.balance = line.seq, line.cursor, line.balance_nano
        if line.type == "grant":
            self.granted -= line.user_nano
            return
        self.charges.add(line)
        residue = line.user_nano + line.loss_nano - line.total_nano
        self.differ("residue", f"user + loss - cost - fee of line {line.seq} ({line.generation_id})", 0, residue)
        self.used += line.user_nano
        self.cost += line.cost_nano
        self.fee += line.fee_nano
        self.loss += line.loss_nano
        self.residue += residue
        self.by_key[line.key_hash or ""] += line.user_nano
        self.by_provider[line.provider or ""] += line.cost_nano

    def closing(self, digest: str) -> Closing:
        """The closing behind the last line that was added, whose digest this is."""
        return Closing(
            seq=self.seq,
            cursor=self.cursor,
            digest=digest,
            balance_nano=self.balance,
            used_nano=self.used,
            granted_nano=self.granted,
            cost_nano=self.cost,
            fee_nano=self.fee,
            loss_nano=self.loss,
            cost_by_provider_nano=dict(self.by_provider),
        )
