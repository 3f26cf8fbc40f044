"""``GET /generation``: what happened to one request and what it cost. Only the organisation that sent it may see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway import records
from gateway.api.management.auth import ByAnyKey, ServicesDep
from gateway.api.management.generation_view import generation_view
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema.accounts import GenerationAnswer
from gateway.errors import NotFound

router = APIRouter(tags=["Generations"])


@router.get("/generation", response_model=GenerationAnswer, summary="Get a generation")
async def get_generation(
    services: ServicesDep, policy: ByAnyKey, id: Annotated[str, Query(max_length=200)]
) -> ExactJSONResponse:
    """Tokens, cost, latency and every attempt of one generation, from the moment it ended.

    A generation of another organisation answers exactly as one that never was. The management key may see all of them.
    """
    found = await (services.books.find_record(id) if policy is None else services.books.record(policy.org, id))
    if found is None:
        raise NotFound("There is no such generation.")
    record = records.decode(found.blob)
    if record.id != id or (policy is not None and record.organization != policy.org):
        raise NotFound("There is no such generation.")
    return ExactJSONResponse({"data": generation_view(record, found.paid_nano, for_operator=policy is None)})
