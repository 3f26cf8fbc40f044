"""A network in which public addresses lead to servers of the test: every look-up and every connection is recorded.

Only the dialling is replaced; certificates, server names and HTTP are real. An address without a server refuses the
connection, as a private one would from outside; tests check which addresses were dialled.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import trustme

from providers.transport import addresses
from providers.transport.client import Upstream, tls_context
from providers.transport.http1 import Http1Client

PUBLIC = "93.184.216.34"
OTHER = "2606:4700::6810:84e5"


class Network:
    """``network.serves(address, port)``; ``network.names[host] = answers``, one after the other, the last one again and again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[..., Upstream] = Http1Client) -> None:
        self._make = make
        self.authority = trustme.CA()
        self.names: dict[str, list[Sequence[str]]] = {}
        self.lookups: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.shown: list[str] = []
        """Server names that clients asked for (SNI)."""
        self._routes: dict[str, int] = {}
        self._dial = loop.create_connection
        loop.create_connection = self._connect  # type: ignore[method-assign, assignment]

    def client(self) -> Upstream:
        """A client that trusts this network's authority beside the usual ones."""
        return self._make(tls=tls_context(extra_ca_pem=self.authority.cert_pem.bytes()))

    def certificate(self, *names: str) -> ssl.SSLContext:
        """For a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        self.authority.issue_cert(*names, not_after=until).configure_cert(context)
        context.sni_callback = lambda _, name, __: self.shown.append(name)
        return context

    def serves(self, address: str, port: int) -> None:
        """Connections to this address reach the server on this local port."""
        self._routes[address] = port

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        """A resolver, for ``Media``."""
        self.lookups.append(host)
        answers = self.names.get(host, [()])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def _connect(self, factory: Any, host: str | None = None, port: int | None = None, **options: Any) -> Any:
        self.dialled.append((str(host), port or 0))
        if host not in self._routes:
            raise ConnectionRefusedError(f"no server at {host}")
        return await self._dial(factory, "127.0.0.1", self._routes[host], **options)


def private(dialled: Iterable[tuple[str, int]]) -> list[str]:
    """The dialled addresses that are not public."""
    return [host for host, _ in dialled if not addresses.public(host)]
