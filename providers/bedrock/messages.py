"""Messages of the inner language as Converse messages: roles, content blocks, cache points. Pure.

Facts, each read 2026-11. From botocore 1.44.5's service model of bedrock-runtime: names, formats, lengths and patterns. From
the Converse guide (docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html) and its error texts: text that
is empty or white space is refused, also in tool results, which must not be empty either (github.com/NousResearch/
hermes-agent/pull/64858, github.com/pydantic/pydantic-ai/pull/6116); a message with a document needs a text. A cache point is
a block of its own after what it caches, never inside a tool result (github.com/langchain-ai/langchain-aws/pull/503), at Claude
not right behind a document that is no PDF (github.com/strands-agents/harness-sdk/issues/1966), at Nova not behind a result.
"""

from __future__ import annotations

import re
from typing import Any

from providers.bedrock.media import Media
from providers.chat.messages import arguments_object, unsupported
from providers.chat.tool_rules import digest
from providers.chat.turns import interleaved
from providers.types import Json

REASONING_FORMAT = "anthropic-claude-v1"
"""The format of ``reasoning_details`` that carry Claude's signatures: Bedrock takes them back unchanged."""
EMPTY = "(empty)"
"""Text of a user's message or a tool result without content: Converse refuses empty ones."""
CACHE_POINTS_MAX = 4

TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


class Caching:
    """Makes cache points, as far as this endpoint takes them, and counts them."""

    def __init__(self, *, on: bool, nova: bool = False) -> None:
        self.on = on
        self._nova = nova
        self._set = 0

    @property
    def used(self) -> bool:
        """Whether there is any."""
        return self._set > 0

    def point(self, control: Any) -> list[Json]:
        """The cache point for a ``cache_control``, or nothing. The vendor refuses a fifth one, so it is left out."""
        if not self.on or not isinstance(control, dict) or self._set >= CACHE_POINTS_MAX:
            return []
        self._set += 1
        point: Json = {"type": "default"}
        if not self._nova and control.get("ttl") in ("5m", "1h"):
            point["ttl"] = control["ttl"]
        return [{"cachePoint": point}]

    def placed(self, content: list[Json]) -> list[Json]:
        """The blocks of a message with each cache point behind a block that may be cached: it moves forward, or is left out."""
        made: list[Json] = []
        for block in content:
            place = len(made)
            if "cachePoint" in block:
                while place and self._cannot_end(made[place - 1]):
                    place -= 1
                if not place or "cachePoint" in made[place - 1]:
                    continue
            made.insert(place, block)
        return made

    def _cannot_end(self, block: Json) -> bool:
        return "toolResult" in block if self._nova else block.get("document", {}).get("format", "pdf") != "pdf"


def tool_id(id: str) -> str:
    """An id that Converse takes in place of one that it would refuse."""
    return f"call_{digest(id, 32)}"


