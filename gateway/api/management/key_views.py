"""API keys as the API shows them. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from gateway.accounts import KeyView
from gateway.records import iso, usd
from gateway.store.policy import UNLIMITED, RateLimits

NO_USAGE = {name: usd(0) for name in ("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly")}
"""Usage of vendor keys that callers bring (BYOK), which this gateway does not support: always zero."""


def key_view(key: KeyView) -> dict[str, Any]:
    """The key object of list, get, create and update."""
    return {
        "hash": key.hash,
        "name": key.name,
        "label": key.label,
        "disabled": key.disabled,
        **_limit(key),
        **_usage(key),
        "created_at": iso(key.created_at),
        "updated_at": _iso(key.updated_at),
        "last_used_at": _iso(key.last_used_at),
        "expires_at": _iso(key.expires_at),
        "creator_user_id": None,
        "external_user": None,
        "workspace_id": key.org,
        "organization_id": key.org,
        "category": key.category,
        **asdict(key.limits),
        "abandoned_requests": key.abandoned,
        "abandoned_usage": usd(key.abandoned_nano),
    }


def current_key_view(key: KeyView, limits: RateLimits) -> dict[str, Any]:
    """The ``data`` of ``GET /key`` for an inference key, with the rate ``limits`` that are in force for it."""
    budgets = [budget] if (budget := _budget(key)) else []
    return {
        "label": key.label,
        **_limit(key),
        **_usage(key),
        **_constants(management=False),
        **_rate_limit(limits),
        "organization_id": key.org,
        "workspace_id": key.org,
        "expires_at": _iso(key.expires_at),
        "budgets": budgets,
        "effective_budget": budgets[0] if budgets else None,
    }


def management_key_view(admin_key: str) -> dict[str, Any]:
    """The same for the management key, which has no limit and spends nothing."""
    usage = {name.removeprefix("byok_"): zero for name, zero in NO_USAGE.items()}
    return {
        "label": f"{admin_key[:8]}...{admin_key[-3:]}",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        **usage,
        **NO_USAGE,
        **_constants(management=True),
        **_rate_limit(UNLIMITED),
        "organization_id": None,
        "workspace_id": None,
        "expires_at": None,
        "budgets": [],
        "effective_budget": None,
    }


def _limit(key: KeyView) -> dict[str, Any]:
    return {
        "limit": _usd(key.limit_nano),
        "limit_remaining": _usd(key.limit_remaining_nano),
        "limit_reset": _reset(key),
        "include_byok_in_limit": False,
    }


def _usage(key: KeyView) -> dict[str, Any]:
    return {
        "usage": usd(key.usage_nano),
        "usage_daily": usd(key.usage_daily_nano),
        "usage_weekly": usd(key.usage_weekly_nano),
        "usage_monthly": usd(key.usage_monthly_nano),
        **NO_USAGE,
    }


def _constants(*, management: bool) -> dict[str, Any]:
    return {
        "is_free_tier": False,
        "is_management_key": management,
        "is_provisioning_key": management,
        "creator_user_id": None,
        "allowed_data_regions": ["global"],
        "free_model_daily_requests": {"limit": 0, "used": 0, "remaining": 0},
    }


def _rate_limit(limits: RateLimits) -> dict[str, Any]:
    """The limits, and the legacy field that the hosted service's clients require."""
    note = "Legacy field: see requests_per_minute, tokens_per_minute and max_concurrent."
    legacy = {"requests": limits.requests_per_minute or -1, "interval": "1m", "note": note}
    return {"rate_limit": legacy, **asdict(limits)}


def _budget(key: KeyView) -> dict[str, Any] | None:
    if key.limit_nano is None or key.limit_remaining_nano is None:
        return None
    return {
        "scope": "key_limit",
        "limit_usd": usd(key.limit_nano),
        "spend_usd": usd(key.limit_nano - key.limit_remaining_nano),
        "remaining_usd": usd(key.limit_remaining_nano),
        "include_byok": False,
        "reset_interval": _reset(key),
        "resets_at": None,
        "guardrail_id": None,
        "budget_id": None,
    }


def _reset(key: KeyView) -> str | None:
    return None if key.limit_reset == "none" else key.limit_reset


def _usd(nano: int | None) -> msgspec.Raw | None:
    return None if nano is None else usd(nano)


def _iso(unix_s: float | None) -> str | None:
    return None if unix_s is None else iso(unix_s)
