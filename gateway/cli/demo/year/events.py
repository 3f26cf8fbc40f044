"""The synthetic year as events, one a request, in the order of time: metadata only, as a gateway would record them.

Within each week × model the tokens are those of the cube, scaled and rounded; everything else follows ``laws``. A model draws
from a generator of its own for each week.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate
from math import exp
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.categories import category_shares, group
from gateway.cli.demo.year.cube import Cube
from gateway.cli.demo.year.endpoints import FAILED_ATTEMPT, LATENCY_SIGMA, Endpoint, endpoints
from gateway.cli.demo.year.geography import (
    COUNTRIES,
    LANGUAGES,
    Choice,
    country_choices,
    language_choices,
    users_by_country,
)
from gateway.cli.demo.year.lengths import Lengths, RequestSize
from gateway.cli.demo.year.prices import prices
from gateway.cli.demo.year.targets import FIRST_WEEK, Model
from gateway.cli.demo.year.tools import tool_chances
from gateway.cli.demo.year.users import USERS, ModelUsers, User

DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
FIRST_MS: Final = int(datetime(FIRST_WEEK.year, FIRST_WEEK.month, FIRST_WEEK.day, tzinfo=UTC).timestamp()) * 1000
NANO_PER_TOKEN: Final = 1000
"""Nano-dollars a token of a model that costs one dollar a million."""
MAY_ACCOUNT: Final = User(0, COUNTRIES.index("US"))
KEYS_OF_A_USER: Final = 3
TOOLS_MAX, CALLS_MAX = 24, 4
FAILED_ATTEMPT_MAX_MS: Final = 800


class YearEvent(msgspec.Struct, frozen=True, gc=False):
    """One request. Tokens as the provider counts them, ``reasoning`` within ``completion``, ``cache_read`` within ``prompt``."""

    id: str
    ts_ms: int
    """Begin, unix milliseconds UTC."""
    model: str
    provider: str
    attempts: tuple[tuple[str, int, int], ...]
    """Provider, status, milliseconds; the last one served."""
    app: str | None
    user: str
    key: str
    country: str
    """Of the account, ISO 3166."""
    language: str
    category: str
    tag: str | None
    """A finer label within some categories."""
    prompt: int
    completion: int
    reasoning: int
    cache_read: int
    usage_source: str
    """``reported`` by the provider, or ``estimated`` because it reported none."""
    tools_offered: int
    tool_calls: int
    finish: str
    """stop, length, tool_calls, content_filter, error or cancelled."""
    status: int
    streamed: bool
    byok: bool
    """Paid by the caller to the provider: left out of effective prices."""
    ttft_ms: int
    gen_ms: int
    """From sending the request to its end."""
    cost_nano: int
    """The provider's price, in nano-dollars."""
    fee_nano: int


def events(cube: Cube, scale: float, seed: int) -> Iterator[YearEvent]:
    """The events of the whole cube, ``scale`` × its tokens. Raises ``ValueError`` unless 0 < scale <= 1."""
    for week in weeks(cube, scale, seed):
        yield from week


def weeks(cube: Cube, scale: float, seed: int) -> Iterator[list[YearEvent]]:
    """The same, week by week."""
    if not 0 < scale <= 1:
        raise ValueError(f"scale is {scale}; it must be above 0 and at most 1")
    shares = category_shares(cube)
    usd = prices(cube, shares)
    blocks, languages = users_by_country(USERS), language_choices()
    makers = [
        _ModelEvents(model, price, ModelUsers(model.slug, blocks), languages, seed)
        for model, price in zip(cube.models, usd, strict=True)
    ]
    for number, week in enumerate(cube.weeks):
        cheap, dear = country_choices(cube, usd, number)
        tools = tool_chances(cube, number)
        lengths = Lengths(week)
        found: list[YearEvent] = []
        for m, maker in enumerate(makers):
            tokens = round(cube.tokens[number][m] * scale)
            if tokens:
                countries = dear if usd[m] >= laws.PREMIUM_USD else cheap
                found += maker.week(week, tokens, _WeekLaws(lengths, shares[number][maker.group], countries, tools[m]))
        found.sort(key=attrgetter("ts_ms"))
        yield found


