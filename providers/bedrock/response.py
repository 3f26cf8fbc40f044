"""Whole answers of Converse in the inner language, and the parts that streams share. Pure.

Facts, read 2026-11. ``inputTokens`` excludes what was read from and written to the cache (docs.aws.amazon.com/bedrock/
latest/userguide/prompt-caching.html: total input = inputTokens + cacheReadInputTokens + cacheWriteInputTokens); where
``totalTokens`` shows that they are included, as with some models, they are subtracted. Reasoning is part of ``outputTokens`` and
not counted separately. ``cacheDetails`` splits cache writes by lifetime (botocore 1.44.5, CacheDetail). Binary values are
base64 text in JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.bedrock.messages import REASONING_FORMAT
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import excerpt, failed
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Stop reasons to ours; ``malformed_*`` is a failure, an unlisted one becomes ``stop``."""


def usage_of(raw: Any) -> Usage | None:
    """A ``TokenUsage``. Never raises: a count that makes no sense becomes 0 and sets ``suspect``."""
    if not isinstance(raw, dict):
        return None
    counts = Counts()
    prompt, completion = counts.take(raw, "inputTokens"), counts.take(raw, "outputTokens")
    read, write = counts.take(raw, "cacheReadInputTokens"), counts.take(raw, "cacheWriteInputTokens")
    details = raw.get("cacheDetails")
    hour = sum(
        counts.take(one, "inputTokens")
        for one in (details if isinstance(details, list) else ())
        if isinstance(one, dict) and one.get("ttl") == "1h"
    )
    if hour > write:
        counts.suspect = True
        hour = write
    if read + write and counts.take(raw, "totalTokens") == prompt + completion and prompt >= read + write:
        prompt -= read + write
    return Usage(
        prompt=prompt,
        cache_read=read,
        cache_write=write - hour,
        cache_write_1h=hour,
        completion=completion,
        suspect=counts.suspect,
    )


def completion(raw: bytes) -> Completion:
    """A whole answer of Converse. Raises ``ProviderError``: empty, malformed, or ended with ``malformed_*``."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    output = body.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    native = body.get("stopReason")
    if not isinstance(content, list) or not isinstance(native, str):
        raise failed("malformed", "the answer has no message or no stop reason", status=200, raw=excerpt(raw))
    check_stop(native)
    answer = _Answer()
    for index, block in enumerate(content):
        answer.add(block, index)
    finish = finish_reason(native, tools=bool(answer.calls), structured=answer.structured)
    choice = {"index": 0, "message": answer.message(), "finish_reason": finish, "native_finish_reason": native}
    whole: Json = {"id": "", "object": "chat.completion", "created": 0, "model": "", "choices": [choice]}
    return Completion(whole, usage_of(body.get("usage")))


def check_stop(stop_reason: str) -> None:
    """Raises ``ProviderError`` (malformed) for a stop reason that is an error."""
    if stop_reason.startswith("malformed_"):
        message = f"the vendor ended the answer with {stop_reason}"
        raise failed("malformed", message, status=200, provider_code=stop_reason)


def finish_reason(native: str, *, tools: bool, structured: bool) -> str:
    """Our finish reason. ``tools``: the answer calls tools of the caller's; ``structured``: the tool of a structured answer."""
    finish = FINISH.get(native, "stop")
    if tools and finish == "stop":
        return "tool_calls"
    return "stop" if finish == "tool_calls" and structured and not tools else finish


