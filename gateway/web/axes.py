"""Where the lines and words of an axis go: round values, powers of ten, first days of months. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

LETTER_PX = 6.4
"""Width of a letter of the axes' type, a little more than it has."""
GAP_PX = 10.0
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FINE_MOST = 7
"""Steps of a logarithmic axis that are no powers of ten."""
STEPS = (1, 2, 3, 6, 12)
"""Every how many months are named."""
Tick = tuple[float, str]
"""(position in pixels, label)."""


def round_values(most: float, wanted: int) -> list[float]:
    """Values from zero to at least ``most``, about ``wanted`` steps of 1, 2, 2.5 or 5 times a power of ten."""
    if most <= 0 or not math.isfinite(most):
        return [0.0, 1.0]
    rough = most / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * number for number in range(math.ceil(most / step * 0.9999) + 1)]


def places(last: int, wanted: int) -> list[float]:
    """Places of a ranking from the last to the first: its axis is upside down."""
    last = max(last, 2)
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, last) if each * wanted >= last - 1)
    return [*[float(each) for each in range(-(-last // step) * step, 1, -step)], 1.0]


def log_values(least: float, most: float) -> list[float]:
    """Values around positive ones for a logarithmic axis: 1, 2 and 5 times powers of ten; powers alone where these are many."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1
    fine = [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]
    first = max(place for place, value in enumerate(fine) if value <= least * 1.0001)
    last = min(place for place, value in enumerate(fine) if value >= most * 0.9999 and place > first)
    return fine[first : last + 1] if last - first <= FINE_MOST else powers_of_ten(least, most)


def powers_of_ten(least: float, most: float) -> list[float]:
    """The powers of ten around positive values, one step at least."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def day_of(bucket: str) -> date | None:
    """The day of a bucket, None for a text that is no date."""
    try:
        return date.fromisoformat(bucket[:10])
    except ValueError:
        return None


def day_label(bucket: str) -> str:
    """``2025-11-24`` → ``24 Nov 2025``, ``2025-11-24T05:00`` → ``24 Nov 2025, 05:00``; a text that is no date as it is."""
    day = day_of(bucket)
    if day is None:
        return bucket
    hour = f", {bucket[11:16]}" if len(bucket) > len("2025-11-24") else ""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}{hour}"


def time_ticks(buckets: Sequence[str], centers: Sequence[float]) -> list[Tick]:
    """Labels below the buckets: months, with the year at the first one and at each January; days where there are few months.

    Where there is no room for every month, every second, third ... is named; a January is kept before the month beside it.
    """
    days = [day_of(bucket) for bucket in buckets]
    known = [(day, center) for day, center in zip(days, centers, strict=True) if day is not None]
    if len(known) < len(buckets):
        return _apart([(center, bucket) for bucket, center in zip(buckets, centers, strict=True)])
    if len({(day.year, day.month) for day, _ in known}) <= 2:
        firsts = [
            pair for before, pair in zip([None, *known], known, strict=False) if not before or before[0] != pair[0]
        ]
        return _apart([(center, f"{day.day} {MONTHS[day.month - 1]}") for day, center in firsts])
    begins = [pair for before, pair in zip([None, *known], known, strict=False) if _new_month(before, pair)]
    for step in STEPS:
        chosen = [(day, center) for day, center in begins if (day.month - 1) % step == 0] or begins[:1]
        ticks = [
            (center, _month(day, with_year=not place or day.month == 1)) for place, (day, center) in enumerate(chosen)
        ]
        kept = _apart(ticks)
        if len(kept) >= len(ticks) - 1:  # all, or all but one that makes room for a January
            break
    return kept


def _new_month(before: tuple[date, float] | None, now: tuple[date, float]) -> bool:
    return before is None or (before[0].year, before[0].month) != (now[0].year, now[0].month)


def _month(day: date, *, with_year: bool) -> str:
    return MONTHS[day.month - 1] + (f" {day.year}" if with_year else "")


def _apart(ticks: Sequence[Tick]) -> list[Tick]:
    kept: list[Tick] = []
    for tick in ticks:
        if kept and tick[0] - kept[-1][0] < _room(kept[-1]) + _room(tick) + GAP_PX:
            if len(kept) == 1 and " " in tick[1] and tick[1][-1].isdigit():  # a first bucket just before New Year
                kept[-1] = tick
            continue
        kept.append(tick)
    return kept


def _room(tick: Tick) -> float:
    return len(tick[1][:40]) * LETTER_PX / 2