class Messages:
    """Builds a conversation: ``add`` every message in order, then read ``system`` and ``done()``."""

    def __init__(self, caching: Caching, *, signed: bool) -> None:
        self.system: list[Json] = []
        self.tools_used: dict[str, None] = {}
        """Names of the tools that the conversation mentions, in order."""
        self._messages: list[Json] = []
        self.caching = caching
        self._signed = signed
        self._media = Media()

    def add(self, message: Json, place: str) -> None:
        """``place`` names the message in a refusal, e.g. ``messages[3]``. Raises ``ProviderError``: unsupported."""
        match message.get("role"):
            case "system" | "developer":
                self.system += self._parts(message, place, only_text=True)
            case "user":
                self._append("user", self._user(message, place) or [{"text": EMPTY}])
            case "assistant":
                self._append("assistant", self._assistant(message, place))
            case "tool":
                self._append("user", self._result(message, place))
            case role:
                raise unsupported(f"{place}.role", f"{role!r} is unknown to this vendor")

    def done(self) -> list[Json]:
        """The messages. Raises ``ProviderError`` (unsupported) unless the first one is a user's."""
        if not self._messages or self._messages[0]["role"] != "user":
            raise unsupported("messages", "a conversation with this vendor must begin with a user's message")
        last = self._messages[-1]
        if last["role"] == "assistant" and "text" in last["content"][-1]:
            # Claude refuses a trailing assistant message (prefill) that ends in white space.
            last["content"][-1] = {"text": last["content"][-1]["text"].rstrip()}
        if self.caching.used:
            for message in self._messages:
                message["content"] = self.caching.placed(message["content"])
        return self._messages

    def cache_end(self, control: Any) -> None:
        """Adds a cache point to the last user's message, unless it ends with one."""
        for message in reversed(self._messages):
            if message["role"] == "user":
                if "cachePoint" not in message["content"][-1]:
                    message["content"] += self.caching.point(control)
                return

    def replays_unsigned_tools(self) -> bool:
        """Whether the open turn of the assistant called tools without thinking: Claude then refuses to think in it."""
        for message in reversed(self._messages):
            kinds = {kind for block in message["content"] for kind in block}
            if message["role"] == "user" and "toolResult" not in kinds:
                return False
            if "toolUse" in kinds and "reasoningContent" not in kinds:
                return True
        return False

    def _append(self, role: str, blocks: list[Json]) -> None:
        if not blocks:
            return
        if self._messages and self._messages[-1]["role"] == role:
            self._messages[-1]["content"] += blocks
        else:
            self._messages.append({"role": role, "content": blocks})

    def _user(self, message: Json, place: str) -> list[Json]:
        blocks = self._parts(message, place)
        name = message.get("name")
        first = next((block for block in blocks if "text" in block), None)
        if isinstance(name, str) and name and first is not None:
            first["text"] = f"{name}: {first['text']}"
        document = next((block["document"] for block in blocks if "document" in block), None)
        if document is not None and first is None:
            blocks.append({"text": document["name"]})
        return blocks

    def _assistant(self, message: Json, place: str) -> list[Json]:
        thinking = _reasoning(message.get("reasoning_details")) if self._signed else []
        blocks = self._parts(message, place)
        if not any("text" in block for block in blocks) and isinstance(message.get("refusal"), str):
            blocks += _text(message["refusal"])
        calls = enumerate(message.get("tool_calls") or ())
        uses = [[self._call(call, f"{place}.tool_calls[{index}]")] for index, call in calls]
        return (
            interleaved(thinking, message.get("reasoning_details"), [blocks, *uses]) if blocks or uses else []
        )  # thinking alone is refused

    def _call(self, call: Any, place: str) -> Json:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise unsupported(place, "this vendor takes function calls only")
        name = function["name"]
        self.tools_used[name] = None
        return {
            "toolUse": {
                "toolUseId": call.get("id"),
                "name": name,
                "input": arguments_object(function.get("arguments")),
            }
        }

    def _result(self, message: Json, place: str) -> list[Json]:
        blocks = self._parts(message, place)
        points = [block for block in blocks if "cachePoint" in block]
        content = [block for block in blocks if "cachePoint" not in block] or [{"text": EMPTY}]
        return [{"toolResult": {"toolUseId": message.get("tool_call_id"), "content": content}}, *points]

    def _parts(self, message: Json, place: str, *, only_text: bool = False) -> list[Json]:
        content = message.get("content")
        if isinstance(content, str):
            # A string cannot carry cache_control: some clients put it on the message.
            text = _text(content)
            return text + self.caching.point(message.get("cache_control")) if text else []
        blocks: list[Json] = []
        for index, part in enumerate(content or ()):
            made = self._part(part, f"{place}.content[{index}]", only_text=only_text)
            if made:
                blocks += made + self.caching.point(part.get("cache_control") or part.get("prompt_cache_breakpoint"))
        return blocks

    def _part(self, part: Any, place: str, *, only_text: bool) -> list[Json]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            return _text(part.get(kind))
        if only_text:
            raise unsupported(place, f"{kind!r} in a system message")
        return [self._media.block(part, place)]


def _text(value: Any) -> list[Json]:
    return [{"text": value}] if isinstance(value, str) and value and not value.isspace() else []


def _reasoning(details: Any) -> list[tuple[Any, Json]]:
    """Claude's own reasoning as blocks with their indexes: signed text and encrypted data. That of other models is left out.

    A caller may send the fragments of a stream: those up to a signature are one text.
    """
    blocks: list[tuple[Any, Json]] = []
    text = ""
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or detail.get("format") != REASONING_FORMAT:
            continue
        signature, data = detail.get("signature"), detail.get("data")
        if detail.get("type") == "reasoning.text":
            text += detail["text"] if isinstance(detail.get("text"), str) else ""
            if isinstance(signature, str) and signature:
                block = {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
                blocks.append((detail.get("index"), block))
                text = ""
        elif detail.get("type") == "reasoning.encrypted" and isinstance(data, str) and data:
            blocks.append((detail.get("index"), {"reasoningContent": {"redactedContent": data}}))
    return blocks
