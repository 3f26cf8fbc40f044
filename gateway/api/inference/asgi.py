"""ASGI routing: the inference paths go straight to their surface, everything else to FastAPI.

Measured: FastAPI's middleware, router and dependency injection cost a request more than everything the gateway itself does, so
the path is looked up before them. The surfaces are documented in FastAPI's OpenAPI document all the same (``documented``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.inference.chat.completions import ChatCompletions
from gateway.api.inference.chat.legacy_completions import Completions
from gateway.api.inference.embeddings import Embeddings
from gateway.api.inference.images import ImageEdits, ImageGenerations, Images
from gateway.api.inference.messages.count_tokens import CountTokens
from gateway.api.inference.messages.surface import Messages
from gateway.api.inference.rerank import Rerank
from gateway.api.inference.responses.surface import Responses
from gateway.api.inference.speech import Speech
from gateway.api.inference.surface import Surface
from gateway.api.inference.transcriptions import Transcriptions
from gateway.pipeline.pipeline import Pipeline
from gateway.server import common_headers
from gateway.server.browser_hosts import BrowserHosts
from gateway.server.connections import Connections
from gateway.server.in_flight import InFlight
from gateway.server.incoming import IncomingBodies
from gateway.server.ready_answers import FAST_S, MADE_S, SLOW_S, ReadyAnswers, response
from gateway.server.responder import Headers

SURFACES: tuple[type[Surface], ...] = (
    ChatCompletions,
    Completions,
    Responses,
    Messages,
    CountTokens,
    Embeddings,
    Rerank,
    Images,
    ImageGenerations,
    ImageEdits,
    Speech,
    Transcriptions,
)
"""Every API surface; a new one is added here."""
_REPEATED_SLASHES = re.compile("//+")
PREFIX, ALIAS = "/api/v1", "/v1"
"""Every path of the public API exists under both; the documentation names the first."""


class InferenceRouter:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: FastAPI,
        origins: frozenset[str],
        browser_hosts: BrowserHosts,
        connections: Connections,
        ready: ReadyAnswers,
    ) -> None:
        self.fastapi = app
        self.ready = ready
        self.connections = connections
        """For the HTTP server, as ``routes``."""
        self._browser_hosts = browser_hosts
        app.router.redirect_slashes = False  # a redirect would name the scheme and host behind a proxy
        self._origins = origins
        self._app: ASGIApp = app
        self.routes: dict[bytes, Surface] = {}
        """By request target as it is written in the request line, so that a server can look it up before it makes an ASGI scope."""

    def add_surfaces(self, pipeline: Pipeline, in_flight: InFlight, incoming: IncomingBodies) -> None:
        """Add every API surface, once the services that they need have been built."""
        for surface in SURFACES:
            self.add_route(surface(pipeline, in_flight, incoming))

    def add_route(self, surface: Surface) -> None:
        """Add one surface, under both prefixes."""
        self.routes |= {(prefix + surface.path).encode(): surface for prefix in (PREFIX, ALIAS)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        refused = self._browser_hosts.refusal(scope["headers"])
        if refused is not None:
            return await refused(scope, receive, send)
        path = _REPEATED_SLASHES.sub("/", scope["path"])
        path = path.rstrip("/") or "/"
        public = path.startswith((PREFIX + "/", ALIAS + "/"))
        if scope["method"] == "OPTIONS" and public:
            headers = common_headers.preflight(scope["headers"], self._origins)
            await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"content-length", b"0")]})
            return await send({"type": "http.response.body", "body": b""})
        surface = self.routes.get(path.encode(errors="replace"))
        if surface is not None:
            return await surface(scope, receive, send)
        if path.startswith(ALIAS + "/"):
            path = PREFIX + path.removeprefix(ALIAS)
        if public:
            send = _with_headers(send, common_headers.common(scope["headers"], self._origins))
        if scope["method"] == "HEAD":  # wherever GET is
            send = _without_body(send)
            scope = {**scope, "method": "GET"}
        scope = {**scope, "path": path, "raw_path": path.encode(errors="replace")}
        wanted = self.ready.wanted(path, scope["query_string"], scope["headers"]) if scope["method"] == "GET" else None
        if wanted is None:
            return await self._app(scope, receive, send)
        kept = self.ready.find(wanted)
        pace = self.ready.pace(wanted, kept)
        if wait_s := pace.wait_s:
            await asyncio.sleep(wait_s)
        status, headers, body = response(await self.ready.get(wanted, self._app, scope), wanted, "GET")
        pace.charge(len(body), SLOW_S if kept is not None else MADE_S)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        return await send({"type": "http.response.body", "body": body})

    def kept(
        self, method: bytes, target: bytes, headers: Headers
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """The whole response to a request for a public list that has been made already: status, headers, body. None: call the
        application, which also lets those wait who ask too often. For an HTTP server that has not made a scope yet.
        """
        path, _, query = target.partition(b"?")
        if b"%" in path or not path.isascii() or self._browser_hosts.refusal(headers) is not None:
            return None
        wanted = self.ready.wanted(path.decode(), query, headers)
        ready = self.ready.find(wanted) if wanted is not None else None
        if wanted is None or ready is None or (pace := self.ready.pace(wanted, ready)).wait_s:
            return None
        status, own, body = response(ready, wanted, method.decode())
        pace.charge(len(body), FAST_S)
        if not path.startswith((PREFIX.encode(), ALIAS.encode())):
            return status, own, body
        return status, _joined(own, common_headers.common(headers, self._origins)), body


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _joined(message.get("headers", ()), headers)}
        await send(message)

    return wrapped


def _joined(own: Iterable[tuple[bytes, bytes]], common: Headers) -> list[tuple[bytes, bytes]]:
    """Both, with one ``vary``."""
    vary = [value for name, value in (*own, *common) if name == b"vary"]
    if len(vary) < 2:
        return [*own, *common]
    return [*(pair for pair in (*own, *common) if pair[0] != b"vary"), (b"vary", b", ".join(vary))]


def _without_body(send: Send) -> Send:
    """The head of the response to the same GET, with its length."""

    async def wrapped(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return wrapped


STATUSES = (400, 401, 402, 403, 404, 405, 408, 413, 422, 429, 500, 502, 503, 504)
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "metadata": {"type": "object"},
            },
        }
    },
}


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's OpenAPI document with the inference surfaces added, from the same types that validate requests. In place."""
    requests, components = msgspec.json.schema_components(
        [surface.request_type for surface in SURFACES], ref_template="#/components/schemas/{name}"
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for surface, request in zip(SURFACES, requests, strict=True):
        schema["paths"][PREFIX + surface.path] = {"post": _operation(surface, request)}
    schema["components"].setdefault("securitySchemes", {})["bearer"] = {"type": "http", "scheme": "bearer"}
    return schema


def _operation(surface: type[Surface], request: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {
            "description": "The answer; a stream of events when `stream` is true.",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
        }
    }
    for status in STATUSES:
        responses[str(status)] = {
            "description": "Refused or failed, in the one error shape.",
            "content": {"application/json": {"schema": ERROR}},
        }
    return {
        "tags": ["inference"],
        "summary": surface.summary,
        "operationId": surface.name,
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": responses,
    }
