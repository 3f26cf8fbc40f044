"""A chat request of the inner language as Mistral's chat completions have it. Pure.

Facts about the vendor, from docs.mistral.ai (chat, reasoning, vision, document understanding, audio; 2026-11), the types of its
SDK (``mistralai`` 3.7, ``ChatCompletionRequest``) and the refusals it answers with:

- Unknown fields, also inside of messages and tools, are refused with 422 ``extra_forbidden``: only known ones go out.
- "Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9": other vendors' ids become nine such characters, the
  same ones in the call and in its result; the vendor's own ids go back as they came.
- "must have either content or tool_calls": an assistant message with neither is left out. One with content, as a list or not,
  and calls is taken by the models of 2026.
- Reasoning goes back as ``thinking`` chunks in front of the text, where it came from this vendor.
- A trailing assistant message must say ``prefix: true``.
- Sound is a bare base64 text, documents are ``document_url`` (a data URL is one too), pictures ``image_url``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.chat.messages import (
    arguments_text,
    calls_of,
    document_text,
    inner,
    messages_of,
    name_prefix,
    named_tools,
    output_limit,
    parts_of,
    schema_of,
    text_only,
    thoughts_of,
    unsupported,
    url_of,
)
from providers.types import Json

THOUGHT: Final = "mistral-"
"""Ids of the reasoning details that are this vendor's begin so."""
PASSED: Final = (
    "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens",
    "logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "n", "stop", "metadata", "parallel_tool_calls",
    "prompt_mode", "prompt_cache_key", "guardrails", "safe_prompt",
)  # fmt: skip
"""Fields that the vendor takes under the same name and in the same shape."""
_TOOLS: Final = frozenset({"image_generation", "document_library", "connector"})
"""Tools of the vendor's own that its chat takes (``ChatCompletionRequestTool``)."""
_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def chat_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The vendor's body without ``stream``. Raises ``ProviderError`` (unsupported)."""
    sent: Json = {"model": model, "messages": conversation(messages_of(body))}
    sent.update({name: body[name] for name in PASSED if body.get(name) is not None})
    if body.get("seed") is not None:
        sent["random_seed"] = body["seed"]
    limit = output_limit(body)
    if limit is not None:
        sent["max_tokens"] = limit
    tier = body.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        sent["service_tier"] = _TIERS[tier]
    _reason(options, body, sent)
    _tools(body, sent)
    _format(body, sent)
    predicted = body.get("prediction")
    if isinstance(predicted, dict):
        texts = text_only(predicted.get("content"), "prediction")
        sent["prediction"] = {"type": "content", "content": "".join(texts)}
    return sent


def _reason(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    style = options.get("reasoning", "effort")
    asked = effort.on(body)
    if asked is None or style == "drop":
        return
    if style == "prompt_mode":
        if asked:
            sent.setdefault("prompt_mode", "reasoning")
        return
    wanted, budget = effort.wanted(body)
    if budget is not None:
        wanted = effort.of_budget(budget, output_limit(body))
    sent["reasoning_effort"] = effort.nearest(wanted or "medium", options.get("efforts"))


def _tools(body: Json, sent: Json) -> None:
    mode, names = named_tools(body.get("tool_choice"))
    tools = []
    for tool in body.get("tools") or ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        function = tool.get("function") if kind == "function" else None
        if isinstance(function, dict):
            if names is None or function.get("name") in names or _one(body):
                tools.append({"type": "function", "function": _function(function)})
        elif kind in _TOOLS:
            tools.append({name: value for name, value in tool.items() if name != "cache_control"})
        else:
            raise unsupported("tools", f"no tool of type {str(kind)[:80]!r} there")
    if not tools:
        sent.pop("parallel_tool_calls", None)
        return
    sent["tools"] = tools
    if names is not None and _one(body):
        sent["tool_choice"] = {"type": "function", "function": {"name": next(iter(names))}}
    elif body.get("tool_choice") is not None:
        sent["tool_choice"] = "any" if mode == "required" else mode


def _one(body: Json) -> bool:
    """``tool_choice`` names one function, which the vendor knows how to say."""
    choice = body.get("tool_choice")
    return isinstance(choice, dict) and choice.get("type") == "function"


def _function(function: Json) -> Json:
    told: Json = {"name": function.get("name"), "parameters": schema_of(function)}
    for name, kind in (("description", str), ("strict", bool)):
        if isinstance(function.get(name), kind):
            told[name] = function[name]
    return told


def _format(body: Json, sent: Json) -> None:
    asked = body.get("response_format")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or kind in (None, "text"):
        return
    described = asked.get("json_schema") if kind == "json_schema" else None
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
        raise unsupported("response_format", f"no format {str(kind)[:80]!r} there")


# -- messages ----------------------------------------------------------------------------------------------------------


def call_id(id: Any) -> str:
    """Nine letters and digits for the id of a tool call; those that are, stay."""
    text = id if isinstance(id, str) else str(id)
    if _ID.fullmatch(text):
        return text
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])
    found = ""
    for _ in range(9):
        number, place = divmod(number, 62)
        found += _LETTERS[place]
    return found


