"""The decision: candidates in order, and why the others were dropped. A pure function of its arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from gateway.catalog.model import Endpoint, Model, Price
from gateway.conversations import Conversation
from gateway.errors import GatewayError
from gateway.health.registry import EndpointHealth
from gateway.routing import affinity, filters, policies, refusal
from gateway.routing.candidate import Candidate, Drop, Need, RoutingContext, expected_femto, speeds
from gateway.routing.preferences import Preferences, matches

View = Callable[[str], EndpointHealth]
Groups = Sequence[tuple[str | None, list[Candidate]]]
"""(sort, candidates) of each model, or of all together."""
DAY_S = 86_400
MEMO_MAX = 64
SOFT_FILTER = "supported_parameters"
SHORT_FILTER = "max_completion_tokens"

__all__ = ["Candidate", "Drop", "Plan", "plan"]


class Plan(msgspec.Struct, frozen=True):
    """Every endpoint of the requested models is either a candidate or a drop."""

    candidates: tuple[Candidate, ...]
    """Best first."""
    drops: tuple[Drop, ...]
    policy: str
    models: tuple[str, ...]
    """Slugs, in the caller's order."""
    now: float = 0.0
    need: Need = Need()
    panic: bool = False
    """No endpoint was healthy, so the one candidate is a guess: worth one attempt, not three."""
    conversation: Conversation | None = None
    affinity: str | None = None
    """Whether the conversation stays where its last turn was answered, and if not, why; None when there is no such turn."""
    pooled: bool = False
    """The endpoints of several models compete in one list (``partition: none``): changing the model is no step down."""
    named: frozenset[str] = frozenset()
    """Ids of the candidates whose provider or tag the caller's ``order`` names."""

    def refuse(self) -> GatewayError:
        """The answer when there is no candidate: 404 with the filters, 400 when the request is too long, 429 or 503 when all are
        limited or down."""
        return refusal.refuse(self.models, self.drops, self.need)


def plan(
    models: Sequence[Model],
    need: Need,
    preferences: Preferences,
    *,
    view: View,
    now: float,
    rng: random.Random,
    conversation: Conversation | None = None,
) -> Plan:
    """Filters drop, policies rank, endpoints that are too slow move to the end, and a conversation stays where it was.

    ``models`` in the caller's order; ``now`` in unix seconds.
    Never raises for lack of endpoints: call ``refuse`` when ``candidates`` is empty.
    """
    context = RoutingContext(need, preferences, now, rng, conversation)
    if len(models) > 1:
        models = list({model.slug: model for model in models}.values())
    drops: list[Drop] = []
    groups = [(preferences.sort_for(model), _eligible(model, context, view, drops)) for model in models]
    if preferences.partition == "none" and groups:
        sort = next((sort for sort, _ in groups if sort is not None), None)
        groups = [(sort, [candidate for _, group in groups for candidate in group])]
    healthy = [(sort, [candidate for candidate in group if candidate.health.available]) for sort, group in groups]
    panic = not any(group for _, group in healthy)
    names, chosen, kept = _ranked(_not_refused(groups) if panic else healthy, context)
    if panic:
        chosen = chosen[:1]
    if len(chosen) < sum([len(group) for _, group in groups]):
        taken = {candidate.endpoint.id for candidate in chosen}
        drops += [_not_chosen(each) for _, group in groups for each in group if each.endpoint.id not in taken]
    return Plan(
        candidates=tuple(chosen),
        drops=tuple(drops),
        policy=names[0] if len(names) == 1 else ",".join(dict.fromkeys(names)),
        models=tuple([model.slug for model in models]),
        now=now,
        panic=panic and bool(chosen),
        conversation=conversation,
        affinity=kept,
        pooled=preferences.partition == "none" and len(models) > 1,
        named=_named(chosen, preferences.order),
        need=need,
    )


def _named(candidates: Sequence[Candidate], order: tuple[str, ...]) -> frozenset[str]:
    return frozenset([each.endpoint.id for each in candidates if matches(order, each.endpoint)] if order else ())


