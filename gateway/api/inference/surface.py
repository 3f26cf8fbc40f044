"""What every API surface does alike: read a request, send it through the pipeline, and send the answer back.

A concrete surface adds only its API's format: a few small methods. There is no second pipeline.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from gateway import prompt_size
from gateway.accounts import KeyPolicy
from gateway.analytics.classify import taxonomy
from gateway.api.inference import billing_header, validation
from gateway.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    LedgerUnavailable,
    PaymentRequired,
    RateLimited,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from gateway.ledger.entries import generation_id
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.request import Client, InferenceRequest
from gateway.prompt_size import Prompt, Survey
from gateway.server import common_headers, request_reader, sse
from gateway.server.asgi_responder import AsgiResponder, Receive, Scope, Send
from gateway.server.in_flight import InFlight
from gateway.server.incoming import IncomingBodies
from gateway.server.request_lifecycle import RequestLifecycle
from gateway.server.responder import ClientDisconnected, Responder
from providers.errors import ProviderError
from providers.transport import json_bounds
from providers.types import Event, NativeRequest

Json = dict[str, Any]
Headers = list[tuple[bytes, bytes]]
MAX_SESSION_ID = 256
WARNED_MAX = 3
"""Values of a header that a warning repeats."""
FROM_THE_LEDGER = (Unauthorized, PaymentRequired, RateLimited, LedgerUnavailable)
"""Errors of a hold, which has just checked the key."""
_BEARER = b"bearer "
_JSON = (b"content-type", b"application/json")
_IMPATIENT = re.compile(r"speakeasy-sdk/python .* openrouter")
"""User agents of clients that give up after five seconds of silence and try again for an hour: OpenRouter's Python SDK, which has
httpx's default time-out (1.3.84, 2026-11)."""
_encode = msgspec.json.Encoder().encode


class _Head(NamedTuple):
    """What is known of a request before its body."""

    started: float
    headers: dict[bytes, bytes]
    caller: KeyPolicy


class Encoder(Protocol):
    """One stream in a surface's format: inner events in, bytes out. Made per generation."""

    def events(self, events: list[Event]) -> bytes: ...

    def finish(self) -> bytes:
        """The end of a complete answer, with the usage as it was charged."""
        ...

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """The end of an answer that broke off, with the error."""
        ...


