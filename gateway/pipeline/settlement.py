"""Who pays what for a generation, and its record. Pure: this table as code.

    outcome                                     provider line   fee   caller pays   operator's loss
    complete                                    reported usage  5 %   cost + fee    0
    any, reported only before its end           reported, or our count if that is more; the rest as below
    any, reported what cannot be true           cut down to what can; the difference is between operator and vendor
    the vendor answered nothing, or an error    estimate        0     0             cost     zero-completion insurance
    the vendor broke off after k tokens         reported, or    5 %   cost + fee    0
    client disconnected before the vendor was asked                   0             0        no line
    client disconnected before first content    prompt          5 %   cost + fee    0
    client disconnected after k tokens          prompt + k      5 %   cost + fee    0
    client disconnected, answer read to its end reported usage  5 %   cost + fee    0
    shutdown before first content               prompt          0     0             cost
    failed attempt that reports usage           reported usage  0     0             cost     a line of its own
    failed attempt that may be billed           its prompt      0     0             cost     a line of its own

It must not know: HTTP, Redis, what a ledger does with a posting.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from gateway import pricing, records
from gateway.catalog.model import Price
from gateway.ledger.entries import LINE_MAX_NANO, Posting
from gateway.pipeline.attempts import Attempt, Attempts
from gateway.pipeline.plausible_usage import believed, is_ordinary
from gateway.pipeline.request import InferenceRequest
from gateway.routing.candidate import Candidate
from providers.types import Completion, Event, Usage


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class Delivered(msgspec.Struct, eq=False):
    """Our own count of the delivered output, which is billed when the vendor reports none, and the vendor's count."""

    usage: Usage | None = None
    finish: str | None = None
    native_finish: str | None = None
    upstream_id: str | None = None
    pieces: int = 0
    """Content events: each at least one token."""
    size_bytes: int = 0
    ended: bool = False
    """The answer came to the vendor's own end of it."""

    def event(self, event: Event) -> None:
        """Count one event of a stream."""
        chunk = event.chunk
        if event.usage is not None:
            self.usage = event.usage
        if self.upstream_id is None:
            self.upstream_id = _text(chunk.get("id"))
        if event.finish is not None:
            self.finish = event.finish
            self.native_finish = _text(chunk["choices"][0].get("native_finish_reason"))
        if event.content:
            self.pieces += 1
            for choice in chunk["choices"]:
                self.size_bytes += pricing.output_bytes(choice.get("delta") or {})

    def completion(self, completion: Completion) -> None:
        """Count a whole answer."""
        self.usage, body, self.ended = completion.usage, completion.body, True
        self.upstream_id = _text(body.get("id"))
        for choice in body.get("choices") or ():
            self.finish, self.native_finish = choice.get("finish_reason"), _text(choice.get("native_finish_reason"))
            self.size_bytes += pricing.output_bytes(choice.get("message") or {})
        self.pieces = 1 if self.size_bytes else 0
        if "choices" not in body and (
            body or completion.content
        ):  # other operations have no choices: the answer as a whole is what was delivered
            self.pieces, self.finish = 1, "stop"


class Settlement(msgspec.Struct, frozen=True):
    """How a generation ended, priced."""

    outcome: records.Outcome
    usage: Usage
    """The usage that is billed: the vendor's count, or ours, marked as an estimate."""
    bill: pricing.Bill
    posting: Posting
    losses: tuple[Posting, ...]
    implausible: bool = False
    """The vendor's report could not be true, and was not billed as it was."""
    disputed_nano: int = 0
    """What it would have cost beyond what is billed."""

    @property
    def void(self) -> bool:
        """Nothing to post: no endpoint answered, or what it did is free and delivered nothing."""
        return not (self.posting.provider and (self.posting.cost_nano or self.usage.completion_total))


BROKEN_OFF = {"upstream_failed": "error", "credit_exhausted": "length", "shutdown": "error"}
"""Outcome → the finish reason that the caller got when the answer did not end by itself."""
UNKNOWN = Settlement("refused", Usage(), pricing.NOTHING, Posting("", 0, 0, 0), ())


