"""``tokenway credits ...``"""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from gateway.accounts import DEFAULT_ORG, Organization
from gateway.api.management.organizations import line_view, organization_view
from gateway.api.management.schema.accounts import GrantCredits
from gateway.cli.offline import Books, checked, on_books
from gateway.cli.output import AsJson, as_json, facts, table
from gateway.ledger.entries import Balances, Entry, GrantResult
from gateway.money import format_usd

app = typer.Typer(no_args_is_help=True)

Org = Annotated[str, typer.Argument(help="Organisation.")]


@app.command(context_settings={"ignore_unknown_options": True})
def add(
    amount: Annotated[str, typer.Argument(help="US dollars, at most nine places; negative takes credits away.")],
    org: Annotated[str, typer.Option(help="Organisation that gets them.")] = DEFAULT_ORG,
    reason: Annotated[str, typer.Option(help="Kept in the ledger line.")] = "tokenway credits add",
    id: Annotated[str | None, typer.Option(help="Idempotency key: the same one is one grant, for ever.")] = None,
    json: AsJson = False,
) -> None:
    """Add credits to an organisation, or take them away."""
    asked = checked(GrantCredits, {"amount_usd": amount, "reason": reason})
    key = id or f"cli-{uuid.uuid4()}"

    async def work(books: Books) -> GrantResult:
        return await books.ledger.grant(org, asked.amount_usd, id=key, actor="cli", reason=asked.reason)

    granted = on_books(work)
    if json:
        balance = format_usd(granted.balance_nano)
        as_json({"organization_id": org, "id": key, "balance_usd": balance, "replayed": granted.duplicate})
        return
    again = " (it had been granted before; nothing changed)" if granted.duplicate else ""
    typer.echo(f"{org}: ${format_usd(asked.amount_usd)} granted, balance ${format_usd(granted.balance_nano)}{again}")


@app.command()
def show(org: Org = DEFAULT_ORG, json: AsJson = False) -> None:
    """Show an organisation's account."""

    async def work(books: Books) -> tuple[Organization, Balances]:
        return await books.accounts.get_org(org), await books.ledger.balances(org)

    view = organization_view(*on_books(work))
    if json:
        as_json(view)
        return
    facts([(name.removesuffix("_usd").replace("_", " "), value) for name, value in view.items()])


@app.command()
def ledger(
    org: Org = DEFAULT_ORG,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first.")] = False,
    json: AsJson = False,
) -> None:
    """List an organisation's ledger lines, oldest first."""

    async def work(books: Books) -> tuple[list[Entry], str | None]:
        await books.accounts.get_org(org)
        return await books.ledger.journal(org, after=cursor, limit=limit, newest_first=newest)

    lines, following = on_books(work)
    views = [line_view(line) for line in lines]
    if json:
        as_json({"data": views, "next_cursor": following})
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
    if following:
        typer.echo(f"more: --cursor {following}")
