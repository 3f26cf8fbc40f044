"""What the other schemas share: money, time, the base classes, the error."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from gateway.errors import BadRequest, GatewayError

Usd = Annotated[Decimal, WithJsonSchema({"type": "number", "description": "US dollars, exact decimal text."})]
UsdText = Annotated[
    Decimal,
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?$", "description": "US dollars as decimal text."}),
]
Iso = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Body(BaseModel):
    """A request body: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _raise_reading_error(cls, data: Any) -> Any:
        """A body that cannot be read arrives as the error to raise: see ``json_route.StrictJSONRequest``."""
        if isinstance(data, GatewayError):
            raise data
        if not isinstance(data, dict):
            raise BadRequest("The body must be a JSON object.")
        return data


class Shape(BaseModel):
    """A response, or a part of one."""

    model_config = ConfigDict(extra="allow")


class ErrorDetail(Shape):
    code: int = Field(description="The HTTP status.")
    message: str
    metadata: dict[str, Any] = Field(description="`error_type` always; `field` when one field is wrong.")


class ErrorAnswer(Shape):
    """The one error shape of every route."""

    error: ErrorDetail


REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "Refused; `error.metadata.error_type` says why."},
    "5XX": {"model": ErrorAnswer, "description": "Ours: 503 with `Retry-After` while the store is out of reach."},
}
"""``responses=`` of every router: documents the error shape for every operation."""


class Readiness(Shape):
    status: str
    reasons: list[str] = Field(default=[], description="Why not, when not.")
    warnings: list[str] = Field(default=[], description="What will make it unready unless somebody acts.")
