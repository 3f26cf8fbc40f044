"""Paging of ``GET /models``, and the filters it has no data for. What is listed and in which order: ``catalog/selection.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request

from gateway.api.management.catalog_views import anthropic_model_view
from gateway.catalog.model import Model
from gateway.catalog.selection import Listing, Row, listed_price
from gateway.errors import BadRequest

UNSUPPORTED_FILTERS = frozenset(
    {"category"}
    | {f"{bound}_{name}" for bound in ("min", "max") for name in ("intelligence_index", "coding_index")}
    | {f"{bound}_{name}" for bound in ("min", "max") for name in ("agentic_index", "tool_success_rate")}
)
"""Filters of the hosted service that need data this gateway does not have. To ignore one would give a wrong answer."""

DEFAULT_PAGE_SIZE = 500
ANTHROPIC_PAGE_SIZE = 20


async def refuse_unsupported_filters(request: Request) -> None:
    """Raises BadRequest for a filter that the hosted service has and this gateway has no data for."""
    for name in request.query_params:
        if name in UNSUPPORTED_FILTERS:
            raise BadRequest(f"This gateway has no data for the filter {name!r}; leave it out.", field=name)


def page(
    found: Sequence[Row], listing: Listing, path: str, query: Iterable[tuple[str, str]]
) -> tuple[list[Row], str | None]:
    """The requested page and the link of the next one, None at the end."""
    if listing.offset is None and listing.limit is None:
        return list(found), None
    offset, limit = listing.offset or 0, listing.limit or DEFAULT_PAGE_SIZE
    end = offset + limit
    kept = [(name, value) for name, value in query if name not in ("offset", "limit")]
    link = f"{path}?{urlencode([*kept, ('offset', end), ('limit', limit)])}" if end < len(found) else None
    return list(found[offset:end]), link


def anthropic_page(models: Iterable[Model], query: Mapping[str, str], now: float) -> dict[str, Any]:
    """Anthropic's ``GET /v1/models``: newest first; ``limit`` 1-1000 (default 20), ``after_id``, ``before_id``.

    Source: anthropic 2.12, ``resources/models.py``, 2026-11. Raises BadRequest for a ``limit`` that is none.
    """
    found = sorted(
        (model for model in models if "text" in model.output_modalities and listed_price(model, now) is not None),
        key=lambda model: (-model.created.toordinal(), model.slug),
    )
    given = query.get("limit", str(ANTHROPIC_PAGE_SIZE))
    limit = int(given) if given.isascii() and given.isdecimal() and len(given) < 5 else 0
    if not 1 <= limit <= 1_000:
        raise BadRequest("limit must be a number from 1 to 1000.", field="limit")
    places = {model.slug: place for place, model in enumerate(found)}
    if before := query.get("before_id"):
        end = places.get(before, len(found))
        start = max(0, end - limit)
        shown, more = found[start:end], start > 0
    else:
        start = places.get(query.get("after_id", ""), -1) + 1
        shown, more = found[start : start + limit], start + limit < len(found)
    data = [anthropic_model_view(model) for model in shown]
    ids = [row["id"] for row in data] or [None]
    return {"data": data, "has_more": more, "first_id": ids[0], "last_id": ids[-1]}
