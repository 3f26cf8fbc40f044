"""``GET /export``: the history of analytics as CSV, lines of JSON or Parquet, for the management key; streamed."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from gateway.analytics.buckets import day_of
from gateway.analytics.history import export as exports
from gateway.analytics.history.locations import history_of
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.source import History
from gateway.api.management.auth import ServicesDep
from gateway.errors import BadRequest, NotFound, Unavailable

router = APIRouter(tags=["Rankings"])

CHUNK_BYTES = 262_144


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
        if not await asyncio.to_thread(history.exists):
            raise NotFound("There is no history of analytics on this gateway (GATEWAY_ANALYTICS, GATEWAY_HISTORY).")
        parts = _file(history, wanted) if format == "parquet" else exports.lines(history, wanted, format)
        first = await asyncio.to_thread(next, parts, b"")
    except HistoryError as error:
        raise Unavailable(f"The history cannot be read: {error}") from error
    headers = {"content-disposition": f'attachment; filename="{dataset}.{format}"'}
    return StreamingResponse(_streamed(first, parts), media_type=exports.MEDIA_TYPES[format], headers=headers)


def _file(history: History, wanted: exports.Export) -> Iterator[bytes]:
    """The bytes of the export as one Parquet file."""
    with tempfile.TemporaryDirectory(prefix="tokenway-export-") as directory:
        path = Path(directory) / "export.parquet"
        exports.write_parquet(history, wanted, path)
        with path.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                yield part


async def _streamed(first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What a generator that blocks yields, each part from a thread. It is closed in the end, also when the caller left."""
    running = None
    try:
        part = first
        while part:
            yield part
            running = asyncio.ensure_future(asyncio.to_thread(next, parts, b""))
            part = await asyncio.shield(running)
    finally:
        if running is not None and not running.done():
            with contextlib.suppress(HistoryError):
                await running
        await asyncio.to_thread(parts.close)  # type: ignore[attr-defined]
