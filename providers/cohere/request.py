"""A chat request of the inner language as Cohere's v2 chat has it. Pure.

Facts about the vendor, from its reference (docs.cohere.com/reference/chat, /reference/errors; 2026-11), the types of its SDK
(``cohere`` 7.3) and the refusals it answers with:

- Unknown fields are refused with 422, even ``strict`` inside of a function (github.com/OpenRouterTeam/openrouter-examples/
  issues/71, 2026-03): only known fields go out.
- "system turn must be the first in the list": system and developer messages are joined at the front.
- A turn with tool calls may hold no text: "either pass thinking content (with thinking enabled) or use 'tool_plan'"
  (github.com/vercel/ai/issues/5794, 2025-04). Text beside calls, as other vendors write it, goes out as the plan.
- ``tool_choice`` is REQUIRED, NONE or absent. One named function is REQUIRED with that function alone.
- ``response_format`` does not work together with tools or documents.
- Reasoning is on by default where the model can; ``thinking.token_budget`` bounds it. There are no efforts: an effort
  becomes a share of the output limit.
- The conversation must end with the user or with results of tools: an answer cannot be begun.
- ``p`` lies between 0.01 and 0.99, penalties between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.chat import effort
from providers.chat.messages import (
    arguments_text,
    calls_of,
    document_text,
    functions_of,
    inner,
    messages_of,
    name_prefix,
    named_tools,
    output_limit,
    parts_of,
    schema_of,
    stops_of,
    text_only,
    thoughts_of,
    unsupported,
    url_of,
)
from providers.types import Json

THOUGHT = "cohere-"
"""Ids of the reasoning details that are this vendor's begin so; ``PLAN`` is the one of ``tool_plan``."""
PLAN = "cohere-plan-"
PASSED = ("temperature", "seed", "logprobs", "documents", "citation_options", "safety_mode", "priority", "strict_tools")
"""Fields that the vendor takes under the same name; the later ones only callers write who know this vendor."""
_decode = msgspec.json.Decoder().decode


def chat_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The vendor's body without ``stream``. Raises ``ProviderError`` (unsupported)."""
    if body.get("n") not in (None, 1):
        raise unsupported("n", "this provider gives one choice")
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
    for name, low, high, theirs in (("top_p", 0.01, 0.99, "p"), ("top_k", 0, 500, "k")):
        value = body.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            sent[theirs] = min(max(value, low), high)  # a top_p of 1, which many clients send, is refused
    for name in ("frequency_penalty", "presence_penalty"):
        value = body.get(name)
        if value:  # 0 is the default, and some models refuse the two together
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise unsupported(name, "this provider knows 0 to 1")
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
    asked = effort.on(body)
    if asked is None or options.get("thinking") is False:
        return None
    if not asked:
        return {"type": "disabled"}
    wanted, tokens = effort.wanted(body)
    limit = output_limit(body) or options.get("max_completion_tokens")
    if wanted is not None and isinstance(limit, int):
        tokens = max(1, effort.share(wanted, limit))
    return {"type": "enabled"} if tokens is None else {"type": "enabled", "token_budget": tokens}


def _tools(body: Json, sent: Json) -> None:
    mode, names = named_tools(body.get("tool_choice"))
    functions = functions_of(body, names)
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
    if mode != "auto":
        sent["tool_choice"] = mode.upper()


def _format(body: Json, sent: Json) -> None:
    asked = body.get("response_format")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind in (None, "text"):
        return
    if kind not in ("json_object", "json_schema"):
        raise unsupported("response_format", f"no format {str(kind)[:80]!r} there")
    if "tools" in sent or "documents" in sent:
        raise unsupported("response_format", "this provider takes it neither with tools nor with documents")
    sent["response_format"] = {"type": "json_object"}
    described = asked.get("json_schema") if isinstance(asked, dict) and kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    if isinstance(schema, dict):
        sent["response_format"]["json_schema"] = schema


# -- messages ----------------------------------------------------------------------------------------------------------


def conversation(messages: list[Json], *, thoughts: bool) -> list[Json]:
    """The vendor's messages. ``thoughts``: thinking may go back, which a request that switches it off may not hold."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += [_text(text) for text in text_only(message.get("content"), "a system message")]
        elif role == "assistant":
            turn = _said(message, thoughts=thoughts)
            if len(turn) > 1:
                turns.append(turn)
        elif role == "tool":
            content = _result(message.get("content"))
            turns.append({"role": "tool", "tool_call_id": str(message.get("tool_call_id")), "content": content})
        else:
            turns.append({"role": "user", "content": _asked(message)})
    if turns and turns[-1]["role"] == "assistant":
        raise unsupported("messages", "this provider cannot go on from a trailing assistant message (prefill)")
    if not turns:
        return [{"role": "user", "content": system}]
    return [{"role": "system", "content": system}, *turns] if system else turns


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _asked(message: Json) -> Any:
    prefix, content = name_prefix(message), message.get("content")
    if isinstance(content, str):
        return prefix + content
    items: list[Json] = []
    for kind, part in parts_of(content):
        if kind == "text":
            items.append(_text(part["text"]))
        elif kind == "image_url":
            image: Json = {"url": url_of(part, "image_url")}
            detail = inner(part, "image_url").get("detail")
            if detail is not None:
                image["detail"] = detail if detail in ("auto", "low", "high") else "high"
            items.append({"type": "image_url", "image_url": image})
        else:
            text = document_text(inner(part, "file")) if kind == "file" else None
            if text is None:
                raise unsupported("messages", f"this provider takes no part of type {kind[:80]!r}")
            items.append(_text(text))
    if prefix:
        first = next((item for item in items if item["type"] == "text"), None)
        if first is not None:
            first["text"] = prefix + first["text"]
    return items


def _said(message: Json, *, thoughts: bool) -> Json:
    turn: Json = {"role": "assistant"}
    content = message.get("content") or message.get("refusal")
    texts = text_only(content, "an assistant message")
    calls, notes = calls_of(message), thoughts_of(message, THOUGHT)
    plan = "".join(text for id, text, _ in notes if id.startswith(PLAN))
    items = [{"type": "thinking", "thinking": text} for id, text, _ in notes if not id.startswith(PLAN)]
    if not thoughts or not (texts or calls):
        items = []
    if calls:
        turn["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments_text(arguments)}}
            for id, name, arguments in calls
        ]
        plan = "\n".join(filter(None, [plan, *texts]))
        if plan:
            turn["tool_plan"] = plan
    elif texts:
        items += [_text(text) for text in texts]
    if items:
        turn["content"] = items
    return turn


def _result(content: Any) -> list[Json]:
    """A tool's result as documents, which the model can cite; a result that is a JSON object is one with its fields."""
    documents: list[Json] = []
    for text in text_only(content, "a tool result") or [""]:
        try:
            value = _decode(text)
        except (ValueError, RecursionError):
            value = None
        data = value if isinstance(value, dict) and value else {"result": text}
        documents.append({"type": "document", "document": {"data": data}})
    return documents
