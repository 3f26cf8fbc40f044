"""A chat conversation as input items of OpenAI's Responses API. Pure.

Facts, from the types of the openai SDK 3.54 (2026-11) unless said otherwise:

- Nothing is stored (``store: false``), so a reasoning item is taken back only with its ``encrypted_content``; without it
  the vendor looks its id up and answers 404 (github.com/vercel/ai/issues/7543, 2025-07). Its plain ``content`` must stay at
  home (github.com/microsoft/agent-framework-go/pull/784, 2026-08). One that nothing follows is refused
  (github.com/openai/openai-agents-python/issues/1611, 2025-08).
- An earlier answer goes back as plain text: servers that validate with the SDK's types demand an id and a status of
  ``output_text`` parts, which a chat client no longer has (github.com/openai/codex/issues/12669, 2026-02).
- System messages stay items where they were: the vendor lets ``json_object`` pass only when ``input`` speaks of JSON, and
  ``instructions`` are not input.
- A chat message has lost where between its reasoning and calls the text stood: it goes out as reasoning, text, calls.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable
from typing import Any, Final

from providers.errors import ProviderError, failed
from providers.types import Json

CALL_ID_MAX: Final = 64
_PARTS: Final = {
    "reasoning.summary": ("summary", "summary", "summary_text"),
    "reasoning.text": ("content", "text", "reasoning_text"),
}
"""Types of reasoning details to field of the item, field of the detail, type of the part."""
_DETAILS: Final = frozenset({*_PARTS, "reasoning.encrypted"})


def unsupported(field: str, why: str) -> ProviderError:
    """The failure of a request that has no words in the Responses API."""
    return failed("unsupported", f"{field} cannot be said in the Responses API: {why}")


def conversation(messages: Iterable[Json], formats: frozenset[str], *, plain: bool) -> list[Json]:
    """Chat messages as input items, in order. ``plain``: reasoning goes back as text too. Raises unsupported."""
    items: list[Json] = []
    custom: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role")
        if role in ("system", "developer", "user"):
            content = _content(message.get("content"), f"{where}.content")
            items.append({"type": "message", "role": role, "content": _signed(content, message.get("name"))})
        elif role == "assistant":
            items += _answer(message, custom, where, _reasoning(message, index, formats, plain=plain))
        elif role == "tool":
            id = message.get("tool_call_id")
            kind = "custom_tool_call_output" if id in custom else "function_call_output"
            items.append(
                {"type": kind, "call_id": _call_id(id), "output": _content(message.get("content"), f"{where}.content")}
            )
        else:
            raise unsupported(f"{where}.role", f"{role!r} is unknown there")
    return items


def _call_id(id: Any) -> Any:
    """Other vendors' ids can be longer than the 64 characters allowed here; call and result are shortened alike."""
    if not isinstance(id, str) or len(id) <= CALL_ID_MAX:
        return id
    return "call_" + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _signed(content: str | list[Json], name: Any) -> str | list[Json]:
    """There are no names of participants: the contract has them in front of the text."""
    if not isinstance(name, str) or not name:
        return content
    if isinstance(content, str):
        return f"{name}: {content}"
    return [{"type": "input_text", "text": f"{name}: "}, *content]


