"""What of a request the classifier reads: the caller's last turn, a little of the system prompt, names of tools.

It must not know: labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TURN_CHARS = 5_000
"""Of a turn, from its beginning and its end: instructions stand in front of or behind what they are about."""
TAIL_CHARS = 1_500
SYSTEM_CHARS = 500
SHORT_TURN_CHARS = 24
"""A turn that is no longer, such as "go on", says little: the turn before it is read, too."""
TOOLS_MAX, TOOL_CHARS = 64, 64


class Excerpt(NamedTuple):
    """Texts of bounded length. They are dropped when they are classified."""

    turn: str
    system: str = ""
    tools: tuple[str, ...] = ()


def excerpt(body: Mapping[str, Any]) -> Excerpt | None:
    """The excerpt of a request in the inner language; None when it has no turn of the caller in words."""
    turn, system = "", ""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    for message in reversed(messages):
        if message.get("role") == "user" and (text := _text(message.get("content"))):
            turn = f"{text}\n{turn}" if turn else text
            if len(turn) > SHORT_TURN_CHARS:
                break
    if not turn.strip():
        return None
    for message in messages[:2]:
        if message.get("role") in ("system", "developer"):
            system = _text(message.get("content"))[:SYSTEM_CHARS]
            break
    return Excerpt(turn, system, _tools(body.get("tools") or ()))


def _text(content: Any) -> str:
    """The words of a message, cut; pictures and files have none."""
    if isinstance(content, str):
        return _cut(content)
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if isinstance(text, str):
            parts.append(_cut(text))
    return _cut("\n".join(parts))


def _cut(text: str) -> str:
    if len(text) <= TURN_CHARS:
        return text
    return f"{text[: TURN_CHARS - TAIL_CHARS]}\n{text[-TAIL_CHARS:]}"


def _tools(tools: Sequence[Any]) -> tuple[str, ...]:
    names = []
    for tool in tools[:TOOLS_MAX]:
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            names.append(name[:TOOL_CHARS].lower())
    return tuple(names)
