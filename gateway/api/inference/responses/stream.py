"""Streams of the Responses API: the full sequence of events, numbered, each with its ``event:`` line, and ``[DONE]`` at the end.

Two encoders: one tells what comes in the inner language, the other passes a vendor's own events on. Both hold the last event
back until the answer is settled, because it carries the usage as charged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.api.inference.response_fields import hides_reasoning
from gateway.api.inference.responses import envelope as frame
from gateway.api.inference.responses.response import Output
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server import sse
from providers.types import Event

Json = dict[str, Any]
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})

_encode = msgspec.json.Encoder().encode


class Numbered:
    """Events as bytes, numbered from 0."""

    def __init__(self) -> None:
        self._next = 0

    def frames(self, events: Iterable[Json]) -> bytes:
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Json) -> bytes:
        type_: str = event["type"]
        data = {"type": type_, "sequence_number": self._next, **event}
        data["sequence_number"] = self._next  # a vendor's own number may stand in the event
        self._next += 1
        return b"event: " + type_.encode() + b"\ndata: " + _encode(data) + b"\n\n"


class ResponsesEncoder:
    """From the inner language."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._view = frame.opened(generation)
        self._output = Output(generation.request)
        self._numbered = Numbered()
        self._begun = False
        self._finish: str | None = None

    def events(self, events: list[Event]) -> bytes:
        found = self._opening()
        for event in events:
            chunk = event.chunk
            if isinstance(chunk.get("service_tier"), str):
                self._view["service_tier"] = chunk["service_tier"]
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    found += self._output.delta(choice.get("delta") or {}, choice.get("logprobs"))
            if event.finish is not None:
                self._finish = event.finish
                found += self._output.close(event.finish)
        return self._numbered.frames(found)

    def _opening(self) -> list[Json]:
        if self._begun:
            return []
        self._begun = True
        return [{"type": f"response.{phase}", "response": self._view} for phase in ("created", "in_progress")]

    def finish(self) -> bytes:
        found = self._opening() + self._output.close(self._finish)
        view = frame.priced(frame.concluded(self._view, self._output.view, self._finish), self._generation)
        return self._numbered.frames([*found, _last(view)]) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """``response.failed``, or ``response.incomplete`` at a limit; the items as far as they came, the error in the object."""
        found = self._opening()
        view = {**self._view, "output": self._output.cut()}
        return self._numbered.frames([*found, _broken(view, error, finish_reason, self._generation)]) + sse.DONE


class PassthroughEncoder:
    """A vendor that speaks this very API: its events, with only what is ours rewritten."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._hidden = hides_reasoning(generation.request)
        self._numbered = Numbered()
        self._last: Json | None = None
        self._begun = False
        self._items: dict[int, Json] = {}

    def events(self, events: list[Event]) -> bytes:
        found: list[Json] = []
        for event in events:
            if event.native is not None:
                name, data = event.native
                found += self._event({**data, "type": _type(name, data)})
        return self._numbered.frames(found)

    def _event(self, event: Json) -> list[Json]:
        type_ = event["type"]
        if isinstance(event.get("response"), dict):
            self._begun = True
            event["response"] = frame.passthrough(self._generation, event["response"])
            if type_ in _LAST:
                self._last = event
                return []
            event["response"].pop("usage", None)
        elif type_ == "response.output_item.done" and isinstance(event.get("item"), dict):
            self._items[event.get("output_index", len(self._items))] = event["item"]
        if self._hidden:
            if type_.startswith("response.reasoning_"):
                return []
            if isinstance(event.get("item"), dict):
                event["item"] = frame.bare(event["item"])
        return [event]

    def finish(self) -> bytes:
        last = self._last
        if last is None:  # the vendor forgot it
            output = [item for _, item in sorted(self._items.items())]
            view = frame.concluded(frame.opened(self._generation), output, self._generation.delivered.finish)
            last = _last(view)
        last["response"] = frame.counted(last["response"], self._generation)
        return self._numbered.frames([last]) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        view = frame.opened(self._generation)
        found = [] if self._begun else [{"type": "response.created", "response": view}]
        view = {**view, "output": [item for _, item in sorted(self._items.items())]}
        return self._numbered.frames([*found, _broken(view, error, finish_reason, self._generation)]) + sse.DONE


def _type(name: str, data: Json) -> str:
    """An event's type. It becomes a line of its own, so nothing but a plain word may come from a vendor."""
    type_ = data.get("type")
    return type_ if isinstance(type_, str) and type_.isprintable() else name


def _last(view: Json) -> Json:
    return {"type": f"response.{view['status']}", "response": view}


def _broken(view: Json, error: GatewayError, finish_reason: str, generation: Generation) -> Json:
    limit = finish_reason == "length" or error.error_type in frame.TOKEN_LIMITS
    view = frame.failed(view, error, incomplete=limit)
    return _last(frame.priced(view, generation) if generation.ended else view)


def late_failure(request: InferenceRequest, error: GatewayError) -> bytes:
    """No endpoint was found after the 200 had been sent: an ``error`` event, then ``response.failed``.

    OpenAI's SDK raises at the key ``error``, whose shape is that of OpenAI's own streams; a client that knows only Responses
    (Codex) reads the second event.
    """
    said = {"type": error.error_type, "code": frame.code(error), "message": error.message, "param": None}
    first = {
        "type": "error",
        "code": said["code"],
        "message": error.message,
        "param": None,
        "error": said | {"metadata": error.envelope()["error"]["metadata"]},
        "error_type": error.error_type,
    }
    view = frame.frame(request, model=request.body.get("model") or request.body["models"][0])
    return Numbered().frames([first, _last(frame.failed(view, error))]) + sse.DONE