def _content(content: Any, where: str) -> str | list[Json]:
    if content is None or isinstance(content, str):
        return content or ""
    parts = [_part(part, f"{where}[{index}]") for index, part in enumerate(content)]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _part(part: Any, where: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind in ("text", "input_text", "output_text"):
        said: Json = {"type": "input_text", "text": part.get("text") or ""}
    elif kind == "image_url":
        image = inner if isinstance(inner, dict) else {"url": inner}
        said = {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    elif kind == "input_audio":
        said = {"type": "input_audio", "input_audio": inner}
    elif kind == "file" and isinstance(inner, dict):
        said = _file(inner, where)
    else:
        raise unsupported(where, f"parts of type {kind!r} are unknown there")
    if part.get("prompt_cache_breakpoint") is not None:
        said["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return said


def _file(file: Json, where: str) -> Json:
    data = file.get("file_data")
    if isinstance(data, str) and data.startswith(("http://", "https://")):
        return {"type": "input_file", "file_url": data}
    if isinstance(data, str) and data:
        kind = data[5:64].partition(";")[0] if data.startswith("data:") else ""
        name = file.get("filename") or "file" + (mimetypes.guess_extension(kind) or "")
        return {"type": "input_file", "file_data": data, "filename": name}
    if file.get("file_id"):
        return {"type": "input_file", "file_id": file["file_id"]}
    raise unsupported(where, "a file without data, URL or id")


def _answer(message: Json, custom: set[str], where: str, reasoning: list[Json]) -> list[Json]:
    """One assistant message: its reasoning, text, pictures and calls, in this order; ``custom`` learns ids of custom calls."""
    items: list[Json] = []
    text, refusal = _own_words(message, f"{where}.content")
    if refusal:
        parts = [{"type": "output_text", "text": text, "annotations": []}] if text else []
        items.append(
            {"type": "message", "role": "assistant", "content": [*parts, {"type": "refusal", "refusal": refusal}]}
        )
    elif text:
        items.append({"type": "message", "role": "assistant", "content": text})
    if items and message.get("phase") in ("commentary", "final_answer"):
        items[0]["phase"] = message["phase"]
    images = message.get("images")
    for index, picture in enumerate(images if isinstance(images, list) else ()):
        items.append(_picture(picture, f"{where}.images[{index}]"))
    if message.get("audio") and not text:
        raise unsupported(f"{where}.audio", "spoken answers cannot be sent back")
    for call in message.get("tool_calls") or ():
        if call.get("type") == "custom":
            custom.add(call.get("id"))
            own = call.get("custom") or {}
            item = {"type": "custom_tool_call", "name": own.get("name"), "input": own.get("input") or ""}
        else:
            own = call.get("function") or {}
            item = {"type": "function_call", "name": own.get("name"), "arguments": own.get("arguments") or "{}"}
        items.append({**item, "call_id": _call_id(call.get("id"))})
    return [*reasoning, *items] if items else []


def _own_words(message: Json, where: str) -> tuple[str, str]:
    """Text and refusal of an assistant message."""
    content, refusal = message.get("content"), message.get("refusal") or ""
    if content is None or isinstance(content, str):
        return content or "", refusal
    text = ""
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":
            refusal += part.get("refusal") or ""
        elif kind in ("text", "output_text"):
            text += part.get("text") or ""
        else:
            raise unsupported(f"{where}[{index}]", f"the assistant cannot have said a part of type {kind!r}")
    return text, refusal


def _picture(picture: Any, where: str) -> Json:
    link = picture.get("image_url") if isinstance(picture, dict) else None
    url = link.get("url") if isinstance(link, dict) else None
    id = picture.get("id") if isinstance(picture, dict) else None
    if not isinstance(url, str) or not isinstance(id, str) or not url.startswith("data:"):
        raise unsupported(where, "only pictures that this vendor made, with their id, can be sent back")
    return {"type": "image_generation_call", "id": id, "status": "completed", "result": url.partition(",")[2]}


def _reasoning(message: Json, position: int, formats: frozenset[str], *, plain: bool) -> list[Json]:
    """The reasoning items of an assistant message, in order; those of other vendors are left out."""
    items: list[Json] = []
    last: tuple[str, Any] | None = None
    for detail in message.get("reasoning_details") or ():
        kind = detail.get("type") if isinstance(detail, dict) else None
        if not isinstance(kind, str) or kind not in _DETAILS or not _ours(detail, formats):
            continue
        id, kind = detail.get("id"), detail["type"]
        if not items or not _same(items[-1], id):
            items.append({"type": "reasoning", "summary": []})
            last = None
        item = items[-1]
        if id:
            item["id"] = id
        if kind == "reasoning.encrypted":
            item["encrypted_content"] = detail.get("data")
            last = None
            continue
        field, name, type = _PARTS[kind]
        words = detail.get(name) or ""
        if detail.get("index") is not None and last == (field, detail["index"]):
            item[field][-1]["text"] += words  # fragments of a stream that the client has not joined
        else:
            item.setdefault(field, []).append({"type": type, "text": words})
        last = field, detail.get("index")
    if plain:
        text = message.get("reasoning")
        if not items and isinstance(text, str) and text:
            items.append({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]})
        return [{"id": f"rs_{position}_{index}", **item} for index, item in enumerate(items)]
    for item in items:
        item.pop("content", None)
    return [item for item in items if item.get("encrypted_content")]


def _same(item: Json, id: Any) -> bool:
    """Whether a detail with this id continues ``item``: by the ids, else until the encrypted part, which comes last."""
    if id and item.get("id"):
        return bool(id == item["id"])
    return "encrypted_content" not in item


def _ours(detail: Json, formats: frozenset[str]) -> bool:
    """The detail came from this dialect. A client that lost the format has at least kept the vendor's id."""
    format = detail.get("format")
    if isinstance(format, str) and format in formats:
        return True
    return bool(format in (None, "unknown") and str(detail.get("id")).startswith("rs_"))
