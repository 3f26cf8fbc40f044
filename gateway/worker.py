"""Background loops. Some belong to every gateway process; others may run in any process, and in several at once.

``gateway_loops`` share health, send the heartbeats of running holds and reload the catalogue. ``ledger_loops`` expire overdue holds
and audit the journal, ``analytics_loops`` count usage. The ``tokenway worker`` process runs both; a gateway expires holds and
counts too, so that nothing is missing without a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from gateway.analytics.cohorts import CohortMaker
from gateway.analytics.consumer import Consumer
from gateway.analytics.history.locations import history_of, sinks_of
from gateway.analytics.history.writer import HistoryWriter
from gateway.background import OpenGeneration
from gateway.books.archive import book_archive
from gateway.books.closing import Closer, Retention
from gateway.catalog.read import CatalogError
from gateway.catalog.store import CatalogStore
from gateway.ledger.entries import Posting
from gateway.ledger.ledger import Ledger
from gateway.server import file_limit
from gateway.server.in_flight import InFlight
from gateway.services import Services
from gateway.settings import Settings
from gateway.store.client import Store
from gateway.store.errors import StoreError
from gateway.store.lease import Role
from gateway.telemetry import Telemetry

DAY_S = 86_400
ANALYTICS_INTERVAL_S = 1.0
FILES_INTERVAL_S = 10.0
CLASSIFY_INTERVAL_S = 0.25
COHORTS_INTERVAL_S = 600.0
"""How often it is looked whether today's cohorts are made."""
TAIL_INTERVAL_S = 2.0
"""Settlements are kept for one to two of these, in case the store loses its last second."""
SAMPLE_INTERVAL_S = 10.0
ORGANIZATIONS_INTERVAL_S = 5.0
"""What an organisation lets analytics see is in force everywhere after so long."""
LAST_EVENTS_S = 1.0
"""How long a process that stops tries to write its last events."""
BREAKER_LEVEL = {"closed": 0, "half_open": 1, "open": 2}


async def every(interval_s: float, step: Callable[[], Awaitable[None]], telemetry: Telemetry) -> None:
    """Run ``step`` until cancelled; a failing step is logged and tried again after the next interval."""
    task = asyncio.current_task()
    # Python 3.11's wait_for, which redis-py uses, may swallow a cancellation; the task still counts the request to cancel
    while task is None or not task.cancelling():
        await asyncio.sleep(interval_s)
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the supervisor: one failed step must not end the loop
            telemetry.log.warning(
                "background step failed", step=step.__name__, error=f"{type(error).__name__}: {error}"
            )


def _files_watch(telemetry: Telemetry) -> Callable[[], Awaitable[None]]:
    """What counts open files, and warns once when nearly all that there may be are open."""
    nearly = False

    async def watch() -> None:
        nonlocal nearly
        used, most = file_limit.open_files(), file_limit.limit()
        if used is None:
            return
        telemetry.open_files.set(used)
        was, nearly = nearly, used * 100 >= most * file_limit.NEARLY_ALL_PERCENT
        if nearly and not was:
            telemetry.log.warning("nearly all files that this process may open are open", open=used, limit=most)

    return watch


def gateway_loops(services: Services, in_flight: InFlight, catalogs: CatalogStore) -> list[Coroutine[Any, Any, None]]:
    """Loops that every gateway process needs for itself."""
    settings, telemetry = services.settings, services.telemetry

    async def share_health() -> None:
        await services.health.share(services.store)
        await services.conversations.share(services.store)
        for endpoint_id in catalogs.current.endpoints:
            state = services.health.view(endpoint_id).state
            telemetry.breaker.labels(endpoint_id).set(BREAKER_LEVEL[state])
        telemetry.in_flight.set(in_flight.now)
        telemetry.streams_open.set(len(services.background.open))

    async def beat_holds() -> None:
        """Keep the holds of running answers alive, with a checkpoint of what was delivered, in case this process dies."""
        await beat_all(services.ledger, list(services.background.open), settings.hold_ttl_s, telemetry)

    async def repair_tail() -> None:
        if lost := await services.ledger.repair():
            telemetry.log.warning("the store had lost settlements, which were posted again", count=lost)

    async def reload_catalog() -> None:
        before = catalogs.current
        try:
            if await asyncio.to_thread(catalogs.reload):  # parsing takes tens of milliseconds: not on the loop
                learn_names(telemetry, catalogs)
                telemetry.catalog_reloads.labels("ok").inc()
                happened = (
                    "catalogue reloaded" if catalogs.current is not before else "catalogue sound again, unchanged"
                )
                telemetry.log.info(happened, version=catalogs.current.version)
        except CatalogError as error:
            telemetry.catalog_reloads.labels("refused").inc()
            telemetry.log.error("catalogue refused, the old one stays in force", error=str(error))

    loops = [
        every(settings.health_share_interval_s, share_health, telemetry),
        every(settings.beat_interval_s, beat_holds, telemetry),
        every(TAIL_INTERVAL_S, repair_tail, telemetry),
        every(settings.catalog_reload_interval_s, reload_catalog, telemetry),
        every(FILES_INTERVAL_S, _files_watch(telemetry), telemetry),
    ]
    if services.analytics is not None and services.labelling is not None:
        loops += [
            every(ANALYTICS_INTERVAL_S, services.analytics.flush, telemetry),
            every(CLASSIFY_INTERVAL_S, services.labelling.step, telemetry),
            every(SAMPLE_INTERVAL_S, services.labelling.share, telemetry),
            every(ORGANIZATIONS_INTERVAL_S, services.accounts.learn_analytics, telemetry),
        ]
    return loops


