"""The tools of a request: what a vendor that knows functions only is offered, under which names, and whose call came back.

``function`` is flat here and nested in chat. A ``namespace`` groups functions and custom tools, and two namespaces may have tools
of the same name; chat has one flat list. So a tool of a namespace is offered as ``<namespace>__<name>``, and its calls carry
``namespace`` and ``name`` again. Tools also come within ``input``: a client may add them by an item ``additional_tools``, and what
a search found stands in ``tool_search_output``. Types that are neither functions nor run by the caller (``client_tools``) are tools
that the vendor itself runs: they stay as they are, and ``gateway/pipeline/upstream_request.py`` decides whether somebody can.

Formats: OpenAI's Python SDK 3.57 and the requests of Codex 0.171, read 2026-11-30.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

from gateway.api.inference.responses import client_tools
from gateway.errors import BadRequest

Json = dict[str, Any]
_KEPT = ("description", "parameters", "strict")
"""Fields of a function that chat has, too. ``defer_loading`` is not among them: a chat vendor has nothing to load a tool later
with, so every tool is offered at once."""
_BUILT_IN = {
    "local_shell": client_tools.LOCAL_SHELL,
    "shell": client_tools.SHELL,
    "apply_patch": client_tools.APPLY_PATCH,
}
_SAFE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What every vendor takes as the name of a function."""
SOURCES = ("additional_tools", "tool_search_output")
"""Items of ``input`` that have tools."""


class Tool(NamedTuple):
    """What identifies a tool for its caller."""

    kind: str
    """``function``, or a key of ``client_tools.CLIENT_TOOLS``."""
    name: str
    namespace: str | None = None


class Toolbox:
    """The tools of one request by the names under which they are offered. One pass over them, no I/O."""

    def __init__(self, body: Json) -> None:
        self.chat_tools: list[Json] = []
        """In the inner language, in the caller's order."""
        self.originals: list[tuple[Json, Tool | None]] = []
        """The caller's definition of each of ``chat_tools``; None: a tool that the vendor runs."""
        self._by_name: dict[str, Tool] = {}
        self._names: dict[Tool, str] = {}
        given = body.get("tools") or ()
        self._plain = {tool["name"] for tool in given if tool.get("type") == "function"}
        """Names that functions outside of namespaces have: these keep them."""
        for tool in given:
            self._add(tool)
        items = body.get("input")
        for item in items if isinstance(items, list) else ():
            if item.get("type") in SOURCES:
                for tool in item.get("tools") or ():
                    self._add(tool, again=True)

    def name(self, tool: Tool) -> str:
        """The name under which a tool is offered, or would be: calls in the conversation may be of tools that are gone."""
        return self._names.get(tool) or _joined(tool)

    def called(self, name: str) -> Tool:
        """The tool that is offered under this name. A name that nobody offered is taken for a function's."""
        return self._by_name.get(name) or Tool("function", name)

    def _add(self, tool: Json, namespace: str | None = None, *, again: bool = False) -> None:
        """Offer a tool. ``again``: one that is offered already may come once more."""
        if tool.get("type") == "namespace":
            description = tool.get("description")
            for one in tool.get("tools") or ():
                described = {**one, "description": _described(description, one)} if description else one
                self._add(described, tool["name"], again=again)
                description = None  # it stands at the first of them
            return
        made = _identified(tool, namespace)
        if made is None:
            self.chat_tools.append(tool)
            self.originals.append((tool, None))
            return
        if made in self._names:
            if again:
                return
            self._by_name.pop(self._names[made])  # twice in ``tools``: validation refuses it by this name
        name = _joined(made)
        if (name in self._plain and (made.kind, namespace) != ("function", None)) or name in self._by_name:
            name = _hashed(f"{made.kind} {made.namespace} {made.name}")
        self._by_name[name], self._names[made] = made, name
        self.chat_tools.append(_chat_tool(tool, made.kind, name))
        self.originals.append((tool, made))

    # -- the choice among them ----------------------------------------------------------------------------------------

    def choice(self, choice: str | Json) -> tuple[Any, list[Json]]:
        """``tool_choice`` in the inner language, and the tools it allows (``allowed_tools`` may exclude some).

        Raises BadRequest naming the tool that there is not.
        """
        if isinstance(choice, str):
            return choice, self.chat_tools
        type_ = choice.get("type")
        if type_ == "allowed_tools":
            return self._allowed(choice)
        if not isinstance(type_, str):
            raise BadRequest("tool_choice.type: is missing.", field="tool_choice.type")
        found = self._matching(choice)
        known = next((tool for _, tool in (self.originals[place] for place in found) if tool is not None), None)
        if known is not None:
            return {"type": "function", "function": {"name": self.name(known)}}, self.chat_tools
        if type_ in ("function", "custom", "tool_search", *_BUILT_IN):
            raise BadRequest(
                f"tool_choice: tools has no {type_} tool named {choice.get('name', type_)!r}.", field="tool_choice"
            )
        return choice, self.chat_tools

    def _allowed(self, choice: Json) -> tuple[str, list[Json]]:
        mode, listed = choice.get("mode", "auto"), choice.get("tools")
        if mode not in ("auto", "required"):
            raise BadRequest("tool_choice.mode: must be auto or required.", field="tool_choice.mode")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise BadRequest("tool_choice.tools: must be a list of tools.", field="tool_choice.tools")
        allowed: set[int] = set()
        for index, one in enumerate(listed):
            found = self._matching(one)
            if not found:
                field = f"tool_choice.tools[{index}]"
                raise BadRequest(f"{field}: tools has no such tool.", field=field)
            allowed |= found
        return mode, [tool for place, tool in enumerate(self.chat_tools) if place in allowed]

    def _matching(self, wanted: Json) -> set[int]:
        """The places of the tools that a choice names: by type and name, where an MCP server's label is its name."""
        type_, name = wanted.get("type"), wanted.get("name") or wanted.get("server_label")
        found = set()
        for place, (tool, made) in enumerate(self.originals):
            namespace = made.namespace if made is not None else None
            if type_ == "namespace":
                matches = namespace is not None and namespace == name
            elif wanted.get("namespace", namespace) != namespace or tool.get("type") != type_:
                matches = False
            else:
                matches = name is None or name == (tool.get("name") or tool.get("server_label"))
            if matches:
                found.add(place)
        return found


