"""Redis Function libraries: loaded once, never replaced under load, reloaded when a server does not have them.

The name of a library ends with a digest of its text, so that two versions of the gateway can run side by side on one
server during an update, and an edit can never change a function under a running process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import LedgerUnavailable
from gateway.store.client import Calls
from gateway.store.errors import StoreError, StoreReply

Argument = str | bytes | int


FULL = "The credit ledger takes nothing new right now, as its memory is full; nothing was charged."
FULL_RETRY_S = 30
"""Memory comes back as answers end and records expire, or when the operator acts: not within seconds."""


def unavailable(error: StoreError) -> LedgerUnavailable:
    """What callers get for this error of the store."""
    if isinstance(error, StoreReply) and error.full:
        return LedgerUnavailable(FULL, retry_after_s=FULL_RETRY_S)
    return LedgerUnavailable()


@contextmanager
def ledger_unavailable() -> Iterator[None]:
    """Turn a StoreError of any kind into the error that callers get, LedgerUnavailable."""
    try:
        yield
    except StoreError as error:
        raise unavailable(error) from error


class Library:
    """A Lua file that uses its ``stem`` (``tokenway_ledger_v1``) as library name and as prefix of its functions."""

    def __init__(self, source: Path, stem: str) -> None:
        text = source.read_text(encoding="utf-8")
        if not text.startswith(f"#!lua name={stem}\n"):
            raise ValueError(f"{source.name} must begin with '#!lua name={stem}'")
        self.name = f"{stem}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self.code = text.replace(stem, self.name)

    def function(self, verb: str) -> str:
        """Full name of one of its functions."""
        return f"{self.name}_{verb}"

    async def load(self, calls: Calls) -> None:
        """Load the library into the server. The digest in the name makes 'already exists' the same as success.

        A full server refuses to load what it has, too, so there the list of its libraries decides. Raises LedgerUnavailable.
        """
        try:
            await calls.call("FUNCTION", "LOAD", self.code)
        except StoreReply as error:
            if "already exists" in str(error) or (error.full and await self._loaded(calls)):
                return
            raise unavailable(error) from error
        except StoreError as error:
            raise LedgerUnavailable() from error

    async def _loaded(self, calls: Calls) -> bool:
        with ledger_unavailable():
            return bool(await calls.call("FUNCTION", "LIST", "LIBRARYNAME", self.name))

    async def call(self, calls: Calls, function: str, keys: tuple[str, ...], args: tuple[Argument, ...]) -> list[Any]:
        """``FCALL``; ``function`` is a full name. One round trip, three when the server had lost the library.

        Raises LedgerUnavailable for every StoreError: none of them means that the call did not run.
        """
        command = ("FCALL", function, len(keys), *keys, *args)
        try:
            reply = await calls.call(*command)
        except StoreError as error:
            return await self.recover(calls, error, command)
        return reply  # type: ignore[no-any-return]

    async def recover(self, calls: Calls, error: StoreError, command: tuple[Argument, ...]) -> list[Any]:
        """Handle the error of an ``FCALL``: load the library into a server that lacks it, and repeat the call once.

        Raises LedgerUnavailable for everything else.
        """
        if not (isinstance(error, StoreReply) and "Function not found" in str(error)):
            raise unavailable(error) from error
        await self.load(calls)
        with ledger_unavailable():
            return await calls.call(*command)  # type: ignore[no-any-return]
