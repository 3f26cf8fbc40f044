"""``tokenway orgs ...``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.api.management.organizations import organization_view
from gateway.api.management.schema.accounts import CreateOrganization
from gateway.cli.offline import StoreServices, validated, with_store
from gateway.cli.output import AsJson, as_json, table

app = typer.Typer(no_args_is_help=True)


@app.command()
def create(name: Annotated[str, typer.Argument(help="Its name.")], json: AsJson = False) -> None:
    """Create an organisation with a balance of zero."""
    body = validated(CreateOrganization, {"name": name})

    async def work(services: StoreServices) -> dict[str, Any]:
        organization = await services.accounts.create_org(body.name)
        return organization_view(organization, await services.ledger.balances(organization.id))

    view = with_store(work)
    if json:
        as_json(view)
    else:
        typer.echo(view["id"])


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List organisations with their accounts, oldest first."""

    async def work(services: StoreServices) -> list[dict[str, Any]]:
        organizations = await services.accounts.list_orgs()
        return [organization_view(each, await services.ledger.balances(each.id)) for each in organizations]

    views = with_store(work)
    if json:
        as_json({"data": views})
        return
    columns = ["id", "name", "balance_usd", "held_usd", "total_usage_usd", "created_at"]
    table([name.removesuffix("_usd").upper() for name in columns], [[view[name] for name in columns] for view in views])
