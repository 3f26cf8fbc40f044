"""Answers of charts, rankings and activity. Counts of 64 bits are decimal strings."""

from __future__ import annotations

from pydantic import Field

from gateway.api.management.schema.base import Shape, Usd


class Meta(Shape):
    """`complete_through`: the last day that is over; `revision`: changes of closed weeks; `suppressed`: too private to show."""

    version: str
    as_of: str
    start_date: str
    end_date: str


class Point(Shape):
    x: str = Field(description="First day of the bucket, the Monday of weeks.")
    ys: dict[str, str] = Field(description="Key → count.")
    partial: bool = Field(description="The bucket is not over yet.")


class Key(Shape):
    id: str
    label: str
    author: str | None
    color: str | None
    is_new: bool = Field(description="Among the largest of the last complete bucket, and of no earlier one.")


class ChartAnswer(Shape):
    """`keys`: the largest total first, `others` last."""

    data: list[Point]
    keys: list[Key]
    meta: Meta


class Standing(Shape):
    rank: int
    prev_rank: int | None
    id: str
    name: str
    author: str | None
    tokens: str
    requests: str
    change: float | None = Field(description="0.25: a quarter more than before; null when there was nothing before.")
    is_new: bool


class LeaderboardAnswer(Shape):
    data: list[Standing]
    meta: Meta


class DailyTokens(Shape):
    date: str
    model_permaslug: str
    total_tokens: str


class RankingsDaily(Shape):
    data: list[DailyTokens]
    meta: Meta


class RankedApp(Shape):
    rank: int
    app_id: str
    app_name: str
    total_tokens: str
    total_requests: int


class AppRankings(Shape):
    data: list[RankedApp]
    meta: Meta


class ActivityRow(Shape):
    date: str
    model: str
    model_permaslug: str
    endpoint_id: str = Field(description="Empty for requests that no endpoint served.")
    provider_name: str
    usage: Usd
    byok_usage_inference: Usd
    requests: int
    prompt_tokens: int
    completion_tokens: int = Field(description="With reasoning.")
    reasoning_tokens: int
    cached_tokens: int


class Activity(Shape):
    data: list[ActivityRow]
