"""The request pipeline. Every request of every API surface goes through ``begin``: plan → hold → first successful attempt.

Read this file, then ``attempts.py`` (the failover loop), ``generation.py`` (the one ending) and ``settlement.py`` (who pays what).
It must not know: HTTP, the formats of API surfaces.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from gateway import pricing
from gateway.accounts import KeyPolicy
from gateway.catalog.model import Model
from gateway.catalog.parameters import PARAMETERS
from gateway.conversations import Conversation, named_key, opening_key
from gateway.errors import GatewayError, LedgerUnavailable, PaymentRequired, Unauthorized, UpstreamFailed
from gateway.ledger.entries import Hold, StalePolicy
from gateway.money import format_usd, parse_usd
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.clocks import Work, work
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.pipeline.upstream_request import anonymous
from gateway.prompt_size import TEXT_ONLY, Prompt
from gateway.routing.affinity import CACHED_FROM_TOKENS
from gateway.routing.filters import Need
from gateway.routing.plan import Plan, plan
from gateway.routing.preferences import parse
from gateway.services import Services
from providers import registry
from providers.types import Usage


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One per process. ``clock`` (unix seconds) and ``rng`` are fields, so that a decision can be replayed exactly."""

    services: Services
    clock: Callable[[], float] = time.time
    rng: random.Random = random.Random()  # noqa: RUF009 - one generator for the process

    async def begin(self, request: InferenceRequest) -> Generation:
        """From a parsed request to an opened answer.

        Raises BadRequest, NoEndpoints and NoHealthyEndpoint before any credit is held; Unauthorized, PaymentRequired and
        LedgerUnavailable by the hold; UpstreamFailed when no attempt succeeds (the hold is given back).
        """
        chosen = self.plan(request)
        if not chosen.candidates:
            raise chosen.refuse()
        generation = self._prepare(request, chosen)
        try:
            await self._hold(generation)
            await generation.attempts.open()
        except GatewayError as error:
            if not generation.ended:
                await generation.end("upstream_failed")
                error.recorded = True
            raise
        except BaseException:
            self.services.background.spawn(generation.leave())
            raise
        generation.opened()
        return generation

    async def count(self, request: InferenceRequest) -> int:
        """Tokens of a prompt, free of charge: the count of the first candidate that offers one, else our own estimate.

        Raises BadRequest, NoEndpoints and NoHealthyEndpoint as ``begin`` does.
        """
        chosen = self.plan(request)
        if not chosen.candidates:
            raise chosen.refuse()
        counting = tuple(c for c in chosen.candidates if "count_tokens" in registry.operations(c.endpoint.dialect))
        if not counting:
            return request.prompt.tokens
        attempts = Attempts(
            self.services,
            structs.replace(chosen, candidates=counting[:1], conversation=None),
            anonymous(request.body, request.caller.org),
            Work("count_tokens"),
            deadline=request.started + self.services.settings.answer_timeout_s,
            native=request.native,
            request_id=request.id,
        )
        try:
            await attempts.open()
        except UpstreamFailed as error:
            if error.status < 500:
                raise
            return request.prompt.tokens
        finally:
            attempts.observe_end(complete=False, usage=Usage())
        assert attempts.completion is not None
        return int(attempts.completion.body["input_tokens"])

    def plan(self, request: InferenceRequest) -> Plan:
        """Candidates in order and why the others were dropped. Pure except for the clock, the rng and the health registry."""
        catalog = self.services.catalog.current
        preferences = parse(request.body, catalog.provider_names)
        found = [catalog.resolve(name) for name in preferences.models]
        if ":" in preferences.models[0] or len(found) > 1:
            sorts = {model.slug: sort for model, sort in found if sort is not None}
            preferences = structs.replace(preferences, sorts=sorts)
        prompt = request.prompt
        need = Need(
            prompt.tokens_least,
            request.max_tokens,
            PARAMETERS.intersection(request.body),
            prompt.modalities,
            request.operation,
        )
        models = [model for model, _ in found]
        return plan(
            models,
            need,
            preferences,
            view=self.services.health.view,
            now=self.clock(),
            rng=self.rng,
            conversation=self._conversation(request, models) if request.operation == "chat" else None,
        )

    def _conversation(self, request: InferenceRequest, models: Sequence[Model]) -> Conversation | None:
        """The conversation that a request belongs to; None when it makes no difference which endpoint answers."""
        body, tokens = request.body, request.prompt.tokens
        name = request.session_id or body.get("prompt_cache_key")
        if not self.services.settings.affinity or (not name and tokens < CACHED_FROM_TOKENS):
            return None
        if len(models) == 1 and len(models[0].endpoints) == 1:
            return None
        org, model = request.caller.org, models[0].slug
        key = named_key(org, model, name) if name else opening_key(org, model, body["messages"])
        return Conversation(key, bool(name), tokens, self.services.conversations.last(key))

    def _prepare(self, request: InferenceRequest, chosen: Plan) -> Generation:
        """The generation with the size of its hold: the price of the dearest candidate for the most output it may produce."""
        settings = self.services.settings
        held_tokens = request.max_tokens or (settings.default_max_tokens if request.operation == "chat" else 0)
        if request.prompt.units is not None:
            held_tokens += request.prompt.units.get("image_output", 0) * pricing.IMAGE_OUTPUT_TOKENS
        caps = [c.endpoint.max_completion_tokens for c in chosen.candidates if c.endpoint.max_completion_tokens]
        if request.max_tokens is None or len(caps) == len(chosen.candidates):
            held_tokens = min(held_tokens, max(caps, default=held_tokens))
        prices = [candidate.price for candidate in chosen.candidates]
        amount_nano = pricing.hold_nano(
            prices, _within_context(request, chosen), held_tokens, settings.fee_basis_points
        )
        return Generation(
            request=request,
            services=self.services,
            attempts=Attempts(
                self.services,
                chosen,
                anonymous(request.body, request.caller.org),
                work(request.body, request.operation, request.stream, request.prompt, request.max_tokens),
                deadline=request.started + settings.total_timeout_s,
                native=request.native,
                request_id=request.id,
                options=(request.body.get("provider") or {}).get("options") or {},
            ),
            hold=Hold(request.id, request.caller.org, request.caller.key_hash, amount_nano),
            held_tokens=held_tokens,
        )

    async def _hold(self, generation: Generation) -> None:
        """Check key, limit and credit in one round trip. The ledger refuses an outdated policy and replies with the new one."""
        request, hold, services = generation.request, generation.hold, self.services
        policy: KeyPolicy = request.caller
        since = time.perf_counter()
        try:
            for _ in range(3):
                try:
                    generation.hold = await services.ledger.hold(
                        hold.id, policy, hold.amount_nano, services.settings.hold_ttl_s
                    )
                    services.background.open.add(generation)  # from here on its hold gets heartbeats
                    return
                except StalePolicy as stale:
                    self.services.accounts.learn(stale.policy, policy.key_hash)
                    if stale.policy is None:
                        raise Unauthorized("This API key no longer exists.") from None
                    policy = stale.policy
            raise LedgerUnavailable("The key's policy keeps changing; try again.")
        except LedgerUnavailable:
            services.telemetry.ledger_errors.labels("hold").inc()
            generation.ended = True
            services.background.spawn(generation.give_back())
            raise
        except PaymentRequired as refused:
            generation.ended = True
            raise _unaffordable(refused, generation) from None
        except GatewayError:
            generation.ended = True
            raise
        finally:
            generation.hold_s = time.perf_counter() - since
            if generation.ended:  # refused: no settlement will report it
                services.telemetry.ledger_hold.observe(generation.hold_s)


