"""The decision: candidates in order, and why the others were dropped. A pure function of its arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.catalog.model import Endpoint, Model, Price
from gateway.errors import GatewayError
from gateway.health.registry import EndpointHealth
from gateway.routing import filters, policies, refusal
from gateway.routing.candidate import Candidate, Drop, Need, RoutingContext, expected_femto, speeds
from gateway.routing.preferences import Preferences

View = Callable[[str], EndpointHealth]
Groups = Sequence[tuple[str | None, list[Candidate]]]
"""(sort, candidates) of each model, or of all together."""
DAY_S = 86_400
MEMO_MAX = 64
SOFT_FILTER = "supported_parameters"

__all__ = ["Candidate", "Drop", "Plan", "plan"]


class Plan(msgspec.Struct, frozen=True):
    """Every endpoint of the asked models is either a candidate or a drop."""

    candidates: tuple[Candidate, ...]
    """Best first."""
    drops: tuple[Drop, ...]
    policy: str
    models: tuple[str, ...]
    """Slugs, in the caller's order."""
    now: float = 0.0
    panic: bool = False
    """No endpoint was healthy, so the one candidate is a guess: worth one attempt, not three."""

    def refuse(self) -> GatewayError:
        """The answer when there is no candidate: 404 with the filters, 400 when only too long, 503 when all are down."""
        return refusal.refuse(self.models, self.drops, self.now)

    def explain(self) -> dict[str, Any]:
        """For the record and the log: plain values, nothing secret, no prompt."""
        return {
            "policy": self.policy,
            "models": list(self.models),
            "panic": self.panic,
            "candidates": [
                {
                    "endpoint": candidate.endpoint.id,
                    "state": candidate.health.state,
                    "recent_outage": candidate.health.recent_outage,
                    "band": candidate.health.band,
                    "expected_femto": candidate.expected_femto,
                }
                for candidate in self.candidates
            ],
            "dropped": [
                {"endpoint": drop.endpoint_id, "filter": drop.filter, "detail": drop.detail} for drop in self.drops
            ],
        }


def plan(
    models: Sequence[Model],
    need: Need,
    prefs: Preferences,
    *,
    view: View,
    now: float,
    rng: random.Random,
) -> Plan:
    """Filters drop, policies rank, too slow ones move to the end. ``models`` in the caller's order; ``now`` in unix seconds.

    Never raises for lack of endpoints: ask ``refuse`` when ``candidates`` is empty.
    """
    ask = RoutingContext(need, prefs, now, rng)
    if len(models) > 1:
        models = list({model.slug: model for model in models}.values())
    drops: list[Drop] = []
    groups = [(prefs.sort_for(model), _eligible(model, ask, view, drops)) for model in models]
    if prefs.partition == "none" and groups:
        sort = next((sort for sort, _ in groups if sort is not None), None)
        groups = [(sort, [candidate for _, group in groups for candidate in group])]
    well = [(sort, [candidate for candidate in group if candidate.health.available]) for sort, group in groups]
    panic = not any(group for _, group in well)
    names, chosen = _ranked(_guessable(groups) if panic else well, ask)
    if panic:
        chosen = chosen[:1]
    if len(chosen) < sum([len(group) for _, group in groups]):
        taken = {candidate.endpoint.id for candidate in chosen}
        drops += [_left_out(each, now) for _, group in groups for each in group if each.endpoint.id not in taken]
    return Plan(
        candidates=tuple(chosen),
        drops=tuple(drops),
        policy=names[0] if len(names) == 1 else ",".join(dict.fromkeys(names)),
        models=tuple([model.slug for model in models]),
        now=now,
        panic=panic and bool(chosen),
    )


