"""Liveness and readiness, for supervisors and load balancers."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from gateway.api.management.auth import ServicesDep
from gateway.api.management.json_route import ExactJSONResponse
from gateway.api.management.schema.base import Readiness
from gateway.server.in_flight import InFlight
from gateway.services import Services
from gateway.store import keys
from gateway.store.errors import StoreError, StoreReply
from gateway.store.memory import memory_of

router = APIRouter(tags=["Health"])

PING_TIMEOUT_S = 0.25
READY_TTL_S = 60


@router.get("/healthz", summary="Liveness", response_model=Readiness)
async def healthz() -> ExactJSONResponse:
    """200 as long as the process answers at all; it asks nobody else."""
    return ExactJSONResponse({"status": "ok"})


@router.get("/readyz", summary="Readiness", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(request: Request, services: ServicesDep) -> ExactJSONResponse:
    """200 when requests can be served; 503 with the reasons while shutting down, without Redis or without a catalogue."""
    reasons = await _reasons(services, request.app.state.in_flight)
    if reasons:
        return ExactJSONResponse({"status": "not ready", "reasons": reasons}, 503, {"retry-after": "2"})
    answer: dict[str, Any] = {"status": "ready", "catalog_version": services.catalog.current.version}
    if warnings := await _warnings(services):
        answer["warnings"] = warnings
    return ExactJSONResponse(answer)


async def _warnings(services: Services) -> list[str]:
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            memory = await memory_of(services.store.mux)
    except (StoreError, TimeoutError):  # it took a write a moment ago: no reason to call it unready
        return []
    return [f"redis: its memory is nearly full, {memory}"] if memory.nearly_full else []


async def _reasons(services: Services, in_flight: InFlight) -> list[str]:
    reasons = ["draining: the process is shutting down"] if in_flight.draining else []
    if not services.catalog.current.models:
        reasons.append("catalog: no model is loaded")
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            # Over the connection that inference requests use, and a write, as a hold is: a server that is full, read-only or has
            # lost its replicas still answers PING.
            await services.store.mux.call("SET", keys.READY, "1", "EX", READY_TTL_S)
    except StoreReply as error:
        reasons.append(f"redis: refuses writes ({error.code})")
    except (StoreError, TimeoutError) as error:
        reasons.append(f"redis: not reachable ({type(error).__name__})")
    return reasons
