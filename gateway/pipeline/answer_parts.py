"""The parts of an answer that analytics looks at when it was sent: calls of tools, and output that had to be JSON.

A whole answer has them in its message. Those of a stream are gathered event by event, up to ``TEXT_BYTES_MAX`` and only where tools
were offered or JSON was asked for. It must not know: what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.analytics.answer_checks import (
    JSON_FORMATS,
    NOT_LOOKED_AT,
    REASONED_ONLY,
    TEXT_BYTES_MAX,
    Answer,
    AnswerChecks,
    Call,
)
from gateway.pipeline.settlement import Delivered
from providers.chat.effort import requested_effort
from providers.types import Completion, Event, Json

FIELDS = frozenset({"tools", "response_format", "reasoning", "reasoning_effort"})
"""Of a request: without any of them nothing is said of its answer."""


def are_wanted(body: Json) -> bool:
    """Whether the answer to a request (inner language) may have such parts."""
    return bool(body.get("tools") or body.get("response_format"))


class Gathered(Delivered):
    """The delivered output of a stream, with its calls and its text."""

    calls: dict[int, list[str]] = msgspec.field(default_factory=dict)
    """Index → name, then the fragments of the arguments."""
    custom: set[int] = msgspec.field(default_factory=set)
    """Indexes of calls whose input is not JSON."""
    text: list[str] = msgspec.field(default_factory=list)

    def event(self, event: Event) -> None:
        """Count one event, and keep what it says."""
        Delivered.event(self, event)
        if event.content and self.size_bytes <= TEXT_BYTES_MAX:
            for choice in event.chunk["choices"]:
                delta: Mapping[str, Any] = choice.get("delta") or {}
                if isinstance(said := delta.get("content"), str):
                    self.text.append(said)
                for fragment in delta.get("tool_calls") or ():
                    self._call(fragment)

    def _call(self, fragment: Mapping[str, Any]) -> None:
        index, function = fragment.get("index") or 0, fragment.get("function") or {}
        if fragment.get("type") == "custom":
            self.custom.add(index)
            function = fragment.get("custom") or {}
        parts = self.calls.setdefault(index, [""])
        parts[0] = parts[0] or function.get("name") or ""
        parts.append(function.get("arguments") or "")


def answer_of(checks: AnswerChecks, body: Json, completion: Completion | None, delivered: Delivered) -> Answer:
    """As ``looked_at``, with whether the request asked for reasoning."""
    wanted, budget = requested_effort(body)
    reasons = wanted not in (None, "none") or bool(budget)
    answer = looked_at(checks, body, completion, delivered)
    if not reasons:
        return answer
    if answer is NOT_LOOKED_AT:
        return REASONED_ONLY
    answer.found = (*answer.found[:2], 1)
    return answer


def looked_at(checks: AnswerChecks, body: Json, completion: Completion | None, delivered: Delivered) -> Answer:
    """What will be found in the answer to a request that has ended; ``completion`` is None for a stream."""
    offered, wanted = body.get("tools"), body.get("response_format") or {}
    if delivered.size_bytes > TEXT_BYTES_MAX:
        return NOT_LOOKED_AT
    if delivered.finish == "tool_calls" and offered:
        return checks.calls(_calls(completion, delivered), offered)
    if delivered.finish == "stop" and wanted.get("type") in JSON_FORMATS:
        return checks.structured(_text(completion, delivered), wanted)
    return NOT_LOOKED_AT


def _messages(completion: Completion) -> list[Mapping[str, Any]]:
    return [choice.get("message") or {} for choice in completion.body.get("choices") or ()]


def _calls(completion: Completion | None, delivered: Delivered) -> list[Call]:
    if completion is None:
        found = delivered.calls if isinstance(delivered, Gathered) else {}
        custom = delivered.custom if isinstance(delivered, Gathered) else set()
        return [
            Call(name, None if index in custom else "".join(arguments)) for index, (name, *arguments) in found.items()
        ]
    calls = [call for message in _messages(completion) for call in message.get("tool_calls") or ()]
    return [
        Call((call.get("custom") or {}).get("name") or "", None)
        if call.get("type") == "custom"
        else Call((call.get("function") or {}).get("name") or "", (call.get("function") or {}).get("arguments") or "")
        for call in calls
    ]


def _text(completion: Completion | None, delivered: Delivered) -> str:
    if completion is None:
        return "".join(delivered.text) if isinstance(delivered, Gathered) else ""
    return "".join(said for message in _messages(completion) if isinstance(said := message.get("content"), str))
