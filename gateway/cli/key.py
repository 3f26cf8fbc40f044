"""``tokenway keys ...``"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway.accounts import DEFAULT_ORG, KeyView
from gateway.api.management.key_views import key_view
from gateway.api.management.keys import key_change
from gateway.api.management.schema.keys import CreateKey, UpdateKey
from gateway.cli.offline import StoreServices, rates, validated, with_store
from gateway.cli.output import AsJson, as_json, facts, refuse, table
from gateway.money import format_usd
from gateway.records import iso

app = typer.Typer(no_args_is_help=True)

Limit = Annotated[str | None, typer.Option(help="US dollars the key may spend until --reset.")]
Reset = Annotated[str | None, typer.Option(help="When the limit starts anew: daily, weekly, monthly or none (never).")]
Expires = Annotated[str | None, typer.Option(help="When the key stops working, such as 2027-01-31T23:59:59Z.")]
Rate = Annotated[
    str | None, typer.Option(help="A number; 'none' takes the limit away, so that the default is in force.")
]
Category = Annotated[str | None, typer.Option(help="What its requests are about, for analytics, such as programming.")]
Hash = Annotated[str, typer.Argument(help="The key's hash, or at least its first eight characters.")]

HASH_LENGTH = 64
MIN_HASH_PREFIX = 8
ALL_KEYS = 1_000_000
"""A page size beyond any number of keys."""


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    org: Annotated[str, typer.Option(help="Organisation that pays.")] = DEFAULT_ORG,
    limit: Limit = None,
    reset: Reset = None,
    expires: Expires = None,
    category: Category = None,
    json: AsJson = False,
) -> None:
    """Create an API key. Its secret is printed only this once."""
    body = validated(
        CreateKey,
        {
            **{"name": name, "limit": limit, "limit_reset": _null(reset), "expires_at": expires},
            "category": category,
        },
    )

    async def work(services: StoreServices) -> tuple[str, KeyView]:
        return await services.accounts.create_key(
            name=body.name,
            org=org,
            limit_nano=body.limit,
            reset=body.limit_reset or "none",
            expires_at=body.expires_at,
            category=body.category,
        )

    secret, key = with_store(work)
    if json:
        as_json({"data": key_view(key), "key": secret})
        return
    _print_facts(key)
    typer.echo(f"\n{secret}\n\nKeep it: it is not shown again.")


@app.command("list")
def list_(
    org: Annotated[str | None, typer.Option(help="Only keys of this organisation.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Disabled and expired ones too.")] = False,
    json: AsJson = False,
) -> None:
    """List API keys, newest first."""

    async def work(services: StoreServices) -> list[KeyView]:
        return await services.accounts.list_keys(org=org, limit=ALL_KEYS, disabled=all, expired=all)

    found = with_store(work)
    if json:
        as_json({"data": [key_view(key) for key in found]})
        return
    table(
        ["HASH", "NAME", "ORGANIZATION", "LABEL", "DISABLED", "LIMIT", "RESET", "LEFT", "USED"],
        [
            [
                *(key.hash[:12], key.name, key.org, key.label, key.disabled),
                *(_usd(key.limit_nano), key.limit_reset, _usd(key.limit_remaining_nano), _usd(key.usage_nano)),
            ]
            for key in found
        ],
    )


@app.command()
def show(hash: Hash, json: AsJson = False) -> None:
    """Show one API key."""

    async def work(services: StoreServices) -> KeyView:
        return await services.accounts.get_key(await _full_hash(services, hash))

    _print_key(with_store(work), json)


@app.command()
def update(
    hash: Hash,
    *,
    name: Annotated[str | None, typer.Option()] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable")] = None,
    limit: Annotated[str | None, typer.Option(help="US dollars; 'none' takes the limit away.")] = None,
    reset: Reset = None,
    expires: Annotated[str | None, typer.Option(help="2027-01-31T23:59:59Z; 'none' takes the expiry away.")] = None,
    category: Annotated[str | None, typer.Option(help="Such as programming; 'none' takes it away.")] = None,
    json: AsJson = False,
) -> None:
    """Change an API key. Running gateways apply the change from the next request on."""
    options: dict[str, Any] = {
        "name": name,
        "disabled": disabled,
        "limit": limit,
        "limit_reset": reset,
        "expires_at": expires,
        "category": category,
    }
    sent = {field: value for field, value in options.items() if value is not None}
    removed = {field: None for field in ("limit", "limit_reset", "expires_at", "category") if sent.get(field) == "none"}
    body = validated(UpdateKey, sent | removed)

    async def work(services: StoreServices) -> KeyView:
        return await services.accounts.update_key(await _full_hash(services, hash), key_change(body))

    _print_key(with_store(work), json)


@app.command()
def limit(
    hash: Hash,
    *,
    requests_per_minute: Rate = None,
    tokens_per_minute: Rate = None,
    max_concurrent: Rate = None,
    json: AsJson = False,
) -> None:
    """Limit how much a key may ask for. Running gateways obey from the next request on."""
    sent = rates(requests_per_minute, tokens_per_minute, max_concurrent)
    body = validated(UpdateKey, sent)

    async def work(services: StoreServices) -> KeyView:
        return await services.accounts.update_key(await _full_hash(services, hash), key_change(body))

    _print_key(with_store(work), json)


@app.command()
def revoke(hash: Hash) -> None:
    """Delete an API key: it stops working at once on every worker; its ledger lines stay."""

    async def work(services: StoreServices) -> str:
        full_hash = await _full_hash(services, hash)
        await services.accounts.delete_key(full_hash)
        return full_hash

    typer.echo(f"revoked {with_store(work)}")


async def _full_hash(services: StoreServices, hash: str) -> str:
    """The one hash that begins with these characters. Exits 1 when there is none or more than one."""
    if len(hash) >= HASH_LENGTH:
        return hash
    if len(hash) < MIN_HASH_PREFIX:
        refuse(f"give at least {MIN_HASH_PREFIX} characters of the hash")
    hashes = await services.accounts.hashes(hash)
    if not hashes:
        refuse("no key has this hash", code=1)
    if len(hashes) > 1:
        refuse(f"{len(hashes)} keys have a hash that begins with {hash}; give more characters", code=1)
    return hashes[0]


def _null(value: str | None) -> str | None:
    return None if value == "none" else value


def _print_key(key: KeyView, json: bool) -> None:
    if json:
        as_json({"data": key_view(key)})
    else:
        _print_facts(key)


def _print_facts(key: KeyView) -> None:
    facts(
        [
            ("hash", key.hash),
            ("name", key.name),
            ("organization", key.org),
            ("label", key.label),
            ("disabled", key.disabled),
            ("limit", _usd(key.limit_nano)),
            ("reset", key.limit_reset),
            ("remaining", _usd(key.limit_remaining_nano)),
            ("used", _usd(key.usage_nano)),
            ("created", iso(key.created_at)),
            ("last used", None if key.last_used_at is None else iso(key.last_used_at)),
            ("expires", None if key.expires_at is None else iso(key.expires_at)),
            ("category", key.category),
            *((name.replace("_", " "), value) for name, value in asdict(key.limits).items()),
        ]
    )


def _usd(nano: int | None) -> str | None:
    return None if nano is None else f"${format_usd(nano)}"
