"""``GET /export``: the history of analytics as CSV, lines of JSON or Parquet, for the management key; streamed."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.analytics.buckets import day_of
from gateway.analytics.history import export as exports
from gateway.analytics.history.locations import history_of
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.source import History
from gateway.api.management.auth import ServicesDep
from gateway.errors import BadRequest, NotFound, TooManyRequests, Unavailable

router = APIRouter(tags=["Rankings"])

CHUNK_BYTES = 262_144
AT_ONCE = 2
"""Exports of a process; each has a thread, and DuckDB's memory is theirs together."""
RETRY_AFTER_S = 30
_free = threading.BoundedSemaphore(AT_ONCE)


@router.get(
    "/export",
    response_class=StreamingResponse,
    summary="Export the history of analytics",
    responses={200: {"content": {kind.partition(";")[0]: {} for kind in exports.MEDIA_TYPES.values()}}},
)
async def export_history(
    services: ServicesDep,
    *,
    dataset: Annotated[exports.Name, Query(description="Events, or sums of them by day or week.")] = "events",
    format: Annotated[exports.Format, Query(description="Of the answer.")] = "csv",
    start_date: Annotated[date | None, Query(description="First day (UTC).")] = None,
    end_date: Annotated[date | None, Query(description="Last day (UTC), included.")] = None,
    private: Annotated[bool, Query(description="With organisation, key, user and session.")] = False,
) -> StreamingResponse:
    """Every event that the history has, or their sums. Breaks off without an end where a file turns out to be damaged."""
    if start_date is not None and end_date is not None and end_date < start_date:
        raise BadRequest("end_date: must not be before start_date.", field="end_date")
    first_day, last_day = (day_of(each) if each is not None else None for each in (start_date, end_date))
    wanted = exports.Export(dataset, first_day, last_day, private=private)
    try:
        history = history_of(services.settings)
        exists = await asyncio.to_thread(history.exists)
    except HistoryError as error:
        raise Unavailable(f"The history cannot be read: {error}") from error
    if not exists:
        raise NotFound("There is no history of analytics on this gateway (GATEWAY_ANALYTICS, GATEWAY_HISTORY).")
    if not _free.acquire(blocking=False):
        message = f"{AT_ONCE} exports are running in this process; wait for one to end, or ask for fewer days."
        raise TooManyRequests(message, retry_after_s=RETRY_AFTER_S)
    with ExitStack() as stack:
        stack.callback(_free.release)
        parts = _file(history, wanted) if format == "parquet" else exports.lines(history, wanted, format)
        stack.enter_context(contextlib.closing(parts))
        try:
            first = await asyncio.to_thread(next, parts, b"")
        except HistoryError as error:
            raise Unavailable(f"The history cannot be read: {error}") from error
        headers = {"content-disposition": f'attachment; filename="{dataset}.{format}"'}
        return _Export(stack.pop_all(), first, parts, media_type=exports.MEDIA_TYPES[format], headers=headers)


class _Export(StreamingResponse):
    """What a generator that blocks yields, each part from a thread. In the end, also where the caller leaves before the first byte,
    it is closed with all that is ``held``."""

    def __init__(self, held: ExitStack, first: bytes, parts: Iterator[bytes], **more: Any) -> None:
        super().__init__(self._streamed(first, parts), **more)
        self._held = held
        self._running: asyncio.Future[bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _streamed(self, first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        part = first
        while part:
            yield part
            self._running = asyncio.ensure_future(asyncio.to_thread(next, parts, b""))
            part = await asyncio.shield(self._running)

    async def _close(self) -> None:
        if self._running is not None:
            await asyncio.wait(
                [self._running]
            )  # however it ends: a generator can be closed when its thread has left it
        await asyncio.to_thread(self._held.close)


def _file(history: History, wanted: exports.Export) -> Generator[bytes]:
    """The bytes of the export as one Parquet file."""
    with tempfile.TemporaryDirectory(prefix="tokenway-export-") as directory:
        path = Path(directory) / "export.parquet"
        exports.write_parquet(history, wanted, path)
        with path.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                yield part
