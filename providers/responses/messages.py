"""A chat conversation as input items of OpenAI's Responses API. Pure.

Facts, from the types of the openai SDK 3.54 (2026-11) unless another source is named:

- Nothing is stored (``store: false``), so a reasoning item is taken back only with its ``encrypted_content``; without it
  the vendor looks its id up and answers 404 (github.com/vercel/ai/issues/7543, 2025-07). The id is sealed in
  it: one that a client has lost is left out, never made up (github.com/BerriAI/litellm/pull/15782, 2025-10). Its plain
  ``content`` must not be sent (github.com/microsoft/agent-framework-go/pull/784, 2026-08). One that nothing follows is refused
  (github.com/openai/openai-agents-python/issues/1611, 2025-08).
- An earlier answer goes back as plain text: servers that validate with the SDK's types demand an id and a status of
  ``output_text`` parts, which a chat client no longer has (github.com/openai/codex/issues/12669, 2026-02).
- System messages stay items at their place: the vendor accepts ``json_object`` only when ``input`` mentions JSON, and
  ``instructions`` are not part of ``input``.
- A chat message does not show where the text stood between reasoning and calls: it goes out as reasoning, text, calls.
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
    """The failure of a request that the Responses API cannot express."""
    return failed("unsupported", f"{field} cannot be expressed in the Responses API: {why}")


def conversation(messages: Iterable[Any], formats: frozenset[str], *, plain: bool) -> list[Json]:
    """Chat messages as input items, in order. Raises ``ProviderError`` (unsupported).

    ``formats``: those of the reasoning details that go back; ``plain``: reasoning goes back as text, too.
    """
    items: list[Json] = []
    custom: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role")
        if role in ("system", "developer", "user"):
            content = _content(message.get("content"), f"{where}.content")
            items.append({"type": "message", "role": role, "content": _with_name(content, message.get("name"))})
        elif role == "assistant":
            items += _assistant(message, custom, where, _reasoning(message, index, formats, plain=plain))
        elif role == "tool":
            id = message.get("tool_call_id")
            kind = "custom_tool_call_output" if id in custom else "function_call_output"
            items.append(
                {"type": kind, "call_id": _call_id(id), "output": _content(message.get("content"), f"{where}.content")}
            )
        else:
            raise unsupported(f"{where}.role", f"{role!r} is unknown to it")
    return items


def _call_id(id: Any) -> Any:
    """An id of at most 64 characters: other vendors' ids can be longer; call and result are shortened alike."""
    if not isinstance(id, str) or len(id) <= CALL_ID_MAX:
        return id
    return "call_" + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _with_name(content: str | list[Json], name: Any) -> str | list[Json]:
    """The content behind the participant's name: by the contract it is put there for APIs without names."""
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
        item: Json = {"type": "input_text", "text": part.get("text") or ""}
    elif kind == "image_url":
        image = inner if isinstance(inner, dict) else {"url": inner}
        item = {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    elif kind == "input_audio":
        item = {"type": "input_audio", "input_audio": inner}
    elif kind == "file" and isinstance(inner, dict):
        item = _file(inner, where)
    else:
        raise unsupported(where, f"parts of type {kind!r} are unknown to it")
    if part.get("prompt_cache_breakpoint") is not None:
        item["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return item


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


def _assistant(message: Json, custom: set[str], where: str, reasoning: list[Json]) -> list[Json]:
    """An assistant message as reasoning, text, pictures and calls, in this order. Adds the ids of custom calls to ``custom``."""
    items: list[Json] = []
    text, refusal = _text_and_refusal(message, f"{where}.content")
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
        items.append(_image_call(picture, f"{where}.images[{index}]"))
    if message.get("audio") and not text:
        raise unsupported(f"{where}.audio", "audio answers cannot be sent back")
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


def _text_and_refusal(message: Json, where: str) -> tuple[str, str]:
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
            raise unsupported(f"{where}[{index}]", f"an assistant's message cannot have a part of type {kind!r}")
    return text, refusal


def _image_call(picture: Any, where: str) -> Json:
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
        if not isinstance(kind, str) or kind not in _DETAILS or not _is_own(detail, formats):
            continue
        id, kind = detail.get("id"), detail["type"]
        if not items or not _continues(items[-1], id):
            items.append({"type": "reasoning", "summary": []})
            last = None
        item = items[-1]
        if id:
            item["id"] = id
        if kind == "reasoning.encrypted":
            item["encrypted_content"] = detail.get("data")
            last = None
            continue
        field, name, part_type = _PARTS[kind]
        text = detail.get(name) or ""
        if detail.get("index") is not None and last == (field, detail["index"]):
            item[field][-1]["text"] += text  # fragments of a stream that the client has not joined
        else:
            item.setdefault(field, []).append({"type": part_type, "text": text})
        last = field, detail.get("index")
    if plain:
        whole = message.get("reasoning")
        if not items and isinstance(whole, str) and whole:
            items.append({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": whole}]})
        return [{"id": f"rs_{position}_{index}", **item} for index, item in enumerate(items)]
    for item in items:
        item.pop("content", None)
    return [item for item in items if item.get("encrypted_content")]


def _continues(item: Json, id: Any) -> bool:
    """Whether a detail with this id continues ``item``: by the ids, else until the encrypted part, which comes last."""
    if id and item.get("id"):
        return bool(id == item["id"])
    return "encrypted_content" not in item


def _is_own(detail: Json, formats: frozenset[str]) -> bool:
    """Whether a detail came from this dialect; a client that has dropped the format has at least kept the vendor's id."""
    format = detail.get("format")
    if isinstance(format, str) and format in formats:
        return True
    return bool(format in (None, "unknown") and str(detail.get("id")).startswith("rs_"))
