"""The demo's account: an inference key, and credit that is granted once."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from gateway.accounts import DEFAULT_ORG, Accounts
from gateway.errors import Unauthorized
from gateway.ledger.ledger import Ledger
from gateway.money import NANO
from gateway.store.client import connect

KEY_FILE = "demo.key"
CREDIT_USD = 5
GRANT_ID = "demo-credit"
STORE_TIMEOUT_S = 5.0


def ensure_account(redis_url: str, data_dir: Path) -> str:
    """The demo's inference key, with credit: made at the first start, then read from ``demo.key`` (mode 0600).

    The credit is granted once to the ``default`` organisation, however often the demo starts. Blocking; call it in the parent
    process once Redis answers. Raises LedgerUnavailable, StoreUnavailable, OSError.
    """
    file = data_dir / KEY_FILE
    saved_key = file.read_text().strip() if file.exists() else ""
    key = asyncio.run(_account(redis_url, saved_key))
    if key != saved_key:
        _write_secret(file, key)
    return key


async def _account(redis_url: str, saved_key: str) -> str:
    store = await connect(redis_url, timeout_s=STORE_TIMEOUT_S)
    try:
        accounts, ledger = Accounts(store), Ledger(store)
        await accounts.prepare()
        await ledger.prepare()
        await ledger.grant(DEFAULT_ORG, CREDIT_USD * NANO, id=GRANT_ID, actor="demo", reason="credit of the demo")
        with contextlib.suppress(Unauthorized):
            await accounts.authenticate(saved_key)
            return saved_key
        return (await accounts.create_key(name="demo", org=DEFAULT_ORG))[0]
    finally:
        await store.aclose()


def _write_secret(file: Path, key: str) -> None:
    new_file = file.with_suffix(".new")
    new_file.unlink(missing_ok=True)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(new_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
        out.write(key + "\n")
    new_file.replace(file)