def _within_context(request: InferenceRequest, chosen: Plan) -> Prompt:
    """The prompt, bounded by the largest context where it has files: no vendor bills more, however large they look."""
    prompt = request.prompt
    if prompt.modalities is TEXT_ONLY or request.operation != "chat":
        return prompt
    most = max([candidate.endpoint.context_length for candidate in chosen.candidates], default=0)
    return prompt if prompt.tokens_bound <= most else structs.replace(prompt, tokens_bound=most)


def _unaffordable(refused: PaymentRequired, generation: Generation) -> PaymentRequired:
    """The refusal with the text that clients of OpenRouter parse, and the number of tokens that the caller can afford."""
    remaining_nano = parse_usd(refused.metadata["remaining"])
    candidates = generation.attempts.plan.candidates
    prompt = _within_context(generation.request, generation.attempts.plan)
    fee = generation.services.settings.fee_basis_points
    prices = [candidate.price for candidate in candidates]
    base_nano = pricing.hold_nano(prices, prompt, 0, fee)
    per_thousand_nano = max(pricing.output_hold_nano(price, 1000, fee) for price in prices)
    affordable = max(0, remaining_nano - base_nano) * 1000 // per_thousand_nano if per_thousand_nano else 0
    source = refused.metadata.get("limit_source", "credits")
    remedy = "raise the key's limit" if source == "key_limit" else "add credits"
    return PaymentRequired(
        "This request requires more credits, or fewer max_tokens. You requested up to "
        f"{generation.held_tokens} tokens, but can only afford {affordable}. To increase, {remedy}.",
        metadata={
            "provider_name": None,
            "limit_source": source,
            "required_usd": format_usd(generation.hold.amount_nano),
            "remaining_usd": format_usd(remaining_nano),
        },
    )
