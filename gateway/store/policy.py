"""How the policy of an API key is stored: written by the accounts, read by the ledger's functions at every hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

POLICY_FIELDS = ("org", "v", "st", "lim", "per", "exp", "name", "label", "cat")
"""Hash fields, in the order in which the ledger replies with them."""
RESETS = {"n": "none", "d": "daily", "w": "weekly", "m": "monthly"}
RESET_CODES = {word: code for code, word in RESETS.items()}
ACTIVE, DISABLED, DELETED = "1", "0", "D"


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What one API key may do. ``version`` grows with every change; a hold with an older version is refused.

    ``key_hash``: SHA-256 of the whole key, 64 hex. ``reset``: none, daily, weekly or monthly. ``expires_at``: unix
    seconds.
    """

    key_hash: str
    org: str
    version: int
    disabled: bool
    limit_nano: int | None
    reset: str
    expires_at: float | None
    name: str
    label: str
    category: str | None = None
    """What its requests are about, where their app does not say: analytics may count by it."""


def parse_policy(key_hash: str, values: Sequence[bytes | None]) -> KeyPolicy | None:
    """Values of `POLICY_FIELDS`, of which the last may be missing → the policy; None when the key does not exist or was deleted."""
    found = dict(zip(POLICY_FIELDS, (None if v is None else v.decode() for v in values), strict=False))
    org, version, state, limit, expires = (found[name] for name in ("org", "v", "st", "lim", "exp"))
    if org is None or version is None or state is None or state == DELETED:
        return None
    return KeyPolicy(
        key_hash=key_hash,
        org=org,
        version=int(version),
        disabled=state != ACTIVE,
        limit_nano=None if limit is None else int(limit),
        reset=RESETS[found["per"] or "n"],
        expires_at=None if expires is None else int(expires) / 1000,
        name=found["name"] or "",
        label=found["label"] or "",
        category=found.get("cat"),
    )
