"""Keys and organisations as the management API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Literal, NamedTuple

import msgspec

from gateway.store.policy import DELETED, POLICY_FIELDS, UNLIMITED, RateLimits, parse_policy

DEFAULT_ORG = "default"
Categories = Literal["off", "declared", "local"]


class Unset(Enum):
    """Default of a field that is not to be changed, as None is a value of some fields."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The changes to make to a key. ``expires_at``: unix seconds. ``reset``: none, daily, weekly or monthly."""

    name: str | Unset = UNSET
    disabled: bool | Unset = UNSET
    limit_nano: int | Unset | None = UNSET
    reset: str | Unset = UNSET
    expires_at: float | Unset | None = UNSET
    category: str | Unset | None = UNSET
    requests_per_minute: int | Unset | None = UNSET
    tokens_per_minute: int | Unset | None = UNSET
    max_concurrent: int | Unset | None = UNSET


class KeyChoice(NamedTuple):
    """Which keys to list."""

    org: str | None = None
    disabled: bool = True
    """Disabled ones, too."""
    expired: bool = True
    """Expired ones, too."""


class OrganizationAnalytics(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What analytics may say about an organisation's requests, beyond counting them."""

    categories: Categories = "off"
    """``declared``: by the app, or by ``category``; ``local``: by a classifier in the gateway, which reads a sample."""
    sample: float | None = None
    """Chance of a request to be classified, 0 to 1; None: as many as make sound shares."""
    country: str | None = None
    """ISO 3166."""
    category: str | None = None
    """Of requests whose app declares none."""


@dataclass(frozen=True, slots=True)
class Organization:
    """Callers that share credit. ``created_at``: unix seconds."""

    id: str
    name: str
    created_at: float
    analytics: OrganizationAnalytics
    limits: RateLimits = UNLIMITED
    """Its own ones; all its keys together."""


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key without its secret. Usage of the running UTC day, week from Monday, and month; times in unix seconds."""

    hash: str
    org: str
    name: str
    label: str
    disabled: bool
    limit_nano: int | None
    limit_remaining_nano: int | None
    limit_reset: str
    usage_nano: int
    usage_daily_nano: int
    usage_weekly_nano: int
    usage_monthly_nano: int
    held_nano: int
    created_at: float
    updated_at: float | None
    last_used_at: float | None
    expires_at: float | None
    version: int
    category: str | None = None
    limits: RateLimits = UNLIMITED
    abandoned: int = 0
    """Answers that the caller did not wait for, and paid all the same."""
    abandoned_nano: int = 0


def month(day: int) -> int:
    """Number of the calendar month that a day (since 1970) lies in; the ledger's functions count the same."""
    date = datetime.fromtimestamp(day * 86_400, UTC)
    return date.year * 12 + date.month


def key_view(key_hash: str, fields: Mapping[str, str], now: float) -> KeyView | None:
    """All fields of a stored key → its view; None when there is none, or when it was deleted."""
    policy = parse_policy(key_hash, [v.encode() if (v := fields.get(f)) is not None else None for f in POLICY_FIELDS])
    if policy is None or fields["st"] == DELETED:
        return None
    amount = {f: int(fields.get(f, "0")) for f in ("day", "ud", "uw", "um", "ua", "hold")}
    last_day, today = amount["day"], max(amount["day"], int(now // 86_400))
    daily = amount["ud"] if today == last_day else 0
    weekly = amount["uw"] if (today + 3) // 7 == (last_day + 3) // 7 else 0
    monthly = amount["um"] if month(today) == month(last_day) else 0
    spent = {"none": amount["ua"], "daily": daily, "weekly": weekly, "monthly": monthly}[policy.reset]
    remaining = None if policy.limit_nano is None else max(policy.limit_nano - spent, 0)

    def seconds(name: str) -> float | None:
        return int(fields[name]) / 1000 if name in fields else None

    return KeyView(
        hash=key_hash,
        org=policy.org,
        name=policy.name,
        label=policy.label,
        disabled=policy.disabled,
        limit_nano=policy.limit_nano,
        limit_remaining_nano=remaining,
        limit_reset=policy.reset,
        usage_nano=amount["ua"],
        usage_daily_nano=daily,
        usage_weekly_nano=weekly,
        usage_monthly_nano=monthly,
        held_nano=amount["hold"],
        created_at=seconds("created") or 0.0,
        updated_at=seconds("updated"),
        last_used_at=seconds("last"),
        expires_at=policy.expires_at,
        version=policy.version,
        category=policy.category,
        limits=policy.limits,
        abandoned=int(fields.get("ab", "0")),
        abandoned_nano=int(fields.get("abn", "0")),
    )