async def beat_all(ledger: Ledger, generations: Sequence[OpenGeneration], ttl_s: float, telemetry: Telemetry) -> None:
    """A heartbeat for each of them; what is wrong with one costs no other its own."""
    beats = [_beat(ledger, generation, ttl_s) for generation in generations]
    results = await asyncio.gather(*beats, return_exceptions=True)
    for generation, result in zip(generations, results, strict=True):
        if isinstance(result, Exception):
            telemetry.ledger_errors.labels("beat").inc()
            error = f"{type(result).__name__}: {result}"
            telemetry.log.warning("a heartbeat failed", id=generation.hold.id, error=error)


async def _beat(ledger: Ledger, generation: OpenGeneration, ttl_s: float) -> None:
    """One heartbeat. A checkpoint that cannot be made must not cost the hold its life: then the hold lives on without one."""
    try:
        posting = generation.checkpoint()
    except Exception:
        await ledger.beat(generation.hold, Posting("none", 0, 0, 0), ttl_s)
        raise
    await ledger.beat(generation.hold, posting, ttl_s)


def ledger_loops(
    ledger: Ledger, settings: Settings, telemetry: Telemetry, *, audit: bool
) -> list[Coroutine[Any, Any, None]]:
    """Loops that any process may run, also several at once."""

    async def expire_holds() -> None:
        swept, open_holds = await ledger.sweep()
        if swept:
            telemetry.log.info("holds expired", count=swept)
        telemetry.open_holds.set(open_holds - swept)

    async def audit_books() -> None:
        report = await ledger.audit()
        if not report.clean:
            telemetry.log.error("the books do not balance", differences=[str(d) for d in report.differences[:20]])

    loops = [every(settings.expire_interval_s, expire_holds, telemetry)]
    if audit:
        loops.append(every(settings.audit_interval_s, audit_books, telemetry))
    return loops


def closing_loops(
    store: Store, ledger: Ledger, settings: Settings, telemetry: Telemetry, role: Role
) -> list[Coroutine[Any, Any, None]]:
    """The loop that moves old lines and records to the archive; none where there can be none, or it is switched off. Raises
    HistoryError for an archive that cannot be used.
    """
    archive = book_archive(settings) if settings.closes_books else None
    if archive is None:
        return []
    closer = Closer(
        *(store, ledger, archive, telemetry),
        role=role,
        retention=Retention(
            close_after_s=settings.close_after_s,
            record_days=-(-settings.record_ttl_s // DAY_S) + 1,
            journal_days=settings.journal_days,
        ),
    )
    return [every(settings.close_interval_s, closer.close_books, telemetry)]


def analytics_loops(
    store: Store, settings: Settings, telemetry: Telemetry, role: Role
) -> list[Coroutine[Any, Any, None]]:
    """The loops that count events and keep their history. Any process may run them: leases say whose turn it is, and a worker goes
    before a gateway.
    """
    if not settings.analytics:
        return []
    loops = [every(ANALYTICS_INTERVAL_S, Consumer(store, role).step, telemetry)]
    for sink in sinks_of(settings):
        writer = HistoryWriter(store, sink, role, telemetry)
        loops.append(every(settings.history_interval_s, writer.write_history, telemetry))
    if len(loops) > 1:
        maker = CohortMaker(store, history_of(settings))
        loops.append(every(COHORTS_INTERVAL_S, maker.make_cohorts, telemetry))
    return loops


async def write_last_events(services: Services) -> None:
    """What a process that stops has not written yet. Without the store it is lost."""
    if services.labelling is not None:
        services.labelling.close()
    if services.analytics is not None:
        services.analytics.checks.close()
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LAST_EVENTS_S):
                await services.analytics.flush()


def learn_names(telemetry: Telemetry, catalogs: CatalogStore) -> None:
    """Metric labels come only from the catalogue."""
    catalog = catalogs.current
    telemetry.labels.learn({*catalog.models, *catalog.providers, *catalog.endpoints})
