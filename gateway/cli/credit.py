"""``tokenway credits ...``"""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from gateway.accounts import DEFAULT_ORG, Organization
from gateway.api.management.organizations import line_view, organization_view
from gateway.api.management.schema.accounts import GrantCredits
from gateway.cli.offline import StoreServices, validated, with_store
from gateway.cli.output import AsJson, as_json, facts, table
from gateway.ledger.entries import Balances, Entry, GrantResult
from gateway.money import format_usd

app = typer.Typer(no_args_is_help=True)

Org = Annotated[str, typer.Argument(help="Organisation.")]


@app.command(context_settings={"ignore_unknown_options": True})
def add(
    amount: Annotated[str, typer.Argument(help="US dollars, at most nine places; negative takes credits away.")],
    org: Annotated[str, typer.Option(help="Organisation that gets the credits.")] = DEFAULT_ORG,
    reason: Annotated[str, typer.Option(help="Kept in the ledger line.")] = "tokenway credits add",
    id: Annotated[
        str | None, typer.Option(help="Idempotency key: grants with the same key count once, for ever.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Add credits to an organisation, or take them away."""
    body = validated(GrantCredits, {"amount_usd": amount, "reason": reason})
    key = id or f"cli-{uuid.uuid4()}"

    async def work(services: StoreServices) -> GrantResult:
        return await services.ledger.grant(org, body.amount_usd, id=key, actor="cli", reason=body.reason)

    grant = with_store(work)
    if json:
        balance = format_usd(grant.balance_nano)
        as_json({"organization_id": org, "id": key, "balance_usd": balance, "replayed": grant.duplicate})
        return
    note = " (it had been granted before; nothing changed)" if grant.duplicate else ""
    typer.echo(f"{org}: ${format_usd(body.amount_usd)} granted, balance ${format_usd(grant.balance_nano)}{note}")


@app.command()
def show(org: Org = DEFAULT_ORG, json: AsJson = False) -> None:
    """Show an organisation's account."""

    async def work(services: StoreServices) -> tuple[Organization, Balances]:
        return await services.accounts.get_org(org), await services.ledger.balances(org)

    view = organization_view(*with_store(work))
    if json:
        as_json(view)
        return
    analytics = view.pop("analytics")
    facts(
        [
            *((name.removesuffix("_usd").replace("_", " "), value) for name, value in view.items()),
            *((f"analytics {name}", value) for name, value in analytics.items()),
        ]
    )


@app.command()
def ledger(
    org: Org = DEFAULT_ORG,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    json: AsJson = False,
) -> None:
    """List an organisation's ledger lines, oldest first."""

    async def work(services: StoreServices) -> tuple[list[Entry], str | None]:
        await services.accounts.get_org(org)
        return await services.books.journal(org, after=cursor, limit=limit, newest_first=newest)

    lines, next_cursor = with_store(work)
    views = [line_view(line) for line in lines]
    if json:
        as_json({"data": views, "next_cursor": next_cursor})
        return
    columns = [
        "seq",
        "created_at",
        "type",
        "generation_id",
        "provider",
        "cost_usd",
        "fee_usd",
        "amount_usd",
        "balance_after_usd",
    ]
    table([name.removesuffix("_usd").upper() for name in columns], [[view[name] for name in columns] for view in views])
    if next_cursor:
        typer.echo(f"more: --cursor {next_cursor}")
