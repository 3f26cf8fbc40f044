"""``backup`` and ``restore`` of the embedded store; what is written is tried before it is called a backup."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import configured
from gateway.cli.offline import CALL_TIMEOUT_S, StoreServices, with_store
from gateway.cli.output import progress, refuse
from gateway.ledger.entries import AuditReport
from gateway.ledger.ledger import Ledger
from gateway.store import backup as backups
from gateway.store.backup import BackupError
from gateway.store.client import connect
from gateway.store.embedded import Embedded, EmbeddedError

OTHER_MEANS = (
    "GATEWAY_REDIS_URL is set: back up and restore that Redis by its own means, such as replicas and snapshots"
)


def backup(directory: Annotated[Path, typer.Argument(help="A new directory for it.")]) -> None:
    """Write what the embedded store has at this moment, also while a gateway runs, and try it: a copy is started and its books are
    audited.

    Keys of callers are in it as hashes. The management key, the catalogue and the history of analytics are files of their own.
    Exit 0 when the copy's books balance, 1 when not, 2 when there is no backup.
    """
    if configured.settings().redis_url is not None:
        refuse(OTHER_MEANS)

    async def work(services: StoreServices) -> backups.About:
        return await backups.snapshot(services.store, directory, version=__version__)

    try:
        with progress("Writing the snapshot"):
            about = with_store(work)
        with progress("Auditing the copy"), tempfile.TemporaryDirectory(prefix="tokenway-") as scratch:
            backups.lay(directory, Path(scratch))
            report = _audited(Path(scratch))
    except (BackupError, EmbeddedError, OSError) as error:
        refuse(str(error))
    _tell(report, f"{directory}: {about.size_bytes:,} bytes")


def restore(directory: Annotated[Path, typer.Argument(help="A directory that `backup` has written.")]) -> None:
    """Lay a backup into GATEWAY_DATA_DIR, which must not have a store, and audit its books. No gateway may run on it.

    Exit 0 when the books balance, 1 when not, 2 when nothing was restored.
    """
    settings = configured.settings()
    if settings.redis_url is not None:
        refuse(OTHER_MEANS)
    try:
        about = backups.checked(directory)
        with progress("Restoring"):
            backups.lay(directory, settings.data_dir)
            report = _audited(settings.data_dir)
    except (BackupError, EmbeddedError, OSError) as error:
        refuse(str(error))
    _tell(report, f"{settings.data_dir}: the store as of {about.made_at}")


def _audited(data_dir: Path) -> AuditReport:
    """The audit of a store that is started for it. Raises EmbeddedError."""

    async def audit(url: str) -> AuditReport:
        store = await connect(url, timeout_s=CALL_TIMEOUT_S)
        try:
            ledger = Ledger(store)
            await ledger.prepare()
            return await ledger.audit()
        finally:
            await store.aclose()

    server = Embedded(data_dir)
    server.start()
    try:
        return asyncio.run(audit(server.url))
    finally:
        server.stop()


def _tell(report: AuditReport, what: str) -> None:
    if not report.clean:
        typer.echo(
            f"{what}; its books have {len(report.differences)} differences: run `tokenway reconcile` on it", err=True
        )
        raise typer.Exit(1)
    typer.echo(f"{what}, {report.organizations:,} organizations, {report.entries:,} ledger lines; the books balance")
