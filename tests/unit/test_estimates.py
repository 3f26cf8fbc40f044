"""Estimates from a sample: right on average, with intervals that hold, and no jump when the chance of being chosen changes."""

from __future__ import annotations

import math
import random

import pytest

from gateway.analytics.estimates import LEAST_EFFECTIVE, Estimates, estimated
from gateway.analytics.event import Event
from gateway.analytics.weights import MILLION, UNCLASSIFIED, Weighed, labels_of, weighed

CATEGORIES = ("programming", "roleplay", "science", "legal")
WEEKS, EVENTS = 18, 60_000


def event(tokens: int, ppm: int, **given: object) -> Event:
    return Event(at_ms=0, endpoint="p/m@a/m", org="o", key="k", prompt=tokens, sampled_ppm=ppm, **given)  # type: ignore[arg-type]


def sums(*events: tuple[str, int, int]) -> dict[str, Weighed]:
    """Of events as (label, tokens, ppm)."""
    found: dict[str, Weighed] = {}
    for label, tokens, ppm in events:
        found[label] = found.get(label, Weighed()).plus(weighed(event(tokens, ppm)))
    return found


def test_a_change_of_the_chance_makes_no_jump() -> None:
    """T23: p 0.25 %, from the seventh week 2 %, from the thirteenth 3 %. Tokens and shares of all weeks: the truth is inside the interval
    in 95 of 100, and the estimate is off in neither direction when p changes.
    """
    rng = random.Random(23)
    labels = rng.choices(CATEGORIES, (0.3, 0.45, 0.15, 0.1), k=EVENTS)
    sizes = [int(5_000 * math.exp(0.95 * rng.gauss(0, 1)) * (3.5 if label == "programming" else 1)) for label in labels]
    truth = {name: sum(size for label, size in zip(labels, sizes, strict=True) if label == name) for name in CATEGORIES}
    every = sum(truth.values())
    inside: list[bool] = []
    ratios: list[list[float]] = [[], [], []]
    for week in range(WEEKS):
        third = week * 3 // WEEKS
        ppm = (2_500, 20_000, 30_000)[third]
        place, chosen = -1, []
        while (place := place + 1 + int(math.log(1 - rng.random()) / math.log(1 - ppm / MILLION))) < EVENTS:
            chosen.append((labels[place], sizes[place], ppm))
        found = estimated(sums(*chosen))
        assert found.chance == pytest.approx(ppm / MILLION)
        for each in found.estimates:
            inside += [
                each.low <= truth[each.key] / every <= each.high,
                each.tokens_low <= truth[each.key] <= each.tokens_high,
            ]
        ratios[third].append(sum(each.tokens for each in found.estimates) / every)
    assert len(inside) == 2 * len(CATEGORIES) * WEEKS
    assert sum(inside) >= 0.95 * len(inside)
    assert [sum(third) / len(third) for third in ratios] == pytest.approx([1, 1, 1], abs=0.15)


def test_what_was_counted_is_exact() -> None:
    """Declared labels stand for themselves, few as they are: an interval is a point, and nothing is hidden."""
    found = estimated(sums(("legal", 300, 0), ("health", 100, 0)))
    assert (found.exact, found.hidden, found.n, found.chance) == (True, False, 2, 1.0)
    assert [(e.key, e.share, e.low, e.high, e.tokens, e.tokens_low, e.tokens_high) for e in found.estimates] == [
        ("legal", 0.75, 0.75, 0.75, 300, 300, 300),
        ("health", 0.25, 0.25, 0.25, 100, 100, 100),
    ]


def test_small_samples_are_hidden() -> None:
    """By the effective size of what is divided by: one event that stands for very many makes a hundred others worthless."""
    few = [("legal", 100, 500_000)] * (LEAST_EFFECTIVE - 1)
    assert estimated(sums(*few)).hidden
    assert estimated(sums(*few)).estimates == ()
    enough = estimated(sums(*few, ("health", 100, 500_000)))
    assert (enough.hidden, enough.n_effective) == (False, LEAST_EFFECTIVE)
    assert estimated(sums(*few, ("health", 100, 100))).n_effective < 2
    assert estimated({}).estimates == ()


def test_the_unclassified_are_in_no_share() -> None:
    """Their part of the requests is told; shares of the others add up to 1. Exact and sampled organisations add up."""
    found: Estimates = estimated(
        sums(*[("legal", 10, 500_000)] * 150, *[("health", 10, 0)] * 100, *[(UNCLASSIFIED, 10, 500_000)] * 50)
    )
    assert found.unclassified == pytest.approx(0.2)
    assert sum(each.share for each in found.estimates) == pytest.approx(1)
    assert [(each.key, each.tokens, each.requests) for each in found.estimates] == [
        ("legal", 3000, 300),
        ("health", 1000, 100),
    ]
    assert all(each.low < each.share < each.high for each in found.estimates)


def test_portions_do_not_matter() -> None:
    """Sums of integers, for every chance and for tokens beyond 2^53."""
    rng = random.Random(7)
    events = [
        event(rng.randrange(2**55), rng.randrange(1, MILLION + 1), charged_nano=rng.randrange(10**12))
        for _ in range(60)
    ]
    one, half = Weighed(), (Weighed(), Weighed())
    for each in events:
        one = one.plus(weighed(each))
    for number, each in enumerate(reversed(events)):
        half = (half[1], half[0].plus(weighed(each))) if number % 2 else (half[0].plus(weighed(each)), half[1])
    assert half[0].plus(half[1]) == one
    assert one.w / MILLION == pytest.approx(sum(MILLION / each.sampled_ppm for each in events), rel=1e-6)


def test_which_labels_count() -> None:
    """Declared: the category alone. Sampled: all four, with what is not known as such. Neither: nothing."""
    assert labels_of(event(1, 0)) == ()
    assert labels_of(event(1, 0, category="legal")) == (("c", "legal"),)
    assert dict(labels_of(event(1, 5, category="legal", task="math"))) == {
        "c": "legal", "g": "math", "i": UNCLASSIFIED, "j": UNCLASSIFIED,
    }  # fmt: skip
