"""An inner answer as an Anthropic message: blocks, stop reason, usage and errors. Pure.

Sources: Anthropic's Python SDK 2.12.0 (response types) and OpenRouter's API reference (``cost``, ``provider`` and the names of
error types), read 2026-11-21. Anthropic's answers have no block for pictures; the one of its requests is used.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.api.inference.messages import thinking
from gateway.api.inference.response_fields import hides_reasoning, identity, usage_view
from gateway.errors import GatewayError, RateLimited
from gateway.pipeline.generation import Generation
from providers.chat.messages import UNPARSED_ARGUMENTS
from providers.chat.turns import interleaved

Json = dict[str, Any]
STOP_REASONS = frozenset(
    {
        "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded",
        "compaction",
    }
)  # fmt: skip
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_INVALID_REQUEST = (
    "context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long", "invalid_request",
    "invalid_prompt", "content_policy_violation", "refusal", "invalid_image", "image_too_large", "image_too_small",
    "unsupported_image_format", "image_download_failed", "precondition_failed", "payload_too_large", "unprocessable",
)  # fmt: skip
ERROR_TYPES = {
    "authentication": "authentication_error",
    "permission_denied": "permission_error",
    "payment_required": "billing_error",
    "not_found": "not_found_error",
    "image_not_found": "not_found_error",
    "rate_limit_exceeded": "rate_limit_error",
    "provider_overloaded": "overloaded_error",
    "timeout": "timeout_error",
    **dict.fromkeys(_INVALID_REQUEST, "invalid_request_error"),
}
"""The gateway's ``error_type`` → Anthropic's; what is not listed is ``api_error``."""


def message(generation: Generation) -> Json:
    """A whole answer, translated."""
    completion = generation.attempts.completion
    assert completion is not None
    choices = completion.body.get("choices") or [{}]
    inner = choices[0].get("message") or {}
    answer = opening(generation)
    answer["content"] = content(inner, generation.request.id, hidden=hides_reasoning(generation.request))
    stops = generation.request.body.get("stop")
    answer.update(stop_fields(choices[0], inner.get("refusal"), stops, has_calls=bool(inner.get("tool_calls"))))
    answer["usage"] = usage(generation)
    return answer


def opening(generation: Generation) -> Json:
    """The message without content and end; also what ``message_start`` carries."""
    own = identity(generation)
    return {
        "id": own["id"],
        "type": "message",
        "role": "assistant",
        "model": own["model"],
        "provider": own["provider"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


# -- content -----------------------------------------------------------------------------------------------------------


def content(message: Json, id: str, *, hidden: bool = False) -> list[Json]:
    """The blocks of an inner message in Anthropic's order: thinking, text, pictures, tool calls; thinking that came between calls
    stands between them. ``id``: of the generation. ``hidden``: no thinking text."""
    blocks: list[Json] = []
    text = "".join(part for part in (message.get("content"), message.get("refusal")) if isinstance(part, str))
    cited = citations(message.get("annotations"), text)
    if text or cited:
        blocks.append({"type": "text", "text": text, "citations": cited})
    blocks += [block for image in listed(message.get("images")) if (block := picture(image)) is not None]
    uses: list[Json] = []
    ids = CallIds(id)
    for call in listed(message.get("tool_calls")):
        function = call.get("function") or {}
        block = tool_use(ids.of(call.get("id")), function.get("name"))
        block["input"] = arguments(function.get("arguments"))
        uses.append(block)
    thoughts = thinking.blocks(message, hidden=hidden)
    return interleaved(thoughts, message.get("reasoning_details"), [blocks, *([use] for use in uses)])


def listed(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one: vendors send other types in fields that few clients read."""
    return value if isinstance(value, list) else []


class CallIds:
    """The ids of the calls of one answer: each once, because clients find a call by its id, and none is missing."""

    def __init__(self, generation_id: str) -> None:
        self._generation_id = generation_id
        self._used: set[str] = set()

    def of(self, id: Any) -> str:
        """The vendor's id where it has one that is new in this answer."""
        known = (
            id
            if isinstance(id, str) and id and id not in self._used
            else f"toolu_{self._generation_id}_{len(self._used)}"
        )
        self._used.add(known)
        return known


def tool_use(id: str, name: Any) -> Json:
    """A ``tool_use`` block before its input is known."""
    return {"type": "tool_use", "id": id, "name": name or "", "input": {}, "caller": {"type": "direct"}}


def arguments(text: Any) -> Json:
    """The input of a call: always an object in this format; text that is not one is kept under ``UNPARSED_ARGUMENTS``."""
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {UNPARSED_ARGUMENTS: text}


def citations(annotations: Any, text: str) -> list[Json]:
    """Web citations in Anthropic's form. It has none for citations of files."""
    found = []
    for annotation in listed(annotations):
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
            continue
        quote, title = cited.get("content"), cited.get("title")
        if not isinstance(quote, str):
            start, end = cited.get("start_index"), cited.get("end_index")
            quote = text[start:end] if isinstance(start, int) and isinstance(end, int) and 0 <= start < end else ""
        found.append(
            {
                "type": "web_search_result_location",
                "url": cited["url"],
                "title": title if isinstance(title, str) else None,
                "cited_text": quote,
                "encrypted_index": "",
            }
        )
    return found


