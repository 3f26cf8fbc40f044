"""``sort: throughput`` and ``:nitro``: the most tokens a second (median) first, strictly; equal ones by price."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.candidate import Ask, Candidate, speeds


def rank(candidates: Sequence[Candidate], ask: Ask) -> list[Candidate]:
    del ask
    known = speeds(candidates, lambda health: health.throughput_tps)

    def key(candidate: Candidate) -> tuple[float, int, str]:
        speed = known[candidate.endpoint.id]
        return (-speed.p50 if speed else 0.0, candidate.expected_femto, candidate.endpoint.id)

    return sorted(candidates, key=key)
