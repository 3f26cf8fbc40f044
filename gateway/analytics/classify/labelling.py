"""``Labelling``: from a measured generation to its event, with what the organisation lets be said about it.

    off       counted, nothing more                                     emitted at once
    declared  the category that the app, the key or the organisation names   emitted at once
    local     a sample waits for the classifier                         emitted with its labels, the others at once

A request that is chosen is read at the event loop's next turn, when its answer has been handed over, and only an excerpt of bounded
length waits. The classifier runs on a thread of its own and rests nineteen times as long as it works. It must not know: HTTP, how
events are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from gateway.accounts import OrganizationAnalytics
from gateway.analytics.classify import taxonomy, vectors
from gateway.analytics.classify.excerpt import Excerpt, excerpt
from gateway.analytics.classify.sampling import Sampler
from gateway.analytics.event import Labels, Measured

WAITING_MAX = 256
"""Excerpts that wait in a process, 2 MB at most. A request that finds no room is counted as chosen, but unclassified."""
REST = 19
"""Times the classifier's own time that it rests: it takes a twentieth of a core at most."""

log = structlog.get_logger(__name__)


class Found(Protocol):
    """What a classifier says."""

    @property
    def category(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def programming(self) -> str: ...


class Classifies(Protocol):
    """A classifier."""

    def classify(self, excerpt: Excerpt) -> Found: ...


def load() -> Classifies:
    """The shipped classifier: a second of CPU, 120 MB. Raises NotInstalled."""
    module = import_module("gateway.analytics.classify.classifier")  # it imports numpy, which only the extra brings
    classifier: Classifies = module.Classifier(taxonomy.shipped(), vectors.load())
    return classifier


class Labelling:
    """One per gateway process; its event loop owns it."""

    def __init__(
        self,
        emit: Callable[[Measured], None],
        settings: Callable[[], Mapping[str, OrganizationAnalytics]],
        sampler: Sampler,
        *,
        on_dropped: Callable[[int], object] = lambda count: None,
        load: Callable[[], Classifies] = load,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._emit, self._settings, self._sampler, self._on_dropped = emit, settings, sampler, on_dropped
        self._load, self._waiting_max = load, waiting_max
        self._waiting: deque[tuple[Measured, Excerpt]] = deque()
        self._classifier: Classifies | None = None
        self._usable = True
        self._thread: ThreadPoolExecutor | None = None

    @property
    def waiting(self) -> int:
        """Excerpts that wait for the classifier."""
        return len(self._waiting)

    def emit(self, measured: Measured, by_app: str | None, by_key: str | None, body: Mapping[str, Any] | None) -> None:
        """Emit the event of a generation that has ended, at once or when it is classified.

        ``by_app``: ``X-OpenRouter-Categories`` as it was sent; ``by_key``: the category of the API key; ``body``: a request in the
        inner language, None for other operations than chat.
        """
        settings = self._settings().get(measured.record.organization)
        if settings is None:
            self._emit(measured)
            return
        country = settings.country or ""
        if settings.categories == "declared":
            named = taxonomy.category_of(taxonomy.declared(by_app)) if by_app else ""
            category = named or by_key or settings.category or ""
            self._emit(_labelled(measured, country, category))
            return
        if settings.categories == "local" and body is not None and self._usable:
            ppm = self._sampler.chance(measured.record.organization, settings.sample)
            if ppm and self._sampler.chosen(measured.record.id, ppm):
                measured = replace(measured, labels=Labels(country, sampled_ppm=ppm))
                asyncio.get_running_loop().call_soon(self._read, measured, body)
                return
        self._emit(_labelled(measured, country))

    def _read(self, measured: Measured, body: Mapping[str, Any]) -> None:
        """Queue the excerpt of a request; from here on nothing refers to its body."""
        found = excerpt(body)
        if found is None or len(self._waiting) >= self._waiting_max:
            if found is not None:
                self._on_dropped(1)
            self._emit(measured)
        else:
            self._waiting.append((measured, found))

    async def step(self) -> None:
        """Classify what waits. One task calls it several times a second."""
        while self._waiting:
            if self._classifier is None and not await self._loaded():
                self.give_up()
                return
            measured, found = self._waiting.popleft()
            try:
                measured, seconds = await asyncio.shield(self._run(self._classified, measured, found))
            finally:
                self._emit(measured)
            await asyncio.sleep(seconds * REST)

    async def share(self) -> None:
        """Adapt the chances to the traffic of all processes. Another task calls it every some seconds. Raises StoreError."""
        await self._sampler.share()

    def _classified(self, measured: Measured, found: Excerpt) -> tuple[Measured, float]:
        """On the thread: the generation with its labels, and how long it took."""
        since = time.thread_time()
        assert self._classifier is not None
        said = self._classifier.classify(found)
        labels = measured.labels._replace(
            category=said.category, task=said.task, language=said.language, programming=said.programming
        )
        return replace(measured, labels=labels), time.thread_time() - since

    async def _loaded(self) -> bool:
        """Load the classifier; False when it cannot be: from then on nothing is chosen any more."""
        try:
            self._classifier = await self._run(self._load)
        except vectors.NotInstalled as error:
            self._usable = False
            log.error("requests cannot be classified here", error=str(error))
        return self._classifier is not None

    def _run(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="classifier")
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def give_up(self) -> None:
        """Emit what waits without labels. Called when the process stops, or cannot classify."""
        self._on_dropped(len(self._waiting))
        while self._waiting:
            self._emit(self._waiting.popleft()[0])

    def close(self) -> None:
        """The same, and stop the thread."""
        self.give_up()
        if self._thread is not None:
            self._thread.shutdown(wait=False)


def _labelled(measured: Measured, country: str, category: str = "") -> Measured:
    return replace(measured, labels=_stated(country, category)) if country or category else measured


@lru_cache(maxsize=1024)
def _stated(country: str, category: str) -> Labels:
    return Labels(country, category)
