"""How the policy of an API key is stored: written by the accounts, read by the ledger's functions at every hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

POLICY_FIELDS = ("org", "v", "st", "lim", "per", "exp", "name", "label", "cat", "rpm", "tpm", "con")
"""Hash fields, in the order in which the ledger replies with them."""
RATE_FIELDS = ("rpm", "tpm", "con")
"""Those of the rate limits."""
RESETS = {"n": "none", "d": "daily", "w": "weekly", "m": "monthly"}
RESET_CODES = {word: code for code, word in RESETS.items()}
ACTIVE, DISABLED, DELETED = "1", "0", "D"


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much a key or an organisation may ask for; None: no limit of its own."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    """Requests at once."""

    def over(self, default: RateLimits) -> RateLimits:
        """These limits, and those of ``default`` where there is none."""
        return RateLimits(
            self.requests_per_minute or default.requests_per_minute,
            self.tokens_per_minute or default.tokens_per_minute,
            self.max_concurrent or default.max_concurrent,
        )

    def stored(self) -> str:
        """``60:0:5`` as the ledger's functions read it, 0 for none; empty when there is no limit at all."""
        if self == UNLIMITED:
            return ""
        return f"{self.requests_per_minute or 0}:{self.tokens_per_minute or 0}:{self.max_concurrent or 0}"


UNLIMITED = RateLimits()
RATE_LIMITS = tuple(field.name for field in fields(RateLimits))
"""Names of the limits, in the order of `RATE_FIELDS`."""


def parse_rate(value: bytes | None) -> RateLimits:
    """The opposite of ``stored``."""
    if not value:
        return UNLIMITED
    requests, tokens, concurrent = (int(part) or None for part in value.split(b":"))
    return RateLimits(requests, tokens, concurrent)


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
    limits: RateLimits = UNLIMITED
    """Its own ones."""


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
        limits=_limits(found),
    )


def _limits(found: Mapping[str, str | None]) -> RateLimits:
    given = [found.get(name) for name in RATE_FIELDS]
    return UNLIMITED if given == [None, None, None] else RateLimits(*[int(v) if v else None for v in given])
