"""Requests and responses of API keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from gateway.api.management.schema.analytics_fields import Category
from gateway.api.management.schema.base import Body, Iso, Shape, Usd
from gateway.api.management.schema.validators import Instant, Limit, Name, OrganizationId, Rate, Reset


class CreateKey(Body):
    """`organization_id` (alias: `workspace_id`) defaults to `default`; no `limit` means the credits are the only bound."""

    name: Name
    limit: Limit | None = None
    limit_reset: Reset | None = None
    expires_at: Instant | None = None
    organization_id: OrganizationId | None = None
    workspace_id: OrganizationId | None = None
    include_byok_in_limit: bool = Field(
        False, description="Accepted; this gateway has no keys of callers' own vendors."
    )
    category: Category | None = Field(None, description="What its requests are about, where their app does not say.")
    requests_per_minute: Rate | None = Field(None, description="Null: the installation's default, which may be none.")
    tokens_per_minute: Rate | None = Field(None, description="Tokens of prompts and answers.")
    max_concurrent: Rate | None = Field(None, description="Requests at once.")

    @field_validator("workspace_id")
    @classmethod
    def _one_organization(cls, value: str | None, info: ValidationInfo) -> str | None:
        other = info.data.get("organization_id")
        if value and other and value != other:
            raise ValueError("is an alias of organization_id; send only one of them")
        return value


class UpdateKey(Body):
    """Only what is sent changes; `null` takes a limit, its reset, the expiry, the category or a rate limit away."""

    name: Name | None = None
    disabled: bool | None = None
    limit: Limit | None = None
    limit_reset: Reset | None = None
    expires_at: Instant | None = None
    include_byok_in_limit: bool | None = None
    category: Category | None = None
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    max_concurrent: Rate | None = None

    @field_validator("name", "disabled", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep it")
        return value


class KeyFilter(BaseModel):
    """The query of `GET /keys`."""

    include_disabled: bool = False
    include_expired: bool = False
    offset: int = Field(0, ge=0, le=10**6, description="A page of 100; an empty one is the end.")
    cursor: str | None = Field(
        None,
        max_length=100,
        description="In place of `offset`: empty for the first page, then `next_cursor` until it is null. Pages may be short.",
    )
    organization_id: OrganizationId | None = None
    workspace_id: OrganizationId | None = Field(None, description="Alias of `organization_id`.")


class Key(Shape):
    hash: str
    name: str
    label: str
    disabled: bool
    limit: Usd | None
    limit_remaining: Usd | None
    limit_reset: str | None
    include_byok_in_limit: bool
    usage: Usd
    usage_daily: Usd
    usage_weekly: Usd
    usage_monthly: Usd
    byok_usage: Usd
    byok_usage_daily: Usd
    byok_usage_weekly: Usd
    byok_usage_monthly: Usd
    created_at: Iso
    updated_at: Iso | None
    last_used_at: Iso | None
    expires_at: Iso | None = None
    creator_user_id: str | None
    external_user: str | None
    workspace_id: str
    organization_id: str
    category: str | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    abandoned_requests: int
    abandoned_usage: Usd


class KeyAnswer(Shape):
    data: Key


class KeyList(Shape):
    """`next_cursor` where `cursor` was sent."""

    data: list[Key]
    next_cursor: str | None = None


class CreatedKey(Shape):
    """`key` is the secret; it is shown this once."""

    data: Key
    key: str


class Deleted(Shape):
    deleted: bool


class RateLimit(Shape):
    """The hosted service's legacy field: `requests` is -1 for no limit."""

    requests: int
    interval: str
    note: str


class FreeRequests(Shape):
    limit: int
    used: int
    remaining: int


class Budget(Shape):
    scope: str
    limit_usd: Usd
    spend_usd: Usd
    remaining_usd: Usd
    include_byok: bool
    reset_interval: str | None
    resets_at: Iso | None
    guardrail_id: str | None
    budget_id: str | None


class CurrentKey(Shape):
    label: str
    limit: Usd | None
    limit_remaining: Usd | None
    limit_reset: str | None
    include_byok_in_limit: bool
    usage: Usd
    usage_daily: Usd
    usage_weekly: Usd
    usage_monthly: Usd
    byok_usage: Usd
    byok_usage_daily: Usd
    byok_usage_weekly: Usd
    byok_usage_monthly: Usd
    is_free_tier: bool
    is_management_key: bool
    is_provisioning_key: bool
    creator_user_id: str | None
    organization_id: str | None
    workspace_id: str | None
    expires_at: Iso | None = None
    allowed_data_regions: list[str]
    rate_limit: RateLimit
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    free_model_daily_requests: FreeRequests
    budgets: list[Budget]
    effective_budget: Budget | None


class CurrentKeyAnswer(Shape):
    data: CurrentKey
