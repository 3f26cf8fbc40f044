"""The year's events as a gateway would have recorded them: ``YearEvent`` → ``gateway.analytics.event.Event``.

What only a gateway knows is added here: whether a request was drawn to be classified, and as which task; conversations; accounts.
Each draw is a hash of the request's id, so it is the same however often and in whatever order events are recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from gateway.analytics.event import (
    CANCELLED,
    ESTIMATED,
    FAILED,
    KEY_CHARS,
    OWN_KEY,
    SERVED,
    STREAMED,
    Event,
    Tried,
    app_of,
)
from gateway.catalog.catalog import Catalog
from gateway.cli.demo.year.events import DAY_MS, WEEK_MS, YearEvent

CLASSIFIED: Final = 0.25
"""The chance that a request is classified."""
PPM: Final = 1_000_000
_DRAWS: Final = 2**32
_SALT: Final = b"the synthetic year"

TASKS: Final[dict[str, dict[str, float]]] = {
    "programming": {
        "general_impl": 30, "debugging": 18, "file_read_write": 14, "frontend_ui": 10, "repo_scan": 7, "tool_dispatch": 6,
        "shell_execution": 5, "review_security": 4, "devops_config": 3, "sql_database": 3,
    },
    "roleplay": {"roleplay_fiction": 88, "conversational_reply": 12},
    "technology": {"qa_knowledge": 35, "devops": 20, "workflow_execution": 20, "extraction": 15, "multi_step_planning": 10},
    "marketing": {"content_writing": 70, "customer_support": 20, "classification_tagging": 10},
    "marketing/seo": {"content_writing": 75, "web_search": 15, "classification_tagging": 10},
    "science": {"research_report": 40, "qa_knowledge": 30, "math": 20, "summarization": 10},
    "translation": {"translation": 95, "transformation": 5},
    "legal": {"summarization": 40, "qa_knowledge": 35, "extraction": 25},
    "finance": {"finance_trading": 50, "extraction": 30, "qa_knowledge": 20},
    "health": {"qa_knowledge": 70, "conversational_reply": 30},
    "trivia": {"qa_knowledge": 80, "conversational_reply": 20},
    "academia": {"research_report": 45, "math": 30, "summarization": 25},
}  # fmt: skip
"""Category → weights of its tasks (assumptions: nothing is reported)."""
PROGRAMMING_LANGUAGES: Final = {
    "Python": 34, "TypeScript": 20, "JavaScript": 13, "Java": 7, "C#": 5, "Go": 5, "C++": 5, "Rust": 4, "PHP": 4, "SQL": 3,
}  # fmt: skip
"""Weights within programming (assumptions)."""


class Recorder:
    """Makes the events of one gateway. Slugs and endpoints are those of its catalogue, where it has them."""

    def __init__(self, catalog: Catalog, *, shift_weeks: int = 0, classified: float = CLASSIFIED) -> None:
        """``shift_weeks``: so much later than in the year. ``classified``: the chance, 0 to 1, that a request is classified."""
        self._shift_ms = shift_weeks * WEEK_MS
        self._ppm = round(classified * PPM)
        self._catalog = catalog
        self._ids: dict[tuple[str, str], str] = {}

    def record(self, events: Iterable[YearEvent]) -> Iterator[Event]:
        """One event for each, in the same order."""
        for each in events:
            yield self._event(each)

    def _event(self, each: YearEvent) -> Event:
        endpoint = self._endpoint(each.provider, each.model)
        app, app_name = _app(each.app)
        draws = _draws(each.id)
        is_classified = draws.sample * PPM < self._ppm * _DRAWS
        charged = each.fee_nano if each.byok else each.cost_nano + each.fee_nano
        flags = STREAMED * each.streamed | CANCELLED * (each.finish == "cancelled") | OWN_KEY * each.byok
        return Event(
            at_ms=each.ts_ms + self._shift_ms,
            endpoint=endpoint,
            org=_account(each.user),
            key=_key(each.key),
            user=_eight_bytes(each.user),
            app=app,
            app_name=app_name,
            finish="" if each.finish == "cancelled" else each.finish,
            flags=flags | ESTIMATED * (each.usage_source == "estimated"),
            ok=each.finish != "error",
            prompt=each.prompt,
            completion=each.completion,
            reasoning=each.reasoning,
            cache_read=each.cache_read,
            norm_prompt=each.prompt,
            norm_completion=each.completion,
            tools=each.tools_offered,
            ttft_ms=each.ttft_ms,
            total_ms=each.gen_ms,
            cost_nano=each.cost_nano,
            fee_nano=each.fee_nano,
            charged_nano=charged,
            tried=self._tried(each),
            session=_eight_bytes(f"{each.key} {each.model} {each.ts_ms // DAY_MS}") if each.app else b"",
            api="completions",
            calls=each.tool_calls,
            country=each.country,
            category=each.category if is_classified else "",
            task=_TASKS[each.category].at(draws.task) if is_classified else "",
            language=each.language if is_classified else "",
            programming=_LANGUAGES.at(draws.language) if is_classified and each.category == "programming" else "",
            sampled_ppm=self._ppm if is_classified else 0,
        )

    def _tried(self, each: YearEvent) -> tuple[Tried, ...]:
        return tuple(
            [
                Tried(self._endpoint(provider, each.model), SERVED if status == 200 else FAILED)
                for provider, status, _ in each.attempts
            ]
        )

    def _endpoint(self, provider: str, model: str) -> str:
        """The catalogue's id of the endpoint, else one of the same form."""
        found = self._ids.get((provider, model))
        if found is None:
            slug = self._catalog.attributes.of(model).slug
            sold = self._catalog.models[slug].endpoints if slug in self._catalog.models else ()
            upstream = slug.rpartition("/")[2]
            known = (each.id for each in sold if each.provider.slug == provider)
            found = self._ids[provider, model] = next(known, f"{provider}/{upstream}@{slug}")
        return found


class _Draws(NamedTuple):
    """Three numbers below ``_DRAWS``."""

    sample: int
    task: int
    language: int


def _draws(name: str) -> _Draws:
    digest = hashlib.blake2b(name.encode(), digest_size=12, key=_SALT).digest()
    whole = int.from_bytes(digest)
    return _Draws(whole >> 64, whole >> 32 & 0xFFFFFFFF, whole & 0xFFFFFFFF)


class _Weighted:
    """Names by weight."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._names: Sequence[str] = tuple(weights)
        self._limits = [part / sum(weights.values()) * _DRAWS for part in accumulate(weights.values())]

    def at(self, draw: int) -> str:
        """The name that a number below ``_DRAWS`` falls on."""
        return next(
            (name for name, limit in zip(self._names, self._limits, strict=True) if draw < limit), self._names[-1]
        )


_TASKS: Final = {category: _Weighted(weights) for category, weights in TASKS.items()}
_LANGUAGES: Final = _Weighted(PROGRAMMING_LANGUAGES)


@cache
def _account(user: str) -> str:
    """Every user is an account of its own, as at a hosted service."""
    return user.replace("user-", "account-")


@cache
def _app(address: str | None) -> tuple[str, str]:
    """(id, name): ``https://cli-agent.example`` calls itself ``Cli Agent``."""
    title = address.partition("//")[2].partition(".")[0].replace("-", " ").title() if address else None
    return app_of(address, title)


@cache
def _key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:KEY_CHARS]


def _eight_bytes(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8, key=_SALT).digest()
