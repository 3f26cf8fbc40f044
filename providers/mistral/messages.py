"""A conversation of the inner language as Mistral's messages. Pure.

Facts about the vendor, from docs.mistral.ai (chat, reasoning, vision, document understanding, audio; 2026-11), the types of its
SDK (``mistralai`` 3.7) and the refusals it answers with:

- "Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9": other vendors' ids become nine such characters, the
  same ones in the call and in its result; the vendor's own ids go back unchanged.
- "must have either content or tool_calls": an assistant message with neither is left out. The models of 2026 take one with
  content, as a list or not, and calls.
- Reasoning that came from this vendor goes back as ``thinking`` chunks in front of the text.
- "Unexpected role 'user' after role 'tool'" (3230; github.com/BerriAI/litellm/issues/17761, 2025): a short turn of the assistant
  comes in between, where a user interrupted it.
- A trailing assistant message must have ``prefix: true``.
- Audio is bare base64 text, documents are ``document_url`` (which may be a data URL), pictures ``image_url``.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

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

AFTER_TOOLS: Final = "Done."
REASONING_ID_PREFIX: Final = "mistral-"
"""The ids of the reasoning details that came from this vendor begin with it."""
OWN_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def call_id(id: str) -> str:
    """The id of a tool call as nine letters and digits."""
    number = int.from_bytes(hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()[:8])
    short = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        short += _DIGITS[digit]
    return short


def conversation(messages: list[Json]) -> list[Json]:
    """The vendor's messages. Raises ``ProviderError`` (unsupported)."""
    turns: list[Json] = []
    names: dict[str, str] = {}
    for message in instructions_first(messages):
        role = message.get("role")
        if role == "user" and turns and turns[-1]["role"] == "tool":
            turns.append({"role": "assistant", "content": AFTER_TOOLS})
        if role in ("system", "developer"):
            texts = text_only(message.get("content"), "a system message")
            turns.append({"role": "system", "content": _content([_text(text) for text in texts])})
        elif role == "assistant":
            turn = _assistant(message, names)
            if len(turn) > 1:
                turns.append(turn)
        elif role == "tool":
            id = str(message.get("tool_call_id"))
            turn = {
                "role": "tool",
                "tool_call_id": id,
                "content": _content(_content_chunks(message.get("content"))),
            }
            name = names.get(id, message.get("name"))
            turns.append({**turn, "name": name} if isinstance(name, str) else turn)
        else:
            chunks = _content_chunks(message.get("content"), name_prefix(message))
            turns.append({"role": "user", "content": _content(chunks)})
    if turns and turns[-1]["role"] == "assistant" and not turns[-1].get("tool_calls"):
        turns[-1]["prefix"] = True
    return turns


def _assistant(message: Json, names: dict[str, str]) -> Json:
    turn: Json = {"role": "assistant"}
    content = message.get("content") or message.get("refusal")
    chunks = [_text(text) for text in text_only(content, "an assistant message")]
    reasoning: list[Json] = []
    for _, text, signature in reasoning_blocks(message, REASONING_ID_PREFIX):
        thinking: Json = {"type": "thinking", "thinking": [_text(text)] if text else [], "closed": True}
        reasoning.append(thinking if signature is None else {**thinking, "signature": signature})
    calls = []
    for id, name, arguments in calls_of(message):
        names[id] = name
        function = {"name": name, "arguments": arguments_text(arguments)}
        calls.append({"id": id, "type": "function", "function": function})
    if chunks or (reasoning and calls):
        turn["content"] = _content([*reasoning, *chunks])
    if calls:
        turn["tool_calls"] = calls
    return turn


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _content(chunks: list[Json]) -> Any:
    """A content as a string where it is only one text, as it is in most messages."""
    if not chunks:
        return ""
    return chunks[0]["text"] if len(chunks) == 1 and chunks[0]["type"] == "text" else chunks


def _content_chunks(content: Any, prefix: str = "") -> list[Json]:
    chunks = [_content_chunk(kind, part) for kind, part in parts_of(content)]
    first = next((chunk for chunk in chunks if chunk["type"] == "text"), None)
    if prefix and first is not None:
        first["text"] = prefix + first["text"]
    return chunks


def _content_chunk(kind: str, part: Json) -> Json:
    if kind == "text":
        return _text(part["text"])
    if kind == "image_url":
        image: Json = {"url": url_of(part, "image_url")}
        detail = nested_object(part, "image_url").get("detail")
        if isinstance(detail, str):
            image["detail"] = detail if detail in ("auto", "low", "high") else "high"
        return {"type": "image_url", "image_url": image}
    if kind == "input_audio":
        data = nested_object(part, "input_audio").get("data")
        if not isinstance(data, str):
            raise unsupported("messages", "input_audio without data")
        return {"type": "input_audio", "input_audio": data}
    if kind == "file":
        return _file(nested_object(part, "file"))
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
