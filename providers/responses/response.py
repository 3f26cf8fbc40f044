"""Output items of the Responses API as deltas of one chat message. Pure; for whole answers and for streams.

A chat message is one sequence of each kind, so the texts of several message items are joined, parts of a reasoning summary
with a blank line between (in ``reasoning`` only: ``reasoning_details`` keep each part apart, by ``index``).
"""

from __future__ import annotations

from typing import Any, Final

from providers.types import Json

PHASES: Final = ("commentary", "final_answer")
_LISTS: Final = ("reasoning_details", "tool_calls", "images", "annotations", "logprobs")
_TEXTS: Final = ("content", "refusal", "reasoning")


def text(value: Any) -> str:
    """The text, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[Json]:
    """The objects of a list; nothing else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


class Reader:
    """Output items to deltas of one chat message; counts what one answer has had so far."""

    __slots__ = ("calls", "details", "format", "length", "offset", "pictures", "reasoned", "searches")

    def __init__(self, format: str) -> None:
        self.format = format
        self.calls = self.details = self.searches = self.pictures = 0
        self.length = 0
        """Characters of text so far."""
        self.offset = 0
        """Where the text of the current part begins: citations count from there."""
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
        """What only the finished item tells, also after its deltas: encrypted reasoning, a picture, a search made."""
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
        """The next tool call, with its arguments if ``whole``."""
        kind, field = ("custom", "input") if item.get("type") == "custom_tool_call" else ("function", "arguments")
        self.calls += 1
        own = {"name": text(item.get("name")), field: text(item.get(field)) if whole else ""}
        id = text(item.get("call_id")) or text(item.get("id"))
        return {"index": self.calls - 1, "id": id, "type": kind, kind: own}

    def detail(self, kind: str, field: str, words: str, item: Json, *, more: bool = False) -> Json:
        """A reasoning detail; ``more`` of the one before, or the next."""
        self.details += not more
        detail = {"type": f"reasoning.{kind}", field: words, "format": self.format, "index": self.details - 1}
        id = item.get("id") or item.get("item_id")
        return detail | {"id": id} if isinstance(id, str) else detail

    def between(self) -> str:
        """What separates the next part of the reasoning from the one before."""
        before, self.reasoned = self.reasoned, True
        return "\n\n" if before else ""

    def _reasoning(self, item: Json) -> Json:
        delta: Json = {"reasoning": "", "reasoning_details": []}
        for kind, field, parts in (("summary", "summary", item.get("summary")), ("text", "text", item.get("content"))):
            for part in objects(parts):
                words = text(part.get("text"))
                if words:
                    delta["reasoning"] += self.between() + words
                    delta["reasoning_details"].append(self.detail(kind, field, words, item))
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
            words = text(part.get("text"))
            self.offset = self.length
            self.length += len(words)
            cited = [one for raw in objects(part.get("annotations")) if (one := self.citation(raw)) is not None]
            merge(delta, {"content": words, "annotations": cited})
            if part.get("logprobs"):
                delta.setdefault("logprobs", []).extend(chances(part["logprobs"]))
        return delta

    def citation(self, raw: Any) -> Json | None:
        """A web citation as chat has it: nested, and counted from the start of the message."""
        if not isinstance(raw, dict) or raw.get("type") != "url_citation" or not text(raw.get("url")):
            return None
        cited = {"url": raw["url"], "title": text(raw.get("title"))}
        for name in ("start_index", "end_index"):
            place = raw.get(name)
            cited[name] = self.offset + place if type(place) is int else self.offset
        if text(raw.get("content")):
            cited["content"] = raw["content"]
        return {"type": "url_citation", "url_citation": cited}


def merge(into: Json, delta: Json) -> None:
    """Joins a delta to what there is, in place."""
    for name, value in delta.items():
        if name in _TEXTS:
            if value:
                into[name] = (into.get(name) or "") + value
        elif name in _LISTS:
            if value:
                into[name] = [*(into.get(name) or ()), *value]
        else:
            into[name] = value


def chances(raw: Any, *, top: bool = True) -> list[Json]:
    """Log probabilities as chat has them; ``top``: each token with the likeliest ones at its place."""
    return [
        {
            "token": text(one.get("token")),
            "logprob": one["logprob"] if isinstance(one.get("logprob"), int | float) else 0.0,
            "bytes": one["bytes"] if isinstance(one.get("bytes"), list) else None,
            **({"top_logprobs": chances(one.get("top_logprobs"), top=False)} if top else {}),
        }
        for one in objects(raw)
    ]
