"""The output items of one answer, made from deltas of the inner language. Pure; a whole answer is one delta."""

from __future__ import annotations

from typing import Any

from gateway.api.inference.response_fields import hides_reasoning
from gateway.api.inference.responses import reasoning
from gateway.api.inference.responses.items import Call, Events, Item, Message, Reasoning
from gateway.api.inference.responses.tools import Tool, Toolbox
from gateway.pipeline.request import InferenceRequest

Json = dict[str, Any]
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reason → why an answer is incomplete."""


class Output:
    """The items of one answer. Each method returns the events that report what it did."""

    def __init__(self, request: InferenceRequest) -> None:
        body: Json = request.native.body if request.native is not None else {}
        self._suffix = request.id.rpartition("-")[2]
        self._asked = body
        self._summarized = bool((request.body.get("reasoning") or {}).get("summary"))
        self._sealing = "reasoning.encrypted_content" in (body.get("include") or ())
        self._hidden = hides_reasoning(request)
        self._toolbox: Toolbox | None = None
        """Made at the first call: most answers have none."""
        self._items: list[Item] = []
        self._calls: dict[Any, Call] = {}
        self._ids: set[str] = set()
        """Of reasoning items, and of calls: vendors may repeat theirs."""
        self._phase: str | None = None

    @property
    def view(self) -> list[Json]:
        return [item.value for item in self._items]

    def delta(self, delta: Json, logprobs: Any = None) -> Events:
        """Add a delta of the inner language, or a whole message."""
        events: Events = []
        if not self._hidden:
            for fragment in reasoning.fragments(delta):
                events += self._add_reasoning(fragment)
        if isinstance(delta.get("phase"), str):  # commentary and final answer are separate messages
            self._phase = delta["phase"]
            events += self._close_items()
        text, refusal = delta.get("content"), delta.get("refusal")
        if isinstance(text, str) and text:
            message, begun = self._message()
            events += begun + message.text(text, _logprobs(logprobs))
        if isinstance(refusal, str) and refusal:
            message, begun = self._message()
            events += begun + message.refusal(refusal)
        for annotation in map(_annotation, _list(delta.get("annotations"))):
            if annotation is not None:
                message, begun = self._message()
                events += begun + message.annotate(annotation)
        for image in _list(delta.get("images")):
            events += self._image(image)
        for position, call in enumerate(delta.get("tool_calls") or ()):
            events += self._call(call, position)
        return events

    def close(self, finish: str | None) -> Events:
        """End every item, because the answer has ended."""
        status = "incomplete" if finish in INCOMPLETE else "completed"
        self._calls.clear()
        return [event for item in self._items if item.open for event in item.close(status)]

    def cut(self) -> list[Json]:
        """The items of an answer that broke off. No events: the final event has them."""
        self.close("length")
        return self.view

    def _close_items(self) -> Events:
        """End every open item that is not a call."""
        return [
            event
            for item in self._items
            if item.open and not isinstance(item, Call)
            for event in item.close("completed")
        ]

    def _begin(self, item: Item) -> Events:
        """Add a new item."""
        events = self._close_items()
        self._items.append(item)
        return events + item.added()

    def _message(self) -> tuple[Message, Events]:
        last = next((item for item in reversed(self._items) if item.open and isinstance(item, Message)), None)
        if last is not None:
            return last, []
        made = Message(f"msg_{self._suffix}_{len(self._items)}", len(self._items))
        if self._phase is not None:
            made.value["phase"], self._phase = self._phase, None
        return made, self._begin(made)

    def _add_reasoning(self, fragment: Json) -> Events:
        last = self._items[-1] if self._items else None
        if isinstance(last, Reasoning) and last.continues_with(fragment):
            return last.add(fragment)
        if not (reasoning.visible(fragment)[1] or fragment.get("signature") or self._sealing):
            return []
        id = fragment.get("id")
        if not isinstance(id, str) or not id or id in self._ids:
            id = reasoning.item_id(self._suffix, len(self._items))
        self._ids.add(id)
        made = Reasoning(id, len(self._items), sealing=self._sealing, summarized=self._summarized)
        return self._begin(made) + made.add(fragment)

    def _image(self, image: Any) -> Events:
        link = image.get("image_url") if isinstance(image, dict) else None
        url = link.get("url") if isinstance(link, dict) else None
        if not isinstance(url, str):
            return []
        index, id = len(self._items), image.get("id")
        value: Json = {
            "id": id if isinstance(id, str) and id else f"ig_{self._suffix}_{index}",
            "type": "image_generation_call",
            "status": "in_progress",
            "result": None,
        }
        item = Item(value, index)
        events = self._begin(item)
        if url.startswith("data:"):
            value["result"] = url.partition(",")[2]
        else:
            value["image_url"] = url
        for phase in ("in_progress", "completed"):
            type_ = f"response.image_generation_call.{phase}"
            events.append({"type": type_, "item_id": value["id"], "output_index": index})
        return events + item.close("completed")

    def _call(self, call: Json, position: int) -> Events:
        custom = call.get("custom")  # from a vendor that has custom tools itself: free text
        function = custom if isinstance(custom, dict) else call.get("function") or {}
        key = call["index"] if isinstance(call.get("index"), int) else position
        name, id = _string(function.get("name")), _string(call.get("id"))
        known = self._calls.get(key)
        events: Events = []
        if known is None or (id and name and known.vendor_id != id):  # some vendors number every call 0
            index = len(self._items)
            tool = self._called(name)
            if custom is not None:
                tool = tool._replace(kind="custom_tool")
            call_id = id if id and id not in self._ids else f"call_{self._suffix}_{index}"
            self._ids.add(call_id)
            known = self._calls[key] = Call(self._suffix, index, call_id, tool)
            known.vendor_id = id
            events = self._begin(known)
        known.free_text = known.free_text or custom is not None
        return events + known.arguments(_string(function.get("arguments")) or _string(function.get("input")))

    def _called(self, name: str) -> Tool:
        if self._toolbox is None:
            self._toolbox = Toolbox(self._asked)
        return self._toolbox.called(name)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _logprobs(given: Any) -> list[Json]:
    """Chat's log probabilities in this API's format, which has a list where chat has ``bytes: null``."""
    listed = _list(given.get("content")) if isinstance(given, dict) else []
    return [
        _token(one) | {"top_logprobs": [_token(top) for top in _list(one.get("top_logprobs")) if isinstance(top, dict)]}
        for one in listed
        if isinstance(one, dict)
    ]


def _token(one: Json) -> Json:
    logprob = one.get("logprob")
    number = logprob if isinstance(logprob, int | float) else 0.0
    return {"token": _string(one.get("token")), "logprob": number, "bytes": _list(one.get("bytes"))}


def _annotation(annotation: Any) -> Json | None:
    """Chat's nested annotation as a flat one; None for one of a file, which this API has no format for."""
    citation = annotation.get("url_citation") if isinstance(annotation, dict) else None
    if not isinstance(citation, dict):
        return None
    flat: Json = {"type": "url_citation", "url": _string(citation.get("url")), "title": _string(citation.get("title"))}
    for name in ("start_index", "end_index"):
        flat[name] = citation[name] if isinstance(citation.get(name), int) else 0
    if isinstance(citation.get("content"), str):
        flat["content"] = citation["content"]
    return flat