def conclude(
    outcome: records.Outcome, request: InferenceRequest, attempts: Attempts, delivered: Delivered, fee_basis_points: int
) -> Settlement:
    """The settlement of a generation that ended with ``outcome``."""
    losses = _losses(request, attempts)
    candidate = attempts.candidate
    if candidate is None or attempts.made[-1].unsent:
        return Settlement(outcome, Usage(), pricing.NOTHING, Posting("", 0, 0, 0), losses)
    ours = pricing.text_tokens(delivered.size_bytes, delivered.pieces)
    reported = usage = delivered.usage
    if usage is not None and not is_ordinary(usage, request, ours):
        usage = _believed(usage, request, attempts, delivered, ours)
    implausible = usage is not reported
    if usage is None:
        usage = _estimated(request, ours)
    elif usage.interim:
        usage = _completed(usage, request, ours)
    elif request.prompt.units is not None:  # the vendor reports tokens, but not every unit that it bills
        usage = msgspec.structs.replace(usage, units={**request.prompt.units, **(usage.units or {})})
    bill = _bill(candidate, request, usage, fee_basis_points)
    disputed_nano = bill.disputed_nano
    if implausible:
        assert reported is not None
        disputed_nano += max(_bill(candidate, request, reported, 0).cost_nano - bill.cost_nano, 0)
    cost_nano, fee_nano = bill.cost_nano, bill.fee_nano
    if cost_nano + fee_nano > LINE_MAX_NANO:  # more than a line carries
        cost_nano = min(cost_nano, LINE_MAX_NANO)
        fee_nano = LINE_MAX_NANO - cost_nano
        disputed_nano += bill.total_nano - LINE_MAX_NANO
    if _insured(outcome, delivered):
        posting = Posting(candidate.endpoint.provider.slug, cost_nano, 0, 0)
    else:
        posting = Posting(candidate.endpoint.provider.slug, cost_nano, fee_nano, cost_nano + fee_nano)
    return Settlement(outcome, usage, bill, posting, losses, implausible or disputed_nano > 0, disputed_nano)


def _believed(
    usage: Usage, request: InferenceRequest, attempts: Attempts, delivered: Delivered, delivered_tokens: int
) -> Usage | None:
    """What of a strange report can be true, marked as an estimate if that is not all of it; None when it makes no sense at all."""
    assert attempts.candidate is not None
    if usage.suspect:
        return None
    endpoint = attempts.candidate.endpoint
    model = attempts.services.catalog.current.models.get(endpoint.model)
    filtered = delivered.finish == "content_filter"
    found = believed(usage, request, endpoint, model, delivered_tokens, filtered=filtered)
    return usage if found is usage else msgspec.structs.replace(found, estimated=True)


def _bill(candidate: Candidate, request: InferenceRequest, usage: Usage, fee_basis_points: int) -> pricing.Bill:
    return pricing.bill(
        candidate.price,
        usage,
        images=request.prompt.images,
        fee_basis_points=fee_basis_points,
        reports_cost=bool(candidate.endpoint.options.get("reports_cost")),
    )


def _estimated(request: InferenceRequest, delivered_tokens: int) -> Usage:
    """Our own count, for when the vendor reports none or an implausible one."""
    completion = delivered_tokens if request.operation == "chat" else 0
    return Usage(prompt=request.prompt.tokens, completion=completion, units=request.prompt.units, estimated=True)


def _completed(usage: Usage, request: InferenceRequest, delivered_tokens: int) -> Usage:
    """A report that came before the end of its answer, raised to our own count where that is higher: of the prompt where it
    counts none, and of what was delivered."""
    missing = max(delivered_tokens - usage.completion_total, 0)
    unread = 0 if usage.prompt_total else request.prompt.tokens
    if not missing and not unread:
        return usage
    return msgspec.structs.replace(
        usage,
        prompt=usage.prompt + unread,
        completion=usage.completion + missing,
        cost_usd=None,  # the vendor's price of what it had counted
        estimated=True,
    )


def _insured(outcome: records.Outcome, delivered: Delivered) -> bool:
    """Whether the caller pays nothing: the vendor itself failed or answered nothing. Not because the caller did not wait for it."""
    if outcome == "caller_left" and not delivered.ended:
        return False
    if outcome not in ("complete", "caller_left"):
        return delivered.pieces == 0
    tokens = delivered.usage.completion_total if delivered.usage is not None else 0
    return tokens == 0 and delivered.pieces == 0 and delivered.finish in (None, "", "error")


