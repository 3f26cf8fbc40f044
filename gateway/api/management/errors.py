"""Every refusal in the one documented shape: ``{"error": {"code": int, "message": str, "metadata": {...}}}``.

No input causes a 5xx. When Redis is out of reach the response is 503 with ``Retry-After``, never 401.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from gateway.api.management.json_route import ExactJSONResponse
from gateway.errors import BadRequest, GatewayError, LedgerUnavailable, MethodNotAllowed, NotFound
from gateway.store.errors import StoreError

log = structlog.get_logger(__name__)

PARAMETER_KINDS = frozenset({"query", "path", "header", "body"})
"""The first part of a location in FastAPI's errors; the caller's own field names follow."""
NOT_AN_OBJECT = frozenset({"model_type", "model_attributes_type"})
"""Types of pydantic's errors for a body that is an array, a string or a number."""


def install(app: FastAPI) -> None:
    """Put the handlers on the application; they also serve paths that do not exist."""
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RedisError, _store_error)
    app.add_exception_handler(StoreError, _store_error)
    app.add_exception_handler(Exception, _unexpected_error)


def render(error: GatewayError) -> ExactJSONResponse:
    """The error's envelope, status and headers as a response."""
    return ExactJSONResponse(error.envelope(), error.status, dict(error.headers()))


def bad_request(problem: Mapping[str, Any]) -> BadRequest:
    """One error of pydantic's or FastAPI's list → the 400 that names its field."""
    location = list(problem["loc"])
    if location and location[0] in PARAMETER_KINDS:
        location = location[1:]
    field = str(location[0]) if location else None
    if problem["type"] == "extra_forbidden":
        return BadRequest(f"Unknown field {'.'.join(map(str, location))!r}.", field=field)
    if problem["type"] == "missing":
        return BadRequest("A JSON body is required." if field is None else f"{field!r} is required.", field=field)
    if field is None and problem["type"] in NOT_AN_OBJECT:
        return BadRequest("The body must be a JSON object.")
    message = str(problem["msg"]).removeprefix("Value error, ")
    return BadRequest(f"{field}: {message}" if field else f"Body: {message}", field=field)


async def _gateway_error(_: Request, error: Exception) -> ExactJSONResponse:
    assert isinstance(error, GatewayError)
    return render(error)


async def _validation_error(_: Request, error: Exception) -> ExactJSONResponse:
    assert isinstance(error, RequestValidationError)
    return render(bad_request(error.errors()[0]))


async def _http_exception(request: Request, error: Exception) -> ExactJSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        response = render(NotFound(f"There is no {request.method} {request.url.path[:200]} here."))
    elif error.status_code == 405:
        response = render(MethodNotAllowed(f"{request.method} is not allowed here."))
    else:
        other = GatewayError(str(error.detail))
        other.status = error.status_code
        other.error_type = "invalid_request" if error.status_code < 500 else "server"
        response = render(other)
    response.headers.update(error.headers or {})
    return response


async def _store_error(_: Request, error: Exception) -> ExactJSONResponse:
    log.error("store_failed", error=f"{type(error).__name__}: {error}")
    return render(LedgerUnavailable())


async def _unexpected_error(request: Request, error: Exception) -> ExactJSONResponse:
    """A bug of ours: logged in full; the caller gets a plain 500 in the documented shape."""
    log.error("internal_error", path=request.url.path[:200], trace="".join(traceback.format_exception(error)))
    return render(GatewayError("Something went wrong inside the gateway; it has been logged."))
