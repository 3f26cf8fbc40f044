"""A chat request of the inner language as the body of Mistral's chat completions. Pure.

Unknown fields, also those of messages and tools, are refused with 422 ``extra_forbidden``: only known ones go out (docs.mistral.ai,
types of the vendor's SDK, ``mistralai`` 3.7, ``ChatCompletionRequest``; 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.chat.messages import messages_of, output_limit, text_only, unsupported
from providers.mistral.messages import conversation
from providers.mistral.tools import set_tools
from providers.openai.request import apply_options
from providers.types import InnerRequest, Json, Target

UNCHANGED_FIELDS: Final = (
    "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens",
    "logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "n", "stop", "metadata", "parallel_tool_calls",
    "prompt_mode", "prompt_cache_key", "guardrails", "safe_prompt",
)  # fmt: skip
"""Fields that the vendor takes under the same name and with the same values."""
_SERVICE_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def chat_body(target: Target, body: InnerRequest, *, stream: bool) -> Json:
    """The vendor's body. Raises ``ProviderError`` (unsupported)."""
    options = target.options
    request: Mapping[str, Any] = body  # fields of the vendor's own are read, too
    sent: Json = {"model": target.upstream_id, "messages": conversation(messages_of(request))}
    sent.update({name: request[name] for name in UNCHANGED_FIELDS if request.get(name) is not None})
    if request.get("seed") is not None:
        sent["random_seed"] = request["seed"]
    limit = output_limit(request)
    if limit is not None:
        sent["max_tokens"] = limit
    tier = request.get("service_tier")
    if isinstance(tier, str) and tier in _SERVICE_TIERS:
        sent["service_tier"] = _SERVICE_TIERS[tier]
    _set_reasoning(options, request, sent)
    set_tools(request, sent)
    _set_format(request, sent)
    predicted = request.get("prediction")
    if isinstance(predicted, dict):
        texts = text_only(predicted.get("content"), "prediction")
        sent["prediction"] = {"type": "content", "content": "".join(texts)}
    if stream:
        sent["stream"] = True
    if options:
        apply_options(options, sent)
    return sent


def _set_reasoning(options: Mapping[str, Any], body: Mapping[str, Any], sent: Json) -> None:
    style = options.get("reasoning", "effort")
    requested = effort.requested(body)
    if requested is None or style == "drop":
        return
    if style == "prompt_mode":
        if requested:
            sent.setdefault("prompt_mode", "reasoning")
        return
    level, budget = effort.requested_effort(body)
    if budget is not None:
        level = effort.from_budget(budget, output_limit(body))
    sent["reasoning_effort"] = effort.nearest(level or "medium", options.get("efforts"))


def _set_format(body: Mapping[str, Any], sent: Json) -> None:
    format = body.get("response_format")
    kind = format.get("type") if isinstance(format, dict) else None
    if not isinstance(format, dict) or kind in (None, "text"):
        return
    described = format.get("json_schema") if kind == "json_schema" else None
    if kind == "json_object" or (isinstance(described, dict) and not isinstance(described.get("schema"), dict)):
        sent["response_format"] = {"type": "json_object"}
    elif isinstance(described, dict):
        known = {
            name: described[name] for name in ("schema", "description", "strict") if described.get(name) is not None
        }
        sent["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": described.get("name") or "answer", **known},
        }
    else:
        raise unsupported("response_format", f"this provider has no format {str(kind)[:80]!r}")
