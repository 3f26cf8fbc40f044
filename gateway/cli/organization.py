"""``tokenway orgs ...``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.api.management.organizations import organization_view
from gateway.api.management.schema.accounts import CreateOrganization
from gateway.cli.offline import Books, checked, on_books
from gateway.cli.output import AsJson, as_json, table

app = typer.Typer(no_args_is_help=True)


@app.command()
def create(name: Annotated[str, typer.Argument(help="Its name.")], json: AsJson = False) -> None:
    """Found an organisation with a balance of zero."""
    asked = checked(CreateOrganization, {"name": name})

    async def work(books: Books) -> dict[str, Any]:
        made = await books.accounts.create_org(asked.name)
        return organization_view(made, await books.ledger.balances(made.id))

    view = on_books(work)
    if json:
        as_json(view)
    else:
        typer.echo(view["id"])


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List organisations with their accounts, oldest first."""

    async def work(books: Books) -> list[dict[str, Any]]:
        found = await books.accounts.list_orgs()
        return [organization_view(each, await books.ledger.balances(each.id)) for each in found]

    views = on_books(work)
    if json:
        as_json({"data": views})
        return
    columns = ["id", "name", "balance_usd", "held_usd", "total_usage_usd", "created_at"]
    table([name.removesuffix("_usd").upper() for name in columns], [[view[name] for name in columns] for view in views])