def _eligible(model: Model, context: RoutingContext, view: View, drops: list[Drop]) -> list[Candidate]:
    """The endpoints that pass every filter, healthy or not; the others go to ``drops``.

    Without provider preferences, and except for the size of the request, the result is the same for every request of a day that
    sends the same parameters. So it is kept with the model, and used when the request is not too large for any endpoint.
    """
    need = context.need
    key = (
        (context.now // DAY_S, need.operation, need.parameters, need.input_modalities)
        if context.preferences.plain
        else None
    )
    known = model.memo.get(key)
    if known is None or not known[2].fits(need):
        passed, dropped = _filtered(model, context)
        if key is not None and not any(drop.filter in filters.BY_SIZE for drop in dropped):
            if len(model.memo) >= MEMO_MAX:
                model.memo.clear()
            model.memo[key] = passed, dropped, filters.SizeLimits.of(model.endpoints, need.operation)
    else:
        passed, dropped, _ = known
    drops += dropped
    where, cached_tokens = (None, 0) if context.conversation is None else affinity.cached_prefix(context.conversation)
    return [
        Candidate(each, price, view(each.id), expected_femto(price, need, cached_tokens if each.id == where else 0))
        for each, price in passed
    ]


def _filtered(model: Model, context: RoutingContext) -> tuple[list[tuple[Endpoint, Price]], list[Drop]]:
    """(endpoints that pass with the price in force, drops)."""
    drops: list[Drop] = []
    filters_to_apply = filters.applicable(context)
    today = datetime.fromtimestamp(context.now, UTC).date()
    if context.preferences.enforce_distillable_text and model.attributes.get("distillable") is not True:
        drops += [
            _drop(each, "distillable", "the model's licence is not known to allow it") for each in model.endpoints
        ]
        return [], drops
    passed: list[tuple[Endpoint, Price]] = []
    for endpoint in model.endpoints:
        price = endpoint.price_on(today)
        for name, filter_ in filters_to_apply:
            reason = filter_(endpoint, price, context)
            if reason is not None:
                drops.append(_drop(endpoint, name, reason))
                break
        else:
            if price is None:  # the filter "unpriced" has dropped it; this is for the type checker
                continue
            passed.append((endpoint, price))
    for name, soft in ((SHORT_FILTER, filters.short_answers), (SOFT_FILTER, filters.soft_misses)):
        misses = dict(soft([endpoint for endpoint, _ in passed], context.need))
        if misses:
            drops += [_drop(endpoint, name, misses[endpoint.id]) for endpoint, _ in passed if endpoint.id in misses]
            passed = [(endpoint, price) for endpoint, price in passed if endpoint.id not in misses]
    return passed, drops


def _ranked(groups: Groups, context: RoutingContext) -> tuple[list[str], list[Candidate], str | None]:
    """(names of the policies, candidates of all groups in order, what became of the conversation)."""
    names, chosen, kept = [], [], None
    preferences, conversation = context.preferences, context.conversation
    slow: frozenset[str] = frozenset()
    for sort, group in groups:
        name, ranked = policies.rank(group, context, sort)
        if preferences.preferred_min_throughput or preferences.preferred_max_latency:
            slow = _slow(ranked, context)
            ranked.sort(key=lambda candidate: candidate.endpoint.id in slow)
        if conversation is not None and conversation.last is not None and name == policies.DEFAULT:
            found = affinity.verdict(ranked, conversation, conversation.last, slow)
            if found.leader is not None:
                name = affinity.NAME
                if found.leader is not ranked[0]:
                    ranked = [found.leader, *(each for each in ranked if each is not found.leader)]
            if kept is None or found is not affinity.NOT_HERE:
                kept = found.reason
        names.append(name)
        chosen += ranked if preferences.allow_fallbacks or preferences.order else ranked[:1]
    return names, chosen, kept


def _not_refused(groups: Groups) -> Groups:
    """Panic: our statistics may be wrong, so every endpoint that did not itself refuse may be tried."""
    return [(sort, [candidate for candidate in group if not candidate.health.explicit]) for sort, group in groups]


def _slow(candidates: Sequence[Candidate], context: RoutingContext) -> frozenset[str]:
    """Ids of the candidates that miss a preferred speed, where speeds are known.

    One of which little is known of late is spared now and then, so that it can show whether it is still slow.
    """
    preferences, random = context.preferences, context.rng.random
    throughput = speeds(candidates, lambda health: health.throughput_tps)
    latency = speeds(candidates, lambda health: health.latency_ms)

    def misses(candidate: Candidate) -> bool:
        tps, ms = throughput[candidate.endpoint.id], latency[candidate.endpoint.id]
        too_slow = tps is not None and any(getattr(tps, p) < least for p, least in preferences.preferred_min_throughput)
        too_late = ms is not None and any(getattr(ms, p) > 1000 * most for p, most in preferences.preferred_max_latency)
        if not (too_slow or too_late):
            return False
        return candidate.health.speed_samples >= policies.ENOUGH_SAMPLES or random() >= policies.STALE_SHARE

    return frozenset([candidate.endpoint.id for candidate in candidates if misses(candidate)])


def _not_chosen(candidate: Candidate) -> Drop:
    """Eligible, but not chosen: not healthy, or a fallback that the caller does not want."""
    if candidate.health.available:
        return _drop(candidate.endpoint, "allow_fallbacks", "is a fallback, and allow_fallbacks is false")
    name, detail = filters.unhealthy(candidate.health)
    return _drop(candidate.endpoint, name, detail, wait_s=candidate.health.wait_s)


def _drop(endpoint: Endpoint, name: str, detail: str, wait_s: float | None = None) -> Drop:
    return Drop(endpoint.id, endpoint.provider.name, endpoint.model, name, detail, wait_s, endpoint.context_length)
