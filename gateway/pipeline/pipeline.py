"""THE CORRIDOR. Every request of every API surface walks through ``begin``: plan → hold → first successful attempt.

Read this file, then ``dispatch.py`` (the attempts), then ``generation.py`` (the one ending), and you have read the product.
It must not know: HTTP, wire shapes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import structs

from gateway import pricing
from gateway.accounts import Accounts, KeyPolicy
from gateway.catalog.catalog import Catalog
from gateway.errors import GatewayError, LedgerUnavailable, PaymentRequired, Unauthorized, UpstreamFailed
from gateway.ledger.entries import Hold, StalePolicy
from gateway.money import format_usd, parse_usd
from gateway.pipeline.attempts import Dispatch, Dispatcher
from gateway.pipeline.generation import Desk, Generation
from gateway.pipeline.settlement import Ask
from gateway.pipeline.upstream_request import DROPPABLE, anonymous
from gateway.routing.filters import Need
from gateway.routing.plan import Plan, plan
from gateway.routing.preferences import parse
from providers import registry

PARAMETERS = DROPPABLE | {"max_tokens", "max_completion_tokens", "stop"}
"""What an endpoint may or may not support; the other fields of a request are the gateway's business."""


@dataclass(frozen=True, slots=True)
class Corridor:
    """The rooms a request passes. Clock (unix seconds) and dice are arguments, so a decision replays exactly."""

    catalog: Callable[[], Catalog]
    accounts: Accounts
    dispatcher: Dispatcher
    desk: Desk
    clock: Callable[[], float] = time.time
    dice: random.Random = random.Random()  # noqa: RUF009 - one die for the process

    async def begin(self, ask: Ask) -> Generation:
        """From a parsed request to an opened answer.

        Raises BadRequest, NoEndpoints and NoHealthyEndpoint before any credit is held; Unauthorized, PaymentRequired and
        LedgerUnavailable by the hold; UpstreamFailed when no attempt succeeds (the hold is given back).
        """
        chosen = self.plan(ask)
        if not chosen.candidates:
            raise chosen.refuse()
        generation = self._prepare(ask, chosen)
        try:
            await self._hold(generation)
            await generation.dispatch.open()
        except GatewayError as error:
            if not generation.ended:
                await generation.end("upstream_failed")
                error.recorded = True
            raise
        except BaseException:
            self.desk.endings.spawn(generation.leave())
            raise
        generation.opened()
        return generation

    async def count(self, ask: Ask) -> int:
        """Tokens of a prompt, free of charge: as the first candidate that can count says, else our own estimate.

        Raises BadRequest, NoEndpoints and NoHealthyEndpoint as ``begin`` does.
        """
        chosen = self.plan(ask)
        if not chosen.candidates:
            raise chosen.refuse()
        able = tuple(c for c in chosen.candidates if "count_tokens" in registry.operations(c.endpoint.dialect))
        if not able:
            return ask.prompt.tokens
        dispatch = Dispatch(
            self.dispatcher,
            structs.replace(chosen, candidates=able[:1]),
            anonymous(ask.body, ask.caller.org),
            streamed=False,
            deadline=ask.started + self.desk.settings.answer_timeout_s,
            operation="count_tokens",
            wire=ask.wire,
        )
        try:
            await dispatch.open()
        except UpstreamFailed as error:
            if error.status < 500:
                raise
            return ask.prompt.tokens
        finally:
            dispatch.observe_end(complete=False, tokens=0)
        assert dispatch.completion is not None
        return int(dispatch.completion.body["input_tokens"])

    def plan(self, ask: Ask) -> Plan:
        """Candidates in order and why the others were dropped. Pure but for the clock, the dice and the health board."""
        catalog = self.catalog()
        preferences = parse(ask.body, catalog.provider_names)
        prompt = ask.prompt
        need = Need(prompt.tokens, ask.max_tokens, PARAMETERS.intersection(ask.body), prompt.modalities, ask.operation)
        return plan(
            [catalog.resolve(slug)[0] for slug in preferences.models],
            need,
            preferences,
            view=self.dispatcher.board.view,
            now=self.clock(),
            dice=self.dice,
        )

    def _prepare(self, ask: Ask, chosen: Plan) -> Generation:
        """The generation and the size of its hold: the dearest candidate, the most output it may produce."""
        settings = self.desk.settings
        held_tokens = ask.max_tokens or (settings.default_max_tokens if ask.operation == "chat" else 0)
        if ask.prompt.units is not None:
            held_tokens += ask.prompt.units.get("image_output", 0) * pricing.IMAGE_OUTPUT_TOKENS
        if ask.max_tokens is None:
            caps = [c.endpoint.max_completion_tokens for c in chosen.candidates if c.endpoint.max_completion_tokens]
            held_tokens = min(held_tokens, max(caps, default=held_tokens))
        prices = [candidate.price for candidate in chosen.candidates]
        amount_nano = pricing.hold_nano(prices, ask.prompt, held_tokens, settings.fee_basis_points)
        return Generation(
            ask=ask,
            desk=self.desk,
            dispatch=Dispatch(
                self.dispatcher,
                chosen,
                anonymous(ask.body, ask.caller.org),
                ask.stream,
                deadline=ask.started + settings.total_timeout_s,
                operation=ask.operation,
                wire=ask.wire,
                options=(ask.body.get("provider") or {}).get("options") or {},
            ),
            hold=Hold(ask.id, ask.caller.org, ask.caller.key_hash, amount_nano),
            held_tokens=held_tokens,
        )

    async def _hold(self, generation: Generation) -> None:
        """Authentication, limits and credit in one round trip. A policy learnt too long ago is refused with the new one."""
        ask, hold, desk = generation.ask, generation.hold, self.desk
        policy: KeyPolicy = ask.caller
        since = time.perf_counter()
        try:
            for _ in range(3):
                try:
                    generation.hold = await desk.ledger.hold(
                        hold.id, policy, hold.amount_nano, desk.settings.hold_ttl_s
                    )
                    desk.endings.open.add(generation)  # from here on its hold is beaten
                    return
                except StalePolicy as stale:
                    self.accounts.learn(stale.policy, policy.key_hash)
                    if stale.policy is None:
                        raise Unauthorized("This API key no longer exists.") from None
                    policy = stale.policy
            raise LedgerUnavailable("The key's policy keeps changing; try again.")
        except LedgerUnavailable:
            desk.telemetry.ledger_errors.labels("hold").inc()
            generation.ended = True
            desk.endings.spawn(generation.give_back())
            raise
        except PaymentRequired as refused:
            generation.ended = True
            raise _unaffordable(refused, generation) from None
        except GatewayError:
            generation.ended = True
            raise
        finally:
            generation.hold_s = time.perf_counter() - since
            if generation.ended:  # refused: no ending will tell it
                desk.telemetry.ledger_hold.observe(generation.hold_s)


def _unaffordable(refused: PaymentRequired, generation: Generation) -> PaymentRequired:
    """The text that clients of OpenRouter parse, with the numbers that would fit."""
    remaining_nano = parse_usd(refused.metadata["remaining"])
    candidates, prompt = generation.dispatch.plan.candidates, generation.ask.prompt
    fee = generation.desk.settings.fee_basis_points
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
