"""An Anthropic Messages request as an inner chat request. Pure; the request is not changed.

What the inner language has no field for becomes text (documents of plain text, a tool's failure), or is left out because only
Anthropic can act on it (``container``, ``context_management``, ``mcp_servers`` ...): an endpoint that has the Messages API gets
the request itself, not this translation.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api.inference.messages import thinking as messages_thinking
from gateway.api.inference.messages import tools
from gateway.errors import BadRequest
from providers.chat.messages import UNPARSED_ARGUMENTS

Json = dict[str, Any]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_UNCHANGED = (
    "model", "provider", "stream", "max_tokens", "temperature", "top_p", "top_k", "session_id", "trace", "plugins",
    "cache_control",
)  # fmt: skip
_encode = msgspec.json.Encoder().encode


def inner(body: Json) -> Json:
    """The inner request of a request that ``schema.check`` has accepted. Raises BadRequest naming the block."""
    chat: Json = {name: body[name] for name in _UNCHANGED if body.get(name) is not None}
    chat["messages"] = [*_system(body.get("system")), *_turns(body["messages"])]
    models = body.get("models") or [one["model"] for one in body.get("fallbacks") or ()]
    user = body.get("user") or (body.get("metadata") or {}).get("user_id")
    fields = {
        "models": models,
        "user": user,
        "stop": body.get("stop_sequences"),
        **tools.inner(body),
        **_effort(body),
    }
    chat.update({name: value for name, value in fields.items() if value is not None and value != []})
    return chat


# -- the conversation --------------------------------------------------------------------------------------------------


def _system(system: Any) -> list[Json]:
    if not system:
        return []
    return [{"role": "system", "content": _texts(system, "\n\n")}]


def _texts(content: Any, separator: str) -> Any:
    """Blocks of text as one text, which every vendor accepts, unless a cache breakpoint has to be kept."""
    if isinstance(content, str):
        return content
    if len(content) == 1 and not content[0].get("cache_control"):
        return content[0]["text"]
    if any(block.get("cache_control") for block in content):
        return [_with_breakpoint({"type": "text", "text": block["text"]}, block) for block in content]
    return separator.join(block["text"] for block in content)


def _turns(turns: list[Json]) -> list[Json]:
    """The messages of the turns. An agent's conversation has hundreds: what is plain in them is copied on the way."""
    made: list[Json] = []
    last_user = next((index for index in reversed(range(len(turns))) if turns[index]["role"] == "user"), -1)
    for index, turn in enumerate(turns):
        role, content = turn["role"], turn.get("content")
        if role == "system":
            cleared = turn.get("clear_at") == "next_user_message" and index < last_user
            instructions = None if cleared else _instructions(content)
            if instructions:
                made.append({"role": "system", "content": instructions})
        elif isinstance(content, str):
            made.append({"role": role, "content": content})
        elif role == "assistant":
            made.append(_assistant(content or []))
        else:
            _add_user(made, content or [], index)
    return made


def _instructions(content: Any) -> Any:
    """The text of a system turn, without its changes of the tools."""
    if isinstance(content, list):
        content = [block for block in content if block["type"] == "text"]
    return _texts(content, "\n\n") if content else None


def _add_user(made: list[Json], blocks: list[Json], turn: int) -> None:
    """Adds the messages of a user's turn: each tool result is a message of its own, ahead of the user's other blocks."""
    parts: list[Json] = []
    for position, block in enumerate(blocks):
        if block["type"] == "tool_result":
            made.append(_plain_result(block) or _result(block, f"messages[{turn}].content[{position}]"))
        else:
            parts += _parts(block, f"messages[{turn}].content[{position}]")
    if parts or not blocks:
        made.append({"role": "user", "content": _simplified(parts)})


def _plain_result(block: Json) -> Json | None:
    """A tool's result that is a text and nothing else, as nearly all are; None for another one."""
    content = block.get("content")
    if (
        type(content) is list
        and len(content) == 1
        and content[0]["type"] == "text"
        and not content[0].get("cache_control")
    ):
        content = content[0]["text"]
    if type(content) is not str or block.get("is_error") or block.get("cache_control"):
        return None
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}


def _result(block: Json, field: str) -> Json:
    content = block.get("content") or ""
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else []
    if not parts:
        for index, part in enumerate(content):
            parts += _parts(part, f"{field}.content[{index}]")
    if block.get("cache_control") and parts:
        parts[-1] = {**parts[-1], "cache_control": block["cache_control"]}
    message: Json = {"role": "tool", "tool_call_id": block["tool_use_id"]}
    if block.get("is_error"):
        message["is_error"] = True
        _mark_as_error(parts)
    message["content"] = _simplified(parts, separator="\n")
    return message


def _mark_as_error(parts: list[Json]) -> None:
    """Put "Error" into the text of a failed tool, because most formats have no flag for it. In place."""
    text = "".join(part.get("text", "") for part in parts)
    if "error" in text.lower():
        return
    if text and parts[0]["type"] == "text":
        parts[0] = {**parts[0], "text": f"Error: {parts[0]['text']}"}
    else:
        parts[:] = [{"type": "text", "text": "Error"}, *(part for part in parts if part.get("text") != "")]


