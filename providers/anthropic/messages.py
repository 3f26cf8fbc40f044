"""Messages of the inner language as Anthropic's system blocks and turns. Pure.

Facts about the vendor, from its API reference (platform.claude.com/docs/en/api/messages, 2026-11), the types of its SDK
(``anthropic`` 2.12) and the refusals it answers with:

- Turns alternate, so neighbours of one role are merged; results of tools come first in their turn.
- Text blocks may be neither empty nor only white space; a trailing assistant turn (prefill) may not end in white space.
- Ids of tool calls match ``[a-zA-Z0-9_-]+``: other ids, made by other vendors (``functions.f:0``), are rewritten, in the call
  and in its result alike.
- Thinking blocks are sent back unchanged, before the text and the tool calls of their turn; a block without the vendor's
  signature, or of another vendor, is left out.
- Only newer models (Claude Opus 4.8, 2026) take system messages after the first user turn, directly after a user turn; for
  the others they become words of the user's.

Arguments of a tool call that are not a JSON object are sent as an object that holds the text (``chat.messages``): the vendor
takes only objects, and the model should see what it had written.
"""

from __future__ import annotations

import re
from typing import Any

from providers.chat.messages import arguments_object, data_of, is_text, text_in
from providers.chat.tool_rules import digest
from providers.chat.turns import interleaved, reminder
from providers.errors import failed
from providers.types import Json

FORMAT = "anthropic-claude-v1"
"""The ``format`` of this vendor's reasoning details."""
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")


