"""``provider.order``: the named ones in the caller's order, then the rest by the caller's sort, or by price."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.routing.candidate import Ask, Candidate


def rank(
    candidates: Sequence[Candidate], ask: Ask, rest: Callable[[Sequence[Candidate], Ask], list[Candidate]]
) -> list[Candidate]:
    places = {name: place for place, name in enumerate(ask.prefs.order)}

    def place(candidate: Candidate) -> int:
        endpoint = candidate.endpoint
        return min(places.get(endpoint.tag, len(places)), places.get(endpoint.provider.slug, len(places)))

    return sorted(rest(candidates, ask), key=place)
