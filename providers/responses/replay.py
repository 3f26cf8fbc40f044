"""Items of earlier turns as a vendor that has stored nothing takes them back. Pure.

A client that replays ``output`` sends what it was given, and some clients drop fields. Facts:

- A reasoning item without ``encrypted_content`` is looked up by its id, and with ``store: false`` there is nothing to find: 404
  (github.com/vercel/ai/issues/7543, 2025-07; openai-agents and LangChain replay so by default).
- A call or message whose id says that it came with such an item is refused without it ("provided without its required
  'reasoning' item"); without its id it is not (github.com/NousResearch/hermes-agent/pull/102282, 2026-09).
- OpenAI's SDK for Node adds ``parsed_arguments`` to calls and ``parsed`` to texts (7.59), which its own API refuses.
- Some types of items must have an id, which is not looked up: "Missing required parameter: 'input[42].id'"
  (github.com/openai/codex/issues/6926, 2025-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.types import Json

_ID_PREFIXES: Final[Mapping[str, str]] = {
    "reasoning": "rs",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "local_shell_call": "lsh",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
}
"""Types whose items must have an id (``Required`` in the types of the openai SDK 3.57) → how it begins."""
_PARSED: Final = frozenset({"parsed", "parsed_arguments"})
_OF_ONE_TURN: Final = frozenset({"message", "function_call", "custom_tool_call", *_ID_PREFIXES} - {"reasoning"})


def replayable(items: list[Any], *, plain: bool) -> list[Any]:
    """The items without reasoning that cannot be taken back and with the ids that must be there; ``items`` is not changed.

    ``plain``: the vendor encrypts nothing and takes reasoning as text.
    """
    kept: list[Any] = []
    orphaned = False
    """A reasoning item of this turn was left out: the ids of what came with it would give it away."""
    for index, item in enumerate(items):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "reasoning":
            orphaned = not (plain or item.get("encrypted_content"))
            if orphaned:
                continue
        elif kind not in _OF_ONE_TURN or (kind == "message" and item.get("role") != "assistant"):
            orphaned = False
        if kind is not None:
            item = _unparsed(_identified(item, index, kind, plain=plain, orphaned=orphaned))
        kept.append(item)
    return kept


def _unparsed(item: Json) -> Json:
    """The item without what a client's SDK has added."""
    if "parsed_arguments" in item:
        return {name: value for name, value in item.items() if name not in _PARSED}
    content = item.get("content")
    if isinstance(content, list) and any(isinstance(part, dict) and "parsed" in part for part in content):
        parts = [{name: value for name, value in part.items() if name not in _PARSED} for part in content]
        return {**item, "content": parts}
    return item


def _identified(item: Json, index: int, kind: str, *, plain: bool, orphaned: bool) -> Json:
    """The item with an id where it must have one, and without where it may not."""
    prefix = _ID_PREFIXES.get(kind)
    sealed = kind == "reasoning" and not plain  # the vendor has sealed its own id in it: a made-up one would be refused
    if prefix is not None and not sealed and not item.get("id"):
        return {**item, "id": f"{prefix}_{index}"}
    if (orphaned and prefix is None and "id" in item) or item.get("id", "") is None:
        return {name: value for name, value in item.items() if name != "id"}
    return item
