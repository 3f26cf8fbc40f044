"""What requests are about: shares of tasks with the fields of OpenRouter's Data API, and charts of languages, ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.analytics import buckets
from gateway.analytics.buckets import Period
from gateway.analytics.classify.taxonomy import shipped, written
from gateway.analytics.estimates import Estimate, Estimates, Kind, label_shares, shares_within
from gateway.analytics.label_chart import LabelQuery, quality
from gateway.analytics.series import OTHERS
from gateway.api.management.public_views import ByViewer, Viewer, days, meta_of
from gateway.api.management.rankings import DEFAULT_DAYS, MAX_WEEKS_DAYS, check_label, labelled, refuse_uncounted
from gateway.api.management.schema import rankings as schema

router = APIRouter(tags=["Rankings"], dependencies=[Depends(refuse_uncounted)])

WINDOW_DAYS = 7
MODELS_LISTED = 10


@router.get("/classifications/task", response_model=schema.TaskAnswer, summary="Shares of tasks")
async def get_task_classifications(
    viewer: ByViewer,
    window: Annotated[Literal["7d"], Query(description="The last complete week, from Monday.")] = "7d",
) -> Response:
    """Of the requests and tokens that were classified: what is unclassified is in no denominator. Only shares, as estimated from a
    sample. What is too private or too uncertain to show is left out, so shares may add up to less than 1.
    """

    async def shared() -> dict[str, Any]:
        store, least = viewer.services.store, viewer.least_users
        week = buckets.week_of(buckets.today(time.time())) - 1
        [tasks] = await label_shares(store, "task", [week], least_users=least)
        group_of = shipped().group_of
        shown = [each for each in tasks.estimates if group_of(each.key)]
        shown.sort(key=lambda each: (-each.request_share, each.key))
        models = await shares_within(store, "task", [(week, each.key) for each in shown], least_users=least)
        first = buckets.monday(week)
        groups = _groups(shown)
        data = {
            "as_of": buckets.iso_day(first + WINDOW_DAYS - 1),
            "window_days": WINDOW_DAYS,
            "macro_categories": list(groups.values()),
            "classifications": [
                _task(each, groups[group_of(each.key)], within) for each, within in zip(shown, models, strict=True)
            ],
        }
        known = {**quality([tasks]), "hidden": tasks.hidden, "unclassified": tasks.unclassified}
        meta = {**meta_of(first, first + WINDOW_DAYS - 1), **known, "suppressed": tasks.suppressed}
        return {"data": data, "meta": {**meta, "estimates": _certainty(shown, models)}}

    return await viewer.answer(window, shared)


def _groups(shown: Sequence[Estimate]) -> dict[str, dict[str, Any]]:
    """Group → the shares of its tasks that are shown: what is hidden cannot be found by subtraction."""
    found = {}
    for group, tasks in shipped().tasks.items():
        mine = [each for each in shown if each.key in tasks]
        found[group] = {
            "key": group,
            "label": group.capitalize(),
            "usage_share": sum(each.request_share for each in mine),
            "token_share": sum(each.share for each in mine),
        }
    return found


def _task(each: Estimate, group: Mapping[str, Any], models: Estimates) -> dict[str, Any]:
    ranked = sorted(models.estimates, key=lambda model: (-model.request_share, model.key))
    return {
        "tag": f"{group['key']}:{each.key}",
        "display_name": written(each.key),
        "macro_category": group["key"],
        "usage_share": each.request_share,
        "token_share": each.share,
        "category_usage_share": each.request_share / group["usage_share"],
        "category_token_share": each.share / group["token_share"] if group["token_share"] else 0.0,
        "models": [
            {"id": model.key, "tag_usage_share": model.request_share, "tag_token_share": model.share}
            for model in [model for model in ranked if model.key != OTHERS][:MODELS_LISTED]
        ],
    }


def _certainty(shown: Sequence[Estimate], models: Sequence[Estimates]) -> dict[str, dict[str, Any]]:
    """Tag → the interval of its share of the tokens, and whether its models could be told."""
    return {
        f"{shipped().group_of(each.key)}:{each.key}": {
            "n": each.n,
            "n_eff": within.n_effective,
            "token_share_low": each.low,
            "token_share_high": each.high,
            "models_hidden": within.hidden,
        }
        for each, within in zip(shown, models, strict=True)
    }


class LanguageQuery(BaseModel):
    """The parameters of a chart of one language."""

    tag: str = Field(
        description="`English`, `Chinese (Simplified)`; `Python`, `C++`; a wrong one is answered with all."
    )
    period: Period = Field("week", description="Languages are counted by weeks only.")
    start_date: date | None = Field(None, description="First day, UTC; its whole week is shown.")
    end_date: date | None = Field(None, description="Last day, UTC; today when left out.")
    top: int = Field(9, ge=1, le=50, description="Series with values of their own in each week.")


@router.get("/rankings/languages", response_model=schema.EstimateAnswer, summary="Chart of one natural language")
async def get_languages(viewer: ByViewer, wanted: Annotated[LanguageQuery, Query()]) -> Response:
    """As `GET /rankings/chart`, of the tokens of requests in this language, estimated from those that were classified."""
    return await _of_language(viewer, "language", wanted)


@router.get(
    "/rankings/programming-languages",
    response_model=schema.EstimateAnswer,
    summary="Chart of one programming language",
)
async def get_programming_languages(viewer: ByViewer, wanted: Annotated[LanguageQuery, Query()]) -> Response:
    """As `GET /rankings/chart`, of the tokens of requests about this language, estimated from those that were classified."""
    return await _of_language(viewer, "programming", wanted)


async def _of_language(viewer: Viewer, kind: Kind, wanted: LanguageQuery) -> Response:
    check_label(kind, wanted.tag, wanted.period, field="tag")
    first, last = days(wanted.start_date, wanted.end_date, length=DEFAULT_DAYS["week"], most=MAX_WEEKS_DAYS)
    query = LabelQuery(
        kind=kind, label=wanted.tag, start=first, end=last, top=wanted.top, least_users=viewer.least_users
    )
    return await viewer.answer(query, lambda: labelled(viewer.services, query))