def tools_of(tool: Json) -> list[Tool]:
    """The tools that a definition has and that the caller runs: of a namespace all, else one or none."""
    if tool.get("type") == "namespace":
        found = [_identified(one, tool["name"]) for one in tool.get("tools") or ()]
    else:
        found = [_identified(tool, None)]
    return [one for one in found if one is not None]


def _identified(tool: Json, namespace: str | None) -> Tool | None:
    """What identifies a tool that its caller runs; None for one that the vendor runs."""
    type_ = tool.get("type")
    if type_ == "function":
        return Tool("function", tool["name"], namespace)
    if type_ == "custom":
        return Tool("custom_tool", tool["name"], namespace)
    if type_ == "tool_search":
        return Tool("tool_search", "tool_search") if tool.get("execution") == "client" else None
    if type_ == "shell" and (tool.get("environment") or {}).get("type", "local") != "local":
        return None  # in a container of the vendor's
    return Tool(type_, type_) if type_ in _BUILT_IN else None


def _chat_tool(tool: Json, kind: str, name: str) -> Json:
    if kind == "function":
        function = {field: tool[field] for field in _KEPT if tool.get(field) is not None}
    elif kind == "custom_tool":
        function = client_tools.custom(tool)
    elif kind == "tool_search":
        function = client_tools.tool_search(tool)
    else:
        function = _BUILT_IN[kind]
    made: Json = {"type": "function", "function": {**function, "name": name}}
    if tool.get("cache_control") is not None:
        made["cache_control"] = tool["cache_control"]
    return made


def _described(namespace: str, tool: Json) -> str:
    """The description of a namespace's first tool, with that of the namespace in front."""
    own = tool.get("description")
    return f"{namespace}\n\n{own}" if own else namespace


def _joined(tool: Tool) -> str:
    if tool.namespace is None:
        return tool.name
    joined = f"{tool.namespace}__{tool.name}"
    return joined if _SAFE_NAME.fullmatch(joined) else _hashed(joined)


def _hashed(name: str) -> str:
    """A name that every vendor takes, the same each time for the same name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)[:55]}_{digest}"
