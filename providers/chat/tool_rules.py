"""Names of tools and ids of calls as a vendor takes them, and the caller's names back in its answer. Pure and stateless.

Vendors differ in the characters and the length of both, and some demand ids that are unique in the whole conversation. A
conversation may come from another vendor: its ids may repeat from turn to turn (Kimi's ``list_dir:0``), repeat within a turn, or be
missing. What is renamed is renamed alike wherever it stands, and in every later request of the same conversation, so that prompt
caches keep working. Dialects call ``ToolRules.fitted`` first; ``base.Dialect`` gives the caller's names back.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from providers.chat.tool_choice import ChosenTool
from providers.errors import ProviderError
from providers.transport.stream import Decoder
from providers.types import Call, Completion, Event, Json

NAME_64: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""The rule of OpenAI, Bedrock and Mistral for names of tools."""
_NAME_KEPT: Final = 55


def digest(text: str, length: int) -> str:
    """The first hexadecimal digits of a hash of ``text``."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def fitted_name(name: str, rule: re.Pattern[str]) -> str:
    """The name itself, or one of at most 64 characters that every vendor takes; different names stay different."""
    if rule.fullmatch(name):
        return name
    kept = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_NAME_KEPT]
    return f"{kept if kept[:1].isalpha() or kept[:1] == '_' else f't{kept[:-1]}'}_{digest(name, 8)}"


class ToolRules(msgspec.Struct, frozen=True):
    """What a vendor demands of the tools in a request."""

    name: re.Pattern[str] | None = None
    """Of a tool's name; None: any."""
    id: re.Pattern[str] | None = None
    """Of a call's id; None: any."""
    make_id: Callable[[str], str] | None = None
    """An id of that form for another one; different ids stay different."""
    unique: bool = False
    """Ids must be unique in the conversation; else only within a turn."""

    def fitted(self, body: Any) -> Any:
        """The chat request with names and ids that the vendor takes; the same object where nothing had to change."""
        messages = body.get("messages")
        if not isinstance(messages, list):
            return body
        changes = {} if self._fits(messages) else _Conversation(self).changed(messages)
        tools = body.get("tools")
        if tools and (tools := _renamed_tools(tools, self.name)) is not None:
            changes["tools"] = tools
            choice = _renamed_choice(body.get("tool_choice"), self.name)
            if choice is not None:
                changes["tool_choice"] = choice
        return {**body, **changes} if changes else body

    def _fits(self, messages: list[Any]) -> bool:
        """Whether every call has an id and a name that the vendor takes: so it is in nearly all conversations, and this costs
        40 us for a hundred calls, a tenth of the walk that renames."""
        calls = [call for message in messages if "tool_calls" in message for call in message["tool_calls"] or ()]
        if not calls:
            return True
        try:
            ids = [call["id"] for call in calls]
            if len(set(ids)) < len(ids) or not all(ids):
                return False
            names = [call["function"]["name"] for call in calls] if self.name is not None else None
            return _all_match(self.id, ids) and (names is None or _all_match(self.name, names))
        except (KeyError, TypeError):  # an id is missing; a custom call
            return False

    def names(self, call: Call) -> dict[str, str]:
        """The vendor's names → the caller's, of the tools of this request that were renamed."""
        rule, tools = self.name, call.body.get("tools") if call.native is None else None
        if rule is None or not isinstance(tools, list):
            return {}
        names = [_tool_name(tool) for tool in tools]
        return {fitted: name for name in names if name is not None and (fitted := fitted_name(name, rule)) != name}

    def completion(self, completion: Completion, call: Call) -> Completion:
        """The answer with the caller's names."""
        if names := self.names(call):
            for choice in completion.body.get("choices") or ():
                _restore((choice.get("message") or {}).get("tool_calls"), names)
        return completion

    def decoder(self, decoder: Decoder, call: Call) -> Decoder:
        """The decoder, which gives the caller's names."""
        names = self.names(call)
        return _Restoring(decoder, names) if names else decoder


class _Restoring:
    """A decoder whose events have the caller's names."""

    def __init__(self, decoder: Decoder, names: Mapping[str, str]) -> None:
        self._decoder, self._names = decoder, names

    @property
    def done(self) -> bool:
        return self._decoder.done

    @property
    def error(self) -> ProviderError | None:
        return self._decoder.error

    def feed(self, data: bytes) -> list[Event]:
        return self._restored(self._decoder.feed(data))

    def close(self) -> list[Event]:
        return self._restored(self._decoder.close())

    def _restored(self, events: list[Event]) -> list[Event]:
        for event in events:
            for choice in event.chunk.get("choices") or ():
                _restore((choice.get("delta") or {}).get("tool_calls"), self._names)
        return events


@lru_cache(maxsize=32)
def _lines(rule: re.Pattern[str]) -> re.Pattern[str]:
    """The form of several names or ids, one a line."""
    return re.compile(rf"(?:{rule.pattern})(?:\n(?:{rule.pattern}))*")


def _all_match(rule: re.Pattern[str] | None, texts: list[str]) -> bool:
    return rule is None or _lines(rule).fullmatch("\n".join(texts)) is not None


