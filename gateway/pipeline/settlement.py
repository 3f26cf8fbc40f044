"""What an ending costs whom, and what is written down about it. Pure: the who-pays-what table as code.

    outcome                                     provider line   fee   caller pays   operator's loss
    complete                                    reported usage  5 %   cost + fee    0
    nothing delivered and no reason, or error   estimate        0     0             cost     zero-completion insurance
    broke off after k tokens                    reported, or    5 %   cost + fee    0
    caller left after k tokens                  prompt + k      5 %   cost + fee    0
    caller left before the first content        prompt          0     0             cost
    failed attempt that may be billed           its prompt      0     0             cost     a line of its own

It must not know: HTTP, Redis, what a ledger does with a posting.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from gateway import pricing, records
from gateway.accounts import KeyPolicy
from gateway.ledger.entries import Posting
from gateway.pipeline.attempts import Attempt, Dispatch
from gateway.pipeline.upstream_request import Wire
from gateway.routing.candidate import Candidate
from providers.types import Completion, Event, Usage


class Client(msgspec.Struct, frozen=True):
    """What the caller says about itself; kept in the record, never in a label."""

    referer: str | None = None
    title: str | None = None
    user_agent: str | None = None


class Ask(msgspec.Struct, frozen=True):
    """One request, parsed: the inner language whatever the surface."""

    id: str
    created_at: float
    started: float
    """``time.perf_counter()`` when the request came in."""
    caller: KeyPolicy
    body: dict[str, Any]
    prompt: pricing.Prompt
    max_tokens: int | None
    stream: bool
    surface: str
    operation: str = "chat"
    wire: Wire | None = None
    """The request as the caller wrote it, where a dialect may speak the same shape."""
    client: Client = Client()
    explain: bool = False
    """The caller asked for ``openrouter_metadata``."""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class Delivered(msgspec.Struct, eq=False):
    """Our own count of what came, billed when the vendor reports none, and the vendor's."""

    usage: Usage | None = None
    finish: str | None = None
    native_finish: str | None = None
    upstream_id: str | None = None
    pieces: int = 0
    """Content events: each at least one token."""
    size_bytes: int = 0

    def event(self, event: Event) -> None:
        """One more event of a stream."""
        chunk = event.chunk
        if event.usage is not None:
            self.usage = event.usage
        if self.upstream_id is None:
            self.upstream_id = _text(chunk.get("id"))
        if event.finish is not None:
            self.finish = event.finish
            self.native_finish = chunk["choices"][0].get("native_finish_reason")
        if event.content:
            self.pieces += 1
            for choice in chunk["choices"]:
                self.size_bytes += pricing.output_bytes(choice.get("delta") or {})

    def completion(self, completion: Completion) -> None:
        """A whole answer."""
        self.usage, body = completion.usage, completion.body
        self.upstream_id = _text(body.get("id"))
        for choice in body.get("choices") or ():
            self.finish, self.native_finish = choice.get("finish_reason"), choice.get("native_finish_reason")
            self.size_bytes += pricing.output_bytes(choice.get("message") or {})
        self.pieces = 1 if self.size_bytes else 0
        if "choices" not in body and (body or completion.content):  # not chat: what came is the delivery
            self.pieces, self.finish = 1, "stop"


class Ending(msgspec.Struct, frozen=True):
    """How a generation ended, priced."""

    outcome: records.Outcome
    usage: Usage
    """As billed: the vendor's count, or ours, marked as an estimate."""
    bill: pricing.Bill
    posting: Posting
    losses: tuple[Posting, ...]
    implausible: bool = False
    """The vendor's count could not be true and was not used."""

    @property
    def void(self) -> bool:
        """Nothing to post: no endpoint answered, or what it did is free and delivered nothing."""
        return not (self.posting.provider and (self.posting.cost_nano or self.usage.completion_total))


BROKEN_OFF = {"upstream_failed": "error", "credit_exhausted": "length", "shutdown": "error"}
"""What the caller was told as finish reason when the answer did not end by itself."""
UNKNOWN = Ending("refused", Usage(), pricing.NOTHING, Posting("", 0, 0, 0), ())


def conclude(
    outcome: records.Outcome, ask: Ask, dispatch: Dispatch, delivered: Delivered, fee_basis_points: int
) -> Ending:
    """Who pays what for this ending."""
    losses = _losses(ask, dispatch)
    candidate = dispatch.candidate
    if candidate is None:
        return Ending(outcome, Usage(), pricing.NOTHING, Posting("", 0, 0, 0), losses)
    ours = pricing.text_tokens(delivered.size_bytes, delivered.pieces)
    usage = delivered.usage
    context = candidate.endpoint.context_length
    implausible = usage is not None and not pricing.plausible(usage, ask.prompt, context, delivered_tokens=ours)
    if usage is None or implausible:
        usage = _estimated(ask, ours)
    elif ask.prompt.units is not None:  # a vendor that counts tokens, but not what it sells
        usage = msgspec.structs.replace(usage, units={**ask.prompt.units, **(usage.units or {})})
    seller = candidate.endpoint.provider
    bill = pricing.bill(
        candidate.price,
        usage,
        images=ask.prompt.images,
        fee_basis_points=fee_basis_points,
        reports_cost=bool(candidate.endpoint.options.get("reports_cost")),
    )
    if _insured(outcome, delivered):
        posting = Posting(seller.slug, bill.cost_nano, 0, 0)
    else:
        posting = Posting(seller.slug, bill.cost_nano, bill.fee_nano, bill.total_nano)
    return Ending(outcome, usage, bill, posting, losses, implausible)


def _estimated(ask: Ask, delivered_tokens: int) -> Usage:
    """Our own count, where the vendor gives none that can be true."""
    completion = delivered_tokens if ask.operation == "chat" else 0
    return Usage(prompt=ask.prompt.tokens, completion=completion, units=ask.prompt.units, estimated=True)


def _insured(outcome: records.Outcome, delivered: Delivered) -> bool:
    if outcome != "complete":
        return delivered.pieces == 0
    tokens = delivered.usage.completion_total if delivered.usage is not None else 0
    return tokens == 0 and delivered.pieces == 0 and delivered.finish in (None, "", "error")


def _losses(ask: Ask, dispatch: Dispatch) -> tuple[Posting, ...]:
    lines = []
    served = dispatch.attempts[-1] if dispatch.candidate is not None and dispatch.attempts else None
    for attempt in dispatch.attempts:
        if attempt.may_bill and attempt is not served:
            cost_nano = pricing.prompt_nano(attempt.candidate.price, ask.prompt.tokens)
            if cost_nano:
                lines.append(Posting(attempt.candidate.endpoint.provider.slug, cost_nano, 0, 0))
    return tuple(lines)


def record(ask: Ask, dispatch: Dispatch, delivered: Delivered, ending: Ending) -> records.Record:
    """What happened, for ``GET /generation``, the log and analytics. Never a prompt, never an answer."""
    candidate, usage, posting = dispatch.candidate, ending.usage, ending.posting
    served = _served(candidate) if candidate is not None else ("", "", "", "")
    first, outcome = dispatch.first_content, ending.outcome
    now = time.perf_counter()
    return records.Record(  # by position: thirty keywords are matched one by one, at the price of all the rest of this function
        ask.id, ask.created_at, ask.caller.org, ask.caller.key_hash, dispatch.plan.models[0], outcome,
        *served,  # model, provider, provider_name, endpoint
        delivered.upstream_id, API_TYPES.get(ask.operation, ask.operation), ask.stream,
        outcome == "caller_left",  # cancelled
        BROKEN_OFF.get(outcome, delivered.finish) if candidate is not None else None,  # finish_reason
        delivered.native_finish,
        tuple([_attempt(each) for each in dispatch.attempts]),
        _tokens(usage), usage.units or {}, "estimated" if usage.estimated else "reported",
        posting.cost_nano, posting.fee_nano, posting.want_nano,
        candidate.price.at(usage.prompt_total).femto if candidate is not None else {},
        round((first - ask.started) * 1000) if first is not None else None,  # latency_ms
        round((now - ask.started) * 1000),  # generation_time_ms
        ask.client.referer, ask.client.title, ask.client.user_agent, ask.body.get("user"), ask.body.get("session_id"),
        None,  # service_tier
        dispatch.plan.policy,
        tuple([records.Dropped(d.endpoint_id, d.filter, d.detail) for d in dispatch.plan.drops]),
    )  # fmt: skip


def _served(candidate: Candidate) -> tuple[str, str, str, str]:
    endpoint = candidate.endpoint
    return endpoint.model, endpoint.provider.slug, endpoint.provider.name, endpoint.id


def _attempt(tried: Attempt) -> records.Attempt:
    endpoint = tried.candidate.endpoint
    return records.Attempt(endpoint.id, endpoint.provider.name, tried.kind, tried.status, tried.latency_ms)


API_TYPES = {"chat": "completions", "images": "image", "speech": "tts", "transcription": "stt"}
"""Operation → ``api_type`` of the public contract, where they differ."""


_RARE = records.Tokens.__struct_fields__[5:]


def _tokens(usage: Usage) -> records.Tokens:
    plain = records.Tokens(usage.prompt, usage.cache_read, usage.cache_write, usage.completion, usage.reasoning)
    rare = {name: count for name in _RARE if (count := getattr(usage, name))}
    return msgspec.structs.replace(plain, **rare) if rare else plain