class Surface(ABC):
    """One API. One instance per process; callable as an ASGI application."""

    name: ClassVar[str]
    path: ClassVar[str]
    """Below ``/api/v1`` and ``/v1``."""
    summary: ClassVar[str]
    request_type: ClassVar[Any]
    """The type that validates requests; the OpenAPI page is made from it."""
    operation: ClassVar[str] = "chat"
    holds: ClassVar[bool] = True
    """Whether its requests hold credit, which checks the key's policy."""
    body_bytes: ClassVar[int] = 0
    """A body may have this size although ``max_body_bytes`` is smaller."""
    api_format: ClassVar[str | None] = None
    """The format that this surface shares with a dialect (``Dialect.api_format``): then requests and answers pass unchanged."""

    def __init__(self, pipeline: Pipeline, in_flight: InFlight, incoming: IncomingBodies) -> None:
        self.pipeline = pipeline
        self.services = pipeline.services
        self.in_flight = in_flight
        self.incoming = incoming

    # -- the API's format ---------------------------------------------------------------------------------------------

    def parse(self, raw: request_reader.Body, headers: dict[bytes, bytes], *, on_loop: bool) -> Json:
        """The request as the caller wrote it. Raises BadRequest for a body that is not JSON, and Dense as ``decode_json``."""
        return request_reader.decode_json(raw, self.services.settings.max_json_depth, on_loop=on_loop)

    @abstractmethod
    def accept(self, original: Json) -> Json:
        """The inner request of a request in this format, which is not changed. Raises BadRequest naming the field."""

    def native_request(self, original: Json, headers: dict[bytes, bytes]) -> Json:
        """What of a request may go on to a vendor of the same ``api_format``; ``original`` is not changed."""
        return original

    def measure(self, body: Json, found: Survey) -> Prompt:
        """How large an inner request is, after its survey."""
        return prompt_size.measure(body, found)

    @abstractmethod
    def answer(self, generation: Generation) -> Any:
        """A whole inner answer in this format. Called after the settlement, so the cost is known."""

    def answers_json(self, request: InferenceRequest) -> bool:
        """Whether a whole answer is JSON, so that blanks may stand in front of it."""
        return not request.original.get("stream")

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        """Body and content type of a whole answer."""
        return _encode(self.answer(generation)), b"application/json"

    @abstractmethod
    def encoder(self, generation: Generation) -> Encoder:
        """The encoder of a stream."""

    @abstractmethod
    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        """The end of a stream that failed before its first event, after keep-alive comments: status 200 has been sent."""

    def error(self, error: GatewayError) -> Any:
        """An error in this format."""
        return error.envelope()

    def error_headers(self, error: GatewayError) -> list[tuple[str, str]]:
        """The headers of an error, names in lower case."""
        return error.headers()

    # -- the life of a request ----------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For ASGI servers."""
        await self.serve(AsgiResponder(scope, receive, send))

    async def serve(self, responder: Responder) -> None:
        """One request, from its head to the last byte of its response."""
        responder.common = common_headers.common(responder.headers, self.services.settings.allowed_origins)
        lifecycle = RequestLifecycle(responder)
        in_flight, outcome = self.in_flight, "ok"
        in_flight.requests.add(lifecycle)
        try:
            in_flight.expect_room()
            try:
                head, raw = await self._receive(lifecycle)
                in_flight.acquire()  # only now: who sends slowly holds no place
                try:
                    request = lifecycle.request = await self._read_request(head, raw)
                    lifecycle.watch()
                    await self._serve(lifecycle, request)
                finally:
                    in_flight.release()
            except GatewayError as error:
                await self._check_revoked(lifecycle, error)
                raise
        except ClientDisconnected:
            outcome = "caller_left"
        except asyncio.CancelledError:
            outcome = lifecycle.interrupted or "cancelled"
            await self._end_interrupted(lifecycle)
        except GatewayError as error:
            outcome = error.error_type
            if not error.recorded:
                self._log_refusal(lifecycle, error)
            await self._end_with_error(lifecycle, error)
        except Exception:  # the edge: a bug of the gateway is logged in full, and its client gets no details
            outcome = "fault"
            self.services.telemetry.log.exception("fault", surface=self.name)
            await self._end_with_error(lifecycle, GatewayError("Internal error. It has been logged."))
        finally:
            lifecycle.release()
            in_flight.requests.discard(lifecycle)
            self.services.telemetry.request(self.name, outcome)

    async def _receive(self, lifecycle: RequestLifecycle) -> tuple[_Head, request_reader.Body]:
        """Headers → caller → body. The key is checked before the body is waited for."""
        responder = lifecycle.responder
        started, settings = time.perf_counter(), self.services.settings
        request_reader.expect_post(responder.method)
        headers = request_reader.read_headers(responder.headers, settings)
        if self.in_flight.draining:
            raise Unavailable("This process is shutting down; try again.", retry_after_s=1)
        key, limit = _key(headers), max(settings.max_body_bytes, self.body_bytes)
        caller = lifecycle.caller = self.services.accounts.known(key) or await self._authenticate(key)
        if not self.holds:
            await self.services.accounts.confirm(caller)
        raw: request_reader.Body | None = request_reader.buffered_body(responder, headers, limit)
        if raw is None:
            with self.incoming.body(caller.key_hash, int(headers.get(b"content-length") or limit)) as incoming:
                raw = await request_reader.read_body(responder, limit, settings.body_timeout_s, incoming.reserve)
        return _Head(started, headers, caller), raw

    async def _read_request(self, head: _Head, raw: request_reader.Body) -> InferenceRequest:
        """Body → inner request."""
        headers = head.headers
        original, body, prompt = await self._understand(raw, headers)
        now = time.time()
        return InferenceRequest(
            id=generation_id(now),
            created_at=now,
            started=head.started,
            caller=head.caller,
            body=body,
            prompt=prompt,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            stream=bool(body.get("stream")),
            surface=self.name,
            operation=self.operation,
            original=original,
            native=self._native(original, headers),
            client=_client(headers),
            session_id=body.get("session_id") or (_session_id(headers) if b"x-session-id" in headers else None),
            explain=headers.get(b"x-openrouter-metadata", b"").lower() == b"enabled",
        )

    async def _understand(self, raw: request_reader.Body, headers: dict[bytes, bytes]) -> tuple[Json, Json, Prompt]:
        """What the caller wrote, the inner request, and its size. A large body is counted first, and dealt with in a thread, as is
        a small one of many values: the event loop serves others meanwhile.
        """
        if len(raw) <= json_bounds.FREE:
            try:
                return self._understood(raw, headers, on_loop=True)
            except request_reader.Dense:
                pass
        if not raw.startswith(b"--"):  # a form
            await request_reader.bound_json(raw)
        work = partial(self._understood, raw, headers, on_loop=False)
        return await asyncio.get_running_loop().run_in_executor(self.in_flight.thread, work)

    def _understood(
        self, raw: request_reader.Body, headers: dict[bytes, bytes], *, on_loop: bool
    ) -> tuple[Json, Json, Prompt]:
        original = self.parse(raw, headers, on_loop=on_loop)
        body = self.accept(original)
        found = prompt_size.survey(body)
        validation.check(body, original, found)
        if self.operation == "chat":
            body = billing_header.removed(body)
        body.pop("service_tier", None)  # another tier has another price, and the catalogue has one
        return original, body, self.measure(body, found)

    def _native(self, original: Json, headers: dict[bytes, bytes]) -> NativeRequest | None:
        if self.api_format is None:
            return None
        native = self.native_request(original, headers)
        if "service_tier" in native:
            native = {name: value for name, value in native.items() if name != "service_tier"}
        return NativeRequest(self.api_format, native)

    async def _authenticate(self, key: str) -> KeyPolicy:
        if secrets.compare_digest(key.encode(), self.services.admin_key.encode()):
            raise Forbidden("This is a management key; inference needs an API key made by POST /api/v1/keys.")
        return await self.services.accounts.authenticate(key)

    async def _serve(self, lifecycle: RequestLifecycle, request: InferenceRequest) -> None:
        headers = _headers(request)
        settings = self.services.settings
        if request.stream:
            headers += sse.HEADERS
            lifecycle.keep_alive(settings.keepalive_s, headers, settings.gap_timeout_s, sse.KEEP_ALIVE)
        elif _needs_blanks(request.client, settings.json_keepalive) and self.answers_json(request):
            head = [_JSON, *headers]
            lifecycle.keep_alive(settings.keepalive_s, head, settings.gap_timeout_s, b" ")
        generation = await self.pipeline.begin(request, lifecycle.held)
        try:
            if lifecycle.interrupted == "left":  # the attempt went on without its client
                raise ClientDisconnected
            if request.stream:
                await self._stream(lifecycle, generation, headers)
            else:
                await generation.end("complete")
                body, content_type = self.reply(generation)
                if lifecycle.responder.started:  # blanks have been sent
                    await lifecycle.responder.finish(body)
                else:
                    await lifecycle.responder.respond(200, [(b"content-type", content_type), *headers], body)
        except BaseException as error:
            if not generation.ended:
                ours = not isinstance(error, asyncio.CancelledError | ClientDisconnected)
                lifecycle.settlement = self.services.background.spawn(generation.leave(ours=ours))
            raise

    async def _stream(self, lifecycle: RequestLifecycle, generation: Generation, headers: Headers) -> None:
        """Send events as they arrive. After the first byte there is no second attempt: a failure becomes the stream's end."""
        responder, encoder = lifecycle.responder, self.encoder(generation)
        lifecycle.on_interrupt = encoder.failure
        await responder.start(200, headers)

        def send(events: list[Event]) -> bool:
            data = encoder.events(events)
            return responder.push(data) if data else True

        try:
            while not await generation.pump(send):
                await responder.drain()
        except ProviderError as error:
            await generation.close()
            await generation.end("upstream_failed")
            await responder.finish(encoder.failure(midstream_error(error, generation), "error"))
        except GatewayError as error:
            await generation.close()
            await generation.end("credit_exhausted")
            await responder.finish(encoder.failure(error, "length"))
        else:
            await generation.end("complete")
            await responder.finish(encoder.finish())

    async def _check_revoked(self, lifecycle: RequestLifecycle, error: GatewayError) -> None:
        """Before an error that no hold has found is told. Raises Unauthorized in its place for a key that was revoked."""
        if lifecycle.caller is None or error.recorded or isinstance(error, FROM_THE_LEDGER):
            return
        with suppress(LedgerUnavailable):
            await self.services.accounts.confirm(lifecycle.caller)

    def _log_refusal(self, lifecycle: RequestLifecycle, error: GatewayError) -> None:
        """The canonical log line of a request that never became a generation. The message may quote the caller: not logged."""
        request = lifecycle.request
        self.services.telemetry.log.info(
            "refused",
            id=request.id if request is not None else None,
            org=request.caller.org if request is not None else None,
            key=request.caller.key_hash[:12] if request is not None else None,
            surface=self.name,
            status=error.status,
            error_type=error.error_type,
        )

    async def _end_with_error(self, lifecycle: RequestLifecycle, error: GatewayError) -> None:
        """A response with the error's own status, as long as none has been sent; else the end of the stream."""
        responder, request = lifecycle.responder, lifecycle.request
        if lifecycle.interrupted == "left":
            return
        if not responder.started:
            headers = [(name.encode(), value.encode()) for name, value in self.error_headers(error)]
            headers = [_JSON, *_headers(request), *headers]
            await responder.respond(error.status, headers, _encode(self.error(error)))
        elif lifecycle.on_interrupt is not None:
            await responder.finish(lifecycle.on_interrupt(error, "error"))
        elif request is not None:
            await responder.finish(self.late_failure(request, error) if request.stream else _encode(self.error(error)))

    async def _end_interrupted(self, lifecycle: RequestLifecycle) -> None:
        """After a disconnect nothing can be sent. When the process shuts down, the client gets an error. Any other
        cancellation is raised again.
        """
        task = asyncio.current_task()
        if lifecycle.interrupted is None or task is None:
            raise asyncio.CancelledError
        task.uncancel()
        if lifecycle.interrupted == "shutdown" and not lifecycle.responder.ending:
            if lifecycle.settlement is not None:  # so that the last event can say what was charged
                await asyncio.wait({lifecycle.settlement}, timeout=self.services.settings.ledger_timeout_s)
            await self._end_with_error(lifecycle, Unavailable("The gateway is shutting down.", retry_after_s=1))


