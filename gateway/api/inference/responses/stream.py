"""Streams of the Responses API: the full sequence of events, numbered, each with its ``event:`` line, and ``[DONE]`` at the end.

There are two encoders: one translates the inner language, the other passes a vendor's own events on. Both hold back the last
event until the generation is settled, because it has the usage as charged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.api.inference.response_fields import hides_reasoning
from gateway.api.inference.responses import envelope
from gateway.api.inference.responses.response import Output
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server import sse
from providers.types import Event

Json = dict[str, Any]
_FINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Events as bytes, numbered from 0."""

    def __init__(self) -> None:
        self._next = 0

    def write(self, events: Iterable[Json]) -> bytes:
        return b"".join([self._one(event) for event in events])

    def _one(self, event: Json) -> bytes:
        type_: str = event["type"]
        data = {"type": type_, "sequence_number": self._next, **event}
        data["sequence_number"] = self._next  # the event may have the vendor's own number
        self._next += 1
        return b"event: " + type_.encode() + b"\ndata: " + _encode(data) + b"\n\n"


class ResponsesEncoder:
    """Inner chunks → events of this API."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._view = envelope.opened(generation)
        self._output = Output(generation.request)
        self._writer = EventWriter()
        self._begun = False
        self._finish: str | None = None

    def events(self, events: list[Event]) -> bytes:
        found = self._opening()
        for event in events:
            chunk: Any = event.chunk
            if isinstance(chunk.get("service_tier"), str):
                self._view["service_tier"] = chunk["service_tier"]
            for choice in chunk.get("choices") or ():
                if not choice.get("index"):
                    found += self._output.delta(choice.get("delta") or {}, choice.get("logprobs"))
            if event.finish is not None:
                self._finish = event.finish
                found += self._output.close(event.finish)
        return self._writer.write(found)

    def _opening(self) -> list[Json]:
        if self._begun:
            return []
        self._begun = True
        return [{"type": f"response.{phase}", "response": self._view} for phase in ("created", "in_progress")]

    def finish(self) -> bytes:
        found = self._opening() + self._output.close(self._finish)
        view = envelope.with_usage(envelope.concluded(self._view, self._output.view, self._finish), self._generation)
        return self._writer.write([*found, _final_event(view)]) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        """``response.failed``, or ``response.incomplete`` at a limit, with the items so far and the error."""
        found = self._opening()
        view = {**self._view, "output": self._output.cut()}
        return self._writer.write([*found, _failed_event(view, error, finish_reason, self._generation)]) + sse.DONE


class PassthroughEncoder:
    """The events of a vendor that has this API itself, with only the gateway's fields rewritten."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._hidden = hides_reasoning(generation.request)
        self._writer = EventWriter()
        self._final: Json | None = None
        self._begun = False
        self._items: dict[int, Json] = {}

    def events(self, events: list[Event]) -> bytes:
        found: list[Json] = []
        for event in events:
            if event.native is not None:
                name, data = event.native
                found += self._event({**data, "type": _type(name, data)})
        return self._writer.write(found)

    def _event(self, event: Json) -> list[Json]:
        type_ = event["type"]
        if isinstance(event.get("response"), dict):
            self._begun = True
            event["response"] = envelope.passthrough(self._generation, event["response"])
            if type_ in _FINAL:
                self._final = event
                return []
            event["response"].pop("usage", None)
        elif type_ == "response.output_item.done" and isinstance(event.get("item"), dict):
            self._items[event.get("output_index", len(self._items))] = event["item"]
        if self._hidden:
            if type_.startswith("response.reasoning_"):
                return []
            if isinstance(event.get("item"), dict):
                event["item"] = envelope.without_reasoning(event["item"])
        return [event]

    def finish(self) -> bytes:
        last = self._final
        if last is None:  # the vendor did not send it
            output = [item for _, item in sorted(self._items.items())]
            view = envelope.concluded(envelope.opened(self._generation), output, self._generation.delivered.finish)
            last = _final_event(view)
        last["response"] = envelope.passthrough_with_usage(last["response"], self._generation)
        return self._writer.write([last]) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        view = envelope.opened(self._generation)
        found = [] if self._begun else [{"type": "response.created", "response": view}]
        view = {**view, "output": [item for _, item in sorted(self._items.items())]}
        return self._writer.write([*found, _failed_event(view, error, finish_reason, self._generation)]) + sse.DONE


def _type(name: str, data: Json) -> str:
    """The type of an event. It is written as a line of its own, so a vendor's may have no line breaks."""
    type_ = data.get("type")
    return type_ if isinstance(type_, str) and type_.isprintable() else name


def _final_event(view: Json) -> Json:
    return {"type": f"response.{view['status']}", "response": view}


def _failed_event(view: Json, error: GatewayError, finish_reason: str, generation: Generation) -> Json:
    limit = finish_reason == "length" or error.error_type in envelope.TOKEN_LIMITS
    view = envelope.failed(view, error, incomplete=limit)
    return _final_event(envelope.with_usage(view, generation) if generation.ended else view)


def late_failure(request: InferenceRequest, error: GatewayError) -> bytes:
    """The end of a stream without any answer, status 200 having been sent: an ``error`` event, then ``response.failed``.

    OpenAI's SDK raises when it sees the key ``error``, whose format is that of OpenAI's own streams; a client that knows only
    the Responses API (Codex) reads the second event.
    """
    body = {"type": error.error_type, "code": envelope.code(error), "message": error.message, "param": None}
    first = {
        "type": "error",
        "code": body["code"],
        "message": error.message,
        "param": None,
        "error": body | {"metadata": error.envelope()["error"]["metadata"]},
        "error_type": error.error_type,
    }
    view = envelope.envelope(request, model=request.body.get("model") or request.body["models"][0])
    return EventWriter().write([first, _final_event(envelope.failed(view, error))]) + sse.DONE