class _Answer:
    """Collects one assistant message from content blocks."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self.structured = False
        self._structured = ""
        self._text: list[str] = []
        self._details: list[Json] = []
        self._images: list[Json] = []
        self._annotations: list[Json] = []

    def add(self, block: Any, index: int) -> None:
        if not isinstance(block, dict):
            raise failed("malformed", "a content block is not an object")
        if isinstance(block.get("text"), str):
            self._text.append(block["text"])
        elif "toolUse" in block:
            self._tool(object_of(block, "toolUse"))
        elif "reasoningContent" in block:
            self._reasoning(object_of(block, "reasoningContent"), index)
        elif "image" in block:
            image = object_of(block, "image")
            source = image.get("source")
            data = source.get("bytes") if isinstance(source, dict) else None
            self._images += images_of(image.get("format"), data)
        elif "citationsContent" in block:
            content = object_of(block, "citationsContent")
            self._text += [
                part["text"] for part in objects_of(content.get("content")) if isinstance(part.get("text"), str)
            ]
            for citation in objects_of(content.get("citations")):
                self._annotations += url_citations(citation)

    def _tool(self, tool: Json) -> None:
        if tool.get("type") == "server_tool_use":  # the vendor runs this tool itself
            return
        name, value = tool_name(tool.get("name")), tool.get("input")
        arguments = msgspec.json.encode({} if value is None else value).decode()
        if name == STRUCTURED_TOOL:
            self.structured = True
            self._structured = arguments
        else:
            function = {"name": name, "arguments": arguments}
            call = {"id": text_of(tool.get("toolUseId"), "a tool's id"), "type": "function", "function": function}
            self.calls.append(call)

    def _reasoning(self, content: Json, index: int) -> None:
        text, redacted = content.get("reasoningText"), content.get("redactedContent")
        if isinstance(text, dict) and isinstance(text.get("text"), str):
            signature = text.get("signature")
            signed = isinstance(signature, str) and signature != ""
            detail: Json = {"type": "reasoning.text", "text": text["text"], "index": index}
            detail["format"] = REASONING_FORMAT if signed else "unknown"
            self._details.append({**detail, "signature": signature} if signed else detail)
        elif isinstance(redacted, str):
            self._details.append(encrypted(redacted, index))

    def message(self) -> Json:
        """The assistant's message; a structured answer replaces its text."""
        message: Json = {
            "role": "assistant",
            "content": self._structured or "".join(self._text) or None,
            "refusal": None,
        }
        thought = "".join(detail.get("text", "") for detail in self._details)
        for name, value in (
            ("reasoning", thought),
            ("reasoning_details", self._details),
            ("tool_calls", self.calls),
            ("images", self._images),
            ("annotations", self._annotations),
        ):
            if value:
                message[name] = value
        return message


def encrypted(data: str, index: int) -> Json:
    """A reasoning detail of redacted reasoning."""
    return {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": index}


def images_of(format_: Any, data: Any) -> list[Json]:
    """One image as a list of ``images``; empty for a format that is unknown."""
    if not isinstance(data, str) or not data or format_ not in ("png", "jpeg", "gif", "webp"):
        return []
    return [{"type": "image_url", "image_url": {"url": f"data:image/{format_};base64,{data}"}}]


def url_citations(citation: Json) -> list[Json]:
    """The ``url_citation`` of one citation; empty unless it cites a web page."""
    location = citation.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    if not isinstance(web, dict) or not isinstance(web.get("url"), str):
        return []
    title = citation["title"] if isinstance(citation.get("title"), str) else web["url"]
    return [
        {"type": "url_citation", "url_citation": {"url": web["url"], "title": title, "start_index": 0, "end_index": 0}}
    ]


def object_of(body: Json, name: str) -> Json:
    """A required object. Raises ``ProviderError`` (malformed)."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise failed("malformed", f"{name} is not an object")
    return value


def objects_of(value: Any) -> list[Json]:
    """The objects of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def tool_name(value: Any) -> str:
    """A tool's name; gpt-oss sometimes leaves parts of its own template in it (github.com/vercel/ai/issues/9967)."""
    return text_of(value, "a tool's name").partition("<|")[0] or "?"


def text_of(value: Any, what: str) -> str:
    """A required text that is not empty. Raises ``ProviderError`` (malformed)."""
    if not isinstance(value, str) or not value:
        raise failed("malformed", f"{what} is not a text")
    return value