def _eligible(model: Model, ask: RoutingContext, view: View, drops: list[Drop]) -> list[Candidate]:
    """The endpoints that pass every filter, healthy or not; the others go to ``drops``.

    Without provider preferences the answer is the same for every request of a day that sends the same parameters, but for
    its size; so it is kept with the model, and used when the request is not too large for anyone.
    """
    need = ask.need
    key = (ask.now // DAY_S, need.operation, need.parameters, need.input_modalities) if ask.preferences.plain else None
    known = model.memo.get(key)
    if known is None or not known[2].fits(need):
        passed, dropped = _filtered(model, ask)
        if key is not None and not any(drop.filter in filters.BY_SIZE for drop in dropped):
            if len(model.memo) >= MEMO_MAX:
                model.memo.clear()
            model.memo[key] = passed, dropped, filters.Room.of(model.endpoints, need.operation)
    else:
        passed, dropped, _ = known
    drops += dropped
    return [Candidate(each, price, view(each.id), expected_femto(price, need)) for each, price in passed]


def _filtered(model: Model, ask: RoutingContext) -> tuple[list[tuple[Endpoint, Price]], list[Drop]]:
    """(endpoints that pass with the price in force, drops)."""
    drops: list[Drop] = []
    questions = filters.asked(ask)
    today = datetime.fromtimestamp(ask.now, UTC).date()
    if ask.preferences.enforce_distillable_text and model.attributes.get("distillable") is not True:
        drops += [
            _drop(each, "distillable", "the model's licence is not known to allow it") for each in model.endpoints
        ]
        return [], drops
    passed: list[tuple[Endpoint, Price]] = []
    for endpoint in model.endpoints:
        price = endpoint.price_on(today)
        for name, question in questions:
            reason = question(endpoint, price, ask)
            if reason is not None:
                drops.append(_drop(endpoint, name, reason))
                break
        else:
            if price is None:  # the filter "unpriced" caught it; this tells the type checker
                continue
            passed.append((endpoint, price))
    misses = dict(filters.soft_misses([endpoint for endpoint, _ in passed], ask.need))
    if misses:
        drops += [_drop(endpoint, SOFT_FILTER, misses[endpoint.id]) for endpoint, _ in passed if endpoint.id in misses]
        passed = [(endpoint, price) for endpoint, price in passed if endpoint.id not in misses]
    return passed, drops


def _ranked(groups: Groups, ask: RoutingContext) -> tuple[list[str], list[Candidate]]:
    """(names of the policies, candidates of all groups in order)."""
    names, chosen = [], []
    for sort, group in groups:
        name, ranked = policies.rank(group, ask, sort)
        names.append(name)
        if ask.preferences.preferred_min_throughput or ask.preferences.preferred_max_latency:
            slow = _slow(ranked, ask.preferences)
            ranked.sort(key=lambda candidate: candidate.endpoint.id in slow)
        chosen += ranked if ask.preferences.allow_fallbacks or ask.preferences.order else ranked[:1]
    return names, chosen


def _guessable(groups: Groups) -> Groups:
    """Panic: our statistics may be wrong, so those are asked that did not themselves say no."""
    return [(sort, [candidate for candidate in group if not candidate.health.explicit]) for sort, group in groups]


def _slow(candidates: Sequence[Candidate], prefs: Preferences) -> set[str]:
    """Ids of those that miss a preferred speed. What nobody has measured yet misses nothing."""
    throughput = speeds(candidates, lambda health: health.throughput_tps)
    latency = speeds(candidates, lambda health: health.ttft_ms)

    def misses(endpoint_id: str) -> bool:
        tps, ms = throughput[endpoint_id], latency[endpoint_id]
        too_slow = tps is not None and any(getattr(tps, p) < least for p, least in prefs.preferred_min_throughput)
        return too_slow or (
            ms is not None and any(getattr(ms, p) > 1000 * most for p, most in prefs.preferred_max_latency)
        )

    return {candidate.endpoint.id for candidate in candidates if misses(candidate.endpoint.id)}


def _left_out(candidate: Candidate, now: float) -> Drop:
    """Eligible, but not chosen: not healthy, or a fallback that the caller does not want."""
    if candidate.health.available:
        return _drop(candidate.endpoint, "allow_fallbacks", "is a fallback, and allow_fallbacks is false")
    name, detail = filters.unhealthy(candidate.health, now)
    return _drop(candidate.endpoint, name, detail, retry_at=candidate.health.cooling_until)


def _drop(endpoint: Endpoint, name: str, detail: str, retry_at: float | None = None) -> Drop:
    return Drop(endpoint.id, endpoint.provider.name, endpoint.model, name, detail, retry_at)
