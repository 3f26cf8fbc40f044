"""Every refusal in the one documented shape: ``{"error": {"code": int, "message": str, "metadata": {...}}}``.

Input never answers 5xx. Redis out of reach answers 503 with ``Retry-After``, never 401.
"""

from __future__ import annotations

import traceback

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from gateway.api.management.http import Answer, refusal
from gateway.errors import GatewayError, LedgerUnavailable, MethodNotAllowed, NotFound
from gateway.store.errors import StoreError

log = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Put the handlers on the application; they serve every route, also those that do not exist."""
    app.add_exception_handler(GatewayError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RedisError, _no_store)
    app.add_exception_handler(StoreError, _no_store)
    app.add_exception_handler(Exception, _unexpected)


def render(error: GatewayError) -> Answer:
    """The error's envelope, status and headers as a response."""
    return Answer(error.envelope(), error.status, dict(error.headers()))


async def _refused(_: Request, error: Exception) -> Answer:
    assert isinstance(error, GatewayError)
    return render(error)


async def _invalid(_: Request, error: Exception) -> Answer:
    assert isinstance(error, RequestValidationError)
    return render(refusal(error.errors()[0], skip=("query", "path", "header", "body")))


async def _http(request: Request, error: Exception) -> Answer:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        answer = render(NotFound(f"There is no {request.method} {request.url.path[:200]} here."))
    elif error.status_code == 405:
        answer = render(MethodNotAllowed(f"{request.method} is not allowed here."))
    else:
        refused = GatewayError(str(error.detail))
        refused.status = error.status_code
        refused.error_type = "invalid_request" if error.status_code < 500 else "server"
        answer = render(refused)
    answer.headers.update(headers)
    return answer


async def _no_store(_: Request, error: Exception) -> Answer:
    log.error("store_failed", error=f"{type(error).__name__}: {error}")
    return render(LedgerUnavailable())


async def _unexpected(request: Request, error: Exception) -> Answer:
    """The ASGI edge: a bug of ours, logged in full, told to the caller as nothing but a 500 in the documented shape."""
    log.error("internal_error", path=request.url.path[:200], trace="".join(traceback.format_exception(error)))
    return render(GatewayError("Something went wrong inside the gateway; it has been logged."))
