"""The management API: ordinary FastAPI, separate from the code that serves inference requests.

It must not know: how an inference request is served, Redis commands, processes. Every route calls a service and renders
its result; every refusal has the one documented shape (``errors``).
"""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from gateway.api.management import (
    activity,
    admin,
    analytics,
    classifications,
    credits,
    datasets,
    errors,
    export,
    feeds,
    generations,
    health,
    image_models,
    keys,
    model_stats,
    models,
    organizations,
    rankings,
    report,
)
from gateway.api.management.auth import require_management_key
from gateway.api.management.public_views import PublicAnswers
from gateway.api.management.schema.base import REFUSALS

PREFIX = "/api/v1"


def mount(app: FastAPI) -> None:
    """Register every management route, the health routes and the error handlers. Needs ``app.state.services`` at run time."""
    errors.install(app)
    app.state.public_answers = PublicAnswers()
    app.router.routes.extend(_routes())


@cache
def _routes() -> list[BaseRoute]:
    """The routes, which every application of a process shares: FastAPI takes tens of milliseconds to put them together."""
    root = APIRouter()
    root.include_router(router(), prefix=PREFIX, responses=REFUSALS, generate_unique_id_function=_operation_id)
    root.include_router(feeds.router, responses=REFUSALS, generate_unique_id_function=_operation_id)
    root.include_router(health.router, generate_unique_id_function=_operation_id)
    return root.routes


def _operation_id(route: APIRoute) -> str:
    return route.name


def router() -> APIRouter:
    """All routes without a prefix. The routers in ``managed`` need the management key."""
    routes = APIRouter()
    managed = APIRouter(dependencies=[Depends(require_management_key)])
    for each in (keys.router, organizations.router, admin.router, export.router, report.router):
        managed.include_router(each)
    account = (keys.current, credits.router, generations.router, activity.router, analytics.router)
    for each in (
        models.router,
        image_models.router,
        *account,
        rankings.router,
        datasets.router,
        classifications.router,
        model_stats.router,
        managed,
    ):
        routes.include_router(each)
    return routes
