"""What anybody may look at: who is asking and how often, which days, and answers that are made once for all.

The management key sees everything, fresh. Everybody else gets the figures in which no single account can be recognised, the same
for all of them, so one answer serves them for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response

from gateway.analytics import buckets
from gateway.api.management.auth import DocumentedBearer, identify, presented_key, services_of
from gateway.errors import BadRequest, NotFound, TooManyRequests
from gateway.server.answer_cache import Answer, AnswerCache, conditional, digest
from gateway.server.caller_limit import CallerLimit, of_address
from gateway.server.shared_answers import SharedAnswers
from gateway.services import Services

PUBLIC_CACHE, PRIVATE_CACHE = "public, max-age=60, stale-while-revalidate=300", "private, max-age=60"
PER_MINUTE = 30
"""Requests of a caller, that is of a key, or of an address without one."""
VIEWS_KEPT_S, VIEWS_STALE_S, LISTS_KEPT_S = 60.0, 240.0, 5.0
"""A view is sent while it is made anew for as long as ``PUBLIC_CACHE`` lets others do so."""
QUERY_MAX = 500
"""Characters of a query that are worth keeping its answer for."""
MAX_DAYS = 366
"""Longest span of a dataset, and of a chart of days."""


class PublicAnswers:
    """One per application: the answers that are kept, and how often callers have asked."""

    def __init__(self) -> None:
        self.views = AnswerCache(VIEWS_KEPT_S, stale_s=VIEWS_STALE_S)
        """Of analytics."""
        self.lists = AnswerCache(LISTS_KEPT_S)
        """Of the catalogue, which prices and health change."""
        self.limit = CallerLimit(PER_MINUTE)


def public_answers(request: Request) -> PublicAnswers:
    """Those of this application."""
    found: PublicAnswers = request.app.state.public_answers
    return found


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the figures, and at what of this gateway."""

    request: Request
    services: Services
    least_users: int | None
    """Users that a figure needs to be shown; None for the management key, which sees everything."""

    @property
    def public(self) -> bool:
        """Whether the answer is one that needs no key."""
        return self.least_users is not None and self.services.settings.public_rankings

    async def kept(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, the same for a minute for everybody but the operator. Raises what ``make`` raises, Unavailable when too many
        wait."""
        if self.least_users is None:
            return await make()
        views, shared = public_answers(self.request).views, SharedAnswers(self.services, "view")
        return await views.get((self.request.url.path, key), make, shared)

    def send(self, answer: Answer, media_type: str = "application/json") -> Response:
        """The answer, or 304, with what caches may do with it."""
        headers = {"cache-control": PUBLIC_CACHE if self.public else PRIVATE_CACHE, "content-type": media_type}
        return conditional(
            self.request, answer, headers if self.public else {**headers, "vary": "authorization, x-api-key"}
        )

    async def answer(self, wanted: Hashable, make: Callable[[], Awaitable[Mapping[str, Any]]]) -> Response:
        """The content that ``make`` returns as JSON. ``wanted``: the parameters that it depends on."""

        async def made() -> Answer:
            return json_answer(await make())

        return self.send(await self.kept(wanted, made))


async def viewer(request: Request, _: DocumentedBearer) -> Viewer:
    """Raises NotFound when nothing is counted, Unauthorized without a key where one is needed, TooManyRequests."""
    services = services_of(request)
    if services.analytics is None:
        raise NotFound("Analytics is switched off on this gateway (GATEWAY_ANALYTICS).")
    if services.settings.public_rankings and presented_key(request) is None:
        limit_caller(request, "address " + of_address(request.client.host if request.client else None))
    else:
        policy = await identify(request)
        if policy is None:
            return Viewer(request, services, None)
        limit_caller(request, "key " + policy.key_hash)
    return Viewer(request, services, services.settings.rankings_min_users)


def limit_caller(request: Request, caller: str) -> None:
    """Count a request of this caller. Raises TooManyRequests, which says when to come back."""
    wait_s = public_answers(request).limit.wait_s(caller)
    if wait_s:
        raise TooManyRequests(
            f"At most {PER_MINUTE} requests a minute for rankings, charts and queries of use; try again later.",
            retry_after_s=wait_s,
        )


ByViewer = Annotated[Viewer, Depends(viewer)]


async def public_answer(request: Request, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
    """A list of the catalogue. Anybody may ask for it in any of its forms, so without a key it is kept for seconds and made one at
    a time; with a key, which was checked before, it is made at once.

    Raises what ``make`` raises, Unavailable when too many wait.
    """
    if presented_key(request) is not None:
        return await make()
    return await public_answers(request).lists.get(key if len(request.url.query) <= QUERY_MAX else None, make)


def json_answer(content: Mapping[str, Any]) -> Answer:
    """JSON; its tag does not depend on when it was made, which ``meta.as_of`` says."""
    body = msgspec.json.encode(content)
    meta = content.get("meta")
    if isinstance(meta, Mapping) and "as_of" in meta:
        content = {**content, "meta": {name: value for name, value in meta.items() if name != "as_of"}}
    return Answer(body, f'W/"{digest(msgspec.json.encode(content))}"')


def days(start: date | None, end: date | None, *, length: int, most: int) -> tuple[int, int]:
    """The first and the last day; ``length`` days up to ``end`` without a ``start``. Raises BadRequest naming the parameter."""
    last = buckets.day_of(end) if end is not None else buckets.today(time.time())
    first = buckets.day_of(start) if start is not None else last - length + 1
    if first < 0 or last < 0:
        field = "start_date" if start is not None else "end_date"
        raise BadRequest(f"{field}: nothing was counted before 1970.", field=field)
    if last > buckets.today(time.time()) + 1:  # somewhere tomorrow has begun
        raise BadRequest("end_date: is in the future.", field="end_date")
    if first > last:
        raise BadRequest("start_date is after end_date; swap them.", field="start_date")
    if last - first + 1 > most:
        raise BadRequest(f"start_date: at most {most} days at once, end_date included.", field="start_date")
    return first, last


def meta_of(first: int, last: int) -> dict[str, Any]:
    """What every answer says about itself: when it was made, and the days that it is about."""
    return {
        "version": "v1",
        "as_of": buckets.iso_time(time.time()),
        "start_date": buckets.iso_day(first),
        "end_date": buckets.iso_day(last),
    }
