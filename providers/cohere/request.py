"""A chat request of the inner language as the body of Cohere's v2 chat. Pure.

Facts about the vendor, from its reference (docs.cohere.com/reference/chat, /reference/errors; 2026-11), the types of its SDK
(``cohere`` 7.3) and the refusals it answers with:

- Unknown fields are refused with 422, even ``strict`` inside a function (github.com/OpenRouterTeam/openrouter-examples/
  issues/71, 2026-03): only known fields are sent.
- ``tool_choice`` is REQUIRED, NONE or absent. One named function is REQUIRED with that function alone.
- ``response_format`` does not work together with tools or documents.
- Models that can reason do so by default; ``thinking.token_budget`` bounds it. There are no efforts: an effort becomes a
  share of the output limit.
- ``p`` lies between 0.01 and 0.99, penalties between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.chat import effort
from providers.chat.messages import (
    functions_of,
    messages_of,
    output_limit,
    schema_of,
    stops_of,
    unsupported,
)
from providers.chat.tool_choice import parse_tool_choice
from providers.cohere.messages import conversation
from providers.types import Json

PASSED = ("temperature", "seed", "logprobs", "documents", "citation_options", "safety_mode", "priority", "strict_tools")
"""Fields that the vendor takes under the same name; those from ``documents`` on are its own."""


def chat_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The vendor's body without ``stream``. Raises ``ProviderError`` (unsupported)."""
    if body.get("n") not in (None, 1):
        raise unsupported("n", "this provider returns one choice")
    thinking = _thinking(options, body)
    off = thinking is not None and thinking["type"] == "disabled"
    sent: Json = {"model": model, "messages": conversation(messages_of(body), thoughts=not off)}
    sent.update({name: body[name] for name in PASSED if body.get(name) is not None})
    _sampling(body, sent)
    if thinking is not None:
        sent["thinking"] = thinking
    _tools(body, sent)
    _format(body, sent)
    return sent


def _sampling(body: Json, sent: Json) -> None:
    for name, low, high, vendor_name in (("top_p", 0.01, 0.99, "p"), ("top_k", 0, 500, "k")):
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            sent[vendor_name] = min(max(value, low), high)  # the vendor refuses a top_p of 1, which many clients send
    for name in ("frequency_penalty", "presence_penalty"):
        value = body.get(name)
        if value:  # 0 is the default; some models refuse the two penalties together
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise unsupported(name, "this provider takes 0 to 1")
            sent[name] = value
    stops = stops_of(body)
    if stops:
        sent["stop_sequences"] = stops
    limit = output_limit(body)
    if limit is not None:
        sent["max_tokens"] = limit


def _thinking(options: Mapping[str, Any], body: Json) -> Json | None:
    given = body.get("thinking")
    if isinstance(given, dict) and given.get("type") in ("enabled", "disabled"):
        return given
    enabled = effort.requested(body)
    if enabled is None or options.get("thinking") is False:
        return None
    if not enabled:
        return {"type": "disabled"}
    level, tokens = effort.requested_effort(body)
    limit = output_limit(body) or options.get("max_completion_tokens")
    if level is not None and isinstance(limit, int):
        tokens = max(1, effort.budget_of(level, limit))
    return {"type": "enabled"} if tokens is None else {"type": "enabled", "token_budget": tokens}


def _tools(body: Json, sent: Json) -> None:
    choice = parse_tool_choice(body.get("tool_choice")).functions_only()
    functions = functions_of(body, choice.names)
    if not functions:
        return
    sent["tools"] = [
        {
            "type": "function",
            "function": {
                "name": function.get("name"),
                **({"description": function["description"]} if isinstance(function.get("description"), str) else {}),
                "parameters": schema_of(function),
            },
        }
        for function in functions
    ]
    if any(function.get("strict") is True for function in functions):
        sent.setdefault("strict_tools", True)
    if choice.mode != "auto":
        sent["tool_choice"] = choice.mode.upper()


def _format(body: Json, sent: Json) -> None:
    requested = body.get("response_format")
    kind = requested.get("type") if isinstance(requested, dict) else None
    if kind in (None, "text"):
        return
    if kind not in ("json_object", "json_schema"):
        raise unsupported("response_format", f"this provider has no format {str(kind)[:80]!r}")
    if "tools" in sent or "documents" in sent:
        raise unsupported("response_format", "this provider takes neither tools nor documents together with it")
    sent["response_format"] = {"type": "json_object"}
    described = requested.get("json_schema") if isinstance(requested, dict) and kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if isinstance(schema, dict):
        sent["response_format"]["json_schema"] = schema