def conversation(messages: list[Json], *, mid_system: bool) -> tuple[list[Json], list[Json]]:
    """System blocks, and turns ``{"role", "content": [block]}``. ``mid_system``: the model takes system turns.

    Raises ``ProviderError`` (unsupported) for a part that this format cannot express.
    """
    system: list[Json] = []
    turns: list[Json] = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            blocks = _marked(message, _blocks(message.get("content"), only_text="a system message"))
            if not turns:
                system += blocks
            elif mid_system and turns[-1]["role"] in ("user", "system"):
                _add(turns, "system", blocks)
            else:
                _add(turns, "user", reminder(blocks))
        elif role == "assistant":
            _add(turns, "assistant", _assistant(message))
        elif role == "tool":
            _add(turns, "user", [_result(message)])
        else:
            _add(turns, "user", _marked(message, _with_name(message, _blocks(message.get("content")))))
    if not turns and system:  # the vendor requires a turn: the instructions become it
        return [], [{"role": "user", "content": system}]
    if turns and turns[-1]["role"] == "assistant" and turns[-1]["content"][-1]["type"] == "text":
        last = turns[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return system, turns


def without_system_turns(turns: Any) -> list[Json] | None:
    """The turns of a caller's own Messages request for a model without system turns: they become words of the user's.

    The same list where there are none. None for turns that change the tools, which only a translation of the request can apply.
    """
    if not any(turn["role"] == "system" for turn in turns):
        return list(turns)
    made: list[Json] = []
    held: list[Json] = []
    last_user = max((index for index, turn in enumerate(turns) if turn["role"] == "user"), default=-1)
    for index, turn in enumerate(turns):
        if turn["role"] != "system":
            made.append(turn)
            made += held
            held = []
            continue
        content = turn.get("content") or ""
        if not isinstance(content, str) and any(block["type"] != "text" for block in content):
            return None
        words = reminder(content)
        if not words or (turn.get("clear_at") == "next_user_message" and index < last_user):
            continue
        calls = bool(made) and isinstance(made[-1]["content"], list) and made[-1]["content"]
        waits = calls and any(block["type"] == "tool_use" for block in calls)
        (held if waits else made).append({"role": "user", "content": words})
    return made + held


def _add(turns: list[Json], role: str, blocks: list[Json]) -> None:
    """Appends blocks to the last turn of the role, or as a new turn."""
    if not blocks:
        return
    at = len(turns) - 1
    if role == "user" and at > 0 and turns[at]["role"] == "system":
        at -= 1  # a system turn stays directly after the whole user turn
    if at < 0 or turns[at]["role"] != role:
        turns.append({"role": role, "content": blocks})
        return
    content = turns[at]["content"]
    if role == "user" and blocks[0]["type"] == "tool_result":
        place = next((i for i, block in enumerate(content) if block["type"] != "tool_result"), len(content))
        content[place:place] = blocks
    else:
        content += blocks


def cache_of(source: Json) -> Json | None:
    """The vendor's cache breakpoint for the ``cache_control`` of a part, a message or a tool."""
    control = source.get("cache_control")
    if not isinstance(control, dict) or control.get("type", "ephemeral") != "ephemeral":
        return None
    ttl = control.get("ttl")
    return {"type": "ephemeral", "ttl": ttl} if ttl in ("5m", "1h") else {"type": "ephemeral"}


def _marked(message: Json, blocks: list[Json]) -> list[Json]:
    """``cache_control`` on a whole message is a breakpoint after its last block; several clients write it there."""
    cache = cache_of(message)
    if cache is not None and blocks:
        blocks[-1].setdefault("cache_control", cache)
    return blocks


def _with_name(message: Json, blocks: list[Json]) -> list[Json]:
    name = message.get("name")
    if isinstance(name, str) and name:
        first = next((block for block in blocks if block["type"] == "text"), None)
        if first is not None:
            first["text"] = f"{name}: {first['text']}"
    return blocks


def _blocks(content: Any, *, only_text: str | None = None) -> list[Json]:
    """The blocks of a content. ``only_text`` names, for the error, a message that may hold nothing else."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content and not content.isspace() else []
    blocks: list[Json] = []
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        cache = cache_of(part) if isinstance(part, dict) else None
        text = part.get("refusal" if kind == "refusal" else "text") if kind in ("text", "refusal") else None
        if isinstance(text, str):
            if text and not text.isspace():
                blocks.append({"type": "text", "text": text})
        elif only_text is not None or kind not in ("image_url", "file"):
            raise failed("unsupported", f"messages: {only_text or 'Anthropic'} takes no part of type {kind!r}")
        else:
            blocks.append(_image(part) if kind == "image_url" else _file(part))
        if cache is not None and blocks:
            blocks[-1]["cache_control"] = cache
    return blocks


def _image(part: Json) -> Json:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise failed("unsupported", "messages: an image_url without a url")
    return _media(url, "image_url", None)


def _file(part: Json) -> Json:
    file = part.get("file")
    file = file if isinstance(file, dict) else {}
    data, id, title = file.get("file_data"), file.get("file_id"), file.get("filename")
    if isinstance(data, str):
        block = _media(data, "file.file_data", title)
    elif isinstance(id, str):
        block = {"type": "document", "source": {"type": "file", "file_id": id}}
    else:
        raise failed("unsupported", "messages: a file without file_data or file_id")
    if block["type"] == "document" and isinstance(title, str) and title:
        block["title"] = title
    return block


def _media(url: str, field: str, name: Any) -> Json:
    """An image or a document: a URL that the vendor fetches itself (http, https), or the content of a data URL."""
    if url.startswith(("https://", "http://")):
        return {"type": "image" if field == "image_url" else "document", "source": {"type": "url", "url": url}}
    media_type, data = data_of(url, field)
    media_type = "image/jpeg" if media_type == "image/jpg" else media_type
    if media_type in _IMAGES:
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
    if media_type == "application/pdf" or (isinstance(name, str) and name.lower().endswith(".pdf")):
        return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}
    if is_text(media_type):
        return {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": text_in(data, field)},
        }
    raise failed("unsupported", f"messages: Anthropic takes no {media_type[:80]} in {field}")


def _assistant(message: Json) -> list[Json]:
    """One assistant message: text, then tool calls, with the thinking where the vendor wrote it."""
    details = message.get("reasoning_details")
    thinking = _thinking(details) if isinstance(details, list) else []
    uses = []
    blocks = _blocks(message.get("content"), only_text="an assistant message")
    refusal = message.get("refusal")
    if not blocks and isinstance(refusal, str):
        blocks = _blocks(refusal)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise failed("unsupported", "messages: a tool call that is not a function call")
        use = {"type": "tool_use", "id": call.get("id"), "name": function.get("name")}
        uses.append({**use, "input": arguments_object(function.get("arguments"))})
    if not blocks and not uses:
        return []  # the vendor refuses a turn of thinking alone
    _marked(message, uses or blocks)
    return interleaved(thinking, details, [blocks, *([use] for use in uses)])


def _thinking(details: list[Any]) -> list[tuple[Any, Json]]:
    """Thinking blocks with their indexes, made from reasoning details, whole ones or the fragments of a stream."""
    blocks: list[tuple[Any, Json]] = []
    pieces: list[str] = []
    index: Any = None
    for detail in details:
        if not isinstance(detail, dict) or detail.get("format") not in (None, FORMAT):
            continue
        kind, text, signature = detail.get("type"), detail.get("text"), detail.get("signature")
        if kind == "reasoning.encrypted" and isinstance(detail.get("data"), str):
            blocks.append((detail.get("index"), {"type": "redacted_thinking", "data": detail["data"]}))
        if kind != "reasoning.text":
            continue
        whole = isinstance(text, str) and bool(signature) and detail.get("index") is None
        if whole or detail.get("index") != index:
            pieces.clear()  # the fragments so far never got a signature
        index = detail.get("index")
        if isinstance(text, str):
            pieces.append(text)
        if isinstance(signature, str) and signature:
            block = {"type": "thinking", "thinking": "".join(pieces), "signature": signature}
            blocks.append((index, block))
            pieces.clear()
    return blocks


def call_id(id: str) -> str:
    """The id of a tool call in the characters that the vendor allows; different ids stay different."""
    return f"{re.sub('[^a-zA-Z0-9_-]', '_', id)[:48]}_{digest(id, 12)}"


def _result(message: Json) -> Json:
    content = message.get("content")
    blocks = _marked(message, _blocks(content))
    result: Json = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    cache = next((block["cache_control"] for block in reversed(blocks) if "cache_control" in block), cache_of(message))
    for block in blocks:
        block.pop("cache_control", None)
    if blocks:
        result["content"] = content if isinstance(content, str) else blocks
    if message.get("is_error") is True:
        result["is_error"] = True
    if cache is not None:  # only a breakpoint on the result itself counts
        result["cache_control"] = cache
    return result
