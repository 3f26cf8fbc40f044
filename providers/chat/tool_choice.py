"""``tool_choice`` of the inner language, parsed once for every dialect. Pure.

The forms are OpenAI's (platform.openai.com/docs/api-reference/chat, 2026-11), each also in the flat spelling of the Responses API:
``auto``, ``none``, ``required``; one tool by its type and name; ``allowed_tools`` with a mode and a list of tools.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from providers.errors import ProviderError, failed
from providers.types import Json


class ChosenTool(NamedTuple):
    """A tool that a ``tool_choice`` names."""

    type: str
    """``function``, ``custom``, or a vendor's own."""
    name: str | None
    """None for a vendor's own tool, which has a type only."""
    raw: Json
    """As the caller wrote it."""

    @classmethod
    def of(cls, raw: Json) -> ChosenTool:
        """In chat's nested spelling, or in the flat one of the Responses API."""
        kind = str(raw.get("type", "function"))
        nested = raw.get(kind)
        name = nested.get("name") if isinstance(nested, dict) else raw.get("name")
        return cls(kind, name if isinstance(name, str) else None, raw)


class ToolChoice(NamedTuple):
    """What the caller lets the model call."""

    mode: Literal["auto", "none", "required"]
    tools: tuple[ChosenTool, ...] | None = None
    """Only these; None: any tool of the request."""
    is_list: bool = False
    """Written as ``allowed_tools``; else ``tools`` is one tool that the model must call."""

    @property
    def names(self) -> frozenset[str] | None:
        """The names of the functions that may be called; None: any."""
        return None if self.tools is None else frozenset(str(tool.name) for tool in self.tools)

    @property
    def function(self) -> str | None:
        """The one function that must be called, where the choice names it directly."""
        if self.tools is None or self.is_list or self.tools[0].type != "function":
            return None
        return self.tools[0].name

    def functions_only(self) -> ToolChoice:
        """Itself, for a vendor whose choice can only name functions. Raises ``ProviderError`` (unsupported)."""
        if self.tools is not None and not self.is_list and self.tools[0].type != "function":
            raise _unsupported(self.tools[0].raw)
        return self


def parse_tool_choice(choice: Any) -> ToolChoice:
    """Raises ``ProviderError`` (unsupported) for a form that is not known."""
    if choice is None:
        return ToolChoice("auto")
    if choice in ("auto", "none", "required"):
        return ToolChoice(choice)
    if choice == "any":  # Mistral's word for it
        return ToolChoice("required")
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(kind, str):
        raise _unsupported(choice)
    if kind == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        listed = allowed.get("tools") if isinstance(allowed, dict) else None
        if not isinstance(listed, list):
            raise _unsupported(choice)
        tools = tuple(ChosenTool.of(tool) for tool in listed if isinstance(tool, dict))
        return ToolChoice("required" if allowed.get("mode") == "required" else "auto", tools, is_list=True)
    tool = ChosenTool.of(choice)
    if tool.name is None and kind in ("function", "custom"):
        raise _unsupported(choice)
    return ToolChoice("required", (tool,))


def _unsupported(choice: Any) -> ProviderError:
    return failed("unsupported", f"tool_choice: {str(choice)[:120]} cannot be expressed in this provider's format")
