"""Pieces of a conversation in the inner language, for vendors whose messages are close to it but not the same. Pure.

Every function that refuses raises ``ProviderError`` (unsupported) and names the field.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from providers.errors import ProviderError, failed
from providers.media.kinds import data_url
from providers.types import Json

PERCENT_MAX: Final = 65_536
"""Bytes written as ``%XX`` in a data URL that is not base64: each takes a quarter of a microsecond."""
_TEXT_TYPES = {
    "application/json",
    "application/xml",
    "application/x-yaml",
    "application/yaml",
    "application/javascript",
}
STRUCTURED_TOOL: Final = "tokenway_structured_answer"
"""The tool whose input is the structured answer, where a vendor has no other way to get one. The name is reserved: a decoder
recognises the structured answer by it."""
JSON_ONLY: Final = "Answer with one JSON object and nothing else: no prose around it, no code fences."
"""The instruction for ``json_object`` where a vendor has no field for it: without a schema a forced tool would answer ``{}``.
"""
UNPARSED_ARGUMENTS: Final = "_unparsed_arguments"
"""The field that holds the text of a tool call's arguments where a format demands an object and the text is not one, so that the
model still sees what it wrote. Documented in ``docs/api.md``."""
_decode = msgspec.json.Decoder().decode


def unsupported(field: str, why: str) -> ProviderError:
    """The refusal that sends a request to another endpoint."""
    return failed("unsupported", f"{field}: {why}")


def messages_of(body: Mapping[str, Any]) -> list[Json]:
    """The messages of a request."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise unsupported("messages", "not a list of messages")
    return messages


def parts_of(content: Any) -> Iterator[tuple[str, Json]]:
    """Type and part of each part of a content. A string counts as one text part, a refusal as a part of type ``text``."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "refusal":
            kind, part = "text", {"type": "text", "text": part.get("refusal")}
        if not isinstance(kind, str) or (kind == "text" and not isinstance(part.get("text"), str)):
            raise unsupported("messages", f"a part of type {str(kind)[:80]!r} that cannot be read")
        yield kind, part


def text_only(content: Any, whose: str) -> list[str]:
    """The texts of a content that may hold texts only, without empty ones. ``whose``: for the message of the error."""
    texts = []
    for kind, part in parts_of(content):
        if kind != "text":
            raise unsupported("messages", f"{whose} takes no part of type {kind[:80]!r}")
        texts.append(part["text"])
    return [text for text in texts if text]


def name_prefix(message: Json) -> str:
    """``Ann: `` for a message with a participant's name, where the vendor has no field for names; else empty."""
    name = message.get("name")
    return f"{name}: " if isinstance(name, str) and name else ""


def nested_object(part: Json, field: str) -> Json:
    """The object that a part carries under ``field``; a bare URL counts as ``{"url": ...}``."""
    value = part.get(field)
    if isinstance(value, str):
        return {"url": value}
    if not isinstance(value, dict):
        raise unsupported("messages", f"a part without {field}")
    return value


def url_of(part: Json, field: str) -> str:
    """The URL of a picture, video or document part."""
    url = nested_object(part, field).get("url")
    if not isinstance(url, str):
        raise unsupported("messages", f"{field} without url")
    return url


def data_of(url: str, field: str) -> tuple[str, str]:
    """Media type (lower case; empty if the URL names none, which means text/plain by RFC 2397) and base64 of a data URL."""
    head = data_url(url)
    if head is None:
        raise unsupported("messages", f"{field} is not a data URL")
    data = url[head.begin :]
    if not head.is_base64:
        if data.count("%") > PERCENT_MAX:
            raise unsupported("messages", f"{field} has more than {PERCENT_MAX:,} escaped bytes; send it as base64")
        data = b64encode(unquote_to_bytes(data)).decode()
    return head.media_type, data


def is_text(kind: str) -> bool:
    """Whether a file of this media type is read as text."""
    return not kind or kind.startswith("text/") or kind in _TEXT_TYPES


