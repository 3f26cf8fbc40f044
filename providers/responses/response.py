"""Answers of the Responses API in the inner language: whole answers, and the reading of output items that streams share. Pure.

A chat message has one text of each kind, so the texts of several message items are joined, parts of a reasoning summary with a
blank line between them (in ``reasoning`` only: ``reasoning_details`` keep each part apart, by ``index``).

Source: the types of the openai SDK 3.54 (2026-11).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.errors import excerpt, failed
from providers.openai.errors import vendor_error
from providers.openai.response import FINISH_REASONS
from providers.openai.tool_calls import made_id
from providers.responses.errors import answer_error, reported_usage
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts

PHASES: Final = ("commentary", "final_answer")
_LISTS: Final = ("reasoning_details", "tool_calls", "images", "annotations", "logprobs")
_TEXTS: Final = ("content", "refusal", "reasoning")


def read_completion(raw: bytes, format: str) -> Completion:
    """A whole answer. Raises ``ProviderError``: empty, malformed, or the error that the answer carries.

    ``format``: of the reasoning details.
    """
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    document = decode(raw)
    status = document.get("status")
    if document.get("error") or status in ("failed", "cancelled"):
        raise answer_error(document.get("error"), document)
    output = document.get("output")
    if not isinstance(output, list):
        error = vendor_error(dict(document))
        if error is not None:
            raise error
        raise failed("malformed", "the answer has no output", status=200, raw=excerpt(raw))
    if status in ("in_progress", "queued"):
        raise failed("malformed", f"the answer is {status}, and answers are not fetched later", status=200)
    reader = Reader(format)
    message: Json = {"role": "assistant", "content": None}
    for item in objects(output):
        merge(message, reader.read(item))
    for call in message.get("tool_calls", ()):
        del call["index"]
    token_logprobs = message.pop("logprobs", None)
    finish, native = finish_reason(document, reader)
    choice = {"index": 0, "message": message, "finish_reason": finish, "native_finish_reason": native}
    if token_logprobs is not None:
        choice["logprobs"] = {"content": token_logprobs, "refusal": None}
    body = {**identity(document), "object": "chat.completion", "choices": [choice]}
    if isinstance(document.get("service_tier"), str):
        body["service_tier"] = document["service_tier"]
    return Completion(body, count_usage(document, reader), document)


def identity(response: Json) -> Json:
    """``id``, ``created`` and ``model`` of an answer."""
    created = response.get("created_at")
    return {
        "id": text(response.get("id")),
        "created": int(created) if isinstance(created, int | float) and 0 <= created < 1e12 else 0,
        "model": text(response.get("model")),
    }


def finish_reason(response: Json, reader: Reader) -> tuple[str, str]:
    """The finish reason of the inner language and the vendor's own: why the answer is incomplete, else its status.

    Raises ``ProviderError`` if the vendor gave up.
    """
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = text(details.get("reason")) if isinstance(details, dict) else ""
        finish = FINISH_REASONS.get(reason, "stop") if reason else "length"
        if finish == "error":
            raise answer_error({"message": f"the vendor ended the answer with {reason}"}, response)
        return finish, reason or "incomplete"
    return "tool_calls" if reader.calls else "stop", "completed"


def count_usage(response: Json, reader: Reader) -> Usage | None:
    """Tokens, web searches and pictures; of the searches those that the vendor reports as billed, else those that it made."""
    usage = reported_usage(response)
    if usage is None:
        return None
    counts, searches = Counts(), reader.searches
    tools = response.get("tool_usage")
    billed = tools.get("web_search") if isinstance(tools, dict) else None
    if isinstance(billed, dict):
        searches = counts.take(billed, "num_requests")
    units = {name: count for name, count in (("web_search", searches), ("image_output", reader.pictures)) if count}
    return replace(usage, units=units or None, suspect=usage.suspect or counts.suspect)


def text(value: Any) -> str:
    """The value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[Json]:
    """The objects among the items of a list; empty for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class Reader:
    """Turns output items into deltas of one chat message, and counts what the answer has had so far."""

    __slots__ = ("calls", "details", "format", "length", "offset", "pictures", "reasoned", "searches")

    def __init__(self, format: str) -> None:
        self.format = format
        self.calls = self.details = self.searches = self.pictures = 0
        self.length = 0
        """Characters of text so far."""
        self.offset = 0
        """Characters before the current part: the vendor counts the positions of citations from its beginning."""
        self.reasoned = False

    def read(self, item: Json) -> Json:
        """The delta of a whole item; ``logprobs`` are among its keys and belong beside it."""
        kind = item.get("type")
        if kind == "message":
            return self._message(item)
        if kind == "reasoning":
            return self._reasoning(item)
        if kind in ("function_call", "custom_tool_call"):
            return {"tool_calls": [self.call(item, whole=True)]}
        return self.extras(item)

    def extras(self, item: Json) -> Json:
        """What only the finished item holds, even after its deltas: encrypted reasoning, a picture; counts searches."""
        kind = item.get("type")
        if kind == "reasoning" and text(item.get("encrypted_content")):
            return {"reasoning_details": [self.detail("encrypted", "data", item["encrypted_content"], item)]}
        if kind == "web_search_call":
            action = item.get("action")
            if not isinstance(action, dict) or action.get("type", "search") == "search":
                self.searches += 1
        elif kind == "image_generation_call" and text(item.get("result")):
            self.pictures += 1
            link = f"data:image/{text(item.get('output_format')) or 'png'};base64,{item['result']}"
            picture = {"type": "image_url", "image_url": {"url": link}, "index": self.pictures - 1}
            return {"images": [picture | ({"id": item["id"]} if text(item.get("id")) else {})]}
        return {}

    def call(self, item: Json, *, whole: bool) -> Json:
        """The next tool call, with its arguments if the item is ``whole``."""
        kind, field = ("custom", "input") if item.get("type") == "custom_tool_call" else ("function", "arguments")
        self.calls += 1
        arguments = text(item.get(field)) if whole else ""
        if whole and kind == "function":
            arguments = arguments or "{}"  # clients parse them as JSON
        own = {"name": text(item.get("name")), field: arguments}
        id = text(item.get("call_id")) or text(item.get("id")) or made_id(msgspec.json.encode(item), self.calls)
        return {"index": self.calls - 1, "id": id, "type": kind, kind: own}

    def detail(self, kind: str, field: str, fragment: str, item: Json, *, more: bool = False) -> Json:
        """A reasoning detail: the next one, or with ``more`` a fragment of the one before."""
        self.details += not more
        detail = {"type": f"reasoning.{kind}", field: fragment, "format": self.format, "index": self.details - 1}
        id = item.get("id") or item.get("item_id")
        return detail | {"id": id} if isinstance(id, str) else detail

    def separator(self) -> str:
        """The separator between the next part of the reasoning and the one before; empty in front of the first."""
        before, self.reasoned = self.reasoned, True
        return "\n\n" if before else ""

    def _reasoning(self, item: Json) -> Json:
        delta: Json = {"reasoning": "", "reasoning_details": []}
        for kind, field, parts in (("summary", "summary", item.get("summary")), ("text", "text", item.get("content"))):
            for part in objects(parts):
                fragment = text(part.get("text"))
                if fragment:
                    delta["reasoning"] += self.separator() + fragment
                    delta["reasoning_details"].append(self.detail(kind, field, fragment, item))
        merge(delta, self.extras(item))
        return {name: value for name, value in delta.items() if value}

    def _message(self, item: Json) -> Json:
        delta: Json = {}
        if item.get("phase") in PHASES:
            delta["phase"] = item["phase"]
        for part in objects(item.get("content")):
            if part.get("type") == "refusal":
                merge(delta, {"refusal": text(part.get("refusal"))})
                continue
            fragment = text(part.get("text"))
            self.offset = self.length
            self.length += len(fragment)
            citations = [
                citation for raw in objects(part.get("annotations")) if (citation := self.citation(raw)) is not None
            ]
            merge(delta, {"content": fragment, "annotations": citations})
            if part.get("logprobs"):
                delta.setdefault("logprobs", []).extend(logprobs(part["logprobs"]))
        return delta

    def citation(self, raw: Any) -> Json | None:
        """A web citation as chat has it: nested, and counted from the start of the message."""
        if not isinstance(raw, dict) or raw.get("type") != "url_citation" or not text(raw.get("url")):
            return None
        citation = {"url": raw["url"], "title": text(raw.get("title"))}
        for name in ("start_index", "end_index"):
            position = raw.get(name)
            citation[name] = self.offset + position if type(position) is int else self.offset
        if text(raw.get("content")):
            citation["content"] = raw["content"]
        return {"type": "url_citation", "url_citation": citation}


def merge(into: Json, delta: Json) -> None:
    """Join ``delta`` to the message ``into``, in place."""
    for name, value in delta.items():
        if name in _TEXTS:
            if value:
                into[name] = (into.get(name) or "") + value
        elif name in _LISTS:
            if value:
                into[name] = [*(into.get(name) or ()), *value]
        else:
            into[name] = value


def logprobs(raw: Any, *, top: bool = True) -> list[Json]:
    """Log probabilities as chat has them; ``top``: each token with the most likely ones at its position."""
    return [
        {
            "token": text(one.get("token")),
            "logprob": one["logprob"] if isinstance(one.get("logprob"), int | float) else 0.0,
            "bytes": one["bytes"] if isinstance(one.get("bytes"), list) else None,
            **({"top_logprobs": logprobs(one.get("top_logprobs"), top=False)} if top else {}),
        }
        for one in objects(raw)
    ]
