"""Output items as deltas add to them, and the events that report it. Pure; one instance per item.

A whole answer is one delta, so that JSON and SSE cannot differ. An item ends when the next one begins, except calls: vendors may
mix the pieces of parallel calls, so these stay open until the answer ends. Names and fields of events: OpenAI's and OpenRouter's
Python SDKs, read 2026-11-21.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.responses import reasoning
from gateway.api.inference.responses.client_tools import CLIENT_TOOLS
from gateway.api.inference.responses.tools import Tool

Json = dict[str, Any]
Events = list[Json]


class Item:
    """One output item. ``value`` is the item as it is now."""

    def __init__(self, value: Json, index: int) -> None:
        self.value = value
        self.index = index
        self.open = True

    def added(self) -> Events:
        """The event that begins the item."""
        return [{"type": "response.output_item.added", "output_index": self.index, "item": dict(self.value)}]

    def close(self, status: str) -> Events:
        """The events that end the item."""
        self.open = False
        events = self._finish()
        self.value["status"] = status
        return [*events, {"type": "response.output_item.done", "output_index": self.index, "item": self.value}]

    def _finish(self) -> Events:
        return []

    def _event(self, type_: str, **more: Any) -> Json:
        return {"type": type_, "item_id": self.value["id"], "output_index": self.index, **more}


class Message(Item):
    """Text and refusals of the assistant."""

    def __init__(self, id: str, index: int) -> None:
        super().__init__(
            {"id": id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}, index
        )
        self._part: Json | None = None
        self._pieces: list[str] = []

    def added(self) -> Events:
        (event,) = super().added()
        event["item"]["content"] = []
        return [event]

    def text(self, piece: str, logprobs: list[Json]) -> Events:
        events = self._begin_part("output_text")
        assert self._part is not None
        self._pieces.append(piece)
        self._part["logprobs"] += logprobs
        place = len(self.value["content"]) - 1
        delta = self._event("response.output_text.delta", content_index=place, delta=piece, logprobs=logprobs)
        return [*events, delta]

    def refusal(self, piece: str) -> Events:
        events = self._begin_part("refusal")
        self._pieces.append(piece)
        place = len(self.value["content"]) - 1
        return [*events, self._event("response.refusal.delta", content_index=place, delta=piece)]

    def annotate(self, annotation: Json) -> Events:
        events = self._begin_part("output_text")
        assert self._part is not None
        known = self._part["annotations"]
        known.append(annotation)
        where = {"content_index": len(self.value["content"]) - 1, "annotation_index": len(known) - 1}
        return [*events, self._event("response.output_text.annotation.added", **where, annotation=annotation)]

    def _begin_part(self, kind: str) -> Events:
        if self._part is not None and self._part["type"] == kind:
            return []
        events = self._finish()
        self._part = (
            {"type": kind, "text": "", "annotations": [], "logprobs": []}
            if kind == "output_text"
            else {"type": kind, "refusal": ""}
        )
        begun = {name: [] if value == [] else value for name, value in self._part.items()}
        self.value["content"].append(self._part)
        place = len(self.value["content"]) - 1
        return [*events, self._event("response.content_part.added", content_index=place, part=begun)]

    def _finish(self) -> Events:
        part, self._part = self._part, None
        if part is None:
            return []
        whole, place = "".join(self._pieces), len(self.value["content"]) - 1
        self._pieces = []
        if part["type"] == "refusal":
            part["refusal"] = whole
            done = self._event("response.refusal.done", content_index=place, refusal=whole)
        else:
            part["text"] = whole
            done = self._event("response.output_text.done", content_index=place, text=whole, logprobs=part["logprobs"])
        return [done, self._event("response.content_part.done", content_index=place, part=part)]


class Reasoning(Item):
    """Summary parts, text, and encrypted content that only its vendor can read.

    ``sealing``: the encrypted content holds what the vendor must see again; ``summarized``: the client asked for a summary, so
    text, which is all that most vendors have, is given as one.
    """

    def __init__(self, id: str, index: int, *, sealing: bool, summarized: bool) -> None:
        super().__init__({"id": id, "type": "reasoning", "status": "in_progress", "summary": []}, index)
        self.last: Json = {}
        self._sealing = sealing
        self._summarized = summarized
        self._details: list[Json] = []
        self._summary_of: Any = None
        self._pieces: list[str] = []
        """Of the current part of the summary."""
        self._texts: list[str] = []

    def added(self) -> Events:
        (event,) = super().added()
        event["item"]["summary"] = []
        return [event]

    def continues_with(self, fragment: Json) -> bool:
        """Whether a fragment belongs to this item. One item has at most one encrypted text."""
        if not self.open or (fragment.get("type") == "reasoning.encrypted" and "encrypted_content" in self.value):
            return False
        return reasoning.continues(self.last, fragment)

    def add(self, fragment: Json) -> Events:
        self.last = {**self.last, **{name: value for name, value in fragment.items() if value is not None}}
        reasoning.merge(self._details, fragment)
        for name in ("signature", "format"):
            if isinstance(fragment.get(name), str):
                self.value[name] = fragment[name]
        field, text = reasoning.visible(fragment)
        if not text:
            return []
        if field == "data":
            self.value["encrypted_content"] = text
            return []
        if field == "summary" or self._summarized:
            return self._summary(text, fragment.get("index"))
        return self._text(text)

    def _text(self, text: str) -> Events:
        events: Events = []
        if "content" not in self.value:
            self.value["content"] = [{"type": "reasoning_text", "text": ""}]
            begun = {"type": "reasoning_text", "text": ""}
            events.append(self._event("response.content_part.added", content_index=0, part=begun))
        self._texts.append(text)
        return [*events, self._event("response.reasoning_text.delta", content_index=0, delta=text)]

    def _summary(self, text: str, part: Any) -> Events:
        events: Events = []
        if not self._pieces or part != self._summary_of:
            events = self._end_summary()
            self._summary_of = part
            begun = {"type": "summary_text", "text": ""}
            self.value["summary"].append({"type": "summary_text", "text": ""})
            place = len(self.value["summary"]) - 1
            events.append(self._event("response.reasoning_summary_part.added", summary_index=place, part=begun))
        self._pieces.append(text)
        place = len(self.value["summary"]) - 1
        return [*events, self._event("response.reasoning_summary_text.delta", summary_index=place, delta=text)]

    def _end_summary(self) -> Events:
        if not self._pieces:
            return []
        place, part = len(self.value["summary"]) - 1, self.value["summary"][-1]
        part["text"] = "".join(self._pieces)
        self._pieces = []
        return [
            self._event("response.reasoning_summary_text.done", summary_index=place, text=part["text"]),
            self._event("response.reasoning_summary_part.done", summary_index=place, part=part),
        ]

    def _finish(self) -> Events:
        events = self._end_summary()
        if self._texts:
            part = self.value["content"][0]
            part["text"] = "".join(self._texts)
            events += [
                self._event("response.reasoning_text.done", content_index=0, text=part["text"]),
                self._event("response.content_part.done", content_index=0, part=part),
            ]
        if self._sealing and not reasoning.fits_openai(self._details):
            self.value["encrypted_content"] = reasoning.seal(self._details)
        return events


class Call(Item):
    """A call of a function, or of another tool that was offered to the vendor as a function (see ``client_tools.py``)."""

    def __init__(self, suffix: str, index: int, call_id: str, tool: Tool) -> None:
        self.tool = tool
        self.vendor_id = ""
        self.free_text = False
        """A custom tool's input comes as free text, not as the arguments of a function."""
        self._pieces: list[str] = []
        known = CLIENT_TOOLS.get(tool.kind)
        prefix, empty = ("fc", {"arguments": ""}) if known is None else (known.prefix, known.empty())
        value: Json = {
            "id": f"{prefix}_{suffix}_{index}",
            "type": f"{tool.kind}_call",
            "status": "in_progress",
            "call_id": call_id,
        }
        if tool.kind in ("function", "custom_tool"):
            value["name"] = tool.name
            if tool.namespace is not None:
                value["namespace"] = tool.namespace
        super().__init__(value | empty, index)

    def arguments(self, piece: str) -> Events:
        self._pieces.append(piece)
        if self.tool.kind != "function" or not piece:
            return []
        return [self._event("response.function_call_arguments.delta", delta=piece)]

    def _finish(self) -> Events:
        whole, kind = "".join(self._pieces), self.tool.kind
        if kind == "function":
            self.value["arguments"] = whole
            return [self._event("response.function_call_arguments.done", name=self.tool.name, arguments=whole)]
        self.value |= {"input": whole} if self.free_text else CLIENT_TOOLS[kind].fields(whole)
        if kind != "custom_tool":
            return []
        text = self.value["input"]
        return [
            self._event("response.custom_tool_call_input.delta", delta=text),
            self._event("response.custom_tool_call_input.done", input=text),
        ]
