"""The contract of a dialect, on one page.

A dialect is a pure translation (four methods, no I/O) plus two verbs that every dialect inherits: ``complete`` for a JSON
answer and ``stream`` for events. A non-streaming request is a non-streaming vendor call: nothing is re-assembled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from providers._http import Upstream
from providers.errors import ProviderError, failed
from providers.stream import Stream, refusal
from providers.types import Clocks, Completion, Event, HttpRequest, HttpResponse, Json, Target

__all__ = ["Decoder", "Dialect", "Stream"]


class Decoder(Protocol):
    """Bytes of one stream to events; pure, one per stream."""

    @property
    def done(self) -> bool:
        """The dialect's own end mark was seen: nothing after it counts."""

    @property
    def error(self) -> ProviderError | None:
        """An error that came behind the events just returned; it ends the stream."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes. Raises ``ProviderError``: malformed, or the error a vendor sent as an event."""

    def close(self) -> list[Event]:
        """What was still open at the end of the body. Raises ``ProviderError``: cut, or empty when nothing ever came."""


class Dialect(ABC):
    """One wire format of vendors. Stateless: one instance serves every endpoint."""

    name: ClassVar[str]

    @abstractmethod
    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        """The vendor's request for ``body`` (inner language). Pure; ``body`` is not changed."""

    @abstractmethod
    def completion(self, raw: bytes) -> Completion:
        """A whole answer. Raises ``ProviderError`` for a 200 that carries an error, malformed for anything unreadable."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """A fresh decoder for one stream."""

    @abstractmethod
    def failure(self, response: HttpResponse) -> ProviderError:
        """What a non-2xx answer means."""

    async def complete(self, upstream: Upstream, target: Target, body: Json, clocks: Clocks) -> Completion:
        """One JSON answer. Clocks: connect, total. Raises ``ProviderError``."""
        response = await upstream.send(self.request(target, body, stream=False), clocks)
        if response.status != 200:
            raise self.failure(response)
        return self.completion(response.content)

    async def stream(self, upstream: Upstream, target: Target, body: Json, clocks: Clocks) -> Stream:
        """One streamed answer, opened: the vendor said 200. All four clocks. Raises ``ProviderError``."""
        http = await upstream.open(self.request(target, body, stream=True), clocks)
        if http.status != 200:
            raise self.failure(await refusal(http))
        if http.headers.get("content-type", "").startswith("application/json"):
            self.completion((await refusal(http)).content)  # raises the error that the document most likely is
            raise failed("malformed", "asked for a stream, the vendor answered with one JSON document", status=200)
        return Stream(http, self.decoder(), clocks)
