"""Whether calls of tools and structured outputs are what the request asked for.

    not JSON       the arguments, or the output, cannot be read as JSON
    unknown name   no tool of this name was offered
    mismatch       they are JSON, but do not follow the schema (Draft 7); see ``schema_check``

Only answers that ended with a call of tools are looked at, and those to requests for JSON, on a thread, after they were sent: a
generation hands over an ``Answer``, and before its event is written the thread has filled it in. What was said stays in this
process until then, at most ``WAITING_MAX`` answers of ``TEXT_BYTES_MAX`` each. It must not know: HTTP, how events are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import msgspec

from gateway.analytics.schema_check import follows, written

WAITING_MAX = 256
"""Answers that wait in a process; more are not looked at, and count in no rate."""
TEXT_BYTES_MAX = 65_536
"""Of arguments, or of a structured output: a longer answer is not looked at."""
LOOKING_S = 1.0
"""How long events wait for answers to be looked at."""
AT_ONCE = 16
"""Answers of one turn of the thread."""
FINE, NOT_JSON, UNKNOWN_NAME, MISMATCH = range(4)
"""``Event.tool_error``."""
UNSEEN = 0
SAID_FINE, SAID_NO_JSON, SAID_MISMATCH = 1, 2, 3
"""``Event.structured``; ``UNSEEN``: no JSON was asked for, or nobody has looked."""
NAMED = frozenset({"function", "custom"})
"""Types of tools that are called by the name that the request says; a vendor's own tool may be called by another one."""
JSON_FORMATS = frozenset({"json_object", "json_schema"})


class Call(NamedTuple):
    """A call of a tool. ``arguments`` is None where they need not be JSON."""

    name: str
    arguments: str | None


class Answer(msgspec.Struct, eq=False):
    """What was found in an answer; filled in by the thread."""

    calls: int = 0
    """Calls that were looked at."""
    found: tuple[int, int, int] = (FINE, UNSEEN, 0)
    """``tool_error``, the worst of the calls in the order of the constants, ``structured`` and ``asked_to_reason``: as in
    ``Event``."""


NOT_LOOKED_AT = Answer()
"""Of all answers that are not; it stays as it is."""
REASONED_ONLY = Answer(found=(FINE, UNSEEN, 1))
"""The same where the model was asked to reason."""


class _Waiting(NamedTuple):
    answer: Answer
    calls: Sequence[Call]
    offered: Collection[Any]
    """``tools`` of the request."""
    said: str | None
    """The structured output."""
    schema: Any


class AnswerChecks:
    """One per gateway process; its event loop owns it."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    def calls(self, calls: Sequence[Call], offered: Collection[Any]) -> Answer:
        """The calls of an answer, and ``tools`` of its request, are to be looked at."""
        return self._wait(_Waiting(Answer(), calls, offered, None, None))

    def structured(self, said: str, response_format: Mapping[str, Any]) -> Answer:
        """An output that the request wanted as JSON is to be looked at."""
        schema = (response_format.get("json_schema") or {}).get("schema")
        return self._wait(_Waiting(Answer(), (), (), said, schema))

    def _wait(self, waiting: _Waiting) -> Answer:
        size = len(waiting.said or "") + sum(len(call.arguments or "") for call in waiting.calls)
        if self._closed or len(self._waiting) >= WAITING_MAX or size > TEXT_BYTES_MAX:
            return NOT_LOOKED_AT
        self._waiting.append(waiting)
        return waiting.answer

    async def look(self) -> None:
        """Look at what waits, for ``LOOKING_S`` at most: events of which the answers have not been looked at by then say so."""
        until_s = time.monotonic() + LOOKING_S
        while self._waiting and time.monotonic() < until_s:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            await asyncio.get_running_loop().run_in_executor(self._thread, _look, some)

    def close(self) -> None:
        """Stop the thread. What waits, and what comes later, is not looked at, so that the last events are written at once."""
        self._closed = True
        self._waiting.clear()
        if self._thread is not None:
            self._thread.shutdown(wait=False)


def _named(tool: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(name, schema of the arguments) of a tool that has a name."""
    inside = tool.get(tool["type"]) if isinstance(tool.get("type"), str) else None
    said = inside if isinstance(inside, dict) else tool
    name = said.get("name")
    return [(name, said.get("parameters"))] if isinstance(name, str) else []


def _look(some: Sequence[_Waiting]) -> None:
    """On the thread."""
    for each in some:
        tools = {name: schema for tool in each.offered if isinstance(tool, dict) for name, schema in _named(tool)}
        any_name = any(not isinstance(tool, dict) or tool.get("type") not in NAMED for tool in each.offered)
        schemas = {name: written(tools[name]) for name in {call.name for call in each.calls} & tools.keys()}
        found = max((_error(call, schemas, tools, any_name=any_name) for call in each.calls), default=FINE)
        each.answer.calls = len(each.calls)
        structured = UNSEEN if each.said is None else _structured(each.said, each.schema)
        each.answer.found = found, structured, each.answer.found[2]


def _error(call: Call, schemas: Mapping[str, bytes | None], tools: Collection[str], *, any_name: bool) -> int:
    """``schemas``: name of a tool → the schema of its arguments."""
    if call.name not in tools and not any_name:
        return UNKNOWN_NAME
    if call.arguments is None:
        return FINE
    try:
        value = msgspec.json.decode(
            call.arguments.strip() or "{}"
        )  # vendors write nothing for a tool without arguments
    except (ValueError, RecursionError):
        return NOT_JSON
    return MISMATCH if not isinstance(value, dict) or follows(value, schemas.get(call.name)) is False else FINE


def _structured(said: str, schema: Any) -> int:
    try:
        value = msgspec.json.decode(said)
    except (ValueError, RecursionError):
        return SAID_NO_JSON
    return SAID_MISMATCH if follows(value, written(schema)) is False else SAID_FINE
