"""A simulated vendor: a listening socket, a request log, and the routes of an OpenAI-compatible API."""

from __future__ import annotations

import asyncio
import errno
import hmac
import random
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs

import msgspec

from simulator import formats, operations
from simulator.bodies import error_body
from simulator.call import ChatRequest, prepare
from simulator.connection import Connection, Job
from simulator.faults import steps
from simulator.grammar import WORDS, GrammarError, Script, parse
from simulator.http import Request
from simulator.prompt_cache import PromptCache
from simulator.request_log import RequestLog
from simulator.steps import Send, Step, encode, whole

BACKLOG = 2_048
CREATED = 1_767_225_600
"""2026-01-01: the ``created`` of every model."""
_CHAT = msgspec.json.Decoder(ChatRequest)
_REBIND_TRIES, _REBIND_PAUSE_S = 100, 0.01


class SimulatedVendor:
    """``start`` it, point a dialect at ``base_url``, compare with ``log``, ``stop`` it.

    ``key``: requests without ``Authorization: Bearer <key>`` get 401. ``seed``: of random failures.
    """

    def __init__(
        self, name: str = "sim", *, key: str | None = None, seed: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.name = name
        self.log = RequestLog(name)
        self.connections: set[Connection] = set()
        self.host, self.port = "127.0.0.1", 0
        self._key = key
        self._rng = random.Random(seed)
        self._prompts = PromptCache()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._seq = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def base_url(self) -> str:
        """Where a dialect reaches the vendor, without a trailing slash."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        """Connections accepted and not yet closed."""
        return len(self.connections)

    async def start(self, port: int = 0, *, host: str = "127.0.0.1") -> SimulatedVendor:
        """Listens; port 0 takes a free one. Raises OSError when the port is taken."""
        self.host = host
        await self._listen(_bound(host, port))
        return self

    async def stop(self) -> None:
        """Stops listening and resets every connection. Idempotent."""
        self._stop_listening()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        self.kill()
        await self._idle.wait()

    async def refuse(self) -> None:
        """Refuses new connections from now on and keeps the open ones. The port stays bound, but nothing listens on it."""
        if self._server is None:
            return
        self._stop_listening()
        for left in range(_REBIND_TRIES, -1, -1):
            await asyncio.sleep(_REBIND_PAUSE_S if left < _REBIND_TRIES else 0)
            try:
                self._placeholder = _bound(self.host, self.port)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not left:
                    raise

    async def accept(self) -> None:
        """Listens again on the same port after ``refuse``."""
        if self._placeholder is not None:
            sock, self._placeholder = self._placeholder, None
            await self._listen(sock)

    def kill(self) -> None:
        """Resets every open connection."""
        for connection in list(self.connections):
            connection.kill()

    async def _listen(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.port = sock.getsockname()[1]
        self._server = await loop.create_server(
            lambda: Connection(self, loop), sock=sock, backlog=BACKLOG, ssl=self._tls
        )

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def connection_opened(self, connection: Connection) -> None:
        """A client connected."""
        self.connections.add(connection)
        self._idle.clear()
        self.log.connections_accepted += 1
        self.log.connections_open += 1

    def connection_closed(self, connection: Connection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        self.log.connections_open -= 1
        if not self.connections:
            self._idle.set()

    def answer(self, request: Request) -> Job:
        """The job of one request: routes, key, then the model's script."""
        if request.path == "/v1/chat/completions":
            return (
                self._chat(request)
                if request.method == "POST"
                else self._answer_now(request, 405, error_body(405, "use POST"))
            )
        if request.path in operations.OPERATIONS and request.method == "POST":
            return self._operation(request)
        if request.method == "POST" and (found := formats.find(request.path)) is not None:
            return self._other_format(request, *found)
        if request.path == "/__truth":
            return self._answer_log(request)
        if request.path == "/v1/models" and request.method == "GET":
            return (
                self._answer_now(request, 200, encode(_models()))
                if self._known(request)
                else self._answer_now(request, 401, error_body(401))
            )
        return self._answer_now(request, 404, error_body(404, f"no such path: {request.path}"))

    def _known(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return self._key is None or hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode())

    def _answer_now(self, request: Request, status: int, body: bytes) -> Job:
        return Job(_once(whole(status, body)), request.keep_alive)

    def _answer_log(self, request: Request) -> Job:
        if request.method == "DELETE":
            self.log.reset()
        elif request.method != "GET":
            return self._answer_now(request, 405, error_body(405, "use GET or DELETE"))
        ids = parse_qs(request.query).get("id")
        return self._answer_now(request, 200, encode(self.log.facts(ids[0] if ids else None)))

    def _chat(self, request: Request) -> Job:
        request_id = request.headers.get("x-request-id")
        try:
            chat = _CHAT.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._refuse(request, request_id, "?", status=400, message=f"Could not read the request: {error}")
        if not self._known(request):
            return self._refuse(request, request_id or chat.user, chat.model, status=401)
        try:
            script = self._read_cache(self._draw_faults(parse(chat.model)), chat)
        except GrammarError as error:
            message = f"The model `{chat.model}` does not exist: {error}. GET /v1/models lists the words."
            return self._refuse(request, request_id or chat.user, chat.model, status=404, message=message)
        self._seq += 1
        call = prepare(script, chat, seq=self._seq, created=int(time.time()))
        entry = self.log.begin(request_id or chat.user, chat.model, stream=bool(chat.stream))
        entry.status = script.status if script.fault == "status" else 200
        entry.prompt_tokens = call.prompt_tokens
        entry.planned_tokens = None if script.fault == "endless" else call.planned
        return Job(steps(call), request.keep_alive and not script.close, call, entry)

    def _operation(self, request: Request) -> Job:
        request_id, model = request.headers.get("x-request-id"), "?"
        try:
            parsed = operations.read(request)
            request_id, model = request_id or parsed.user, parsed.model
            if not self._known(request):
                return self._refuse(request, request_id, model, status=401)
            self._seq += 1
            script = self._draw_faults(parse(model))
            call, response = operations.prepare(parsed, script, seq=self._seq, created=int(time.time()))
        except GrammarError as error:
            message = f"The model `{model}` does not exist: {error}. GET /v1/models lists the words."
            return self._refuse(request, request_id, model, status=404, message=message)
        except operations.InvalidRequest as error:
            return self._refuse(request, request_id, model, status=400, message=str(error))
        entry = self.log.begin(request_id, model, stream=False)
        entry.status = script.status if script.fault == "status" else 200
        entry.prompt_tokens, entry.planned_tokens = call.prompt_tokens, call.planned
        return Job(operations.steps(call, response), request.keep_alive and not script.close, call, entry)

    def _other_format(self, request: Request, format: formats.WireFormat, route: formats.Route) -> Job:
        """A request in another wire format than OpenAI's chat."""
        request_id, model = request.headers.get("x-request-id"), route.model or "?"
        try:
            parsed = format.read_request(request, route)
            request_id, model = request_id or parsed.id, parsed.chat.model
            if self._key is not None and not format.authorised(request, self._key):
                raise format.unauthorised()
            script = self._read_cache(self._draw_faults(parse(model)), parsed.chat)
            self._seq += 1
            call, response = formats.answer(format, parsed, script, self._seq)
        except (GrammarError, formats.Refusal) as error:
            refusal = format.unknown_model(model, str(error)) if isinstance(error, GrammarError) else error
            entry = self.log.begin(request_id, model, stream=False)
            entry.status = refusal.status
            return Job(formats.refuse(format, refusal), request.keep_alive, None, entry)
        entry = self.log.begin(request_id, model, stream=bool(parsed.chat.stream))
        entry.status = script.status if script.fault == "status" else 200
        entry.prompt_tokens, entry.planned_tokens = call.prompt_tokens, call.planned
        return Job(response, request.keep_alive and not script.close, call, entry)

    def _refuse(
        self, request: Request, request_id: str | None, model: str, *, status: int, message: str | None = None
    ) -> Job:
        entry = self.log.begin(request_id, model, stream=False)
        entry.status = status
        return Job(_once(whole(status, error_body(status, message))), request.keep_alive, None, entry)

    def _read_cache(self, script: Script, chat: ChatRequest) -> Script:
        return replace(script, cached=self._prompts.read(chat.model, chat.messages)) if script.caching else script

    def _draw_faults(self, script: Script) -> Script:
        if script.flaky is None or self._rng.random() < script.flaky:
            return script
        return script.plain


def _once(data: bytes) -> Iterator[Step]:
    return iter((Send(data),))


def _bound(host: str, port: int) -> socket.socket:
    """A bound TCP socket that does not listen yet. SO_REUSEADDR: the port may be taken again right after a stop."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _models() -> dict[str, object]:
    """``GET /v1/models``: every word of the grammar, in its written form, with what it does."""
    rows = [
        {"id": word.form, "object": "model", "created": CREATED, "owned_by": "simulated", "description": word.doc}
        for word in WORDS.values()
    ]
    return {"object": "list", "data": rows}
