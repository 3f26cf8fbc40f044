"""A chat request of the inner language as Ollama's native ``/api/chat`` has it. Pure.

Facts about the server, from its API page (docs.ollama.com/api), ``api/types.go`` of its sources (both read 2026-11) and the
types of its SDK (``ollama`` 0.6.3):

- Arguments of tool calls are objects. A result names its tool (``tool_name``); newer servers also read the call's id.
- A message has one text and a list of pictures as bare base64.
- There is no ``tool_choice``: ``none`` means sending no tools, and anything that forces a call cannot be said.
- Left alone, the server cuts the front off a prompt that is too long and forgets old turns while it writes, without a word;
  ``truncate: false`` and ``shift: false`` (since 0.12.6) make that an error.
- A trailing assistant message is gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.chat.messages import (
    arguments_object,
    calls_of,
    data_of,
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

THOUGHT: Final = "ollama-"
"""Ids of the reasoning details that are this vendor's begin so."""
_SAMPLING: Final = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed",
    "repetition_penalty": "repeat_penalty", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}  # fmt: skip
_LEVELS: Final = ("low", "medium", "high")


def chat_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The server's body without ``stream``. Raises ``ProviderError`` (unsupported)."""
    if body.get("n") not in (None, 1):
        raise unsupported("n", "this provider gives one choice")
    sent: Json = {"model": model, "messages": conversation(messages_of(body))}
    _tools(body, sent)
    _format(body, sent)
    thinks = effort.on(body)
    if thinks is not None:
        level, _ = effort.wanted(body, plainly=None)  # most models know on and off only
        sent["think"] = effort.nearest(level, _LEVELS) if thinks and level is not None else thinks
    for name in ("logprobs", "top_logprobs"):
        if body.get(name) is not None:
            sent[name] = body[name]
    runtime = {**options.get("options", {}), **_options(body)}
    if options.get("num_ctx") is not None:
        runtime["num_ctx"] = options["num_ctx"]
    if runtime:
        sent["options"] = runtime
    if options.get("keep_alive") is not None:
        sent["keep_alive"] = options["keep_alive"]
    if not options.get("truncate"):
        sent["truncate"] = sent["shift"] = False
    return sent


def _options(body: Json) -> Json:
    found = {theirs: body[ours] for ours, theirs in _SAMPLING.items() if body.get(ours) is not None}
    stops = stops_of(body)
    if stops:
        found["stop"] = stops
    limit = output_limit(body)
    if limit is not None:
        found["num_predict"] = limit
    return found


def _tools(body: Json, sent: Json) -> None:
    mode, names = named_tools(body.get("tool_choice"))
    functions = functions_of(body, names)
    if not functions or mode == "none":
        return
    if mode == "required":
        raise unsupported("tool_choice", "this provider cannot be made to call a tool")
    sent["tools"] = [
        {
            "type": "function",
            "function": {
                "name": function.get("name"),
                "description": function.get("description") or "",
                "parameters": schema_of(function),
            },
        }
        for function in functions
    ]


def _format(body: Json, sent: Json) -> None:
    asked = body.get("response_format")
    kind = asked.get("type") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or kind in (None, "text"):
        return
    if kind not in ("json_object", "json_schema"):
        raise unsupported("response_format", f"no format {str(kind)[:80]!r} there")
    described = asked.get("json_schema") if kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    sent["format"] = schema if isinstance(schema, dict) and schema else "json"


# -- messages ----------------------------------------------------------------------------------------------------------


def conversation(messages: list[Json]) -> list[Json]:
    """The server's messages."""
    turns: list[Json] = []
    names: dict[str, str] = {}
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            turns.append(
                {"role": "system", "content": "\n".join(text_only(message.get("content"), "a system message"))}
            )
        elif role == "assistant":
            turn = _said(message, names)
            if len(turn) > 2 or turn["content"]:
                turns.append(turn)
        elif role == "tool":
            id = str(message.get("tool_call_id"))
            turn = {"role": "tool", **_content(message)}
            name = names.get(id, message.get("name"))
            if isinstance(name, str):
                turn["tool_name"] = name
            turns.append({**turn, "tool_call_id": id})
        else:
            turns.append({"role": "user", **_content(message, name_prefix(message))})
    return turns


def _said(message: Json, names: dict[str, str]) -> Json:
    content = message.get("content") or message.get("refusal")
    turn: Json = {"role": "assistant", "content": "".join(text_only(content, "an assistant message"))}
    notes = thoughts_of(message, THOUGHT)
    thinking = "".join(text for _, text, _ in notes)
    plain = message.get("reasoning")
    if not message.get("reasoning_details") and isinstance(plain, str):
        thinking = plain  # open models think in plain text wherever they are served
    if thinking:
        turn["thinking"] = thinking
    calls = []
    for id, name, arguments in calls_of(message):
        names[id] = name
        calls.append({"id": id, "function": {"name": name, "arguments": arguments_object(arguments)}})
    if calls:
        turn["tool_calls"] = calls
    return turn


def _content(message: Json, prefix: str = "") -> Json:
    """``content`` and ``images`` of one message."""
    texts: list[str] = []
    images: list[str] = []
    for kind, part in parts_of(message.get("content")):
        if kind == "text":
            texts.append(part["text"])
        elif kind == "image_url":
            images.append(_picture(url_of(part, "image_url"), "image_url"))
        elif kind == "file":
            _file(inner(part, "file"), texts, images)
        else:
            raise unsupported("messages", f"this provider takes no part of type {kind[:80]!r}")
    found: Json = {"content": prefix + "\n".join(texts)}
    if images:
        found["images"] = images
    return found


def _file(file: Json, texts: list[str], images: list[str]) -> None:
    text = document_text(file)
    data = file.get("file_data")
    if text is not None:
        texts.append(text)
    elif isinstance(data, str) and data.lower().startswith("data:image/"):
        images.append(_picture(data, "file.file_data"))
    else:
        raise unsupported("messages", "this provider takes no documents but texts")


def _picture(url: str, field: str) -> str:
    kind, data = data_of(url, field)
    if not kind.startswith("image/"):
        raise unsupported("messages", f"{field} is of type {kind[:80]}, no picture")
    return data
