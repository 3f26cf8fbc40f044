"""Answers of Anthropic's Messages API: a whole message, its usage, its errors. Pure. Streams are in ``anthropic_stream``.

Sources: platform.claude.com/docs (api/messages, api/errors, handling-stop-reasons; 2026-11), types of the vendor's SDK
(``anthropic`` 2.12, 2026-11):

- ``input_tokens`` counts neither what was read from a cache nor what was written to one; ``cache_creation`` splits the
  writes by their life. ``output_tokens`` includes ``output_tokens_details.thinking_tokens``.
- Searches are billed apart: ``server_tool_use.web_search_requests``.
- The finer code of an error stands in ``error.details.error_code``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.anthropic.messages import FORMAT
from providers.chat.messages import STRUCTURED_TOOL
from providers.errors import ProviderError, excerpt, failed, failure_for, retry_after_s, status_of
from providers.openai.errors import error_fields
from providers.transport.event_json import decode
from providers.types import Completion, HttpResponse, Json, Usage
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
"""The vendor's stop reasons to ours; an unknown one is ``stop``."""


def whole(raw: bytes) -> Completion:
    """A whole message. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    if body.get("type") == "error" or body.get("error"):
        raise failure_in(body)
    blocks = body.get("content")
    if not isinstance(blocks, list):
        raise broken("the answer has no content", body)
    message = _Message()
    for block in blocks:
        message.take(block, body)
    native = body.get("stop_reason")
    native = native if isinstance(native, str) else None
    choice = {
        "index": 0,
        "message": message.told(refusal_of(body.get("stop_details"))),
        "finish_reason": finish(native or ("tool_use" if message.calls else "end_turn"), calls=bool(message.calls)),
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
    return Completion(answer, usage(raw_usage) if isinstance(raw_usage, dict) else None, native=body)


class _Message:
    """The parts of one assistant message while its blocks are read."""

    def __init__(self) -> None:
        self.text = ""
        self.calls: list[Json] = []
        self.details: list[Json] = []
        self.annotations: list[Json] = []

    def take(self, block: Any, body: Json) -> None:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text = _demand(block, "text", body)
            cited = block.get("citations")
            start, self.text = len(self.text), self.text + text
            for citation in cited if isinstance(cited, list) else ():
                self.annotations += annotation(citation, start, len(self.text))
        elif kind == "tool_use":
            name, id, asked = _demand(block, "name", body), _demand(block, "id", body), block.get("input")
            arguments = msgspec.json.encode(asked if isinstance(asked, dict) else {}).decode()
            if name == STRUCTURED_TOOL:
                self.text += arguments
            else:
                function = {"name": name, "arguments": arguments}
                self.calls.append({"id": id, "type": "function", "function": function})
        elif kind == "thinking":
            detail = {"type": "reasoning.text", "text": _demand(block, "thinking", body)}
            if isinstance(block.get("signature"), str):
                detail["signature"] = block["signature"]
            self.details.append({**detail, "format": FORMAT, "index": len(self.details)})
        elif kind == "redacted_thinking":
            detail = {"type": "reasoning.encrypted", "data": _demand(block, "data", body)}
            self.details.append({**detail, "format": FORMAT, "index": len(self.details)})
        elif not isinstance(kind, str):
            raise broken("a content block without type", body)

    def told(self, refusal: str | None) -> Json:
        alone = not self.text and bool(self.calls)
        message: Json = {"role": "assistant", "content": None if alone else self.text, "refusal": refusal}
        if self.calls:
            message["tool_calls"] = self.calls
        if self.details:
            message["reasoning"] = "".join(detail.get("text", "") for detail in self.details)
            message["reasoning_details"] = self.details
        if self.annotations:
            message["annotations"] = self.annotations
        return message


def _demand(block: Json, name: str, body: Json) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise broken(f"a {block.get('type')} block without {name}", body)
    return value


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def broken(message: str, body: Json) -> ProviderError:
    return failed("malformed", message, status=200, raw=excerpt(body))


def finish(native: str, *, calls: bool) -> str:
    """Ours for the vendor's stop reason. A tool call that was only the structured answer ends the answer."""
    ours = FINISH.get(native, "stop")
    return "stop" if ours == "tool_calls" and not calls else ours


def refusal_of(details: Any) -> str | None:
    """Why the vendor's classifiers refused, where it says so."""
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) and explanation else None


def annotation(citation: Any, start: int, end: int) -> list[Json]:
    """The ``url_citation`` of one citation of the web; citations of the caller's own documents have no URL: none."""
    kind = citation.get("type") if isinstance(citation, dict) else None
    url = citation.get("url" if kind == "web_search_result_location" else "source") if kind is not None else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return []
    title, cited = citation.get("title"), citation.get("cited_text")
    told = {"url": url, "title": title if isinstance(title, str) else url, "start_index": start, "end_index": end}
    if isinstance(cited, str):
        told["content"] = cited
    return [{"type": "url_citation", "url_citation": told}]


def usage(raw: Json) -> Usage:
    """The vendor's ``usage`` object as disjoint kinds. Never raises: nonsense counts 0 and sets ``suspect``."""
    counts = Counts()
    output = counts.take(raw, "output_tokens")
    thinking = counts.take(raw.get("output_tokens_details"), "thinking_tokens")
    if thinking > output:
        counts.suspect, thinking = True, output
    lives = raw.get("cache_creation")
    minutes, hour = (counts.take(lives, f"ephemeral_{life}_input_tokens") for life in ("5m", "1h"))
    written = counts.take(raw, "cache_creation_input_tokens")
    searches = counts.take(raw.get("server_tool_use"), "web_search_requests")
    return Usage(
        prompt=counts.take(raw, "input_tokens"),
        cache_read=counts.take(raw, "cache_read_input_tokens"),
        cache_write=max(written - hour, minutes),  # a sum without its split is of minutes; a split without a sum counts
        cache_write_1h=hour,
        completion=output - thinking,
        reasoning=thinking,
        units={"web_search": searches} if searches else None,
        suspect=counts.suspect,
    )


def failure_in(body: Json) -> ProviderError:
    """The error that a 200 or an event carries, as if it had the status that its type stands for."""
    code, type_, message = _words(body)
    message = message or "the vendor sent an error"
    return failure_for(status_of(code, type_), message, raw=excerpt(body), words=(code, type_))


def refused(response: HttpResponse) -> ProviderError:
    """What a non-2xx answer means. An answer that is not the vendor's (a balancer's page) speaks by its status alone."""
    try:
        code, type_, message = _words(msgspec.json.decode(response.content))
    except (ValueError, RecursionError):
        code, type_, message = None, None, ""
    retry_s, raw = retry_after_s(response.headers), excerpt(response.content)
    return failure_for(response.status, message, raw=raw, words=(code, type_), retry_s=retry_s)


def _words(body: Any) -> tuple[Any, Any, str]:
    code, type_, message = error_fields(body)
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    finer = details.get("error_code") if isinstance(details, dict) else None
    return finer or code, type_, message