class _Conversation:
    """Renames the calls of one conversation, in order: their ids, and the names of their tools."""

    def __init__(self, rules: ToolRules) -> None:
        self._rules = rules
        self._used: set[str] = set()
        """Ids that have been given to calls: of the conversation, or of the turn."""
        self._counts: defaultdict[str, int] = defaultdict(int)
        """How often each of the caller's ids has been seen."""
        self._waiting: defaultdict[str | None, deque[str]] = defaultdict(deque)
        """Calls of the turn without a result: the caller's id → the new ones, in the order of the calls. None: without an id."""

    def changed(self, messages: list[Any]) -> Json:
        """``{"messages": [...]}``, or nothing where every message can stay as it is."""
        made: list[Any] | None = None
        in_turn = False
        for index, message in enumerate(messages):
            role, new = message.get("role"), message
            if role == "assistant":
                if not in_turn:
                    self._waiting.clear()
                    if not self._rules.unique:
                        self._used.clear()
                calls = message.get("tool_calls")
                new = self._call_message(message, calls, index) if calls else message
                in_turn = True
            elif role == "tool":
                new, in_turn = self._result(message), False
            elif role == "user":
                in_turn = False
            if new is not message and made is None:
                made = list(messages[:index])
            if made is not None:
                made.append(new)
        return {} if made is None else {"messages": made}

    def _call_message(self, message: Json, calls: Any, index: int) -> Json:
        renamed: dict[str, str] = {}
        made: list[Any] = []
        for position, call in enumerate(calls):
            own = call.get("id") or None
            id = self._new_id(own or f"call_{index}_{position}")
            new = _renamed_call(call, self._rules.name)
            if id != own:
                new = {**new, "id": id}
                renamed |= {own: id} if own is not None and own not in renamed else {}
            self._waiting[own].append(id)
            made.append(new)
        if all(new is call for new, call in zip(made, calls, strict=True)):
            return message
        details = message.get("reasoning_details")
        if renamed and isinstance(details, list):  # a signature may name the call that it belongs to
            details = [_renamed_detail(one, renamed) for one in details]
            return {**message, "tool_calls": made, "reasoning_details": details}
        return {**message, "tool_calls": made}

    def _new_id(self, id: str) -> str:
        """An id that the vendor takes and that no other call has. The n-th call with an id gets the same one in every request."""
        new = self._of_form(id)
        self._counts[id] += 1
        while new in self._used:
            new = self._of_form(f"{id}_{self._counts[id]}")
            self._counts[id] += 1
        self._used.add(new)
        return new

    def _of_form(self, id: str) -> str:
        rules = self._rules
        return id if rules.make_id is None or rules.id is None or rules.id.fullmatch(id) else rules.make_id(id)

    def _result(self, message: Json) -> Json:
        changed = {}
        own = message.get("tool_call_id") or None
        if waiting := self._waiting.get(own):
            id = waiting.popleft()
            if id != own:
                changed["tool_call_id"] = id
        name, rule = message.get("name"), self._rules.name
        if rule is not None and isinstance(name, str) and name and (fitted := fitted_name(name, rule)) != name:
            changed["name"] = fitted
        return {**message, **changed} if changed else message


# -- names ---------------------------------------------------------------------------------------------------------------


def _tool_name(tool: Any) -> str | None:
    """The name of a function or of a custom tool; None for a vendor's own."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    described = tool.get(kind) if kind in ("function", "custom") else None
    name = described.get("name") if isinstance(described, dict) else None
    return name if isinstance(name, str) else None


def _renamed_tools(tools: Any, rule: re.Pattern[str] | None) -> list[Any] | None:
    """The tools with names that the vendor takes; None where none had to change."""
    if rule is None or not isinstance(tools, list):
        return None
    changed = False
    made = []
    for tool in tools:
        name = _tool_name(tool)
        if name is not None and (fitted := fitted_name(name, rule)) != name:
            kind = tool["type"]
            tool, changed = {**tool, kind: {**tool[kind], "name": fitted}}, True
        made.append(tool)
    return made if changed else None


def _renamed_choice(choice: Any, rule: re.Pattern[str] | None) -> Any:
    """``tool_choice`` with names that the vendor takes; None where nothing had to change. Nested or flat, one tool or a list."""
    if rule is None or not isinstance(choice, dict):
        return None
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        tools = allowed.get("tools") if isinstance(allowed, dict) else None
        listed = [_renamed_choice(tool, rule) or tool for tool in tools] if isinstance(tools, list) else tools
        renamed = {**allowed, "tools": listed}
        return {**choice, "allowed_tools": renamed} if "allowed_tools" in choice else renamed
    tool = ChosenTool.of(choice)
    if tool.name is None or (name := fitted_name(tool.name, rule)) == tool.name:
        return None
    nested = choice.get(tool.type)
    return {**choice, tool.type: {**nested, "name": name}} if isinstance(nested, dict) else {**choice, "name": name}


def _renamed_call(call: Json, rule: re.Pattern[str] | None) -> Json:
    kind = call.get("type", "function")
    described = call.get(kind) if isinstance(kind, str) else None
    name = described.get("name") if isinstance(described, dict) else None
    if rule is None or not isinstance(name, str) or (fitted := fitted_name(name, rule)) == name:
        return call
    return {**call, kind: {**call[kind], "name": fitted}}


def _renamed_detail(detail: Any, renamed: Mapping[str, str]) -> Any:
    id = detail.get("id") if isinstance(detail, dict) else None
    return {**detail, "id": renamed[id]} if isinstance(id, str) and id in renamed else detail


def _restore(calls: Any, names: Mapping[str, str]) -> None:
    """Put the caller's names into the calls of an answer, in place."""
    for call in calls if isinstance(calls, list) else ():
        for kind in ("function", "custom"):
            described = call.get(kind)
            if isinstance(described, dict) and described.get("name") in names:
                described["name"] = names[described["name"]]