def _key(headers: dict[bytes, bytes]) -> str:
    value = headers.get(b"authorization", b"")
    key = value[7:].strip() if value[:7].lower() == _BEARER else headers.get(b"x-api-key", b"")
    if not key:
        raise Unauthorized("No API key given. Send it as: Authorization: Bearer <key>.")
    return key.decode("latin-1")


def _headers(request: InferenceRequest | None) -> Headers:
    if request is None:
        return []
    headers = [(b"x-generation-id", request.id.encode())]
    if request.client.categories is not None and (warning := _analytics_warning(request.client.categories)):
        headers.append((b"x-analytics-warning", warning))
    return headers


def _analytics_warning(categories: str) -> bytes:
    """What of ``X-OpenRouter-Categories`` does not count: the hosted service drops it silently. Empty when all of it counts."""
    ignored = taxonomy.declared(categories).ignored[:WARNED_MAX]
    if not ignored:
        return b""
    text = f"X-OpenRouter-Categories: ignored: {', '.join(ignored)}; at most {taxonomy.DECLARED_MAX} known values count"
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode()


def midstream_error(error: ProviderError, generation: Generation) -> UpstreamFailed:
    """The error of a vendor that broke off after the first content. Its own message is replaced when the failure is a 5xx."""
    candidate = generation.attempts.candidate
    failure = error.failure
    message = error.message if failure.status < 500 else f"Provider disconnected or failed mid-stream ({failure.kind})"
    metadata: Json = {"provider_name": candidate.endpoint.provider.name if candidate else None}
    if error.clock is not None:
        metadata["clock"] = error.clock
    return UpstreamFailed(message, status=failure.status, error_type=failure.error_type, metadata=metadata)


def _client(headers: dict[bytes, bytes]) -> Client:
    get = headers.get
    referer, title = get(b"http-referer") or get(b"referer"), get(b"x-openrouter-title") or get(b"x-title")
    agent, categories = get(b"user-agent"), get(b"x-openrouter-categories")
    return Client(_text(referer), _text(title), _text(agent), _text(categories))


def _needs_blanks(client: Client, setting: str) -> bool:
    """Whether this client is sent blanks before a late JSON answer, by ``GATEWAY_JSON_KEEPALIVE``."""
    if setting == "known":
        return client.user_agent is not None and _IMPATIENT.fullmatch(client.user_agent) is not None
    return setting == "always"


def _session_id(headers: dict[bytes, bytes]) -> str | None:
    """The header ``x-session-id``. Raises BadRequest when it is too long, as for ``session_id`` of the body."""
    name = _text(headers.get(b"x-session-id"))
    if name is not None and len(name) > MAX_SESSION_ID:
        raise BadRequest(
            f"x-session-id: has {len(name)} characters; at most {MAX_SESSION_ID} are allowed", field="x-session-id"
        )
    return name


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if value else None
