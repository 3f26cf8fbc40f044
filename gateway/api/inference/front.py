"""The front door: inference paths go straight to their surface, everything else to FastAPI.

Measured: a request that walks through FastAPI's middleware, router and dependency injection costs more than everything the gateway
itself does, so the door looks at the path first. The surfaces are routes of the FastAPI app all the same (see ``documented``),
for the OpenAPI page and for whoever mounts the app somewhere else.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.inference.chat_completions import ChatCompletions
from gateway.api.inference.chat_schema import ChatRequest
from gateway.api.inference.surface import Surface
from gateway.api.rooms import Rooms

PREFIXES = ("/api/v1", "/v1")


class Front:
    """The outermost ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self.fastapi = app
        self._app: ASGIApp = app
        self._doors: dict[str, Surface] = {}

    def open(self, rooms: Rooms) -> None:
        """The rooms exist now: hang the surfaces."""
        chat = ChatCompletions(rooms)
        self._doors = {prefix + "/chat/completions": chat for prefix in PREFIXES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            surface = self._doors.get(scope["path"])
            if surface is not None:
                return await surface(scope, receive, send)
        return await self._app(scope, receive, send)


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """Add the inference surfaces to FastAPI's OpenAPI document, from the very types that validate requests."""
    (request,), components = msgspec.json.schema_components([ChatRequest], ref_template="#/components/schemas/{name}")
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "metadata": {"type": "object"},
                },
            }
        },
    }
    statuses = (400, 401, 402, 403, 404, 405, 408, 413, 422, 429, 500, 502, 503, 504)
    responses: dict[str, Any] = {
        "200": {
            "description": "The answer; a stream of events when `stream` is true.",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
        }
    }
    for status in statuses:
        responses[str(status)] = {
            "description": "Refused or failed, in the one error shape.",
            "content": {"application/json": {"schema": error}},
        }
    schema["paths"]["/api/v1/chat/completions"] = {
        "post": {
            "tags": ["inference"],
            "summary": "Chat completion",
            "operationId": "chat_completions",
            "security": [{"bearer": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
            "responses": responses,
        }
    }
    schema["components"].setdefault("securitySchemes", {})["bearer"] = {"type": "http", "scheme": "bearer"}
    return schema
