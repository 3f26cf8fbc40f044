"""Requests and responses of credits, generations, organisations and the ledger."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.api.management.schema.base import Body, Iso, Shape, Usd, UsdText
from gateway.api.management.schema.validators import Grant, Name, printable_text


class CreateOrganization(Body):
    name: Name


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


class OrganizationAnswer(Shape):
    data: Organization


class OrganizationList(Shape):
    data: list[Organization]


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


class Routing(Shape):
    model: str
    policy: str
    candidates: list[dict[str, Any]]
    dropped: list[dict[str, Any]]


class RoutingAnswer(Shape):
    data: Routing
