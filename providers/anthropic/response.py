"""Whole answers of Anthropic's Messages API in the inner language, and their usage. Pure.

Sources: platform.claude.com/docs (api/messages, handling-stop-reasons; 2026-11), types of the vendor's SDK (``anthropic``
2.12, 2026-11):

- ``input_tokens`` counts neither what was read from a cache nor what was written to one; ``cache_creation`` splits the
  writes by their lifetime. ``output_tokens`` includes ``output_tokens_details.thinking_tokens``.
- Searches are billed separately: ``server_tool_use.web_search_requests``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.anthropic.errors import error_from_body, malformed
from providers.anthropic.messages import FORMAT
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import failed
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""The vendor's stop reasons to ours; an unlisted one becomes ``stop``."""


def completion(raw: bytes) -> Completion:
    """A whole message. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    if body.get("type") == "error" or body.get("error"):
        usage = body.get("usage")
        raise error_from_body(body).reporting(usage_of(usage) if isinstance(usage, dict) else None)
    blocks = body.get("content")
    if not isinstance(blocks, list):
        raise malformed("the answer has no content", body)
    message = _Message()
    for block in blocks:
        message.add(block, body)
    native = body.get("stop_reason")
    native = native if isinstance(native, str) else None
    choice = {
        "index": 0,
        "message": message.build(refusal_of(body.get("stop_details"))),
        "finish_reason": finish_reason(
            native or ("tool_use" if message.calls else "end_turn"), calls=bool(message.calls)
        ),
        "native_finish_reason": native,
        "logprobs": None,
    }
    answer = {
        "id": text_of(body.get("id")),
        "object": "chat.completion",
        "created": 0,
        "model": text_of(body.get("model")),
        "choices": [choice],
    }
    raw_usage = body.get("usage")
    return Completion(answer, usage_of(raw_usage) if isinstance(raw_usage, dict) else None, native=body)


class _Message:
    """Collects one assistant message from content blocks."""

    def __init__(self) -> None:
        self.text = ""
        self.calls: list[Json] = []
        self.details: list[Json] = []
        self.annotations: list[Json] = []

    def add(self, block: Any, body: Json) -> None:
        """Adds one content block of ``body``. Raises ``ProviderError`` (malformed)."""
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text = _text(block, "text", body)
            cited = block.get("citations")
            start, self.text = len(self.text), self.text + text
            for citation in cited if isinstance(cited, list) else ():
                self.annotations += url_citations(citation, start, len(self.text))
        elif kind == "tool_use":
            name, id, given = _text(block, "name", body), _text(block, "id", body), block.get("input")
            arguments = msgspec.json.encode(given if isinstance(given, dict) else {}).decode()
            if name == STRUCTURED_TOOL:
                self.text += arguments
            else:
                function = {"name": name, "arguments": arguments}
                self.calls.append({"id": id, "type": "function", "function": function})
        elif kind == "thinking":
            detail = {"type": "reasoning.text", "text": _text(block, "thinking", body)}
            if isinstance(block.get("signature"), str):
                detail["signature"] = block["signature"]
            self.details.append({**detail, "format": FORMAT, "index": self._place()})
        elif kind == "redacted_thinking":
            detail = {"type": "reasoning.encrypted", "data": _text(block, "data", body)}
            self.details.append({**detail, "format": FORMAT, "index": self._place()})
        elif not isinstance(kind, str):
            raise malformed("a content block without type", body)

    def _place(self) -> int:
        """The index of the next detail: the blocks before it, with all text as one (``chat.turns.interleaved``)."""
        return len(self.details) + len(self.calls) + bool(self.text)

    def build(self, refusal: str | None) -> Json:
        """The message; ``content`` is null when it holds only tool calls."""
        only_calls = not self.text and bool(self.calls)
        message: Json = {"role": "assistant", "content": None if only_calls else self.text, "refusal": refusal}
        if self.calls:
            message["tool_calls"] = self.calls
        if self.details:
            message["reasoning"] = "".join(detail.get("text", "") for detail in self.details)
            message["reasoning_details"] = self.details
        if self.annotations:
            message["annotations"] = self.annotations
        return message


def _text(block: Json, name: str, body: Json) -> str:
    """A required text field of a block. Raises ``ProviderError`` (malformed)."""
    value = block.get(name)
    if not isinstance(value, str):
        raise malformed(f"a {block.get('type')} block without {name}", body)
    return value


def text_of(value: Any) -> str:
    """``value`` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def finish_reason(native: str, *, calls: bool) -> str:
    """Our finish reason for the vendor's stop reason. ``calls``: the answer calls tools of the caller's; a call of the tool
    that carries a structured answer does not count and ends the answer with ``stop``. Calls are ``tool_calls`` whatever the vendor
    says, unless the answer was cut or filtered."""
    ours = FINISH.get(native, "stop")
    return ours if ours not in ("stop", "tool_calls") else "tool_calls" if calls else "stop"


def refusal_of(details: Any) -> str | None:
    """The vendor's explanation of a refusal, where it gives one."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


def url_citations(citation: Any, start: int, end: int) -> list[Json]:
    """The ``url_citation`` of one citation, for the characters ``start`` to ``end`` of the content. Empty for citations of the
    caller's own documents, which have no URL."""
    kind = citation.get("type") if isinstance(citation, dict) else None
    url = citation.get("url" if kind == "web_search_result_location" else "source") if kind is not None else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return []
    title, cited = citation.get("title"), citation.get("cited_text")
    fields = {"url": url, "title": title if isinstance(title, str) else url, "start_index": start, "end_index": end}
    if isinstance(cited, str):
        fields["content"] = cited
    return [{"type": "url_citation", "url_citation": fields}]


def usage_of(raw: Json) -> Usage:
    """The vendor's ``usage`` object as disjoint kinds. Never raises: a count that makes no sense becomes 0 and sets ``suspect``."""
    counts = Counts()
    output = counts.take(raw, "output_tokens")
    thinking = counts.take(raw.get("output_tokens_details"), "thinking_tokens")
    if thinking > output:
        counts.suspect, thinking = True, output
    by_lifetime = raw.get("cache_creation")
    minutes, hour = (counts.take(by_lifetime, f"ephemeral_{lifetime}_input_tokens") for lifetime in ("5m", "1h"))
    written = counts.take(raw, "cache_creation_input_tokens")
    searches = counts.take(raw.get("server_tool_use"), "web_search_requests")
    return Usage(
        prompt=counts.take(raw, "input_tokens"),
        cache_read=counts.take(raw, "cache_read_input_tokens"),
        cache_write=max(written - hour, minutes),  # a sum without a split counts as 5 m; so does a split without a sum
        cache_write_1h=hour,
        completion=output - thinking,
        reasoning=thinking,
        units={"web_search": searches} if searches else None,
        suspect=counts.suspect,
    )
