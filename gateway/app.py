"""``create_app``: builds every service in order, closes in reverse. The only wiring there is."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import structlog
import tenacity
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from gateway import __version__, web, worker
from gateway import settings as gateway_settings
from gateway.accounts import Accounts
from gateway.analytics.classify.labelling import Labelling
from gateway.analytics.classify.sampling import Sampler
from gateway.analytics.stream import EventWriter
from gateway.api import management
from gateway.api.inference import asgi
from gateway.background import BackgroundSettlements
from gateway.books.archive import book_archive
from gateway.books.reading import Books
from gateway.catalog.store import CatalogStore
from gateway.conversations import Conversations
from gateway.errors import LedgerUnavailable
from gateway.health.registry import HealthRegistry
from gateway.health.retry_budget import RetryBudget
from gateway.ledger.ledger import Ledger
from gateway.pipeline.pipeline import Pipeline
from gateway.server import file_limit
from gateway.server.browser_hosts import BrowserHosts
from gateway.server.connections import Connections
from gateway.server.in_flight import InFlight
from gateway.server.incoming import IncomingBodies
from gateway.services import Services
from gateway.settings import Settings
from gateway.store import client as store_client
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from gateway.store.policy import RateLimits
from gateway.telemetry import Telemetry, set_up_logs
from providers.media.fetch import Media
from providers.transport import json_bounds
from providers.transport.clients import Clients

FINAL_EVENTS_S = 2.0
"""The part of the shutdown grace that is kept for error events and settlements."""
SETTLEMENTS_WAIT_S = 10.0
START_TIMEOUT_S = 15.0
GC_THRESHOLD = 20_000
"""New objects between two collections of the youngest generation. High, because a request leaves almost no cyclic garbage."""


def create() -> asgi.InferenceRouter:
    """The factory that HTTP servers call in each worker process. Settings come from the environment.

    It raises the limit of open files and tunes the garbage collector of the whole process, so a program that embeds the gateway
    calls ``create_app``.
    """
    file_limit.raise_limit()
    router = create_app(gateway_settings.load())
    gc.collect()
    gc.freeze()  # objects that live as long as the process are not scanned at every collection
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    return router


def create_app(settings: Settings) -> asgi.InferenceRouter:
    """The ASGI application. Services are built when the server starts it, and closed when the server stops it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _services(settings) as (services, catalogs):
            in_flight = InFlight(settings.max_in_flight)
            incoming = IncomingBodies(settings.max_incoming_bodies, settings.max_incoming_bytes)
            pipeline = Pipeline(services)
            app.state.services, app.state.in_flight, app.state.pipeline = services, in_flight, pipeline
            router.add_surfaces(pipeline, in_flight, incoming)
            await _build_routes(app)
            loops = _loops(services, in_flight, catalogs)
            async with asyncio.TaskGroup() as group:
                tasks, interrupt = [group.create_task(_run(loop)) for loop in loops], asyncio.Event()
                with (
                    _parent_watched(services.telemetry),
                    _on_signal(lambda: group.create_task(_wind_down(services, in_flight, interrupt)), interrupt.set),
                ):
                    yield
                in_flight.close()
                services.background.close()
                unsettled = await services.background.drain(SETTLEMENTS_WAIT_S)
                await worker.write_last_events(services)
                services.telemetry.flush()
                services.telemetry.log.info("stopped", unsettled=unsettled)
                for task in tasks:
                    task.cancel()

    app = FastAPI(title="Tokenway", version=__version__, lifespan=lifespan, docs_url="/docs", redoc_url=None)
    router = _router(app, settings)
    management.mount(app)
    if settings.web:
        web.mount(app)

    app.add_api_route("/metrics", _metrics, include_in_schema=False)
    plain_openapi = app.openapi
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(asgi.documented(plain_openapi()))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return router


def _router(app: FastAPI, settings: Settings) -> asgi.InferenceRouter:
    most = settings.max_connections or file_limit.callers(file_limit.limit())
    hosts = BrowserHosts(settings.allowed_host_names, settings.host)
    return asgi.InferenceRouter(app, settings.allowed_origins, hosts, Connections(most, settings.gap_timeout_s))


async def _metrics(request: Request) -> Response:
    telemetry: Telemetry = request.app.state.services.telemetry
    telemetry.flush()  # on the event loop, which also appends to what is flushed; the text is made in a thread
    body, content_type = await asyncio.to_thread(telemetry.scrape)
    return Response(body, media_type=content_type)


def _ledger(settings: Settings, store: Store) -> Ledger:
    """The ledger, with the rate limits of keys and organisations that have none of their own."""
    s = settings
    return Ledger(
        store,
        record_ttl_s=s.record_ttl_s,
        unpaid_record_ttl_s=s.unpaid_record_ttl_s,
        key_limits=RateLimits(s.key_requests_per_minute, s.key_tokens_per_minute, s.key_max_concurrent),
        org_limits=RateLimits(
            s.organization_requests_per_minute, s.organization_tokens_per_minute, s.organization_max_concurrent
        ),
    )


@asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[tuple[Services, CatalogStore]]:
    """Every service, from the lowest layer up; closed in reverse."""
    sys.set_int_max_str_digits(json_bounds.INTEGER_DIGITS_MAX)  # the time of reading one grows with their square
    set_up_logs(settings.log_level)
    telemetry = Telemetry(settings.log_level)
    catalogs = CatalogStore(settings.catalog_dirs, os.environ)
    worker.learn_names(telemetry, catalogs)
    admin_key = gateway_settings.admin_key(settings)
    with _embedded(settings) as redis_url:
        store = await store_client.connect(redis_url, timeout_s=settings.ledger_timeout_s)
        clients = Clients(os.environ)
        try:
            ledger = _ledger(settings, store)
            accounts = Accounts(store)
            async for attempt in tenacity.AsyncRetrying(
                stop=tenacity.stop_after_delay(START_TIMEOUT_S),
                wait=tenacity.wait_fixed(0.1),
                retry=tenacity.retry_if_exception_type(LedgerUnavailable),
                reraise=True,
            ):
                with attempt:  # on a busy machine, loading the functions may exceed the time-out of a ledger call
                    await ledger.prepare()
                    await accounts.prepare()
            writer = _event_writer(settings, store, telemetry)
            services = Services(
                settings=settings,
                store=store,
                ledger=ledger,
                books=Books(ledger, book_archive(settings), close_after_s=settings.close_after_s),
                accounts=accounts,
                catalog=catalogs,
                health=HealthRegistry(time.time, monotonic=time.monotonic),
                conversations=Conversations(),
                retry_budget=RetryBudget(settings.retry_budget_percent, settings.retry_budget_floor_per_s),
                clients=clients,
                media=Media(clients.direct),
                telemetry=telemetry,
                analytics=writer,
                labelling=_labelling(writer, accounts, store, telemetry),
                background=BackgroundSettlements(),
                admin_key=admin_key,
            )
            yield services, catalogs
        finally:
            await clients.aclose()
            await store.aclose()


def _event_writer(settings: Settings, store: Store, telemetry: Telemetry) -> EventWriter | None:
    if not settings.analytics:
        return None
    lost = telemetry.analytics_lost.inc
    return EventWriter(store, most_events=settings.analytics_stream_events, on_lost=lost)


def _labelling(writer: EventWriter | None, accounts: Accounts, store: Store, telemetry: Telemetry) -> Labelling | None:
    if writer is None:
        return None
    dropped = telemetry.unclassified.inc
    return Labelling(writer.emit, lambda: accounts.analytics, Sampler(store, time.time), on_dropped=dropped)


@contextmanager
def _embedded(settings: Settings) -> Iterator[str]:
    """The URL of the configured Redis, else of a Valkey that this process starts and supervises."""
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    log = structlog.get_logger()
    child = Embedded(
        settings.data_dir, on_loading=lambda percent: log.info("the store loads its data", percent=round(percent))
    )
    child.start()
    try:
        yield child.url
    finally:
        child.stop()


async def _build_routes(app: FastAPI) -> None:
    """Ask for a page that does not exist: FastAPI builds what a route needs when a request first passes it, a third of a second for
    all of them, and the first visitor would wait for it.
    """
    scope: Scope = {"type": "http", "method": "GET", "path": "/-", "headers": [], "query_string": b"", "client": None}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    await app(scope, receive, send)


@contextmanager
def _parent_watched(telemetry: Telemetry) -> Iterator[None]:
    """A worker whose parent was killed stops as if it had been told to: it holds the port, and nobody else would stop it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(parent.sentinel)
        telemetry.log.error("the parent process has died; this worker stops", parent=parent.pid)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.sentinel, gone)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)


def _loops(services: Services, in_flight: InFlight, catalogs: CatalogStore) -> list[Coroutine[Any, Any, None]]:
    settings, telemetry = services.settings, services.telemetry
    return [
        *worker.gateway_loops(services, in_flight, catalogs),
        *worker.ledger_loops(services.ledger, settings, telemetry, audit=False),
        *worker.closing_loops(services.store, services.ledger, settings, telemetry, "gateway"),
        *worker.analytics_loops(services.store, settings, telemetry, "gateway"),
    ]


async def _run(loop: Any) -> None:
    await loop


async def _wind_down(services: Services, in_flight: InFlight, interrupt: asyncio.Event) -> None:
    """After SIGTERM or Ctrl-C: readiness is off at once and running streams may finish.

    Just before the grace is over, or when ``interrupt`` is set, the remaining streams end with an error event.
    """
    in_flight.draining = True
    grace_s = max(services.settings.shutdown_grace_s - FINAL_EVENTS_S, 0)
    deadline = time.monotonic() + grace_s
    while in_flight.requests and time.monotonic() < deadline and not interrupt.is_set():
        await asyncio.sleep(0.05)
    services.background.close()
    for lifecycle in list(in_flight.requests):
        lifecycle.interrupt("shutdown")


@contextmanager
def _on_signal(stop: Callable[[], object], interrupt: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` before the server's own handlers, which stop accepting and wait for connections.

    A second Ctrl-C calls only ``interrupt``, because the server would close its connections without an error event. The third
    reaches the server again.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    interrupts = 0

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts == 2:
            loop.call_soon_threadsafe(interrupt)
            return
        loop.call_soon_threadsafe(stop)
        previous = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    try:
        for number in before:
            signal.signal(number, handler)
    except ValueError:  # not the main thread: an embedding program or a test decides when to stop
        yield
        return
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
