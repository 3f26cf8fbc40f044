"""``sort: latency``: the shortest time to the first token (median) first, strictly; equal ones by price."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.candidate import Ask, Candidate, speeds


def rank(candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    del ask
    known = speeds(candidates, lambda health: health.ttft_ms)

    def key(candidate: Candidate) -> tuple[float, int, str]:
        latency = known[candidate.endpoint.id]
        return (latency.p50 if latency else 0.0, candidate.expected_femto, candidate.endpoint.id)

    return sorted(candidates, key=key)
