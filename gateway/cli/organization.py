"""``tokenway orgs ...``"""

from __future__ import annotations

import asyncio
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from gateway.api.management.organizations import organization_view
from gateway.api.management.schema.accounts import CreateOrganization, UpdateOrganization
from gateway.cli.offline import StoreServices, rates, validated, with_store
from gateway.cli.output import AsJson, as_json, facts, refuse, table
from gateway.store.policy import RATE_LIMITS

app = typer.Typer(no_args_is_help=True)
Rate = Annotated[str | None, typer.Option(help="A number; 'none' takes the limit away.")]
PAGE_SIZE = 500


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


@app.command()
def update(
    id: Annotated[str, typer.Argument(help="The organisation's id, such as default.")],
    *,
    categories: Annotated[str | None, typer.Option(help="off, declared or local: see docs/analytics.md.")] = None,
    sample: Annotated[str | None, typer.Option(help="Chance of a request to be classified, 0 to 1, or auto.")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166, such as DE; 'none' takes it away.")] = None,
    category: Annotated[str | None, typer.Option(help="Of requests whose app declares none; or 'none'.")] = None,
    json: AsJson = False,
) -> None:
    """Change what analytics may say about an organisation's requests. Running gateways obey within some seconds."""
    options: dict[str, Any] = {
        "categories": categories,
        "sample": _number(sample),
        "country": country,
        "category": category,
    }
    sent = {name: None if value == "none" else value for name, value in options.items() if value is not None}
    if not sent:
        refuse("say what to change: --categories, --sample, --country or --category")
    body = validated(UpdateOrganization, {"analytics": sent})

    async def work(services: StoreServices) -> dict[str, Any]:
        organization = await services.accounts.get_org(id)
        assert body.analytics is not None
        chosen = body.analytics.changed(organization.analytics)
        organization = await services.accounts.set_analytics(id, chosen)
        return organization_view(organization, await services.ledger.balances(id))

    view = with_store(work)
    if json:
        as_json(view)
    else:
        facts([(name, value) for name, value in view["analytics"].items()])


@app.command()
def limit(
    id: Annotated[str, typer.Argument(help="The organisation's id, such as default.")],
    *,
    requests_per_minute: Rate = None,
    tokens_per_minute: Rate = None,
    max_concurrent: Rate = None,
    json: AsJson = False,
) -> None:
    """Limit how much all keys of an organisation together may ask for. Running gateways obey from the next request on."""
    body = validated(UpdateOrganization, rates(requests_per_minute, tokens_per_minute, max_concurrent))

    async def work(services: StoreServices) -> dict[str, Any]:
        organization = await services.accounts.set_limits(id, body.sent_limits())
        return organization_view(organization, await services.ledger.balances(id))

    view = with_store(work)
    if json:
        as_json(view)
    else:
        facts([(name.replace("_", " "), view[name]) for name in RATE_LIMITS])


def _number(sample: str | None) -> str | Decimal | None:
    try:
        return None if sample is None else Decimal(sample)
    except InvalidOperation:
        return sample


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List organisations with their accounts, oldest first."""

    async def work(services: StoreServices) -> list[dict[str, Any]]:
        views: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page, cursor = await services.accounts.list_orgs(after=cursor, limit=PAGE_SIZE)
            balances = await asyncio.gather(*(services.ledger.balances(each.id) for each in page))
            views += [organization_view(*each) for each in zip(page, balances, strict=True)]
            if cursor is None:
                return views

    views = with_store(work)
    if json:
        as_json({"data": views})
        return
    columns = ["id", "name", "balance_usd", "held_usd", "total_usage_usd", "created_at"]
    table([name.removesuffix("_usd").upper() for name in columns], [[view[name] for name in columns] for view in views])