def _simplified(parts: list[Json], separator: str | None = None) -> Any:
    """A text in place of the parts where nothing is lost by it. ``separator``: several texts may be joined with it."""
    only_text = all(part["type"] == "text" and "cache_control" not in part for part in parts)
    if only_text and (separator is not None or len(parts) < 2):
        return (separator or "").join(part["text"] for part in parts)
    return parts


def _with_breakpoint(part: Json, block: Json) -> Json:
    if block.get("cache_control"):
        part["cache_control"] = block["cache_control"]
    return part


def _parts(block: Json, field: str) -> list[Json]:
    kind = block["type"]
    if kind == "text":
        return [_with_breakpoint({"type": "text", "text": block["text"]}, block)]
    if kind == "image":
        return [_with_breakpoint(_image(block["source"], f"{field}.source"), block)]
    if kind == "document":
        parts = _document(block, field)
    elif kind == "search_result":
        text = "\n".join(part["text"] for part in block["content"])
        parts = [{"type": "text", "text": f"Source: {block['source']}\nTitle: {block['title']}\n{text}"}]
    elif kind == "tool_reference":
        parts = [{"type": "text", "text": block["tool_name"]}]
    else:
        parts = [{"type": "file", "file": {"file_id": block["file_id"]}}]
    if parts:
        _with_breakpoint(parts[-1], block)
    return parts


def _image(source: Json, field: str) -> Json:
    if source["type"] == "file":
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    if source["type"] == "url":
        return {"type": "image_url", "image_url": {"url": source["url"]}}
    if source["media_type"] not in IMAGE_TYPES:
        allowed = ", ".join(sorted(IMAGE_TYPES))
        raise BadRequest(f"{field}.media_type: must be one of {allowed}.", field=f"{field}.media_type")
    return {"type": "image_url", "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"}}


def _document(block: Json, field: str) -> list[Json]:
    source, title = block["source"], block.get("title")
    kind = source["type"]
    if kind in ("text", "content"):
        return _text_document(block, field)
    if kind == "file":
        file = {"file_id": source["file_id"]}
    elif kind == "url":
        file = {"file_data": source["url"], "filename": title or "document.pdf"}
    elif source["media_type"] == "application/pdf":
        file = {
            "file_data": f"data:application/pdf;base64,{source['data']}",
            "filename": title or "document.pdf",
        }
    else:
        field = f"{field}.source.media_type"
        raise BadRequest(
            f"{field}: must be application/pdf for a base64 source; send text as a source of type text.", field=field
        )
    parts: list[Json] = [{"type": "file", "file": file}]
    if block.get("context"):
        parts.insert(0, {"type": "text", "text": block["context"]})
    return parts


def _text_document(block: Json, field: str) -> list[Json]:
    """A document of plain text, as text: only Anthropic has such documents, but every vendor can read the text."""
    source = block["source"]
    content = source.get("data") if source["type"] == "text" else source["content"]
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else []
    if not parts:
        for index, part in enumerate(content):
            parts += _parts(part, f"{field}.source.content[{index}]")
    head = "\n".join(text for text in (block.get("title"), block.get("context")) if text)
    return [{"type": "text", "text": head}, *parts] if head else parts


def _assistant(blocks: list[Json]) -> Json:
    """One turn: its text, its tool calls and its thinking. Calls that the vendor's servers ran inside it count as thinking."""
    texts: list[Json] = []
    calls: list[Json] = []
    images: list[Json] = []
    others = False
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            texts.append(block)
        elif kind == "tool_use":
            calls.append(_call(block))
        elif kind == "compaction":
            texts.append({**block, "text": block.get("content") or ""})
        elif kind == "image":
            if block["source"]["type"] != "file":
                images.append(_image(block["source"], "messages"))
        else:
            others = True
    message: Json = {"role": "assistant", "content": _texts(texts, "") if texts else None if calls else ""}
    if calls:
        message["tool_calls"] = calls
    if others:
        details, thinking = messages_thinking.details(blocks)
        if details:
            message["reasoning_details"] = details
        if thinking:
            message["reasoning"] = thinking
    if images:
        message["images"] = images
    return message


def _call(block: Json) -> Json:
    given = block["input"]
    unparsed = given.get(UNPARSED_ARGUMENTS) if len(given) == 1 else None
    arguments = unparsed if isinstance(unparsed, str) else _encode(given).decode()
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


# -- thinking and the answer's format ---------------------------------------------------------------------------------------------


def _effort(body: Json) -> Json:
    """``reasoning``, ``verbosity`` and ``response_format`` out of ``thinking`` and ``output_config``.

    With adaptive thinking the effort is how much to think, otherwise how much to write.
    """
    output, thinking = body.get("output_config") or {}, body.get("thinking")
    effort = output.get("effort")
    fields: dict[str, Any] = {}
    if thinking is not None:
        kind = thinking["type"]
        if kind == "enabled":
            reasoning: Json = {"max_tokens": thinking["budget_tokens"]}
        elif kind == "adaptive" and effort is not None:
            reasoning, effort = {"effort": effort}, None
        else:
            reasoning = {"enabled": kind != "disabled"}
        if thinking.get("display") == "omitted":
            reasoning["exclude"] = True
        fields["reasoning"] = reasoning
    if effort is not None:
        fields["verbosity"] = effort
    format = output.get("format") or body.get("output_format")
    if format is not None:
        schema = {"name": "answer", "schema": format["schema"]}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields
