"""How the management API reads bodies and writes answers: strict JSON in, exact decimal money out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from gateway.errors import BadRequest, PayloadTooLarge

MAX_BODY_BYTES = 65_536
"""No management body needs more; the bound makes parsing time a constant."""

Model = TypeVar("Model", bound=BaseModel)


class Answer(Response):
    """JSON by msgspec, so that ``records.usd`` values keep their exact decimal text."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msgspec.json.encode(content), status_code, headers)


def body_of(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the body as ``model``; used after authentication, so strangers learn nothing from it.

    Raises BadRequest with the first wrong field (unknown ones included), PayloadTooLarge above ``MAX_BODY_BYTES``.
    """

    async def read(request: Request) -> Model:
        data = _strict_json(await _bytes_of(request))
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise refusal(error.errors()[0]) from None

    return read


def described(model: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra`` of a route whose body is read by ``body_of``."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def refusal(problem: Mapping[str, Any], *, skip: tuple[str, ...] = ()) -> BadRequest:
    """One pydantic problem → the 400 that names its field. ``skip``: leading location parts that are not the caller's."""
    where = [str(part) for part in problem["loc"] if part not in skip]
    field = where[0] if where else None
    if problem["type"] == "extra_forbidden":
        return BadRequest(f"Unknown field {field!r}.", field=field)
    if problem["type"] == "missing":
        return BadRequest(f"{field!r} is required.", field=field)
    message = str(problem["msg"]).removeprefix("Value error, ")
    return BadRequest(f"{field}: {message}" if field else f"Body: {message}", field=field)


async def _bytes_of(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"A management body has at most {MAX_BODY_BYTES} bytes.")
        parts.append(part)
    return b"".join(parts)


def _strict_json(data: bytes) -> Any:
    """Numbers stay exact decimals; duplicate keys, NaN, Infinity, deep nesting and lone surrogates are refused."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
        json.dumps(value, default=str, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise BadRequest("The body is not valid UTF-8 text.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from None
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found
