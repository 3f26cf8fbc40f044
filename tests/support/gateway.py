"""A real gateway for tests: the whole ASGI app behind a real uvicorn on a real port, with a catalogue of simulated vendors.

stage = await gateway(Sale("t/a", "alpha"), Sale("t/a", "beta", "status=503"))     # vendors by name, simulated
caller = await stage.caller("5")                                                   # its own organisation, $5
response = await caller.chat("t/a")

"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
import yaml
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway import records
from gateway.app import create_app
from gateway.ledger.entries import Balances, Entry
from gateway.money import parse_usd
from gateway.pipeline.pipeline import Pipeline
from gateway.server.in_flight import InFlight
from gateway.server.protocol import LimitedHttpProtocol
from gateway.services import Services
from gateway.settings import Settings
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from simulator import SimulatedVendor
from tests.support.vendor import Line, vendor

ADMIN_KEY = "test-management-key-0123456789"
PATIENT_LEDGER_S = 2.0
"""A busy test machine must not look like a silent ledger; tests of the time-out set their own."""
PARAMETERS = [
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning",
]
THOUGHTLESS = {"supported_parameters": [name for name in PARAMETERS if name != "reasoning"]}
"""Of an endpoint whose streams show all that they cost: their holds grow while they run."""


@dataclass(frozen=True)
class Sale:
    """One endpoint of a test catalogue: who sells which upstream model under which slug, at dollars per million tokens."""

    model: str
    provider: str
    upstream_id: str = "ok"
    prompt: str = "1"
    completion: str = "2"
    more: Mapping[str, Any] = field(default_factory=dict)
    cache_read: str | None = None
    web_search: str | None = "0.01"
    """Dollars for each search that the vendor makes; None: it has no price."""


def write_catalog(directory: Path, vendors: Mapping[str, str], sales: Sequence[Sale], **provider: Any) -> Path:
    """Write config files in the documented shapes. ``vendors``: slug → base URL; ``provider``: extra fields for all of them."""
    for folder in ("providers", "models", "prices"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for slug, base_url in vendors.items():
        row = {
            "slug": slug,
            "name": slug.title(),
            "dialect": "openai",
            "base_url": base_url,
            "api_key_env": None,
            "data_policy": {"training": False, "retains_prompts": False},
            "headquarters": "DE",
            **provider.get(slug.replace("-", "_"), {}),
        }
        (directory / "providers" / f"{slug}.yaml").write_text(yaml.safe_dump(row))
        prices: dict[str, Any] = {}
        for sale in sales:
            if sale.provider == slug and sale.prompt:
                prices[sale.upstream_id] = {
                    "upstream_id": sale.upstream_id,
                    "from": "2026-01-01",
                    "usd_per_mtok": {"prompt": sale.prompt, "completion": sale.completion}
                    | ({"input_cache_read": sale.cache_read} if sale.cache_read else {}),
                    "source": "https://example.test/pricing",
                } | ({"usd_per_web_search": sale.web_search} if sale.web_search else {})
        (directory / "prices" / f"{slug}.yaml").write_text(yaml.safe_dump(list(prices.values())))
    models: dict[str, dict[str, Any]] = {}
    for sale in sales:
        row = models.setdefault(
            sale.model,
            {
                "slug": sale.model,
                "name": sale.model,
                "created": "2026-01-01",
                "context_length": 128_000,
                "input_modalities": ["text"],
                "output_modalities": sale.more.get("output_modalities", ["text"]),
                "supported_parameters": PARAMETERS,
                "endpoints": [],
            },
        )
        row["endpoints"].append({"provider": sale.provider, "upstream_id": sale.upstream_id, **sale.more})
    by_author: dict[str, list[Any]] = {}
    for slug, row in models.items():
        by_author.setdefault(slug.split("/")[0], []).append(row)
    for author, rows in by_author.items():
        (directory / "models" / f"{author}.yaml").write_text(yaml.safe_dump(rows))
    return directory


@dataclass
class Gateway:
    """A running gateway and a client for it."""

    url: str
    services: Services
    pipeline: Pipeline
    in_flight: InFlight
    client: httpx.AsyncClient
    server: Server

    @property
    def admin(self) -> dict[str, str]:
        return {"authorization": f"Bearer {ADMIN_KEY}"}

    async def key(self, usd: str = "5", *, org: str = "default", **options: Any) -> str:
        """A fresh inference key; ``usd`` of credit is added to its organisation."""
        secret, _ = await self.services.accounts.create_key(name="test", org=org, **options)
        if parse_usd(usd):
            await self.services.ledger.grant(org, parse_usd(usd), id=secret[-16:], actor="test", reason="test")
        return secret

    async def chat(self, key: str, model: str, text: str = "hello", **more: Any) -> httpx.Response:
        """One chat completion over HTTP."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return await self.client.post(
            "/api/v1/chat/completions", content=msgspec.json.encode(body), headers={"authorization": f"Bearer {key}"}
        )

    async def stream(self, key: str, model: str, text: str = "hello", **more: Any) -> tuple[httpx.Response, list[Any]]:
        """One streamed chat completion, read to its end: the response and every ``data:`` event, decoded."""
        response = await self.chat(key, model, text, stream=True, **more)
        return response, events(response.text)

    async def settled(self) -> None:
        """Wait until no generation is open and no ending is under way."""
        for _ in range(1000):
            if (
                not self.services.background.open
                and not self.services.background.pending
                and not self.in_flight.requests
            ):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("endings did not finish")


def events(text: str) -> list[Any]:
    """The ``data:`` events of an SSE body; ``[DONE]`` stays a string."""
    found: list[Any] = []
    for line in text.splitlines():
        if line.startswith("data: "):
            data = line[6:]
            found.append(data if data == "[DONE]" else msgspec.json.decode(data))
    return found


