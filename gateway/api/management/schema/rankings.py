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


class Interval(Shape):
    """The true value is within it in at least 95 of 100 weeks."""

    share: float = Field(description="Of the tokens, 0 to 1.")
    low: float
    high: float
    tokens_low: str
    tokens_high: str


class Certainty(Shape):
    n: int = Field(description="Requests that were classified, or declared.")
    n_eff: int = Field(description="Requests of equal weight that would tell as much; below 100 all is hidden.")
    exact: bool = Field(description="All were counted: intervals are points.")
    hidden: bool
    suppressed: int = Field(description="Models or labels that are too private to be shown.")
    chance: float = Field(description="Mean chance with which a request was chosen.")
    intervals: dict[str, Interval] = Field(description="By key.")


class EstimateMeta(Meta):
    estimator: str = Field(description="`sampled` or `exact`.")
    n: int
    n_eff: int
    suppressed: int
    estimates: list[Certainty] = Field(description="One for each week.")


class EstimateAnswer(ChartAnswer):
    """A chart of estimated tokens."""

    meta: EstimateMeta


class TaskModel(Shape):
    id: str
    tag_usage_share: float
    tag_token_share: float


class Task(Shape):
    tag: str = Field(description="`code:debugging`.")
    display_name: str
    macro_category: str
    usage_share: float = Field(description="Of all classified requests.")
    token_share: float
    category_usage_share: float = Field(description="Of the requests of its group that are shown.")
    category_token_share: float
    models: list[TaskModel] = Field(description="At most 10, the most requests first.")


class TaskGroup(Shape):
    key: str
    label: str
    usage_share: float
    token_share: float


class Tasks(Shape):
    as_of: str = Field(description="The last day of the window.")
    window_days: int
    macro_categories: list[TaskGroup]
    classifications: list[Task] = Field(description="The most requests first.")


class TaskCertainty(Shape):
    n: int
    n_eff: int
    token_share_low: float
    token_share_high: float
    models_hidden: bool = Field(description="Too few were classified to tell its models.")


class TaskMeta(Meta):
    estimator: str
    n: int
    n_eff: int
    hidden: bool
    unclassified: float = Field(description="Share of the sampled requests that could not be classified.")
    suppressed: int
    estimates: dict[str, TaskCertainty] = Field(description="By tag.")


class TaskAnswer(Shape):
    data: Tasks
    meta: TaskMeta


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


class Percentiles(Shape):
    p50: float
    p75: float
    p90: float
    p99: float
    samples: int


class ModelSpeed(Shape):
    id: str
    name: str
    requests: str
    latency_ms: Percentiles | None = Field(description="Of streams, to the first content; null with fewer than 20.")
    throughput_tps: Percentiles | None = Field(description="Tokens a second.")
    fastest_provider: str | None
    usd_per_mtok: float | None = Field(
        description="Lowest listed price today, prompt and completion in equal parts; null: not sold."
    )


class PerformanceAnswer(Shape):
    data: list[ModelSpeed]
    meta: Meta


class Rise(Standing):
    climbed: int = Field(description="Places gained since the week before.")
    times: float | None = Field(description="Over the mean of the three weeks before; null: nothing before.")
    excess_tokens: str


class Discovery(Shape):
    climbing: list[Rise]
    breakouts: list[Rise]
    new: list[Rise]


class DiscoveryAnswer(Shape):
    data: Discovery
    meta: Meta


class AdoptionWeek(Shape):
    """Null where too few used the gateway for it to be shown."""

    x: str = Field(description="The Monday.")
    users: int | None
    keys: int | None
    apps: int | None = Field(description="That say who they are.")
    models_per_key: float | None
    partial: bool = Field(description="The week is not over yet.")


class AdoptionAnswer(Shape):
    data: list[AdoptionWeek]
    meta: Meta


class StatsSeries(Shape):
    """`uptime` also has `percent` and `status` of all hours, `price` what was `paid`, `apps` tokens and requests, `cohorts` their
    number of `users`, whether they are `foundational` (stay), and at which age they come back (`boomerang`)."""

    id: str = Field(description="An endpoint; `all`, `with_routing`, `without_routing`; an app; a measure; a month.")
    label: str
    provider: str | None
    values: list[Percentiles | dict[str, float] | dict[str, float | None] | float | str | None] = Field(
        description="One for each bucket; counts are decimal strings. Null: not measured, or too private to show."
    )


class Stats(Shape):
    buckets: list[str] = Field(
        description="Where each begins, UTC; the last one is not over. Of cohorts: ages in months."
    )
    series: list[StatsSeries]


class StatsAnswer(Shape):
    data: Stats
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


class SessionCost(Shape):
    app_slug: str
    app_name: str
    model_permaslug: str
    turn_range: str
    median_session_cost_usd: Usd
    sessions: int


class SessionCosts(Shape):
    data: list[SessionCost]
    meta: dict[str, str | int]


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