class _WeekLaws(NamedTuple):
    """What holds for one model in one week."""

    lengths: Lengths
    categories: Sequence[float]
    countries: Choice
    tool_chance: float


class _ModelEvents:
    """Makes the events of one model, week by week."""

    def __init__(self, model: Model, usd: float, users: ModelUsers, languages: Sequence[Choice], seed: int) -> None:
        self.group = group(model)
        self._model = model
        self._nano = usd * NANO_PER_TOKEN
        self._users = users
        self._languages = languages
        self._seed = seed
        self._endpoints, self._choose = endpoints(model, seed)
        self._open_tokens = [0.0] * len(laws.CATEGORIES)
        self._tool_tokens = self._may_tokens = 0.0

    def week(self, week: date, tokens: int, laws_of_week: _WeekLaws) -> list[YearEvent]:
        """Events with exactly these tokens, in the order of time."""
        rng = random.Random(f"{self._seed}/events/{week}/{self._model.slug}")
        for n, share in enumerate(laws_of_week.categories):
            self._open_tokens[n] += share * tokens
        sizes = laws_of_week.lengths.divide(tokens, self._open_tokens, rng)
        begin = FIRST_MS + (week - FIRST_WEEK).days * DAY_MS
        times = sorted(begin + int(rng.random() * WEEK_MS) for _ in sizes)
        name = f"gen-year-{week}-{self._model.slug}-"
        return [
            self._event(f"{name}{n}", ts_ms, size, laws_of_week, rng)
            for n, (ts_ms, size) in enumerate(zip(times, sizes, strict=True))
        ]

    def _event(self, name: str, ts_ms: int, size: RequestSize, week: _WeekLaws, rng: random.Random) -> YearEvent:
        category, prompt, completion = size
        day = (ts_ms - FIRST_MS) // DAY_MS
        may_account, calls_tools = self._tools(prompt + completion, day, week.tool_chance, rng)
        user = MAY_ACCOUNT if may_account else self._users.pick(_month(day), week.countries, rng)
        user_name, keys = _names(user.number)
        app, app_number, cache_rate = _app(category, rng)
        finish = "tool_calls" if calls_tools else _FINISHES[bisect(_FINISH_SUMS, rng.random())]
        with_tools = calls_tools or rng.random() < week.tool_chance * (laws.TOOLS_OFFERED_FACTOR - 1)
        endpoint, failed = self._serve(ts_ms - FIRST_MS, rng)
        ttft_ms, gen_ms = _latency(endpoint, completion, rng)
        cost = round((prompt + completion) * self._nano)
        byok = rng.random() < laws.BYOK
        tags = _TAGS[category]
        return YearEvent(
            id=name,
            ts_ms=ts_ms,
            model=self._model.slug,
            provider=endpoint.provider,
            attempts=(*failed, (endpoint.provider, 200, gen_ms)),
            app=app,
            user=user_name,
            key=keys[app_number % KEYS_OF_A_USER],
            country=COUNTRIES[user.country],
            language=LANGUAGES[self._languages[user.country](rng)],
            category=laws.CATEGORIES[category],
            tag=tags.names[tags.choose(rng)] if tags else None,
            prompt=prompt,
            completion=completion,
            reasoning=self._reasoning(completion, rng),
            cache_read=int(prompt * laws.CACHED_PART) if rng.random() < cache_rate / laws.CACHED_PART else 0,
            usage_source="estimated" if rng.random() < laws.USAGE_MISSING else "reported",
            tools_offered=1 + int(rng.random() * TOOLS_MAX) if with_tools else 0,
            tool_calls=1 + int(rng.random() ** 3 * CALLS_MAX) if calls_tools else 0,
            finish=finish,
            status=200,
            streamed=rng.random() < laws.STREAMED,
            byok=byok,
            ttft_ms=ttft_ms,
            gen_ms=gen_ms,
            cost_nano=cost,
            fee_nano=0 if byok else round(cost * laws.FEE_PERCENT / 100),
        )

    def _tools(self, tokens: int, day: int, chance: float, rng: random.Random) -> tuple[bool, bool]:
        """Whether the account of May sent this request, and whether it calls tools.

        Both shares are shares of tokens: what is due adds up, and a request may take it when it is about as much as its tokens.
        """
        if day in _MAY_DAYS:
            self._may_tokens += laws.MAY_ACCOUNT_SHARE * tokens
            if self._may_tokens > tokens * rng.random():
                self._may_tokens -= tokens
                return True, True
        self._tool_tokens += chance * tokens
        if self._tool_tokens > tokens * rng.random():
            self._tool_tokens -= tokens
            return False, True
        return False, False

    def _reasoning(self, completion: int, rng: random.Random) -> int:
        if not self._model.reasoning or rng.random() >= laws.REASONED:
            return 0
        return int(completion * (0.2 + 0.5 * rng.random()))

    def _serve(self, offset_ms: int, rng: random.Random) -> tuple[Endpoint, tuple[tuple[str, int, int], ...]]:
        """The endpoint that serves, and the attempts that failed before it: in an outage, and now and then without one."""
        endpoint = self._endpoints[self._choose(rng)]
        if rng.random() >= FAILED_ATTEMPT and not endpoint.is_down(offset_ms):
            return endpoint, ()
        failed = (endpoint.provider, 503, 1 + int(rng.random() * FAILED_ATTEMPT_MAX_MS))
        others = [each for each in self._endpoints if each is not endpoint]
        return next((each for each in others if not each.is_down(offset_ms)), others[0]), (failed,)


