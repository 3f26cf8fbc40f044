"""Requests and responses of credits, generations, organisations and the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self, cast

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.accounts import OrganizationAnalytics
from gateway.api.management.schema.analytics_fields import AUTO, Categories, Category, Country, Sample
from gateway.api.management.schema.base import Body, Iso, Shape, Usd, UsdText
from gateway.api.management.schema.validators import Grant, Name, Rate, printable_text
from gateway.store.policy import RATE_LIMITS


class Analytics(BaseModel):
    """What analytics may say about an organisation's requests, beyond counting them. Only what is sent changes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    categories: Categories | None = Field(
        None,
        description="`off`, `declared` (by the app's header, else by `category`), or `local`: the gateway classifies a sample.",
    )
    sample: Sample | None = Field(None, description="Chance of a request to be classified, 0 to 1, or `auto`.")
    country: Country | None = Field(None, description="ISO 3166, such as `DE`; null for none.")
    category: Category | None = Field(None, description="Declared for requests whose app declares none; null for none.")

    def changed(self, analytics: OrganizationAnalytics) -> OrganizationAnalytics:
        """``analytics`` with what was sent."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "sample" in sent:
            sent["sample"] = None if self.sample in (None, AUTO) else float(cast("Decimal", self.sample))
        if sent.get("categories", "") is None:
            sent["categories"] = "off"
        return msgspec.structs.replace(analytics, **sent)


class OrganizationLimits(Body):
    """Rate limits of all keys of an organisation together; null: the installation's default, which may be none."""

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = Field(None, description="Tokens of prompts and answers.")
    max_concurrent: Rate | None = Field(None, description="Requests at once.")

    def sent_limits(self) -> dict[str, int | None]:
        """Those that were sent."""
        return {name: getattr(self, name) for name in RATE_LIMITS if name in self.model_fields_set}


class CreateOrganization(OrganizationLimits):
    name: Name
    analytics: Analytics | None = None


class UpdateOrganization(OrganizationLimits):
    """Only what is sent changes."""

    analytics: Analytics | None = None

    @field_validator("analytics", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep it")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say what to change: analytics or a rate limit")
        return self


class GrantCredits(Body):
    """A top-up, or a correction when negative. Credits set aside for running requests cannot be taken."""

    amount_usd: Grant
    reason: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(printable_text)]


class Credits(Shape):
    total_credits: Usd
    total_usage: Usd


class CreditsAnswer(Shape):
    data: Credits


class GenerationAnswer(Shape):
    """See the fields in the billing documentation; every key of the hosted service's answer is present."""

    data: dict[str, Any]


class AnalyticsView(Shape):
    categories: Literal["off", "declared", "local"]
    sample: float | Literal["auto"]
    country: str | None
    category: str | None


class Organization(Shape):
    """`available_usd` = balance minus what running requests hold."""

    id: str
    name: str
    created_at: Iso
    balance_usd: UsdText
    held_usd: UsdText
    available_usd: UsdText
    total_credits_usd: UsdText
    total_usage_usd: UsdText
    analytics: AnalyticsView
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None


class OrganizationAnswer(Shape):
    data: Organization


class OrganizationList(Shape):
    data: list[Organization]
    next_cursor: str | None


class Granted(Shape):
    organization_id: str
    amount_usd: UsdText
    balance_usd: UsdText
    reason: str
    idempotency_key: str


class GrantedAnswer(Shape):
    data: Granted


class LedgerLine(Shape):
    """One posting. `total_usd` = provider cost + fee; `paid_usd` = what the organisation paid; `loss_usd` = the rest."""

    seq: int
    type: str
    generation_id: str | None
    key_hash: str | None
    provider: str | None
    cost_usd: UsdText
    fee_usd: UsdText
    total_usd: UsdText
    paid_usd: UsdText
    loss_usd: UsdText
    balance_after_usd: UsdText
    created_at: Iso


class LedgerPage(Shape):
    data: list[LedgerLine]
    next_cursor: str | None


class AuditAnswer(Shape):
    """`clean` is true when every balance recomputes from the journal and every hold adds up."""

    clean: bool
    differences: list[dict[str, Any]]
    organizations: int
    entries: int


class OpenHold(Shape):
    generation_id: str
    organization_id: str
    key_hash: str
    amount_usd: UsdText
    expires_at: Iso


class HoldList(Shape):
    data: list[OpenHold]
    next_cursor: str | None


class Routing(Shape):
    model: str
    policy: str
    candidates: list[dict[str, Any]]
    dropped: list[dict[str, Any]]


class RoutingAnswer(Shape):
    data: Routing
