"""Messages of the inner language as those of Cohere's v2 chat. Pure.

Facts about the vendor, from its reference (docs.cohere.com/reference/chat, 2026-11), the types of its SDK (``cohere`` 7.3) and
the refusals it answers with:

- "system turn must be the first in the list": the first messages of these roles are joined, later ones become
  words of the user's.
- A turn with tool calls may not hold text: "either pass thinking content (with thinking enabled) or use 'tool_plan'"
  (github.com/vercel/ai/issues/5794, 2025-04). Text beside calls, as other vendors write it, is sent as the plan.
- The conversation must end with a user's message or with tool results: the vendor does not continue an assistant message.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.chat.messages import (
    arguments_text,
    calls_of,
    document_text,
    name_prefix,
    nested_object,
    parts_of,
    reasoning_blocks,
    text_only,
    unsupported,
    url_of,
)
from providers.chat.turns import instructions_first
from providers.types import Json

THOUGHT = "cohere-"
"""Prefix of the ids of this vendor's reasoning details."""
PLAN = "cohere-plan-"
"""Prefix of the id of the reasoning detail made from ``tool_plan``."""
_decode = msgspec.json.Decoder().decode


def conversation(messages: list[Json], *, thoughts: bool) -> list[Json]:
    """The vendor's messages. ``thoughts``: past thinking is sent back; the vendor refuses it when thinking is switched off."""
    system: list[Json] = []
    turns: list[Json] = []
    for message in instructions_first(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            system += [_text(text) for text in text_only(message.get("content"), "a system message")]
        elif role == "assistant":
            turn = _assistant(message, thoughts=thoughts)
            if len(turn) > 1:
                turns.append(turn)
        elif role == "tool":
            content = _result(message.get("content"))
            turns.append({"role": "tool", "tool_call_id": str(message.get("tool_call_id")), "content": content})
        else:
            turns.append({"role": "user", "content": _user(message)})
    if turns and turns[-1]["role"] == "assistant":
        raise unsupported("messages", "this provider cannot continue a trailing assistant message (prefill)")
    if not turns:
        return [{"role": "user", "content": system}]
    return [{"role": "system", "content": system}, *turns] if system else turns


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _user(message: Json) -> Any:
    """The content of a user's message: a text, or a list of parts."""
    prefix, content = name_prefix(message), message.get("content")
    if isinstance(content, str):
        return prefix + content
    items: list[Json] = []
    for kind, part in parts_of(content):
        if kind == "text":
            items.append(_text(part["text"]))
        elif kind == "image_url":
            image: Json = {"url": url_of(part, "image_url")}
            detail = nested_object(part, "image_url").get("detail")
            if detail is not None:
                image["detail"] = detail if detail in ("auto", "low", "high") else "high"
            items.append({"type": "image_url", "image_url": image})
        else:
            text = document_text(nested_object(part, "file")) if kind == "file" else None
            if text is None:
                raise unsupported("messages", f"this provider takes no part of type {kind[:80]!r}")
            items.append(_text(text))
    if prefix:
        first = next((item for item in items if item["type"] == "text"), None)
        if first is not None:
            first["text"] = prefix + first["text"]
    return items


def _assistant(message: Json, *, thoughts: bool) -> Json:
    turn: Json = {"role": "assistant"}
    content = message.get("content") or message.get("refusal")
    texts = text_only(content, "an assistant message")
    calls, reasoning = calls_of(message), reasoning_blocks(message, THOUGHT)
    plan = "".join(text for id, text, _ in reasoning if id.startswith(PLAN))
    items = [{"type": "thinking", "thinking": text} for id, text, _ in reasoning if not id.startswith(PLAN)]
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
    """A tool's result as documents, which the model can cite; a JSON object becomes the fields of one document."""
    documents: list[Json] = []
    for text in text_only(content, "a tool result") or [""]:
        try:
            value = _decode(text)
        except (ValueError, RecursionError):
            value = None
        data = value if isinstance(value, dict) and value else {"result": text}
        documents.append({"type": "document", "document": {"data": data}})
    return documents