def _losses(request: InferenceRequest, attempts: Attempts) -> tuple[Posting, ...]:
    lines = []
    served = attempts.made[-1] if attempts.candidate is not None and attempts.made else None
    for attempt in attempts.made:
        if attempt is not served and (cost_nano := _lost_nano(request, attempt)):
            lines.append(Posting(attempt.candidate.endpoint.provider.slug, min(cost_nano, LINE_MAX_NANO), 0, 0))
    return tuple(lines)


def _lost_nano(request: InferenceRequest, attempt: Attempt) -> int:
    """What a failed attempt costs: what its vendor reports, else the prompt where the failure's row says that it may bill."""
    candidate, usage = attempt.candidate, attempt.usage
    if usage is not None and not usage.suspect:
        if not is_ordinary(usage, request, 0):
            usage = believed(usage, request, candidate.endpoint, None, 0, filtered=True)
        return _bill(candidate, request, _completed(usage, request, 0) if usage.interim else usage, 0).cost_nano
    return pricing.prompt_nano(candidate.price, request.prompt.tokens) if attempt.may_bill else 0


def record(
    request: InferenceRequest, attempts: Attempts, delivered: Delivered, settlement: Settlement
) -> records.Record:
    """The record for ``GET /generation``, the log and analytics. It contains neither prompt nor answer."""
    candidate, usage, posting = attempts.candidate, settlement.usage, settlement.posting
    model, provider, provider_name, endpoint = _served(candidate) if candidate is not None else ("", "", "", "")
    first, outcome = attempts.first_content, settlement.outcome
    now = time.perf_counter()
    return records.Record(
        id=request.id,
        created_at=request.created_at,
        organization=request.caller.org,
        key_hash=request.caller.key_hash,
        model_requested=attempts.plan.models[0],
        outcome=outcome,
        model=model,
        provider=provider,
        provider_name=provider_name,
        endpoint=endpoint,
        upstream_id=delivered.upstream_id,
        api_type=API_TYPES.get(request.operation, request.operation),
        streamed=request.stream,
        cancelled=outcome == "caller_left" or attempts.abandoned,
        finish_reason=BROKEN_OFF.get(outcome, delivered.finish) if candidate is not None else None,
        native_finish_reason=delivered.native_finish,
        attempts=tuple([_attempt(each) for each in attempts.made]),
        tokens=_tokens(usage),
        units=usage.units or {},
        usage_source="estimated" if usage.estimated else "reported",
        cost_nano=posting.cost_nano,
        fee_nano=posting.fee_nano,
        total_nano=posting.want_nano,
        prices_femto=_price(candidate, usage).femto if candidate is not None else {},
        latency_ms=round((first - request.started) * 1000) if first is not None else None,
        generation_time_ms=round((now - request.started) * 1000),
        http_referer=request.client.referer,
        app_title=request.client.title,
        user_agent=request.client.user_agent,
        user=request.body.get("user"),
        session_id=request.session_id,
        policy=attempts.plan.policy,
        drops=tuple([records.Dropped(d.endpoint_id, d.filter, d.detail) for d in attempts.plan.drops]),
    )


def _price(candidate: Candidate, usage: Usage) -> Price:
    return candidate.price.at(usage.prompt_total) if candidate.price.tiers else candidate.price


def _served(candidate: Candidate) -> tuple[str, str, str, str]:
    endpoint = candidate.endpoint
    return endpoint.model, endpoint.provider.slug, endpoint.provider.name, endpoint.id


def _attempt(attempt: Attempt) -> records.Attempt:
    endpoint = attempt.candidate.endpoint
    return records.Attempt(
        endpoint.id, endpoint.provider.name, attempt.kind, attempt.status, attempt.latency_ms, attempt.words
    )


API_TYPES = {"chat": "completions", "images": "image", "speech": "tts", "transcription": "stt"}
"""Operation → ``api_type`` of the public contract, where they differ."""


_MEDIA = tuple(name for name in records.Tokens.__struct_fields__ if name.startswith(("audio", "image")))


def _tokens(usage: Usage) -> records.Tokens:
    media = {name: getattr(usage, name) for name in _MEDIA} if usage.has_media else {}
    return records.Tokens(
        usage.prompt,
        usage.cache_read,
        usage.cache_write,
        usage.completion,
        usage.reasoning,
        usage.cache_write_1h,
        **media,
    )
