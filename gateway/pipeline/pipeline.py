"""The request pipeline. Every request of every API surface goes through ``begin``: plan → hold → first successful attempt.

Read this file, then ``attempts.py`` (the failover loop), ``generation.py`` (the one ending) and ``settlement.py`` (who pays what).
It must not know: HTTP, the formats of API surfaces.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from gateway.accounts import KeyPolicy
from gateway.catalog.model import Model
from gateway.catalog.parameters import PARAMETERS
from gateway.conversations import Conversation, named_key, opening_key
from gateway.errors import GatewayError, LedgerUnavailable, PaymentRequired, Unauthorized, UpstreamFailed
from gateway.ledger.entries import Hold, StalePolicy
from gateway.pipeline import hold
from gateway.pipeline.attempts import Attempts
from gateway.pipeline.clocks import Work, work
from gateway.pipeline.generation import Generation
from gateway.pipeline.hold import CreditNeed
from gateway.pipeline.request import InferenceRequest
from gateway.pipeline.upstream_request import anonymous
from gateway.prompt_size import TEXT_ONLY
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

    async def begin(
        self, request: InferenceRequest, on_held: Callable[[Generation], None] = lambda generation: None
    ) -> Generation:
        """From a parsed request to an opened answer. ``on_held`` gets the generation when its credit is held, before any attempt.

        Raises BadRequest, NoEndpoints and NoHealthyEndpoint before any credit is held; Unauthorized, PaymentRequired, RateLimited
        and LedgerUnavailable by the hold; UpstreamFailed when no attempt succeeds (the hold is given back).
        """
        chosen = self.plan(request)
        if not chosen.candidates:
            raise chosen.refuse()
        generation = self._prepare(request, chosen)
        try:
            await self._hold(generation)
            on_held(generation)
            await generation.attempts.open()
        except GatewayError as error:
            if not generation.ended:
                await generation.end("upstream_failed")
                error.recorded = True
            raise
        except BaseException as error:
            ours = not isinstance(error, asyncio.CancelledError)
            self.services.background.spawn(generation.leave(ours=ours))
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
            tenant=request.caller.org,
            has_media=request.prompt.modalities is not TEXT_ONLY,
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
        wanted = hold.need(request, chosen, settings)
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
                tenant=request.caller.org,
                has_media=request.prompt.modalities is not TEXT_ONLY,
                options=(request.body.get("provider") or {}).get("options") or {},
            ),
            hold=Hold(request.id, request.caller.org, request.caller.key_hash, wanted.amount_nano),
            need=wanted,
            held_tokens=wanted.most_tokens,
        )

    async def _hold(self, generation: Generation) -> None:
        """Check key, limit and credit in one round trip. The ledger refuses an outdated policy and replies with the new one."""
        request, services, settings = generation.request, self.services, self.services.settings
        policy, since = request.caller, time.perf_counter()
        try:
            generation.hold = await self._held(request, policy, generation.need)
            services.background.open.add(generation)  # from here on its hold gets heartbeats
            generation.limit_to(hold.covered(generation.need, generation.hold.amount_nano, request, settings))
        except LedgerUnavailable:
            services.telemetry.ledger_errors.labels("hold").inc()
            generation.ended = True
            services.background.spawn(generation.give_back())
            raise
        except PaymentRequired as refused:
            generation.ended = True
            raise hold.unaffordable(refused, generation.need, request, settings) from None
        except GatewayError:
            generation.ended = True
            raise
        finally:
            generation.hold_s = time.perf_counter() - since
            if generation.ended:  # refused: no settlement will report it
                services.telemetry.ledger_hold.observe(generation.hold_s)

    async def _held(self, request: InferenceRequest, policy: KeyPolicy, wanted: CreditNeed) -> Hold:
        ledger, ttl_s, key_hash = self.services.ledger, self.services.settings.hold_ttl_s, policy.key_hash
        tokens = request.prompt.tokens + wanted.tokens
        for _ in range(3):
            try:
                return await ledger.hold(
                    request.id,
                    policy,
                    wanted.amount_nano,
                    ttl_s,
                    tokens,
                    least_nano=wanted.least_nano,
                    share=hold.SHARE,
                )
            except StalePolicy as stale:
                self.services.accounts.learn(stale.policy, key_hash)
                if stale.policy is None:
                    raise Unauthorized("This API key no longer exists.") from None
                policy = stale.policy
        raise LedgerUnavailable("The key's policy keeps changing; try again.")
