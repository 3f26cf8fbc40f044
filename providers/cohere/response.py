"""Whole answers of Cohere's v2 chat in the inner language, and the parts that streams share. Pure.

Sources: docs.cohere.com (reference/chat, reference/chat-stream, docs/tool-use-streaming, docs/how-does-cohere-pricing-work),
types of the vendor's SDK (``cohere`` 7.3); all 2026-11.

- ``usage.billed_units`` is the bill; ``usage.tokens`` also counts what the vendor itself adds to the conversation and does
  not charge. ``cached_tokens`` counts within ``tokens``, so it can be more than was billed. Thinking is part of the output
  tokens and not counted separately.
- ``tool_plan`` is what the model wrote before its calls: reasoning in the inner language, sent back as a plan.
- The error of a stream is in ``message-end``: ``finish_reason`` ERROR or TIMEOUT, text in ``error``.
- One logprob item covers a text of several tokens: it becomes one token whose logprob is the sum.
"""

from __future__ import annotations

from typing import Any, Final

from providers.chat.messages import reasoning_detail
from providers.cohere.errors import error_from_body, malformed
from providers.cohere.messages import PLAN, THOUGHT
from providers.errors import failed
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts

FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_calls",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}


def completion(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    body = document(raw)
    message = body.get("message")
    if not isinstance(message, dict):
        raise (error_from_body(body, 500) if "message" in body else malformed("the answer has no message", body))
    native = body.get("finish_reason")
    translated, calls = _message(message, body)
    finish = finish_reason(native, body, calls=calls)
    choice: Json = {"index": 0, "message": translated, "finish_reason": finish, "native_finish_reason": native}
    if isinstance(body.get("logprobs"), list):
        choice["logprobs"] = {"content": logprobs(body["logprobs"]), "refusal": None}
    answer = {
        "id": text_of(body.get("id")),
        "object": "chat.completion",
        "created": 0,
        "model": "",
        "choices": [choice],
    }
    raw_usage = body.get("usage")
    return Completion(answer, usage_of(raw_usage) if isinstance(raw_usage, dict) else None)


def document(raw: bytes) -> Json:
    """The JSON object of a 200. Raises ``ProviderError``: empty or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    return decode(raw)


def _message(message: Json, body: Json) -> tuple[Json, bool]:
    """The assistant's message of the inner language, and whether it calls tools."""
    text, thoughts = "", 0
    details: list[Json] = []
    offsets: list[int] = []
    plan = message.get("tool_plan")
    if isinstance(plan, str) and plan:
        details.append(reasoning_detail(PLAN, 0, plan))
    for item in _list(message, "content", body):
        offsets.append(len(text))
        if item.get("type") == "text":
            text += demand(item, "text", body)
        elif item.get("type") == "thinking":
            thoughts += 1
            details.append(reasoning_detail(THOUGHT, thoughts, demand(item, "thinking", body)))
    calls = []
    for call in _list(message, "tool_calls", body):
        function = call.get("function")
        if not isinstance(function, dict):
            raise malformed("a tool call without function", body)
        name, arguments = demand(function, "name", body), function.get("arguments")
        called = {"name": name, "arguments": arguments if isinstance(arguments, str) and arguments else "{}"}
        calls.append({"id": demand(call, "id", body), "type": "function", "function": called})
    made: Json = {"role": "assistant", "content": None if calls and not text else text, "refusal": None}
    if calls:
        made["tool_calls"] = calls
    if details:
        made["reasoning"] = "".join(detail["text"] for detail in details)
        made["reasoning_details"] = details
    citations = [one for citation in _list(message, "citations", body) for one in url_citations(citation, offsets)]
    if citations:
        made["annotations"] = citations
    return made, bool(calls)


def _list(source: Json, name: str, body: Json) -> list[Json]:
    """A list of objects; empty when it is missing. Raises ``ProviderError`` (malformed)."""
    items = source.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise malformed(f"{name} is not a list of objects", body)
    return items


def demand(source: Json, name: str, body: Json) -> str:
    """A required text field. Raises ``ProviderError`` (malformed)."""
    value = source.get(name)
    if not isinstance(value, str):
        raise malformed(f"{name} is not a text", body)
    return value


def text_of(value: Any) -> str:
    """``value`` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def url_citations(citation: Json, offsets: list[int]) -> list[Json]:
    """``url_citation`` of every source that has a URL. Citations of reasoning, and of documents without a URL, are left out.

    ``offsets``: characters of content before each content block, by ``content_index``.
    """
    if citation.get("type") not in (None, "TEXT_CONTENT"):
        return []
    index, start, end = citation.get("content_index"), citation.get("start"), citation.get("end")
    known = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(offsets)
    offset = offsets[index] if known else 0  # type: ignore[index]
    found = []
    sources = citation.get("sources")
    for source in sources if isinstance(sources, list) else ():
        kind = source.get("type") if isinstance(source, dict) else None
        cited = source.get("document" if kind == "document" else "tool_output") if kind is not None else None
        url = cited.get("url") if isinstance(cited, dict) else None
        if not isinstance(cited, dict) or not isinstance(url, str) or not url.startswith(("http://", "https://")):
            continue
        title = cited.get("title")
        fields: Json = {"url": url, "title": title if isinstance(title, str) else url}
        if type(start) is int and type(end) is int and 0 <= start <= end:
            fields |= {"start_index": start + offset, "end_index": end + offset}
        else:
            fields |= {"start_index": 0, "end_index": 0}
        if isinstance(citation.get("text"), str):
            fields["content"] = citation["text"]
        found.append({"type": "url_citation", "url_citation": fields})
    return found


def logprobs(items: Any) -> list[Json]:
    """One item, or a list of them, as tokens with their logprobs."""
    found = []
    for item in items if isinstance(items, list) else [items]:
        values = item.get("logprobs") if isinstance(item, dict) else None
        if isinstance(values, list) and values and all(type(value) in (int, float) for value in values):
            text = text_of(item.get("text"))
            token = {"token": text, "logprob": float(sum(values)), "bytes": list(text.encode("utf-8", "replace"))}
            found.append({**token, "top_logprobs": []})
    return found


def finish_reason(native: Any, body: Json, *, calls: bool) -> str:
    """Our finish reason. Raises ``ProviderError`` when the vendor ended with an error, which ``body`` describes."""
    if native in ("ERROR", "TIMEOUT"):
        usage = body.get("usage")
        error = error_from_body(body, 504 if native == "TIMEOUT" else 500)
        raise error.reporting(usage_of(usage) if isinstance(usage, dict) else None)
    ours = FINISH.get(native, "stop") if isinstance(native, str) else "stop"
    return "tool_calls" if calls and ours == "stop" else ours


def usage_of(raw: Json) -> Usage:
    """What is billed, as disjoint kinds. Never raises: a count that makes no sense becomes 0 and sets ``suspect``."""
    counts, billed, tokens = Counts(), raw.get("billed_units"), raw.get("tokens")
    billed = billed if isinstance(billed, dict) else {}
    source = billed if {"input_tokens", "output_tokens"} & billed.keys() else tokens
    prompt, completion = counts.take(source, "input_tokens"), counts.take(source, "output_tokens")
    cached = counts.take(raw, "cached_tokens")
    if cached > max(prompt, counts.take(tokens, "input_tokens")):
        counts.suspect = True
    read, searches = min(cached, prompt), counts.take(billed, "search_units")
    return Usage(
        prompt=prompt - read,
        cache_read=read,
        completion=completion,
        units={"search_unit": searches} if searches else None,
        suspect=counts.suspect,
    )