class Server(uvicorn.Server):
    """uvicorn's, woken when it shall stop instead of polling ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopping.wait()

    def leave(self) -> None:
        self.should_exit = True
        self._stopping.set()


@asynccontextmanager
async def running(
    config_dir: Path, data_dir: Path, redis_url: str, *, asgi: bool = False, idle_s: float = 5, **overrides: Any
) -> AsyncIterator[Gateway]:
    """Serve the app on a free port until the block ends. ``asgi``: behind uvicorn's own protocol, which knows nothing but ASGI.
    ``idle_s``: how long a connection may be idle.
    """
    settings = Settings(
        config_dir=config_dir,
        data_dir=data_dir,
        redis_url=redis_url,
        admin_key=ADMIN_KEY,
        log_level="error",
        **overrides,
    )
    app = create_app(settings)
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    port = sock.getsockname()[1]
    server = Server(
        uvicorn.Config(
            app,
            log_level="error",
            lifespan="on",
            http=HttpToolsProtocol if asgi else LimitedHttpProtocol,
            ws="none",
            timeout_keep_alive=idle_s,  # type: ignore[arg-type] # its timers take fractions
            timeout_graceful_shutdown=5,
            proxy_headers=False,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        if task.done():
            task.result()
            raise AssertionError("the server did not start")
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            state = app.fastapi.state
            yield Gateway(url, state.services, state.pipeline, state.in_flight, client, server)
    finally:
        server.leave()
        await task


@dataclass
class Caller:
    """An inference key with an organisation of its own, so that its journal holds no other caller's lines."""

    gateway: Gateway
    secret: str
    org: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}"}

    async def chat(self, model: str, text: str = "hello", **more: Any) -> httpx.Response:
        """One chat completion."""
        return await self.gateway.chat(self.secret, model, text, **more)

    async def stream(self, model: str, text: str = "hello", **more: Any) -> tuple[httpx.Response, list[Any]]:
        """One streamed chat completion, read to its end."""
        return await self.gateway.stream(self.secret, model, text, **more)

    async def raw(self, content: bytes | str, **headers: str) -> httpx.Response:
        """One request with exactly this body."""
        return await self.gateway.client.post(
            "/api/v1/chat/completions", content=content, headers={**self.headers, **headers}
        )

    async def lines(self) -> list[Entry]:
        """The journal without grants, oldest first."""
        found: list[Entry] = []
        cursor: str | None = None
        while True:
            page, cursor = await self.gateway.services.ledger.journal(self.org, after=cursor, limit=500)
            found += [entry for entry in page if entry.type != "grant"]
            if cursor is None:
                return found

    async def balances(self) -> Balances:
        return await self.gateway.services.ledger.balances(self.org)

    async def record(self, id: str) -> records.Record:
        """The record of a generation of this caller; it must be there."""
        found = await self.gateway.services.ledger.record(self.org, id)
        assert found is not None, f"no record of {id}"
        return records.decode(found.blob)

    def request(self, model: str, text: str = "hello", **more: Any) -> bytes:
        """The same request as bytes on a wire."""
        body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}], **more})
        head = (
            "POST /api/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.secret}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Stage:
    """A gateway and the vendors behind it."""

    gateway: Gateway
    vendors: dict[str, SimulatedVendor]
    sales: tuple[Sale, ...]

    async def caller(self, usd: str = "5", **options: Any) -> Caller:
        """A new organisation with a key and so much credit; ``options`` as for a key."""
        org = await self.gateway.services.accounts.create_org("test")
        secret = await self.gateway.key(usd, org=org.id, **options)
        return Caller(self.gateway, secret, org.id)

    def sale(self, model: str, provider: str) -> Sale:
        """What a provider sells under a slug."""
        return next(sale for sale in self.sales if (sale.model, sale.provider) == (model, provider))


@asynccontextmanager
async def staged(
    directory: Path,
    redis_url: str,
    *sales: Sale,
    urls: Mapping[str, str] | None = None,
    provider: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> AsyncIterator[Stage]:
    """A gateway that sells ``sales``. Providers are simulated vendors, but those in ``urls``.

    ``provider``: slug → further fields of its file. ``settings``: as for ``Settings`` and ``running``.
    """
    urls = urls or {}
    async with AsyncExitStack() as stack:
        names = sorted({sale.provider for sale in sales} - urls.keys())
        vendors = {name: await stack.enter_async_context(vendor(name)) for name in names}
        where = {name: sim.base_url for name, sim in vendors.items()} | dict(urls)
        more = {slug.replace("-", "_"): fields for slug, fields in (provider or {}).items()}
        config = write_catalog(directory / "config", where, sales, **more)
        settings.setdefault("ledger_timeout_s", PATIENT_LEDGER_S)
        running_gateway = await stack.enter_async_context(running(config, directory / "data", redis_url, **settings))
        yield Stage(running_gateway, vendors, sales)


@pytest.fixture
async def gateway(tmp_path: Path, valkey_server: Embedded, store: Store) -> AsyncIterator[Callable[..., Any]]:
    """A factory, ``await gateway(*sales, urls=..., provider=..., **settings)`` → Stage; the ledger is empty at first."""
    async with AsyncExitStack() as stack:
        started = 0

        async def start(*sales: Sale, **options: Any) -> Stage:
            nonlocal started
            started += 1
            options.setdefault("redis_url", valkey_server.url)
            url = options.pop("redis_url")
            return await stack.enter_async_context(staged(tmp_path / f"stage-{started}", url, *sales, **options))

        yield start


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[Line]:
    """A raw connection to the gateway: what is sent and received is bytes."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 27)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
