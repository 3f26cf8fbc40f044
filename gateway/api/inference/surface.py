"""What every API surface does alike: guard, authenticate, walk down the pipeline, carry the answer out, end it once.

A concrete surface adds only its wire shape: four small methods. There is no second pipeline.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import msgspec

from gateway import pricing
from gateway.accounts import KeyPolicy
from gateway.api.inference import validation
from gateway.errors import Forbidden, GatewayError, Unauthorized, Unavailable, UpstreamFailed
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.request import Client, InferenceRequest, NativeRequest
from gateway.server import request_reader, sse
from gateway.server.in_flight import InFlight
from gateway.server.request_lifecycle import RequestLifecycle
from gateway.server.responder import AsgiResponder, ClientDisconnected, Receive, Responder, Scope, Send
from providers.errors import ProviderError
from providers.types import Event

_BEARER = b"bearer "
Headers = list[tuple[bytes, bytes]]


class Encoder(Protocol):
    """One stream in a surface's wire shape: inner events in, bytes out. Made per generation."""

    def events(self, events: list[Event]) -> bytes: ...

    def finish(self) -> bytes:
        """The proper end, with the usage as it was charged."""
        ...

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """The end of an answer that broke off: never silent."""
        ...


class Surface(ABC):
    """One ASGI callable; one instance per process."""

    name: ClassVar[str]
    path: ClassVar[str]
    """Below ``/api/v1`` and ``/v1``."""
    summary: ClassVar[str]
    request_type: ClassVar[Any]
    """The type that validates requests; the OpenAPI page is made from it."""
    operation: ClassVar[str] = "chat"
    body_bytes: ClassVar[int] = 0
    """A body may have this size although ``max_body_bytes`` is smaller."""
    api_format: ClassVar[str | None] = None
    """The wire shape that this surface shares with a dialect: then requests and answers pass unchanged (``Dialect.passed``)."""

    def __init__(self, pipeline: Pipeline, in_flight: InFlight) -> None:
        self.pipeline = pipeline
        self.services = pipeline.services
        self.in_flight = in_flight

    # -- the wire shape -----------------------------------------------------------------------------------------------

    def parse(self, raw: bytes, headers: dict[bytes, bytes]) -> dict[str, Any]:
        """The body as sent. Raises BadRequest for what is not JSON."""
        return request_reader.decode_json(raw, self.services.settings.max_json_depth)

    @abstractmethod
    def accept(self, body: dict[str, Any]) -> dict[str, Any]:
        """Wire shape → inner request (OpenAI chat). Raises BadRequest naming the field."""

    def native_body(self, sent: dict[str, Any]) -> dict[str, Any]:
        """What of a request may go on to a vendor of the same shape; not changed in place."""
        return sent

    def measure(self, body: dict[str, Any]) -> pricing.Prompt:
        """How large an inner request is."""
        return pricing.measure(body)

    @abstractmethod
    def answer(self, generation: Generation) -> Any:
        """A whole inner answer → wire shape. Called after the settlement, so the cost is known."""

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        """A whole answer: body and content type."""
        return _encode(self.answer(generation)), b"application/json"

    @abstractmethod
    def encoder(self, generation: Generation) -> Encoder:
        """The stream's wire shape."""

    @abstractmethod
    def late(self, ask: InferenceRequest, error: GatewayError) -> bytes:
        """The end of a stream that was kept alive by comments and then found no endpoint: status 200 has been sent."""

    def error(self, error: GatewayError) -> Any:
        """The surface's error envelope."""
        return error.envelope()

    # -- the life of a request ----------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For ASGI servers."""
        await self.serve(AsgiResponder(scope, receive, send))

    async def serve(self, channel: Responder) -> None:
        """One request, from its head to the last byte of its answer."""
        exchange = RequestLifecycle(channel)
        in_flight, outcome = self.in_flight, "ok"
        in_flight.requests.add(exchange)
        try:
            in_flight.acquire()
            try:
                ask = exchange.request = await self._ask(channel)
                exchange.watch()
                await self._serve(exchange, ask)
            finally:
                in_flight.release()
        except ClientDisconnected:
            outcome = "caller_left"
        except asyncio.CancelledError:
            outcome = exchange.interrupted or "cancelled"
            await self._interrupted(exchange)
        except GatewayError as error:
            outcome = error.error_type
            if not error.recorded:
                self._log_refusal(exchange, error)
            await self._refuse(exchange, error)
        except Exception:  # the ASGI edge: a fault of ours is logged whole and told without details
            outcome = "fault"
            self.services.telemetry.log.exception("fault", surface=self.name)
            await self._refuse(exchange, GatewayError("Internal error. It has been logged."))
        finally:
            exchange.release()
            in_flight.requests.discard(exchange)
            self.services.telemetry.request(self.name, outcome)

    async def _ask(self, channel: Responder) -> InferenceRequest:
        """Headers → caller → body → inner request. A key is looked at before a byte of the body is parsed."""
        started, settings = time.perf_counter(), self.services.settings
        request_reader.expect_post(channel.method)
        headers = request_reader.read_headers(channel.headers, settings)
        if self.in_flight.draining:
            raise Unavailable("This process is shutting down; try again.", retry_after_s=1)
        key, limit = _key(headers), max(settings.max_body_bytes, self.body_bytes)
        caller = self.services.accounts.known(key) or await self._authenticate(key)
        raw = request_reader.buffered_body(channel, headers, limit)
        if raw is None:
            raw = await request_reader.read_body(channel, limit, settings.body_timeout_s)
        sent = self.parse(raw, headers)
        body = self.accept(sent)
        validation.check(body, sent)
        body.pop("service_tier", None)  # another tier has another price, and the catalogue has one
        now = time.time()
        return InferenceRequest(
            id=new_id(now),
            created_at=now,
            started=started,
            caller=caller,
            body=body,
            prompt=self.measure(body),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stream=bool(body.get("stream")),
            surface=self.name,
            operation=self.operation,
            native=self._native(sent) if self.api_format is not None else None,
            client=_client(headers),
            explain=headers.get(b"x-openrouter-metadata", b"").lower() == b"enabled",
        )

    def _native(self, sent: dict[str, Any]) -> NativeRequest:
        assert self.api_format is not None
        passable = self.native_body(sent)
        if "service_tier" in passable:
            passable = {name: value for name, value in passable.items() if name != "service_tier"}
        return NativeRequest(self.api_format, passable)

    async def _authenticate(self, key: str) -> KeyPolicy:
        if secrets.compare_digest(key.encode(), self.services.admin_key.encode()):
            raise Forbidden("This is a management key; inference needs an API key made by POST /api/v1/keys.")
        return await self.services.accounts.authenticate(key)

    async def _serve(self, exchange: RequestLifecycle, ask: InferenceRequest) -> None:
        headers = _headers(ask)
        if ask.stream:
            headers += sse.HEADERS
            settings = self.services.settings
            exchange.keep_alive(settings.keepalive_s, headers, settings.gap_timeout_s)
        generation = await self.pipeline.begin(ask)
        try:
            if ask.stream:
                await self._stream(exchange, generation, headers)
            else:
                await generation.end("complete")
                body, content_type = self.reply(generation)
                await exchange.respond(200, body, headers, content_type)
        except BaseException:
            if not generation.ended:
                exchange.settlement = self.services.background.spawn(generation.leave())
            raise

    async def _stream(self, exchange: RequestLifecycle, generation: Generation, headers: Headers) -> None:
        """Carry events out as they arrive. After the first byte there is no second attempt: what breaks is said."""
        encoder = self.encoder(generation)
        exchange.on_interrupt = encoder.failure
        await exchange.start_stream(headers)

        def pass_on(events: list[Event]) -> bool:
            data = encoder.events(events)
            return exchange.push(data) if data else True

        try:
            while not await generation.pump(pass_on):
                await exchange.drain()
        except ProviderError as error:
            await generation.close()
            await generation.end("upstream_failed")
            await exchange.finish(encoder.failure(midstream_error(error, generation), "error"))
        except GatewayError as error:
            await generation.close()
            await generation.end("credit_exhausted")
            await exchange.finish(encoder.failure(error, "length"))
        else:
            await generation.end("complete")
            await exchange.finish(encoder.finish())

    def _log_refusal(self, exchange: RequestLifecycle, error: GatewayError) -> None:
        """The canonical line of a request that never became a generation. Its words may be the caller's: not logged."""
        ask = exchange.request
        self.services.telemetry.log.info(
            "refused",
            id=ask.id if ask is not None else None,
            org=ask.caller.org if ask is not None else None,
            key=ask.caller.key_hash[:12] if ask is not None else None,
            surface=self.name,
            status=error.status,
            error_type=error.error_type,
        )

    async def _refuse(self, exchange: RequestLifecycle, error: GatewayError) -> None:
        if not exchange.started:
            await exchange.refuse(error, _headers(exchange.request), self.error(error))
        elif exchange.on_interrupt is not None:
            await exchange.finish(exchange.on_interrupt(error, "error"))
        elif exchange.request is not None:
            await exchange.finish(self.late(exchange.request, error))

    async def _interrupted(self, exchange: RequestLifecycle) -> None:
        """The caller left: there is nobody to tell. The process stops: say so. Anything else goes on upwards."""
        task = asyncio.current_task()
        if exchange.interrupted is None or task is None:
            raise asyncio.CancelledError
        task.uncancel()
        if exchange.interrupted == "shutdown" and not exchange.closed:
            if exchange.settlement is not None:  # so that the last chunk can say what was charged
                await asyncio.wait({exchange.settlement}, timeout=self.services.settings.ledger_timeout_s)
            await self._refuse(exchange, Unavailable("The gateway is shutting down.", retry_after_s=1))


