"""Cohere's v2 answers in the inner language: whole ones, usage, errors. Pure. Streams are in ``cohere_stream``.

Sources: docs.cohere.com (reference/chat, reference/chat-stream, docs/tool-use-streaming, reference/errors, docs/
how-does-cohere-pricing-work), types of the vendor's SDK (``cohere`` 7.3); all 2026-11.

- ``usage.billed_units`` is the bill; ``usage.tokens`` counts also what the vendor itself puts around the conversation and
  does not charge. ``cached_tokens`` counts within ``tokens``, so it can be more than was billed. Thinking is part of the
  output tokens and not told apart.
- ``tool_plan`` is what the model wrote before its calls: reasoning in the inner language, and it goes back as a plan.
- The error of a stream stands in ``message-end``: ``finish_reason`` ERROR or TIMEOUT, text in ``error``.
- One logprob item covers a piece of text of several tokens: it becomes one token whose logprob is the sum.
- Status 498 is an unsafe request in the documentation and an invalid token in the SDK; the text decides.
"""

from __future__ import annotations

from typing import Any, Final

from providers.chat.messages import thought
from providers.cohere.request import PLAN, THOUGHT
from providers.errors import ProviderError, excerpt, failed, failure_for, retry_after_s
from providers.openai.errors import error_fields
from providers.transport.event_json import decode, object_in
from providers.types import Completion, HttpResponse, Json, Usage
from providers.usage import Counts

FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_calls",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}
_UNSAFE = ("usage guidelines", "usage policy", "unsafe", "blocked", "safety")
_TOO_LONG = ("too many tokens", "size limit exceeded")


def whole(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    body = opened(raw)
    message = body.get("message")
    if not isinstance(message, dict):
        raise (fault(body, 500) if "message" in body else broken("the answer has no message", body))
    native = body.get("finish_reason")
    told, calls = _message(message, body)
    ended = finish(native, body, calls=calls)
    choice: Json = {"index": 0, "message": told, "finish_reason": ended, "native_finish_reason": native}
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
    return Completion(answer, usage(raw_usage) if isinstance(raw_usage, dict) else None)


def opened(raw: bytes) -> Json:
    """The JSON object of a 200. Raises ``ProviderError``: empty or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    return decode(raw)


def broken(what: str, body: Json) -> ProviderError:
    return failed("malformed", what, status=200, raw=excerpt(body))


def _message(message: Json, body: Json) -> tuple[Json, bool]:
    """The assistant's message of the inner language, and whether it calls tools."""
    text, details, offsets, plan, thoughts = "", [], [], message.get("tool_plan"), 0
    if isinstance(plan, str) and plan:
        details.append(thought(PLAN, 0, plan))
    for item in _list(message, "content", body):
        offsets.append(len(text))
        if item.get("type") == "text":
            text += demand(item, "text", body)
        elif item.get("type") == "thinking":
            thoughts += 1
            details.append(thought(THOUGHT, thoughts, demand(item, "thinking", body)))
    calls = []
    for call in _list(message, "tool_calls", body):
        function = call.get("function")
        if not isinstance(function, dict):
            raise broken("a tool call without function", body)
        name, arguments = demand(function, "name", body), function.get("arguments")
        spelled = {"name": name, "arguments": arguments if isinstance(arguments, str) and arguments else "{}"}
        calls.append({"id": demand(call, "id", body), "type": "function", "function": spelled})
    told: Json = {"role": "assistant", "content": None if calls and not text else text, "refusal": None}
    if calls:
        told["tool_calls"] = calls
    if details:
        told["reasoning"] = "".join(detail["text"] for detail in details)
        told["reasoning_details"] = details
    notes = [one for cited in _list(message, "citations", body) for one in notes_of(cited, offsets)]
    if notes:
        told["annotations"] = notes
    return told, bool(calls)


def _list(source: Json, name: str, body: Json) -> list[Json]:
    items = source.get(name) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise broken(f"{name} is no list of objects", body)
    return items


def demand(source: Json, name: str, body: Json) -> str:
    """A text that must be there. Raises ``ProviderError`` (malformed)."""
    value = source.get(name)
    if not isinstance(value, str):
        raise broken(f"{name} is no text", body)
    return value


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def notes_of(cited: Json, offsets: list[int]) -> list[Json]:
    """``url_citation`` of every source that has a URL. Citations of reasoning, and of documents without URL, have no place."""
    if cited.get("type") not in (None, "TEXT_CONTENT"):
        return []
    index, start, end = cited.get("content_index"), cited.get("start"), cited.get("end")
    known = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(offsets)
    offset = offsets[index] if known else 0  # type: ignore[index]
    found = []
    sources = cited.get("sources")
    for source in sources if isinstance(sources, list) else ():
        kind = source.get("type") if isinstance(source, dict) else None
        about = source.get("document" if kind == "document" else "tool_output") if kind is not None else None
        url = about.get("url") if isinstance(about, dict) else None
        if not isinstance(about, dict) or not isinstance(url, str) or not url.startswith(("http://", "https://")):
            continue
        title = about.get("title")
        note: Json = {"url": url, "title": title if isinstance(title, str) else url}
        if type(start) is int and type(end) is int and 0 <= start <= end:
            note |= {"start_index": start + offset, "end_index": end + offset}
        else:
            note |= {"start_index": 0, "end_index": 0}
        if isinstance(cited.get("text"), str):
            note["content"] = cited["text"]
        found.append({"type": "url_citation", "url_citation": note})
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


def finish(native: Any, body: Json, *, calls: bool) -> str:
    """Our finish reason. Raises ``ProviderError`` where the vendor gave up; ``body`` says why."""
    if native in ("ERROR", "TIMEOUT"):
        raise fault(body, 504 if native == "TIMEOUT" else 500)
    ours = FINISH.get(native, "stop") if isinstance(native, str) else "stop"
    return "tool_calls" if calls and ours == "stop" else ours


def usage(raw: Json) -> Usage:
    """What is billed, as disjoint kinds. Never raises: nonsense counts 0 and sets ``suspect``."""
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


def fault(body: Json, status: int, *, retry_s: float | None = None, raw: str | None = None) -> ProviderError:
    """The error that a document tells of, as if (or because) the vendor had answered ``status``."""
    code, type_, message = error_fields(body)
    raw = excerpt(body) if raw is None else raw
    text = f"{message} {raw}".lower()
    also, meant = set(), status
    if status == 498:
        if any(part in text for part in _UNSAFE):
            also.add("content_policy_violation")
        else:
            meant = 401
    if any(part in text for part in _TOO_LONG):
        also.add("context_length_exceeded")
        meant = 400 if status == 500 else status
    return failure_for(status, message, raw=raw, words=(code, type_), also=also, meant=meant, retry_s=retry_s)


def refused(response: HttpResponse) -> ProviderError:
    """What a non-2xx answer means: ``{"message"}``, with ``id`` in newer versions."""
    retry_s, raw = retry_after_s(response.headers), excerpt(response.content)
    return fault(object_in(response.content), response.status, retry_s=retry_s, raw=raw)