def conversation(messages: list[Json]) -> list[Json]:
    """The vendor's messages."""
    turns: list[Json] = []
    names: dict[str, str] = {}
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            texts = text_only(message.get("content"), "a system message")
            turns.append({"role": "system", "content": _short([_text(text) for text in texts])})
        elif role == "assistant":
            turn = _said(message, names)
            if len(turn) > 1:
                turns.append(turn)
        elif role == "tool":
            id = str(message.get("tool_call_id"))
            turn = {"role": "tool", "tool_call_id": call_id(id), "content": _short(_chunks(message.get("content")))}
            name = names.get(id, message.get("name"))
            turns.append({**turn, "name": name} if isinstance(name, str) else turn)
        else:
            chunks = _chunks(message.get("content"), name_prefix(message))
            turns.append({"role": "user", "content": _short(chunks)})
    if turns and turns[-1]["role"] == "assistant" and not turns[-1].get("tool_calls"):
        turns[-1]["prefix"] = True
    return turns


def _said(message: Json, names: dict[str, str]) -> Json:
    turn: Json = {"role": "assistant"}
    content = message.get("content") or message.get("refusal")
    chunks = [_text(text) for text in text_only(content, "an assistant message")]
    thoughts: list[Json] = []
    for _, text, signature in thoughts_of(message, THOUGHT):
        thinking: Json = {"type": "thinking", "thinking": [_text(text)] if text else [], "closed": True}
        thoughts.append(thinking if signature is None else {**thinking, "signature": signature})
    calls = []
    for id, name, arguments in calls_of(message):
        names[id] = name
        function = {"name": name, "arguments": arguments_text(arguments)}
        calls.append({"id": call_id(id), "type": "function", "function": function})
    if chunks or (thoughts and calls):
        turn["content"] = _short([*thoughts, *chunks])
    if calls:
        turn["tool_calls"] = calls
    return turn


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _short(chunks: list[Json]) -> Any:
    """A text where there is only one text: what most messages are."""
    if not chunks:
        return ""
    return chunks[0]["text"] if len(chunks) == 1 and chunks[0]["type"] == "text" else chunks


def _chunks(content: Any, prefix: str = "") -> list[Json]:
    chunks = [_chunk(kind, part) for kind, part in parts_of(content)]
    first = next((chunk for chunk in chunks if chunk["type"] == "text"), None)
    if prefix and first is not None:
        first["text"] = prefix + first["text"]
    return chunks


def _chunk(kind: str, part: Json) -> Json:
    if kind == "text":
        return _text(part["text"])
    if kind == "image_url":
        image: Json = {"url": url_of(part, "image_url")}
        detail = inner(part, "image_url").get("detail")
        if isinstance(detail, str):
            image["detail"] = detail if detail in ("auto", "low", "high") else "high"
        return {"type": "image_url", "image_url": image}
    if kind == "input_audio":
        data = inner(part, "input_audio").get("data")
        if not isinstance(data, str):
            raise unsupported("messages", "input_audio without data")
        return {"type": "input_audio", "input_audio": data}
    if kind == "file":
        return _file(inner(part, "file"))
    raise unsupported("messages", f"this provider takes no part of type {kind[:80]!r}")


def _file(file: Json) -> Json:
    text, data, id = document_text(file), file.get("file_data"), file.get("file_id")
    if text is not None:
        return _text(text)
    if isinstance(data, str):
        if data.lower().startswith("data:image/"):
            return {"type": "image_url", "image_url": {"url": data}}
        chunk = {"type": "document_url", "document_url": data}
        name = file.get("filename")
        return {**chunk, "document_name": name} if isinstance(name, str) and name else chunk
    if isinstance(id, str):
        return {"type": "file", "file_id": id}
    raise unsupported("messages", "a file without file_data or file_id")
