"""The Response object: the request's fields that it repeats, how the answer ended, its usage. Pure but for ``completed_at``."""

from __future__ import annotations

import time
from typing import Any

from gateway.api.inference.response_fields import explain, hides_reasoning, identity, usage_view
from gateway.api.inference.responses.response import INCOMPLETE, Output
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest

Json = dict[str, Any]
_NULLABLE = (
    "instructions", "max_output_tokens", "max_tool_calls", "presence_penalty", "frequency_penalty", "temperature", "top_p",
    "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "user",
)  # fmt: skip
"""Fields of the request that the answer repeats; null when the request did not have them."""
_MAY_BE_NULL = frozenset({*_NULLABLE, "completed_at", "error", "incomplete_details", "previous_response_id", "usage"})
"""Fields that strict clients accept as null; of the others, vendors send null where the field should be missing."""
TOKEN_LIMITS = frozenset({"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"})
"""Error types that end a running answer as incomplete, not as failed."""
_CODES = {
    "rate_limit_exceeded": "rate_limit_exceeded",
    "context_length_exceeded": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "content_policy_violation": "image_content_policy_violation",
}


# -- the object --------------------------------------------------------------------------------------------------------


def envelope(request: InferenceRequest, *, model: str) -> Json:
    """A Response without output, usage and provider. ``id`` is the generation's, so ``GET /generation?id=`` finds it."""
    body: Json = request.native.body if request.native is not None else {}
    view: Json = {
        "id": request.id,
        "object": "response",
        "created_at": int(request.created_at),
        "completed_at": None,
        "status": "in_progress",
        "model": model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "background": False,
        "store": False,
        "previous_response_id": None,
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "text": _text(body.get("text") or {}),
        "tool_choice": "auto" if body.get("tool_choice") is None else body["tool_choice"],
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "truncation": body.get("truncation") or "disabled",
        **{name: body.get(name) for name in _NULLABLE},
    }
    if body.get("top_logprobs") is not None:  # must be a number or absent: strict clients fail on null
        view["top_logprobs"] = body["top_logprobs"]
    return view


def _text(text: Json) -> Json:
    view = {name: value for name, value in text.items() if value is not None}
    view.setdefault("format", {"type": "text"})
    return view


def _tool(tool: Json) -> Json:
    return {"parameters": None, "strict": None, **tool} if tool["type"] == "function" else tool


def opened(generation: Generation) -> Json:
    """The object of a generation that an endpoint is serving."""
    own = identity(generation)
    return envelope(generation.request, model=own["model"]) | {"provider": own["provider"]}


def concluded(view: Json, output: list[Json], finish: str | None) -> Json:
    """The object with its output, completed or incomplete."""
    reason = INCOMPLETE.get(finish or "")
    ending: Json = {"status": "completed", "completed_at": int(time.time())}
    if reason is not None:
        ending = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return {**view, **ending, "output": output}


def with_usage(view: Json, generation: Generation) -> Json:
    """The object with the usage as charged, and with ``openrouter_metadata`` if the caller asked for it."""
    view = {**view, "usage": usage(generation)}
    if generation.request.explain:
        view["openrouter_metadata"] = explain(generation)
    return view


def failed(view: Json, error: GatewayError, *, incomplete: bool = False) -> Json:
    """The object of an answer that broke off. ``incomplete``: at a limit of tokens or credit; the error says which."""
    ending: Json = {"status": "failed"}
    if incomplete:
        ending = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return {**view, **ending, "error": {"code": code(error), "message": error.message}, "error_type": error.error_type}


def code(error: GatewayError) -> str:
    """The error code of this API for an error."""
    return _CODES.get(error.error_type, "server_error")


def usage(generation: Generation) -> Json:
    """Usage with the field names of this API; ``cost`` is what the caller was charged."""
    chat = usage_view(generation)
    costs = chat["cost_details"]
    view = {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": chat["prompt_tokens_details"],
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": chat["completion_tokens_details"],
        "total_tokens": chat["total_tokens"],
        "cost": chat["cost"],
        "is_byok": chat["is_byok"],
        "cost_details": {
            "upstream_inference_input_cost": costs["upstream_inference_prompt_cost"],
            "upstream_inference_output_cost": costs["upstream_inference_completions_cost"],
            "platform_fee": costs["platform_fee"],
        },
    }
    if "server_tool_use_details" in chat:
        view["server_tool_use_details"] = chat["server_tool_use_details"]
    return view


# -- a whole answer ---------------------------------------------------------------------------------------------------


def response(generation: Generation) -> Json:
    """The Response object of a whole answer, built from the inner language."""
    completion = generation.attempts.completion
    assert completion is not None
    body, output = completion.body, Output(generation.request)
    choice: Json = next(iter(body.get("choices") or ()), {})
    finish = choice.get("finish_reason")
    output.delta(choice.get("message") or {}, choice.get("logprobs"))
    output.close(finish)
    view = opened(generation)
    if isinstance(body.get("service_tier"), str):
        view["service_tier"] = body["service_tier"]
    return with_usage(concluded(view, output.view, finish), generation)


def passthrough(generation: Generation, native: Json) -> Json:
    """The vendor's own Response object with the gateway's fields rewritten and missing ones filled in."""
    ours = opened(generation)
    # The vendor knows the end user under another name than the caller wrote.
    owned = (
        "id", "object", "created_at", "model", "provider", "store", "user", "safety_identifier", "previous_response_id",
        "background",
    )  # fmt: skip
    said = {name: value for name, value in native.items() if value is not None or name in _MAY_BE_NULL}
    view = {**ours, **said, **{name: ours[name] for name in owned}}
    if view["status"] == "completed" and view["completed_at"] is None:
        view["completed_at"] = int(time.time())
    if hides_reasoning(generation.request):
        view["output"] = [without_reasoning(item) for item in view["output"] or ()]
    return view


def without_reasoning(item: Json) -> Json:
    """An item without readable reasoning; what is encrypted stays for the next turn."""
    if item.get("type") != "reasoning":
        return item
    return {name: value for name, value in item.items() if name != "content"} | {"summary": []}


def passthrough_with_usage(view: Json, generation: Generation) -> Json:
    """The vendor's object with the usage as charged; what else the vendor counted is kept."""
    theirs, view = view.get("usage"), with_usage(view, generation)
    if isinstance(theirs, dict):
        ours = view["usage"]
        for name in ("input_tokens_details", "output_tokens_details"):
            if isinstance(theirs.get(name), dict):
                ours[name] = {**theirs[name], **ours[name]}
        view["usage"] = {**theirs, **ours}
    return view