def text_in(data: str, field: str) -> str:
    """Base64 decoded to text."""
    try:
        return b64decode(data).decode("utf-8", "replace")
    except ValueError as error:
        raise unsupported("messages", f"{field} is not base64: {error}") from error


def document_text(file: Json) -> str | None:
    """The text of a text file, which vendors without document parts take as part of the message; else None."""
    data = file.get("file_data")
    if not isinstance(data, str) or not data.startswith("data:"):
        return None
    kind, encoded = data_of(data, "file.file_data")
    if not is_text(kind):
        return None
    text, name = text_in(encoded, "file.file_data"), file.get("filename")
    return f"{name}:\n{text}" if isinstance(name, str) and name else text


def calls_of(message: Json) -> list[tuple[str, str, Any]]:
    """Id, name and arguments of the function calls of an assistant message."""
    calls = message.get("tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise unsupported("messages", "a tool call that is not a function call")
        found.append((str(call.get("id")), function["name"], function.get("arguments")))
    return found


def arguments_object(arguments: Any) -> Json:
    """The arguments of a call as an object; text that is not one is kept under ``UNPARSED_ARGUMENTS``."""
    if isinstance(arguments, dict):
        return arguments
    if not isinstance(arguments, str) or not arguments or arguments.isspace():
        return {}
    try:
        value = _decode(arguments)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {UNPARSED_ARGUMENTS: arguments}


def arguments_text(arguments: Any) -> str:
    """The arguments of a call as JSON text."""
    if isinstance(arguments, str):
        return arguments or "{}"
    return msgspec.json.encode(arguments).decode() if isinstance(arguments, dict | list) else "{}"


def reasoning_blocks(message: Json, prefix: str) -> list[tuple[str, str, str | None]]:
    """Id, text and signature of each block of a vendor's reasoning; ``prefix`` is how the ids of that vendor's blocks begin.
    Consecutive fragments with the same id are joined."""
    details = message.get("reasoning_details")
    found: list[tuple[str, str, str | None]] = []
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or detail.get("type") != "reasoning.text":
            continue
        id, text, signature = detail.get("id"), detail.get("text"), detail.get("signature")
        if not isinstance(id, str) or not id.startswith(prefix):
            continue
        text, signature = (text if isinstance(text, str) else ""), (signature if isinstance(signature, str) else None)
        if found and found[-1][0] == id:
            found[-1] = (id, found[-1][1] + text, signature or found[-1][2])
        else:
            found.append((id, text, signature))
    return [block for block in found if block[1] or block[2]]


def reasoning_detail(prefix: str, index: int, text: str) -> Json:
    """A reasoning detail of a vendor whose reasoning is plain text. The contract has no format for such a vendor, and clients drop
    details of formats that they do not know; so the prefix of the id marks which vendor it came from."""
    return {"type": "reasoning.text", "text": text, "format": "unknown", "id": f"{prefix}{index}", "index": index}


def stops_of(body: Mapping[str, Any]) -> list[str]:
    """``stop`` as a list."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    return [one for one in stops if isinstance(one, str)] if isinstance(stops, list) else []


def output_limit(body: Mapping[str, Any]) -> Any:
    """``max_completion_tokens`` or its older name; None when neither is there."""
    limit = body.get("max_completion_tokens")
    return body.get("max_tokens") if limit is None else limit


def functions_of(body: Mapping[str, Any], names: frozenset[str] | None = None) -> list[Json]:
    """The ``function`` of every tool, narrowed to ``names``; tools of other types are refused."""
    found = []
    for tool in body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            kind = tool.get("type") if isinstance(tool, dict) else None
            raise unsupported("tools", f"this provider has no tools of type {str(kind)[:80]!r}")
        if names is None or function.get("name") in names:
            found.append(function)
    return found


def schema_of(function: Json) -> Json:
    """The parameters of a function; an empty object schema for a function without any, for vendors that demand one."""
    schema = function.get("parameters")
    return schema if isinstance(schema, dict) and schema else {"type": "object", "properties": {}}