_encode = msgspec.json.Encoder().encode


def _key(headers: dict[bytes, bytes]) -> str:
    value = headers.get(b"authorization", b"")
    key = value[7:].strip() if value[:7].lower() == _BEARER else headers.get(b"x-api-key", b"")
    if not key:
        raise Unauthorized("No API key given. Send it as: Authorization: Bearer <key>.")
    return key.decode("latin-1")


def _headers(ask: InferenceRequest | None) -> Headers:
    return [] if ask is None else [(b"x-generation-id", ask.id.encode())]


def new_id(now: float) -> str:
    """``gen-<unix seconds>-<20 alphanumerics>`` (80 random bits a second): opaque to clients; the ledger reads the time in it."""
    return f"gen-{int(now)}-{os.urandom(10).hex()}"


def midstream_error(error: ProviderError, generation: Generation) -> UpstreamFailed:
    """A vendor that broke off after the first content. 500-class words of vendors are masked."""
    candidate = generation.attempts.candidate
    failure = error.failure
    message = error.message if failure.status < 500 else f"Provider disconnected or failed mid-stream ({failure.kind})"
    metadata: dict[str, Any] = {"provider_name": candidate.endpoint.provider.name if candidate else None}
    if error.clock is not None:
        metadata["clock"] = error.clock
    return UpstreamFailed(message, status=failure.status, error_type=failure.error_type, metadata=metadata)


def _client(headers: dict[bytes, bytes]) -> Client:
    get = headers.get
    referer, title = get(b"http-referer") or get(b"referer"), get(b"x-openrouter-title") or get(b"x-title")
    told = (referer, title, get(b"user-agent"))
    return Client(*[value.decode("utf-8", "replace") if value else None for value in told])
