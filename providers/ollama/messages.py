"""Messages of the inner language as those of Ollama's native chat. Pure.

- A message has one text and a list of images as bare base64.
- Arguments of tool calls are objects. A result names its tool (``tool_name``); newer servers also read the call's id.
- The server continues a trailing assistant message.

Sources as of ``request``.
"""

from __future__ import annotations

from typing import Final

from providers.chat.messages import (
    arguments_object,
    calls_of,
    data_of,
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

THOUGHT: Final = "ollama-"
"""Prefix of the ids of this vendor's reasoning details."""


def conversation(messages: list[Json]) -> list[Json]:
    """The server's messages."""
    turns: list[Json] = []
    names: dict[str, str] = {}
    for message in instructions_first(messages):
        role = message.get("role")
        if role in ("system", "developer"):
            turns.append(
                {"role": "system", "content": "\n".join(text_only(message.get("content"), "a system message"))}
            )
        elif role == "assistant":
            turn = _assistant(message, names)
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


def _assistant(message: Json, names: dict[str, str]) -> Json:
    content = message.get("content") or message.get("refusal")
    turn: Json = {"role": "assistant", "content": "".join(text_only(content, "an assistant message"))}
    reasoning = reasoning_blocks(message, THOUGHT)
    thinking = "".join(text for _, text, _ in reasoning)
    plain = message.get("reasoning")
    if not message.get("reasoning_details") and isinstance(plain, str):
        thinking = plain  # open models return plain reasoning, whoever serves them
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
            images.append(_image(url_of(part, "image_url"), "image_url"))
        elif kind == "file":
            _file(nested_object(part, "file"), texts, images)
        else:
            raise unsupported("messages", f"this provider takes no part of type {kind[:80]!r}")
    fields: Json = {"content": prefix + "\n".join(texts)}
    if images:
        fields["images"] = images
    return fields


def _file(file: Json, texts: list[str], images: list[str]) -> None:
    text = document_text(file)
    data = file.get("file_data")
    if text is not None:
        texts.append(text)
    elif isinstance(data, str) and data.lower().startswith("data:image/"):
        images.append(_image(data, "file.file_data"))
    else:
        raise unsupported("messages", "this provider takes no documents except texts")


def _image(url: str, field: str) -> str:
    kind, data = data_of(url, field)
    if not kind.startswith("image/"):
        raise unsupported("messages", f"{field} has type {kind[:80]}, which is not an image")
    return data
