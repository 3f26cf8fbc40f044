"""Questions to the counters, and their answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gateway.api.management.schema.base import Body, Shape


class TimeRange(Body):
    start: str = Field(description="ISO 8601; UTC without an offset.")
    end: str = Field(description="Not included.")


class QueryFilter(Body):
    field: str = Field(description="A dimension, or for gt, gte, lt and lte a metric.")
    operator: Literal["eq", "neq", "in", "not_in", "gt", "gte", "lt", "lte"]
    value: Any = Field(description="Text, or a list of texts for `in` and `not_in`; a number for a metric.")
    include_unset: bool = Field(False, description="Of `app` with `in`: also requests whose app is not known.")


class OrderBy(Body):
    field: str = Field(description="A metric or dimension of the query, or `date`.")
    direction: Literal["asc", "desc"] = "desc"


class AnalyticsQuery(Body):
    """Without `granularity` one row for each combination of dimensions; without `time_range` the last 7 days."""

    metrics: list[str] = Field(min_length=1, max_length=40)
    dimensions: list[str] = Field([], max_length=3)
    filters: list[QueryFilter] = Field([], max_length=20)
    granularity: Literal["minute", "hour", "day", "week", "month"] | None = None
    time_range: TimeRange | None = None
    order_by: OrderBy | None = None
    limit: int = Field(1000, ge=1, le=10_000)
    group_limit: int | None = Field(None, ge=1, le=10_000, description="Most rows of one combination of dimensions.")
    classifier_dimensions: Any = Field(None, description="Not supported: no classifiers of one's own here.")
    classifier_filters: Any = Field(None, description="Not supported.")


class QueryMetadata(Shape):
    query_time_ms: int
    row_count: int
    truncated: bool = Field(description="There were more rows than `limit` or `group_limit` let through.")


class QueryResult(Shape):
    data: list[dict[str, Any]] = Field(
        description="Dimensions, metrics and `date__<granularity>`; counts are decimal strings, money exact numbers."
    )
    metadata: QueryMetadata
    warnings: list[str] = Field([])


class QueryAnswer(Shape):
    data: QueryResult


class MetricRow(Shape):
    name: str
    display_label: str
    is_rate: bool
    display_format: Literal["number", "currency", "percent", "latency", "throughput"]


class NamedRow(Shape):
    name: str
    display_label: str


class OperatorRow(Shape):
    name: str
    value_type: Literal["scalar", "array"]


class SourceRow(Shape):
    """Dimensions that can be combined, the metrics that are counted by them, and for how many days."""

    dimensions: list[str]
    metrics: list[str]
    granularities: dict[str, int]


class AnalyticsMeta(Shape):
    metrics: list[MetricRow]
    dimensions: list[NamedRow]
    operators: list[OperatorRow]
    granularities: list[NamedRow]
    combinations: list[SourceRow] = Field(description="Ours: a query needs all it names within one of these.")


class AnalyticsMetaAnswer(Shape):
    data: AnalyticsMeta
