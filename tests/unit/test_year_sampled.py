"""The synthetic year through a sample of its events: estimates find the laws again. The T numbers are those of docs/analytics.md."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from gateway.analytics.estimates import Estimate, estimated
from gateway.analytics.event import Event
from gateway.analytics.weights import MILLION, Weighed, weighed
from gateway.cli.demo.year import laws
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.events import FIRST_MS, WEEK_MS, YearEvent, events
from gateway.cli.demo.year.targets import WEEKS

pytestmark = pytest.mark.tail
SCALE, SEED = 2e-6, 2025
CHANCES = ((0, 100_000), (24, 300_000), (48, 1_000_000))
"""From which week on, millionths: they change twice, as they did at OpenRouter in 2025."""
Cells = dict[int, dict[str, int]]


def of_event(event: YearEvent, ppm: int) -> Event:
    return Event(at_ms=event.ts_ms, endpoint="@" + event.model, org="", key="", prompt=event.prompt, completion=event.completion, sampled_ppm=ppm)  # fmt: skip


class Sampled:
    """Weekly sums of what was chosen, and of everything, by one label."""

    def __init__(self, found: list[tuple[YearEvent, int]], label: Callable[[YearEvent], str]) -> None:
        self.sums: dict[int, dict[str, Weighed]] = defaultdict(dict)
        self.truth: Cells = defaultdict(lambda: defaultdict(int))
        for event, ppm in found:
            week, name = (event.ts_ms - FIRST_MS) // WEEK_MS, label(event)
            self.truth[week][name] += event.prompt + event.completion
            if ppm:
                self.sums[week][name] = self.sums[week].get(name, Weighed()).plus(weighed(of_event(event, ppm)))

    def inside(self) -> list[bool]:
        """For each week and label that is shown, whether the truth is within the interval."""
        found = []
        for week, sums in self.sums.items():
            every = sum(self.truth[week].values())
            found += [e.low <= self.truth[week][e.key] / every <= e.high for e in estimated(sums).estimates]
        return found

    def over(self, first: str, last: str) -> dict[str, Estimate]:
        """Label → the estimate of some weeks together."""
        joined: dict[str, Weighed] = {}
        for week, sums in self.sums.items():
            if first <= WEEKS[week].isoformat() <= last:
                for name, each in sums.items():
                    joined[name] = joined.get(name, Weighed()).plus(each)
        return {each.key: each for each in estimated(joined).estimates}


def test_a_sample_finds_the_laws_again() -> None:
    """T14, T15 and T28 from a tenth, then three tenths, then all events; T23: no jump where the chance changes."""
    made, rng = cube(SEED), random.Random(7)
    origin = {model.slug: model.origin for model in made.models}
    chosen: list[tuple[YearEvent, int]] = []
    for event in events(made, SCALE, SEED):
        ppm = next(p for week, p in reversed(CHANCES) if (event.ts_ms - FIRST_MS) // WEEK_MS >= week)
        chosen.append((event, ppm if rng.random() * MILLION < ppm else 0))
    categories = Sampled(chosen, lambda event: event.category)
    languages = Sampled(chosen, lambda event: event.language)
    open_models = [(event, ppm) for event, ppm in chosen if origin[event.model] in ("chinese_oss", "other_oss")]
    roleplay = Sampled(open_models, lambda event: event.category).over("2024-11-01", "2025-12-31")["roleplay"]
    inside = categories.inside() + languages.inside()
    assert len(inside) > 500
    assert sum(inside) >= 0.95 * len(inside)
    january, december = (categories.over(f"2025-{m}-01", f"2025-{m}-31")["programming"] for m in ("01", "12"))
    assert january.low <= 0.13
    assert january.high >= 0.09
    assert december.high >= 0.5
    assert (roleplay.low <= 0.56, roleplay.high >= 0.48) == (True, True)
    assert roleplay.share == pytest.approx(0.52, abs=0.04)
    year = languages.over("2024-11-01", "2025-12-31")
    for name, percent in laws.LANGUAGES.items():
        assert year[name].share == pytest.approx(percent / 100, abs=0.015), name
