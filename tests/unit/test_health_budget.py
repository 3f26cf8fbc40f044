"""The retry budget."""

from __future__ import annotations

import pytest

from gateway.health.retry_budget import RetryAfter, RetryBudget
from tests.support.market import Clock


def test_floor_and_share() -> None:
    """A quiet model has its floor of 5 a second over ten seconds; a busy one 10 % more."""
    clock = Clock()
    budget = RetryBudget(clock=clock)
    assert sum(budget.allow("m", "failure") for _ in range(100)) == 50
    busy = RetryBudget(clock=clock)
    for _ in range(1000):
        busy.request("m")
    assert sum(busy.allow("m", "failure") for _ in range(500)) == 150


def test_tokens_live_ten_seconds() -> None:
    """What was spent or earned more than ten seconds ago is forgotten."""
    clock = Clock()
    budget = RetryBudget(10, 0, clock=clock)
    for _ in range(100):
        budget.request("m")
    assert sum(budget.allow("m", "failure") for _ in range(50)) == 10
    clock.pass_(9)
    assert budget.allow("m", "failure") is False
    clock.pass_(2)
    assert budget.allow("m", "failure") is False
    for _ in range(30):
        budget.request("m")
    assert sum(budget.allow("m", "failure") for _ in range(50)) == 3


def test_models_do_not_share() -> None:
    """One model's storm leaves the others their retries."""
    budget = RetryBudget(0, 0.1, clock=Clock())
    assert budget.allow("a", "failure") is True
    assert budget.allow("a", "failure") is False
    assert budget.allow("b", "failure") is True


@pytest.mark.parametrize(("one", "other"), [("refusal", "failure"), ("failure", "refusal")])
def test_refusals_and_failures_do_not_share(one: RetryAfter, other: RetryAfter) -> None:
    """A caller at a rate limit leaves the others the retries that they need when a vendor fails, and the other way round."""
    budget = RetryBudget(0, 0.2, clock=Clock())
    assert [budget.allow("m", one) for _ in range(3)] == [True, True, False]
    assert [budget.allow("m", other) for _ in range(3)] == [True, True, False]


def test_storm_is_bounded() -> None:
    """Two minutes of total failure at 80 requests a second: retries stay near 10 % + 5/s, not threefold."""
    clock = Clock()
    budget = RetryBudget(clock=clock)
    retried = 0
    for _ in range(120):
        for _ in range(80):
            budget.request("m")
            retried += budget.allow("m", "failure")
        clock.pass_(1)
    assert retried <= 120 * (8 + 5) + 50
    assert retried >= 120 * 8
