"""Which first? A policy ranks the candidates of one group (one model's, or all models' with ``partition: none``).

The contract, proved for every policy by ``tests/contracts/test_policies.py``:

- pure: no I/O, no clock; chance only from ``ask.dice``, so equal inputs give equal ranks
- returns each candidate exactly once: policies rank, filters drop
- the caller's wishes come in ``ask.prefs``; facts about endpoints are asked from ``candidate.health``, never kept here

A new policy is a file with a ``rank`` function and a row below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.routing.candidate import Ask, Candidate
from gateway.routing.policies import balanced, latency, order, price, throughput

Policy = Callable[[Sequence[Candidate], Ask], list[Candidate]]

POLICIES: Mapping[str, Policy] = {
    "balanced": balanced.rank,
    "price": price.rank,
    "throughput": throughput.rank,
    "latency": latency.rank,
}
"""What ``sort`` may name, and the default."""

DEFAULT = "balanced"


def rank(candidates: Sequence[Candidate], ask: Ask, sort: str | None) -> tuple[str, list[Candidate]]:
    """(name of the policy, ranked candidates). ``provider.order`` goes before any sort and switches balancing off."""
    if ask.prefs.order:
        return "order", order.rank(candidates, ask, POLICIES[sort or "price"])
    name = sort or DEFAULT
    return name, POLICIES[name](candidates, ask)
