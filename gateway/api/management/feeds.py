"""Feeds (RSS 2.0): new models of the catalogue, and models that are among the nine largest of a week for the first time.

Texts come from the catalogue and from callers, so they are cleaned of what XML cannot hold, and escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Request, Response

from gateway.analytics import discovery
from gateway.api.management.public_views import ByViewer
from gateway.catalog.selection import Row
from gateway.server.answer_cache import Answer, digest

router = APIRouter(tags=["Rankings"])

TOP, WEEKS = 9, 53
ITEMS_MAX = 50
MEDIA_TYPE = "application/rss+xml; charset=utf-8"
AS_FEED: dict[int | str, dict[str, Any]] = {200: {"content": {"application/rss+xml": {}}}}
"""``responses=`` of a route that may answer with a feed."""
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Item(NamedTuple):
    """One entry. ``id``: the same as long as the entry means the same; readers show an entry once."""

    id: str
    title: str
    description: str
    path: str
    day: datetime


def feed(request: Request, title: str, description: str, items: Iterable[Item]) -> Answer:
    """The document; its links lead to where this client reached the gateway."""
    base = base_url(request)
    address = base + request.url.path + (f"?{request.url.query}" if request.url.query else "")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>',
        f"<title>{_text(title)}</title><link>{_text(base)}/</link><description>{_text(description)}</description>",
        f'<atom:link href={quoteattr(_NO_XML.sub("", address))} rel="self" type="application/rss+xml"/>',
    ]
    for each in items:
        lines.append(
            f"<item><title>{_text(each.title)}</title><link>{_text(base + each.path)}</link>"
            f'<guid isPermaLink="false">{_text(each.id)}</guid><pubDate>{format_datetime(each.day, usegmt=True)}</pubDate>'
            f"<description>{_text(each.description)}</description></item>"
        )
    body = "\n".join([*lines, "</channel></rss>", ""]).encode(errors="replace")
    return Answer(body, f'"{digest(body)}"')


def _text(text: str) -> str:
    return escape(_NO_XML.sub("", text))


def base_url(request: Request) -> str:
    """How this client reached the gateway. A host that is none is replaced: kept answers are shown to others."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if _HOST.fullmatch(host) else "http://localhost:8080"


def model_path(slug: str) -> str:
    """The page of a model."""
    return f"/models/{quote(slug, safe='/:~@.')}"


def new_models(request: Request, rows: Iterable[Row], describe: Callable[[Row], str]) -> Answer:
    """The newest of these models first."""
    newest = sorted(rows, key=lambda row: (-row.model.created.toordinal(), row.model.slug))[:ITEMS_MAX]
    items = [
        Item(
            f"model:{row.model.slug}",
            row.model.name,
            describe(row),
            model_path(row.model.slug),
            datetime(row.model.created.year, row.model.created.month, row.model.created.day, tzinfo=UTC),
        )
        for row in newest
    ]
    return feed(request, "New models", "Models that can be called here, the newest first.", items)


@router.get(
    "/rankings.rss",
    response_class=Response,
    responses=AS_FEED,
    summary="Feed of models new in the top nine",
)
async def get_rankings_feed(viewer: ByViewer) -> Response:
    """Models that are among the nine with the most tokens of a complete week for the first time in a year."""

    async def made() -> Answer:
        found = await discovery.first_in_top(
            viewer.services.store, viewer.least_users, time.time(), top=TOP, weeks=WEEKS
        )
        models = viewer.services.catalog.current.models
        items = []
        for each in found[:ITEMS_MAX]:
            name = models[each.model].name if each.model in models else each.model
            items.append(
                Item(
                    f"top{TOP}:{each.monday}:{each.model}",
                    f"{name} is number {each.rank} of the week",
                    f"{each.model}: {each.tokens:,} tokens in the week from {each.monday}, for the first time in the top {TOP}.",
                    model_path(each.model),
                    datetime.fromisoformat(each.monday).replace(tzinfo=UTC),
                )
            )
        return feed(
            viewer.request, "New in the top nine", "Models that enter the nine with the most tokens of a week.", items
        )

    return viewer.send(await viewer.kept(base_url(viewer.request), made), MEDIA_TYPE)
