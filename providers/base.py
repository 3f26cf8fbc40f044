"""The contract of a dialect, on one page.

A dialect is a pure translation (no I/O) plus two verbs that every dialect inherits: ``complete`` for a whole answer and
``stream`` for events. A non-streaming request is a non-streaming vendor call: nothing is re-assembled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from providers.errors import ProviderError, failed
from providers.transport.client import Upstream
from providers.transport.stream import Decoder, EventSink, Stream, refusal
from providers.types import Call, Clocks, Completion, HttpRequest, HttpResponse, NativeRequest, Target

__all__ = ["Decoder", "Dialect", "EventSink", "Stream"]


class Dialect(ABC):
    """One operation of one wire format of vendors. Stateless: one instance serves every endpoint."""

    name: ClassVar[str]
    operation: ClassVar[str] = "chat"
    """``chat``, ``embeddings``, ``rerank``, ``images``, ``speech``, ``transcription``, ``count_tokens``."""
    api_format: ClassVar[str | None] = None
    """The API surface that speaks this very wire format: its requests and answers pass unchanged (see ``passed``)."""
    inlines_media: ClassVar[bool] = False
    """The vendor takes no URLs of pictures and files: they must have become data URLs before ``request``."""

    def opens(self, url: str) -> bool:
        """With ``inlines_media``: the few URLs that the vendor opens all the same, such as those of its own file store."""
        return False

    @abstractmethod
    def request(self, target: Target, body: Any, *, stream: bool) -> HttpRequest:
        """The vendor's request for ``body`` (chat: an ``InnerRequest``), which is not changed. Pure. Raises ``ProviderError``."""

    def passthrough(self, target: Target, native: NativeRequest, body: Any, *, stream: bool) -> HttpRequest:
        """The vendor's request for ``native``, written in this dialect's own format: only the model, the stream flag and the end
        user's id (as in ``body``, the same request in the inner language) are rewritten. Pure."""
        raise NotImplementedError(f"{self.name} has no shape of its own")

    authorizes: ClassVar[bool] = False  # ``authorize`` has something to do

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        """The target with whatever must first be fetched to be let in (OAuth tokens). Raises ``ProviderError``."""
        return target

    @abstractmethod
    def completion(self, raw: bytes) -> Completion:
        """A whole answer. Raises ``ProviderError`` for a 200 that carries an error, malformed for anything unreadable."""

    def read(self, response: HttpResponse) -> Completion:
        """A 200. Overridden where the answer is not JSON."""
        return self.completion(response.content)

    @abstractmethod
    def decoder(self) -> Decoder:
        """A fresh decoder for one stream."""

    @abstractmethod
    def failure(self, response: HttpResponse) -> ProviderError:
        """What a non-2xx answer means."""

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        """One whole answer. Clocks: connect, total. Raises ``ProviderError``."""
        if self.authorizes and not target.authorized:
            target = await self.authorize(upstream, target, clocks)
        response = await upstream.send(self._spoken(target, call, stream=False), clocks)
        if response.status != 200:
            raise self.failure(response)
        return self.read(response)

    async def stream(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Stream:
        """One streamed answer, opened: the vendor said 200. All four clocks. Raises ``ProviderError``."""
        if self.authorizes and not target.authorized:
            target = await self.authorize(upstream, target, clocks)
        http = await upstream.open(self._spoken(target, call, stream=True), clocks)
        if http.status != 200:
            raise self.failure(await refusal(http))
        if http.headers.get("content-type", "").startswith("application/json"):
            self.completion((await refusal(http)).content)  # raises the error that the document most likely is
            raise failed("malformed", "asked for a stream, the vendor answered with one JSON document", status=200)
        return Stream(http, self.decoder(), clocks)

    def _spoken(self, target: Target, call: Call, *, stream: bool) -> HttpRequest:
        if call.native is not None:
            return self.passthrough(target, call.native, call.body, stream=stream)
        return self.request(target, call.body, stream=stream)
