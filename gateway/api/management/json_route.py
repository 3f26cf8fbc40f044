"""Bodies and responses of the management API: strict JSON in, exact decimal money out.

FastAPI validates the bodies and documents the responses; this module decides only how JSON text is read and written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.api.management.auth import identify, refuse_without_management_key
from gateway.errors import BadRequest, GatewayError, PayloadTooLarge, RequestTimeout

MAX_BODY_BYTES = 65_536
"""No management request needs more; the bound also limits how long parsing can take."""
BODY_S = 10.0
"""Seconds that a body may take to arrive, also of a caller with a key."""


class ExactJSONResponse(Response):
    """JSON encoded by msgspec, so that amounts given as ``msgspec.Raw`` keep their exact decimal text.

    Handlers return it themselves, and ``response_model`` documents its content: FastAPI would write a ``Decimal`` as a string
    or as a float, and validating what this process has just built would double the time that ``GET /models`` holds the event loop
    (525 models: 37 ms to build and encode; 25 ms to validate and 15 ms to dump with pydantic).
    """

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msgspec.json.encode(content), status_code, headers)


class StrictJSONRequest(Request):
    """A request whose body FastAPI reads as strict JSON of at most ``MAX_BODY_BYTES``.

    FastAPI reads the body before it looks at path and query. So that a caller hears of all that is wrong with a request in the one
    order, a body that cannot be read becomes a ``GatewayError``, which ``schema.base.Body`` raises when the body is validated.
    """

    _timed_out = False

    async def body(self) -> bytes:
        """The body; of one that is too long only the beginning, which is longer than ``MAX_BODY_BYTES``."""
        if not hasattr(self, "_body"):
            body = bytearray()
            try:
                async with asyncio.timeout(BODY_S):
                    async for chunk in self.stream():
                        body += chunk
                        if len(body) > MAX_BODY_BYTES:
                            break
            except TimeoutError:
                self._timed_out = True
                body = bytearray(b"{")  # not empty: FastAPI calls ``json`` only when there is a body
            self._body = bytes(body)
        return self._body

    async def json(self) -> Any:
        """The decoded body, or the error that refuses it."""
        body = await self.body()
        if self._timed_out:
            return RequestTimeout(f"The request body did not arrive within {BODY_S:g} seconds.")
        if len(body) > MAX_BODY_BYTES:
            return PayloadTooLarge(f"The body of a management request may have at most {MAX_BODY_BYTES} bytes.")
        try:
            return strict_json(body)
        except GatewayError as error:
            return error


class StrictJSONRoute(APIRoute):
    """A route whose body is read as strict JSON whatever its ``Content-Type`` says: ``curl -d`` declares a form.

    The key is looked at before the body, which FastAPI would read first: without one no body is waited for.
    """

    check_key: Callable[[Request], Awaitable[object]] = staticmethod(refuse_without_management_key)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a ``StrictJSONRequest``."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            if self.body_field is not None:
                await self.check_key(request)
            return await handle(StrictJSONRequest({**request.scope, "headers": headers}, request.receive))

        return handle_strictly


class AnyKeyJSONRoute(StrictJSONRoute):
    """As ``StrictJSONRoute``, for callers with any key."""

    check_key = staticmethod(identify)


def strict_json(data: bytes) -> Any:
    """Decode JSON with numbers as exact decimals. Raises BadRequest for duplicate keys, NaN, Infinity, lone surrogates and
    nesting that is too deep.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates
        )
        json.dumps(value, default=str, ensure_ascii=False).encode("utf-8")  # fails on lone surrogates
    except UnicodeError:
        raise BadRequest("The body is not valid UTF-8 text.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except (ValueError, ArithmeticError) as error:  # Decimal refuses an exponent beyond its range
        raise BadRequest(f"The body is not valid JSON: {error}") from None
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return members
