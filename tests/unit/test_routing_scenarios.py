"""Three vendors by price, speed and failures; JSON, streamed and mixed; one dies and returns; conversations: the tables of docs/routing.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import routing_scenarios
from tools.routing_scenarios import MARKETS, OUTAGE_S, PREFERENCES, REQUESTS, TRAFFIC, converse, run

DOCS = Path(__file__).parents[2] / "docs" / "routing.md"
LEADERS = {
    "balanced (default)": "B",  # A fails every tenth time, so it is last for half a minute again and again
    "`sort: price`": "A",
    "`sort: latency`": "C",
    "`sort: throughput`": "C",
    "`preferred_max_latency: 0.2`": "B",
    "`preferred_min_throughput: 100`": "B",
}


@pytest.mark.parametrize("traffic", TRAFFIC)
@pytest.mark.parametrize("policy", PREFERENCES)
def test_shares(policy: str, traffic: str) -> None:
    """Whether answers are streamed or not, the vendor that a policy is about gets most requests, and no request fails."""
    outcome = run(policy, traffic)
    assert outcome.failed == 0
    assert outcome.answered.total() == REQUESTS
    assert outcome.answered.most_common(1)[0][0] == LEADERS[policy]
    if policy not in ("balanced (default)", "`sort: price`"):
        assert outcome.answered["A"] <= 0.05 * REQUESTS  # the slow one is only tried


@pytest.mark.parametrize("policy", PREFERENCES)
def test_one_dies_and_returns(policy: str) -> None:
    """Nobody notices that the favourite is dead, it costs few attempts, and it serves again soon after its return."""
    favourite = LEADERS[policy]
    outcome = run(policy, "JSON", favourite)
    assert outcome.failed == 0
    dead, back = OUTAGE_S
    assert favourite not in outcome.by_second[dead:back]
    assert outcome.attempts - run(policy, "JSON").attempts <= 15
    assert favourite in outcome.by_second[back : back + 15]


@pytest.mark.parametrize("market", MARKETS)
def test_conversations(market: str) -> None:
    """Twelve turns change their vendor once at most where vendors are healthy, and cost a third less than without affinity."""
    off, on = converse(market, keep=False), converse(market, keep=True)
    assert max(on.changes) <= (2 if "failing" in market else 1)
    assert sum(on.changes) < 0.05 * sum(off.changes)
    assert on.usd < 0.67 * off.usd
    assert on.cached_share > 0.8


@pytest.mark.parametrize("name", routing_scenarios.TABLES)
def test_the_tables_of_the_documentation(name: str) -> None:
    """docs/routing.md shows what ``python -m tools.routing_scenarios`` prints."""
    assert routing_scenarios.TABLES[name]() in DOCS.read_text()
