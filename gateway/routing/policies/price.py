"""``sort: price`` and ``:floor``: the cheapest for this request first, strictly."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.candidate import Ask, Candidate


def rank(candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    del ask
    return sorted(candidates, key=lambda candidate: (candidate.expected_femto, candidate.endpoint.id))
