"""The contract of a dialect, on one page.

A dialect is a pure translation (no I/O) plus two methods that every dialect inherits: ``complete`` for a whole answer and
``stream`` for events. A request without streaming is a vendor call without streaming: no answer is assembled from events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from providers.chat.hosted_tools import functions_only
from providers.chat.tool_rules import ToolRules
from providers.document import decoder_for, legible, read_answer
from providers.errors import ProviderError
from providers.transport.client import Upstream, refusal
from providers.transport.stream import Decoder, EventSink, Stream
from providers.types import SUCCESS, Call, Clocks, Completion, HttpRequest, HttpResponse, NativeRequest, Target

__all__ = ["Decoder", "Dialect", "EventSink", "Stream"]


class Dialect(ABC):
    """One operation in one wire format. Stateless: one instance serves every endpoint."""

    name: ClassVar[str]
    operation: ClassVar[str] = "chat"  # embeddings, rerank, images, speech, transcription, count_tokens
    api_format: ClassVar[str | None] = None  # the API surface with the same wire format: see ``passthrough``
    decides: ClassVar[frozenset[str]] = frozenset()  # parameters that it leaves out itself, listed or not
    tools: ClassVar[ToolRules] = ToolRules()  # names and ids that the vendor takes: ``request`` applies them
    hosts = functions_only  # (tool, options): whether the vendor takes a tool of a type other than ``function``
    inlines_media: ClassVar[bool] = False  # the vendor takes no URLs: media become data URLs before ``request``
    authorizes: ClassVar[bool] = False  # whether ``authorize`` is overridden
    stream_type: ClassVar[str] = "text/event-stream"  # how its content-type begins; "": an answer is never one document

    def opens(self, url: str) -> bool:
        """With ``inlines_media``: whether the vendor takes this URL nevertheless, such as one of its own file store."""
        return False

    @abstractmethod
    def request(self, target: Target, body: Any, *, stream: bool) -> HttpRequest:
        """The vendor's request for ``body`` (chat: an ``InnerRequest``), which is not changed. Pure. Raises ``ProviderError``."""

    def passthrough(self, target: Target, native: NativeRequest, body: Any, *, stream: bool) -> HttpRequest:
        """The vendor's request for ``native``, in this dialect's own format, with what planning changed in ``body``. Pure."""
        raise NotImplementedError(f"{self.name} is not the format of any API surface")

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        """The target with credentials that must be fetched first (OAuth tokens). Raises ``ProviderError``."""
        return target

    @abstractmethod
    def completion(self, raw: bytes) -> Completion:
        """A whole answer. Raises ``ProviderError``: the error that a 200 carries, empty, or malformed."""

    def read(self, response: HttpResponse) -> Completion:
        """The answer of a 2xx. Overridden where it is not JSON."""
        return self.completion(response.content)

    @abstractmethod
    def decoder(self) -> Decoder:
        """A fresh decoder for one stream."""

    @abstractmethod
    def failure(self, response: HttpResponse) -> ProviderError:
        """The error that a non-2xx answer stands for."""

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        """One whole answer. Clocks: connect, total. Raises ``ProviderError``."""
        if self.authorizes and not target.authorized:
            target = await self.authorize(upstream, target, clocks)
        response = await upstream.send(self._http_request(target, call, stream=False), clocks)
        if response.status not in SUCCESS:
            raise self.failure(legible(response))
        return self.tools.completion(await read_answer(self.read, response, self.operation), call)

    async def stream(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Stream:
        """One streamed answer, opened by a 2xx. Clocks: all four. Raises ``ProviderError``."""
        if self.authorizes and not target.authorized:
            target = await self.authorize(upstream, target, clocks)
        http = await upstream.open(self._http_request(target, call, stream=True), clocks)
        if http.status not in SUCCESS:
            raise self.failure(legible(await refusal(http)))
        decoder = decoder_for(http, self.stream_type, self.decoder(), self.read)
        return Stream(http, self.tools.decoder(decoder, call), clocks)

    def _http_request(self, target: Target, call: Call, *, stream: bool) -> HttpRequest:
        if call.native is not None:
            return self.passthrough(target, call.native, call.body, stream=stream)
        return self.request(target, call.body, stream=stream)