class _Tags(NamedTuple):
    names: tuple[str, ...]
    choose: Choice


class _Apps(NamedTuple):
    choose: Choice
    apps: tuple[tuple[str | None, int, float], ...]


def _app(category: int, rng: random.Random) -> tuple[str | None, int, float]:
    """Address, number and cache hit rate of the app that a request comes from; address None: not known."""
    apps = _APPS[category]
    return apps.apps[apps.choose(rng)]


def _apps_of(category: str) -> _Apps:
    purposes = {purpose for _, purpose, _, _ in laws.APPS}
    wanted = category if category in purposes else ""
    found = [(app, share, rate) for app, purpose, share, rate in laws.APPS if purpose == wanted]
    unknown = 1 - sum(share for _, share, _ in found)
    apps = [(app, n, rate) for n, (app, _, rate) in enumerate(found)]
    return _Apps(
        Choice([*(share for _, share, _ in found), unknown]), (*apps, (None, len(apps), laws.UNKNOWN_APP_CACHE))
    )


def _tags_of(category: str) -> _Tags | None:
    rows = laws.TAGS.get(category)
    return _Tags(tuple(name for name, _ in rows), Choice([share for _, share in rows])) if rows else None


_APPS: Final = tuple(map(_apps_of, laws.CATEGORIES))
_TAGS: Final = tuple(map(_tags_of, laws.CATEGORIES))
_MAY_DAYS: Final = frozenset(
    (date.fromisoformat(week) - FIRST_WEEK).days + n for week in laws.MAY_ACCOUNT_WEEKS for n in range(7)
)


_FINISHES: Final = ("cancelled", "length", "error", "content_filter", "stop")
_FINISH_SUMS: Final = tuple(accumulate((laws.CANCELLED, laws.LENGTH_FINISH, laws.ERROR_FINISH, laws.FILTER_FINISH)))


def _latency(endpoint: Endpoint, completion: int, rng: random.Random) -> tuple[int, int]:
    """Milliseconds to the first content, and to the end."""
    first = int(endpoint.first_content_ms * exp(LATENCY_SIGMA * rng.gauss(0.0, 1.0)))
    return first, first + int(1000 * completion / endpoint.tokens_per_s * (0.7 + 0.6 * rng.random()))


@cache
def _names(user: int) -> tuple[str, tuple[str, ...]]:
    """The user, and the keys of the user: one or more apps have each."""
    return f"user-{user:05d}", tuple(f"key-{user:05d}-{n}" for n in range(KEYS_OF_A_USER))


@cache
def _month(day: int) -> str:
    """``yyyy-mm`` of a day counted from the first week."""
    return (FIRST_WEEK + timedelta(days=day)).isoformat()[:7]
