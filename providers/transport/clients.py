"""Which HTTP client carries a request: decided here and nowhere else.

Requests to vendors go through our own HTTP/1.1 client, unless the vendor is reached through a proxy or over HTTP/2: then through
httpx. Whatever is off the hot path goes through httpx: access tokens, and pictures and files by URL. A request to a vendor costs
one comparison here; which proxy a provider has was decided when its catalogue was loaded.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import cached_property

from providers.errors import failed
from providers.transport import proxies
from providers.transport.client import HttpStream, Upstream, tls_context
from providers.transport.http1 import Http1Client
from providers.transport.httpx_client import HttpxClient
from providers.types import Clocks, HttpRequest, HttpResponse, Target


class Clients:
    """Every HTTP client of the process. Must be used within one event loop.

    ``env`` holds the proxy variables for requests whose URL no catalogue knows; ``tls`` makes a context that verifies.
    """

    def __init__(self, env: Mapping[str, str], *, tls: Callable[[], ssl.SSLContext] = tls_context) -> None:
        self._env = env
        self._tls = tls
        self._http1 = Http1Client(tls=tls())
        self._httpx: dict[tuple[str | None, bool], HttpxClient] = {}

    def for_requests(self, target: Target) -> Upstream:
        """The client of the requests to a vendor."""
        if target.proxy is None and not target.http2:
            return self._http1
        proxy = None if target.proxy == proxies.DIRECT else target.proxy
        return self._http1 if proxy is None and not target.http2 else self._through(proxy, http2=target.http2)

    def for_tokens(self, target: Target) -> Upstream:
        """The client that fetches access tokens for a vendor: by its ``proxy`` setting, else by the environment's for that URL."""
        if target.proxy is None:
            return self._by_environment
        return self.direct if target.proxy == proxies.DIRECT else self._through(target.proxy)

    @property
    def direct(self) -> Upstream:
        """httpx without any proxy: for connections to an address that was checked."""
        return self._through(None)

    async def aclose(self) -> None:
        """Close every connection of every client."""
        await self._http1.aclose()
        for client in self._httpx.values():
            await client.aclose()

    @cached_property
    def _by_environment(self) -> Upstream:
        return _ByEnvironment(self._env, self._through)

    def _through(self, proxy: str | None, *, http2: bool = False) -> HttpxClient:
        client = self._httpx.get((proxy, http2))
        if client is None:
            # A context of its own: httpx writes the protocols it offers into the context it is given.
            client = self._httpx[proxy, http2] = HttpxClient(tls=self._tls(), proxy=proxy, http2=http2)
        return client


class _ByEnvironment:
    """``Upstream`` that takes for each request the proxy which the environment names for its URL."""

    def __init__(self, env: Mapping[str, str], through: Callable[[str | None], HttpxClient]) -> None:
        self._env = env
        self._through = through

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        return await self._client(request).send(request, clocks)

    async def open(self, request: HttpRequest, clocks: Clocks) -> HttpStream:
        return await self._client(request).open(request, clocks)

    async def aclose(self) -> None:
        """Nothing: ``Clients`` owns and closes the clients."""

    def _client(self, request: HttpRequest) -> HttpxClient:
        try:
            proxy = proxies.from_environment(request.url, self._env)
        except ValueError as error:
            raise failed("proxy_unreachable", str(error)) from None
        return self._through(proxy)
