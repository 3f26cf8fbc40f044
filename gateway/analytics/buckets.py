"""Time cut into hours, days and weeks, all UTC. Weeks are those of ISO 8601: they begin on Monday at 00:00.

A bucket is a number: hours, days or weeks since the one that contains 1970-01-01. Unix time knows no leap second, so a
23:59:60 that a clock reports is the first second of the next day, for us as for everybody else.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

Grain = Literal["h", "d", "w"]
Period = Literal["day", "week", "month"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
EPOCH = date(1970, 1, 1)
THURSDAY_MS = 3 * DAY_MS
"""1970-01-01 was a Thursday: its week began three days before."""
LENGTH_MS: dict[Grain, int] = {"h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}


def bucket(grain: Grain, at_ms: int) -> int:
    """The bucket that contains a time in unix ms."""
    if grain == "w":
        return (at_ms + THURSDAY_MS) // WEEK_MS
    return at_ms // LENGTH_MS[grain]


def start_ms(grain: Grain, number: int) -> int:
    """Unix ms at which a bucket begins."""
    return number * WEEK_MS - THURSDAY_MS if grain == "w" else number * LENGTH_MS[grain]


def end_ms(grain: Grain, number: int) -> int:
    """Unix ms at which a bucket is over."""
    return start_ms(grain, number + 1)


def day_of(when: date) -> int:
    """The day's number."""
    return (when - EPOCH).days


def date_of(day: int) -> date:
    """The reverse of ``day_of``. Raises OverflowError beyond the year 9999."""
    return EPOCH + timedelta(days=day)


def week_of(day: int) -> int:
    """The week that contains a day."""
    return (day + 3) // 7


def monday(week: int) -> int:
    """The day on which a week begins."""
    return week * 7 - 3


def today(now: float) -> int:
    """The running day at a unix time in seconds."""
    return int(now // 86_400)


def first_day(period: Period, day: int) -> int:
    """The first day of the period that contains a day."""
    if period == "week":
        return monday(week_of(day))
    return day_of(date_of(day).replace(day=1)) if period == "month" else day


def following(period: Period, first: int) -> int:
    """The first day of the next period."""
    if period == "month":
        return day_of((date_of(first).replace(day=1) + timedelta(days=32)).replace(day=1))
    return first + (7 if period == "week" else 1)


def iso_day(day: int) -> str:
    """``2025-12-29``."""
    return date_of(day).isoformat()


def iso_time(now: float) -> str:
    """Unix seconds → ``2026-01-05T00:20:11Z``."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
