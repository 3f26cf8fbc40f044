"""``check-config``, ``reconcile``, ``forget-users`` and ``worker``: commands for operators."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from gateway.analytics.stream import rotate_salt
from gateway.api.management.admin import audit_view
from gateway.books.archive import book_archive
from gateway.books.whole_audit import WholeAudit, audit_archive
from gateway.catalog.catalog import Catalog
from gateway.catalog.model import Provider
from gateway.cli import configured
from gateway.cli.analytics import failures, progress_bar
from gateway.cli.offline import CALL_TIMEOUT_S, STORE_HELP, StoreServices, running_store, why_unavailable, with_store
from gateway.cli.output import AsJson, as_json, facts, progress, refuse, table
from gateway.errors import LedgerUnavailable
from gateway.ledger.entries import AuditReport
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import connect
from gateway.store.errors import StoreError
from gateway.telemetry import Telemetry, set_up_logs
from gateway.worker import analytics_loops, closing_loops, ledger_loops


def check_config(json: AsJson = False) -> None:
    """Check settings and catalogue as `serve` would, and show which file or variable each changed value comes from.

    SELLS: the catalogue has endpoints of this provider.

    USABLE: nothing is missing, so requests may be routed to it.

    LACKING: variables that must be set to make it usable.

    VARIABLES: all that its file names. Several ways to a credential need not all be set.

    Exit 0 when all is sound, 2 when not; every problem names its variable, or its file and key.
    """
    settings = configured.settings()
    catalog = configured.catalog(settings)
    sold = {endpoint.provider.slug for endpoint in catalog.endpoints.values()}
    providers = sorted(catalog.providers.values(), key=lambda each: each.slug)
    if json:
        as_json(_configuration(settings, catalog, providers, sold))
        return
    facts(
        [
            ("configuration", os.pathsep.join(map(str, settings.catalog_dirs))),
            ("catalogue", catalog.version),
            ("models", len(catalog.models)),
            ("endpoints", len(catalog.endpoints)),
            ("store", "GATEWAY_REDIS_URL" if settings.redis_url else f"embedded, in {settings.data_dir}"),
        ]
    )
    typer.echo()
    rows = [
        [each.slug, each.dialect, each.slug in sold, each.usable, _lacking(each), ",".join(each.variables) or None]
        for each in providers
    ]
    table(["PROVIDER", "DIALECT", "SELLS", "USABLE", "LACKING", "VARIABLES"], rows)
    _show_sources(catalog)
    for warning in catalog.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _configuration(
    settings: Settings, catalog: Catalog, providers: Sequence[Provider], sold: Collection[str]
) -> dict[str, Any]:
    """What ``check-config --json`` prints. ``sold``: slugs of the providers that have endpoints."""
    return {
        "catalog_version": catalog.version,
        "models": len(catalog.models),
        "endpoints": len(catalog.endpoints),
        "providers": [
            {
                "slug": each.slug,
                "dialect": each.dialect,
                "sells": each.slug in sold,
                "usable": each.usable,
                "disabled": each.disabled,
                "lacking": list(each.lacking),
                "api_key_env": each.api_key_env,
                "variables": list(each.variables),
            }
            for each in providers
        ],
        "warnings": list(catalog.warnings),
        "folders": [str(folder) for folder in settings.catalog_dirs],
        "settings": configured.sources(),
        "overrides": [override._asdict() for override in catalog.overrides],
    }


def _lacking(provider: Provider) -> str | None:
    return "(disabled)" if provider.disabled else ",".join(provider.lacking) or None


def _show_sources(catalog: Catalog) -> None:
    """Settings that are not the default, and values of the catalogue that a later folder wrote."""
    sources = configured.sources()
    if sources:
        typer.echo()
        table(["SETTING", "FROM"], list(sources.items()))
    if catalog.overrides:
        typer.echo()
        rows = [[one.what, one.name, one.key or "(new)", one.file, one.replaces] for one in catalog.overrides]
        table(["OVERRIDE", "NAME", "KEY", "FROM", "INSTEAD OF"], rows)


def reconcile(
    all: Annotated[bool, typer.Option("--all", help="Read every line in the archive, too.")] = False,
    json: AsJson = False,
) -> None:
    """Recompute every balance from the journal, since the books were last closed.

    With --all from the first line on: a file of the archive that is damaged or missing, and a line that was changed, are named.

    Exact also while gateways run. Exit 0 when the books balance, 1 when not, with every difference printed.
    """

    async def work(services: StoreServices) -> AuditReport:
        return await services.ledger.audit()

    archived = _audit_archive() if all else None
    with progress("Recomputing every balance from the journal"):
        report = with_store(work)
    if archived is not None:
        differences = [*archived.differences, *report.differences]
        report = replace(report, differences=differences, clean=not differences)
    view = audit_view(report)
    if archived is not None:
        view |= {"archived_entries": archived.lines, "replaced_entries": archived.replaced}
    if json:
        as_json(view)
    else:
        for difference in report.differences:
            typer.echo(
                f"{difference.org}: {difference.what}: {difference.detail}: "
                f"expected {difference.expected}, found {difference.found}"
            )
        names = [
            "organizations",
            "entries",
            "open_holds",
            "balance_usd",
            "held_usd",
            "granted_usd",
            "used_usd",
            "residue_usd",
        ]
        names += ["archived_entries"] if archived is not None else []
        facts([(name.removesuffix("_usd").replace("_", " "), view[name]) for name in names])
        if archived is not None and archived.replaced:
            typer.echo(
                f"{archived.replaced} lines of the archive are those of a store that was replaced by an older copy"
            )
        typer.echo("the books balance" if report.clean else f"{len(report.differences)} differences")
    if not report.clean:
        raise typer.Exit(1)


def _audit_archive() -> WholeAudit | None:
    """None where there is no archive yet. Exits 2 when it cannot be read."""
    settings = configured.settings()
    with failures():
        archive = book_archive(settings)
        if archive is None:
            refuse(
                "--all reads the archive, which needs DuckDB: pip install 'tokenway[analytics]' (in a checkout: pip install -e "
                "'.[analytics]'); without --all the audit begins where the books were closed"
            )
        lines = archive.journal.count() if archive.journal.exists() else 0
        with progress_bar("Reading the archive", lines) as advance:

            async def work(services: StoreServices) -> WholeAudit:
                keeps_all = settings.journal_days == 0
                return await audit_archive(services.ledger, archive.journal, keeps_all=keeps_all, advance=advance)

            return with_store(work)


reconcile.__doc__ = f"{reconcile.__doc__}\n\n{STORE_HELP}"


def forget_users() -> None:
    """Make a new salt for analytics: from now on nobody can tell which of the counted users a user was.

    Users seen before and after it count as different ones. Gateways take it over within ten seconds.
    """

    async def work(services: StoreServices) -> None:
        await rotate_salt(services.store)

    with_store(work)
    typer.echo("users are told apart by a new salt")


forget_users.__doc__ = f"{forget_users.__doc__}\n\n{STORE_HELP}"


def worker() -> None:
    """Expire overdue holds, audit the ledger, count usage.

    Every gateway expires holds and counts too. A separate worker does so also while no gateway runs, takes the counting from the
    gateways, and logs when the books do not balance.
    """
    settings = configured.settings()
    url = running_store(settings)
    if url is None:
        refuse("the worker needs a running store: set GATEWAY_REDIS_URL, or start a gateway on GATEWAY_DATA_DIR first")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run_worker(settings, url))


async def _run_worker(settings: Settings, url: str) -> None:
    set_up_logs(settings.log_level)
    telemetry = Telemetry()
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        # longer than a request's time-out: no caller waits for this worker
        store = await connect(url, timeout_s=CALL_TIMEOUT_S)
    except (StoreError, PermissionError, ValueError) as error:
        refuse(f"cannot use the store: {error}")
    try:
        ledger = Ledger(store, record_ttl_s=settings.record_ttl_s)
        await ledger.prepare()
        async with asyncio.TaskGroup() as group:
            loops = [
                *ledger_loops(ledger, settings, telemetry, audit=True),
                *closing_loops(store, ledger, settings, telemetry, "worker"),
                *analytics_loops(store, settings, telemetry, "worker"),
            ]
            tasks = [group.create_task(loop) for loop in loops]
            telemetry.log.info("worker started", audit_interval_s=settings.audit_interval_s)
            await stopped.wait()
            for task in tasks:
                task.cancel()
    except LedgerUnavailable as error:
        refuse(why_unavailable(error))
    finally:
        await store.aclose()
