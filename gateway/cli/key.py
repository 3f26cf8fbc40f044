"""``tokenway keys ...``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.accounts import DEFAULT_ORG, KeyView
from gateway.api.management.key_views import key_view
from gateway.api.management.keys import key_change
from gateway.api.management.schema.keys import CreateKey, UpdateKey
from gateway.cli.offline import Books, checked, on_books
from gateway.cli.output import AsJson, as_json, facts, refuse, table
from gateway.money import format_usd
from gateway.records import iso

app = typer.Typer(no_args_is_help=True)

Limit = Annotated[str | None, typer.Option(help="US dollars the key may spend in a window.")]
Reset = Annotated[str | None, typer.Option(help="Window of the limit: daily, weekly, monthly; none = for ever.")]
Expires = Annotated[str | None, typer.Option(help="For example 2027-01-31T23:59:59Z.")]
Hash = Annotated[str, typer.Argument(help="The key's hash, or at least eight characters of its beginning.")]

HASH_LENGTH = 64
SHORTEST = 8
MANY = 1_000_000


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    org: Annotated[str, typer.Option(help="Organisation that pays.")] = DEFAULT_ORG,
    limit: Limit = None,
    reset: Reset = None,
    expires: Expires = None,
    json: AsJson = False,
) -> None:
    """Mint an API key. Its secret is printed this once."""
    asked = checked(CreateKey, {"name": name, "limit": limit, "limit_reset": _window(reset), "expires_at": expires})

    async def work(books: Books) -> tuple[str, KeyView]:
        return await books.accounts.create_key(
            name=asked.name,
            org=org,
            limit_nano=asked.limit,
            reset=asked.limit_reset or "none",
            expires_at=asked.expires_at,
        )

    secret, key = on_books(work)
    if json:
        as_json({"data": key_view(key), "key": secret})
        return
    _show(key)
    typer.echo(f"\n{secret}\n\nKeep it: it is not shown again.")


@app.command("list")
def list_(
    org: Annotated[str | None, typer.Option(help="Only keys of this organisation.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Disabled and expired ones too.")] = False,
    json: AsJson = False,
) -> None:
    """List API keys, newest first."""

    async def work(books: Books) -> list[KeyView]:
        return await books.accounts.list_keys(org=org, limit=MANY, disabled=all, expired=all)

    found = on_books(work)
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

    async def work(books: Books) -> KeyView:
        return await books.accounts.get_key(await _whole(books, hash))

    _tell(on_books(work), json)


@app.command()
def update(
    hash: Hash,
    *,
    name: Annotated[str | None, typer.Option()] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable")] = None,
    limit: Annotated[str | None, typer.Option(help="US dollars; 'none' takes the limit away.")] = None,
    reset: Reset = None,
    expires: Annotated[str | None, typer.Option(help="2027-01-31T23:59:59Z; 'none' takes the expiry away.")] = None,
    json: AsJson = False,
) -> None:
    """Change an API key. Running gateways obey with the next request."""
    words: dict[str, Any] = {
        "name": name,
        "disabled": disabled,
        "limit": limit,
        "limit_reset": reset,
        "expires_at": expires,
    }
    asked = checked(UpdateKey, {field: _null(word) for field, word in words.items() if word is not None})

    async def work(books: Books) -> KeyView:
        return await books.accounts.update_key(await _whole(books, hash), key_change(asked))

    _tell(on_books(work), json)


@app.command()
def revoke(hash: Hash) -> None:
    """Delete an API key: it stops working at once on every worker; its ledger lines stay."""

    async def work(books: Books) -> str:
        whole = await _whole(books, hash)
        await books.accounts.delete_key(whole)
        return whole

    typer.echo(f"revoked {on_books(work)}")


async def _whole(books: Books, hash: str) -> str:
    """The full hash that a beginning means. Exits 1 when it means none or several."""
    if len(hash) >= HASH_LENGTH:
        return hash
    if len(hash) < SHORTEST:
        refuse(f"give at least {SHORTEST} characters of the hash")
    found = [key.hash for key in await books.accounts.list_keys(limit=MANY) if key.hash.startswith(hash)]
    if len(found) != 1:
        refuse("no key has this hash" if not found else f"{len(found)} keys begin so; give more characters", code=1)
    return found[0]


def _window(reset: str | None) -> str | None:
    return None if reset == "none" else reset


def _null(word: Any) -> Any:
    return None if word == "none" else word


def _tell(key: KeyView, json: bool) -> None:
    if json:
        as_json({"data": key_view(key)})
    else:
        _show(key)


def _show(key: KeyView) -> None:
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
        ]
    )


def _usd(nano: int | None) -> str | None:
    return None if nano is None else f"${format_usd(nano)}"
