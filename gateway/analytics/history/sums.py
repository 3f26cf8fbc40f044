"""Sums of events by day or week, in the two languages that a history is asked in: DuckDB's, and ClickHouse's."""

from __future__ import annotations

from typing import Literal, NamedTuple

Period = Literal["daily", "weekly"]


class Sum(NamedTuple):
    """One column of sums: its name, and the same in both languages."""

    name: str
    duckdb: str
    clickhouse: str
    meaning: str


def _added(name: str, meaning: str) -> Sum:
    return Sum(name, f"sum({name})", f"sum({name})", meaning)


SUMS = (
    Sum("requests", "count(*)", "count()", "requests"),
    Sum("ok", "count(*) FILTER (ok)", "countIf(ok = 1)", "of them, with an answer that did not end with an error"),
    _added("prompt", "tokens of the vendor's tokenizer"),
    _added("completion", "tokens, with reasoning"),
    _added("reasoning", "tokens, within completion"),
    _added("cache_read", "tokens, within prompt"),
    _added("cache_write", "tokens, within prompt"),
    Sum(
        "tool_requests",
        "count(*) FILTER (finish = 'tool_calls')",
        "countIf(finish = 'tool_calls')",
        "requests that ended with a call of tools",
    ),
    Sum(
        "users",
        'count(DISTINCT "user") FILTER (octet_length("user") > 0)',
        "uniqExactIf(user, user != '')",
        "different users",
    ),
    _added("cost_nano", "the provider's price, nano-USD"),
    _added("fee_nano", "the fee, nano-USD"),
    _added("charged_nano", "what the caller paid, nano-USD"),
)
PERIODS: dict[Period, tuple[str, str, str]] = {
    "daily": ("date", "dt", "UTC day"),
    "weekly": ("week", "week", "Monday of the week, UTC"),
}
"""Period → name of its column, of the column of ``events``, and what it says."""


class Sums(NamedTuple):
    """What is added up."""

    period: Period
    private: bool = False
    """Also by organisation and key."""

    @property
    def groups(self) -> tuple[str, ...]:
        """What the sums are by, besides the time."""
        return ("model", "provider", "app", *(("org", "key") if self.private else ()))

    def duckdb(self) -> str:
        """SQL over the view ``events`` of DuckDB."""
        name, column, _ = PERIODS[self.period]
        groups = ", ".join(self.groups)
        sums = ", ".join(f'({each.duckdb})::BIGINT AS "{each.name}"' for each in SUMS)
        return f'SELECT {column} AS "{name}", {groups}, {sums} FROM events GROUP BY {column}, {groups}'  # noqa: S608 - names of ours
