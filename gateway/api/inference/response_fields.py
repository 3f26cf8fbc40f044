"""The fields of every answer that are the gateway's own: identity, usage and cost, how the endpoint was chosen."""

from __future__ import annotations

from typing import Any

from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.records import usd

Json = dict[str, Any]

__all__ = ["explain", "hides_reasoning", "identity", "usage_view", "usd"]


def identity(generation: Generation) -> Json:
    """``id``, ``created``, ``model`` and ``provider`` of an answer in OpenAI's format."""
    candidate = generation.attempts.candidate
    assert candidate is not None
    return {
        "id": generation.request.id,
        "created": int(generation.request.created_at),
        "model": candidate.endpoint.model,
        "provider": candidate.endpoint.provider.name,
    }


def hides_reasoning(request: InferenceRequest) -> bool:
    """Whether the caller wants no reasoning text (``reasoning.exclude``), though the model writes it and it is billed."""
    body = request.body
    if body.get("include_reasoning") is False:
        return True
    reasoning = body.get("reasoning")
    return reasoning is not None and reasoning.get("exclude") is True


def usage_view(generation: Generation) -> Json:
    """``usage`` in OpenAI's format. ``cost`` is what the caller was charged, in US dollars; ``cost_details`` are its parts."""
    usage, bill = generation.settlement.usage, generation.settlement.bill
    prompt, completion = usage.prompt_total, usage.completion_total
    view: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read + usage.audio_cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "cost": usd(generation.charged_nano),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_prompt_cost": usd(bill.prompt_nano),
            "upstream_inference_completions_cost": usd(bill.cost_nano - bill.prompt_nano),
            "platform_fee": usd(generation.settlement.posting.fee_nano),
        },
    }
    if usage.audio_prompt or usage.audio_cache_read:
        view["prompt_tokens_details"]["audio_tokens"] = usage.audio_prompt + usage.audio_cache_read
    if usage.audio_completion:
        view["completion_tokens_details"]["audio_tokens"] = usage.audio_completion
    if usage.image_completion:
        view["completion_tokens_details"]["image_tokens"] = usage.image_completion
    searches = (usage.units or {}).get("web_search")
    if searches:
        view["server_tool_use_details"] = {"web_search_requests": searches}
    return view


def explain(generation: Generation) -> Json:
    """``openrouter_metadata`` as OpenRouter has it, and in addition each dropped endpoint with the filter that dropped it."""
    plan, served = generation.attempts.plan, generation.attempts.candidate
    considered = [c.endpoint for c in plan.candidates]
    attempts = [
        {"provider": a.candidate.endpoint.provider.name, "model": a.candidate.endpoint.model, "status": a.status or 0}
        for a in generation.attempts.made
    ]
    explanation: Json = {
        "requested": plan.models[0],
        "strategy": "fallback" if served is not None and served.endpoint.model != plan.models[0] else "direct",
        "region": None,
        "summary": f"{plan.policy}: {len(considered)} candidates, {len(plan.drops)} dropped, {len(attempts)} tried",
        "attempt": len(attempts),
        "is_byok": False,
        "endpoints": {
            "total": len(considered) + len(plan.drops),
            "available": [
                {"provider": e.provider.name, "model": e.model, "selected": served is not None and e is served.endpoint}
                for e in considered
            ],
            "dropped": [
                {"provider": d.provider, "model": d.model, "filter": d.filter, "detail": d.detail} for d in plan.drops
            ],
        },
        "attempts": attempts,
        "policy": plan.policy,
    }
    left_out = generation.attempts.left_out
    if left_out:
        summary = f"left out {', '.join(left_out)}: no endpoint that could be tried runs it"
        step = {"type": "server_tools", "name": "left_out", "summary": summary, "data": {"tools": list(left_out)}}
        explanation["pipeline"] = [step]
    if plan.affinity is not None:
        explanation["affinity"] = plan.affinity
    return explanation
