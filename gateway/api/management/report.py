"""``GET /report``: the report on the state of AI as it was last made. Nothing is made here: that may take minutes."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from gateway.analytics.report import document
from gateway.api.management.auth import ServicesDep
from gateway.errors import BadRequest, NotFound

router = APIRouter(tags=["Rankings"])

MEDIA_TYPES = {"json": "application/json", "md": "text/markdown; charset=utf-8", "html": "text/html; charset=utf-8"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The HTML brings its style with it, and nothing else."""


@router.get(
    "/report",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "text/markdown": {}, "text/html": {}}}},
    summary="Get the report on the state of AI",
)
async def get_report(
    services: ServicesDep,
    year: Annotated[int | None, Query(ge=1970, le=9998, description="The newest report when left out.")] = None,
    start_date: Annotated[date | None, Query(description="With `end_date`: of a report on these days.")] = None,
    end_date: Annotated[date | None, Query(description="Last day, UTC.")] = None,
    format: Annotated[
        Literal["json", "md", "html"], Query(description="JSON, Markdown, or one page of HTML.")
    ] = "json",
) -> Response:
    """38 figures, each with its definition, numbers and a text made of them. The report is the file that
    `tokenway analytics report` made last; 404 says how to make it.
    """
    name = _name(year, start_date, end_date)
    body = await asyncio.to_thread(_read, services.settings.data_dir, name, format)
    if body is None:
        wanted = f"of {name} " if name else ""
        raise NotFound(
            f"No report {wanted}has been made here: run `tokenway analytics report {_options(year, start_date, end_date)}`."
        )
    headers = {"cache-control": "private, max-age=60", "x-content-type-options": "nosniff"}
    if format == "html":
        headers["content-security-policy"] = POLICY
    return Response(body, media_type=MEDIA_TYPES[format], headers=headers)


def _name(year: int | None, start: date | None, end: date | None) -> str | None:
    """The name of the report that is meant; None: the newest. Raises BadRequest."""
    if (start is None) != (end is None):
        missing = "end_date" if end is None else "start_date"
        raise BadRequest(f"{missing}: is needed beside the other day; or name a year.", field=missing)
    if start is not None and year is not None:
        raise BadRequest("year: leave it out where start_date and end_date are given.", field="year")
    if start is not None and end is not None:
        if start > end:
            raise BadRequest("start_date is after end_date; swap them.", field="start_date")
        return document.name_of_days(start, end)
    return str(year) if year is not None else None


def _options(year: int | None, start: date | None, end: date | None) -> str:
    return f"--start-date {start} --end-date {end}" if start is not None else f"--year {year or 'YYYY'}"


def _read(data_dir: Path, name: str | None, format: str) -> bytes | None:
    if name is None:
        name = next(iter(document.names(data_dir)), None)
    try:
        return document.file_of(data_dir, name, format).read_bytes() if name is not None else None
    except FileNotFoundError:
        return None