def picture(image: Any) -> Json | None:
    """A generated picture as an ``image`` block, which Anthropic has in requests only."""
    url = image.get("image_url") if isinstance(image, dict) else None
    url = url.get("url") if isinstance(url, dict) else url
    if not isinstance(url, str):
        return None
    head, comma, data = url.partition(",")
    if head.startswith("data:") and head.endswith(";base64") and comma:
        source = {"type": "base64", "media_type": head[5:-7] or "image/png", "data": data}
    else:
        source = {"type": "url", "url": url}
    return {"type": "image", "source": source}


# -- the end -----------------------------------------------------------------------------------------------------------


def stop_fields(choice: Json, refusal: Any, stops: Any, *, has_calls: bool) -> Json:
    """``stop_reason``, ``stop_sequence`` and ``stop_details`` of an inner choice.

    ``stops``: the stop sequences of the request. ``has_calls``: the answer calls tools, whatever reason the vendor gives.
    """
    finish, native = choice.get("finish_reason"), choice.get("native_finish_reason")
    reason = native if isinstance(native, str) and native in STOP_REASONS else _STOP.get(finish or "stop", "end_turn")
    if has_calls and reason == "end_turn":
        reason = "tool_use"
    if refusal and reason == "end_turn":
        reason = "refusal"
    named = choice.get("stop_sequence") or choice.get("stop_reason")  # vLLM names the sequence in stop_reason
    sequence = named if isinstance(named, str) and named in (stops or ()) else None
    if reason == "end_turn" and sequence is not None:
        reason = "stop_sequence"
    elif reason != "stop_sequence":
        sequence = None
    elif sequence is None and stops and len(stops) == 1:
        sequence = stops[0]
    details = None
    if reason == "refusal":
        details = {"type": "refusal", "category": None, "explanation": refusal or None}
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}


def usage(generation: Generation) -> Json:
    """Usage as it was charged, with every field that the SDKs know."""
    counted, view = generation.settlement.usage, usage_view(generation)
    searches = (counted.units or {}).get("web_search")
    return {
        **counts(counted.prompt_total - counted.cache_read - counted.cache_write - counted.cache_write_1h),
        "cache_creation_input_tokens": counted.cache_write + counted.cache_write_1h,
        "cache_read_input_tokens": counted.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counted.cache_write,
            "ephemeral_1h_input_tokens": counted.cache_write_1h,
        },
        "output_tokens": counted.completion_total,
        "output_tokens_details": {"thinking_tokens": counted.reasoning},
        "server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None,
        "cost": view["cost"],
        "cost_details": view["cost_details"],
        "is_byok": view["is_byok"],
    }


def counts(input_tokens: int) -> Json:
    """Usage while only the prompt is known: at the beginning of a stream."""
    return {
        "input_tokens": input_tokens,
        "output_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": None,
        "output_tokens_details": None,
        "speed": "standard",
    }


def passthrough_usage(vendor: Any, generation: Generation) -> Json:
    """The vendor's usage with the gateway's own fields in it: the counts as charged, and the cost. The rest is the vendor's."""
    own = usage(generation)
    kept = {name: value for name, value in (vendor if isinstance(vendor, dict) else {}).items() if value is not None}
    known = {name: value for name, value in own.items() if value is not None}
    for name in ("service_tier", "speed", "server_tool_use", "output_tokens_details"):
        if name in kept:
            known.pop(name, None)
    return {**own, **kept, **known}


# -- errors ------------------------------------------------------------------------------------------------------------


def envelope(error: GatewayError, id: str | None = None) -> Json:
    """Anthropic's error envelope. ``error_type`` is the gateway's own, finer than ``type``; ``request_id`` is the id of the
    generation once there is one.
    """
    view: Json = {
        "type": ERROR_TYPES.get(error.error_type, "api_error"),
        "message": _overflow_words(error) if error.error_type == "context_length_exceeded" else error.message,
        "error_type": error.error_type,
    }
    if "error_code" in error.metadata:  # the SDKs choose their exception by this
        view["details"] = {"error_code": error.metadata["error_code"]}
    if error.availability is not None:
        view["availability"] = error.availability
    whole: Json = {"type": "error", "error": view, "request_id": id}
    if error.metadata:
        whole["metadata"] = error.metadata
    return whole


def limit_headers(error: RateLimited) -> list[tuple[str, str]]:
    """Anthropic's headers of the limit that was reached: its size, what is left, and when it is whole again, as RFC 3339.

    Source: docs.claude.com/en/api/rate-limits, 2026-11. It has none for requests at once.
    """
    kind = error.name.removesuffix("_per_minute")
    if kind == error.name:
        return []
    reset = datetime.fromtimestamp(math.ceil(error.reset_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    figures = {"limit": str(error.limit), "remaining": str(error.remaining), "reset": reset}
    return [(f"anthropic-ratelimit-{kind}-{name}", figure) for name, figure in figures.items()]


def _overflow_words(error: GatewayError) -> str:
    """Anthropic's sentences for a prompt that is too long, by which its clients shorten the conversation or the answer.

    Claude Code 2.1.332 looks for ``prompt is too long: N tokens > N maximum`` and ``input length and `max_tokens` exceed context
    limit: N + N > N``.
    """
    overflow = error.overflow
    if overflow is None:
        return f"prompt is too long: {error.message}"
    if overflow.prompt > overflow.limit or not overflow.output:
        return f"prompt is too long: {overflow.prompt} tokens > {overflow.limit} maximum"
    return (
        f"input length and `max_tokens` exceed context limit: {overflow.prompt} + {overflow.output} > {overflow.limit}, "
        "decrease input length or `max_tokens` and try again"
    )
