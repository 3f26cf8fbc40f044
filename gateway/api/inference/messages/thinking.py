"""Thinking blocks ↔ ``reasoning_details``, so that a vendor gets its reasoning back unchanged and in order. Pure.

A block has one opaque text: ``signature`` of ``thinking``, ``data`` of ``redacted_thinking``. Anthropic's own go there as they
are. What another vendor needs back (an id, a format, its own encrypted text) is packed into that opaque text after ``PACKED``;
clients send it back unchanged. Blocks that Anthropic would refuse, packed and unsigned ones, are removed from a request before it
is passed on (``without_foreign_thinking``).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

Json = dict[str, Any]
NATIVE = "anthropic-claude-v1"
PACKED = "tokenway-1-"
"""Begins an opaque text that the gateway packed; no vendor's base64 has a hyphen so early."""
THINKING = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks."""
READABLE = ("reasoning.text", "reasoning.summary")
"""Types of details that have a text to read."""
_TEXT_OF = {"reasoning.text": "text", "reasoning.summary": "summary"}


# -- answers: details to blocks ----------------------------------------------------------------------------------------


def text_of(detail: Json) -> str:
    """The readable text of a detail."""
    text = detail.get(_TEXT_OF.get(str(detail.get("type")), ""))
    return text if isinstance(text, str) else ""


def opaque(detail: Json, hidden_text: str = "") -> str:
    """The opaque text from which a detail can be restored; "" when there is nothing to keep.

    The readable text stands in the block, or is ``hidden_text``: vendors want their reasoning back whole, and who hid it was the
    gateway.
    """
    kind, format = detail.get("type"), detail.get("format")
    if hidden_text:
        text_field = _TEXT_OF.get(str(kind), "text")
        if detail.get("signature") or format not in (None, NATIVE):
            return _pack({"type": "reasoning.text", **detail, text_field: hidden_text})
    if kind == "reasoning.text":
        signature = detail.get("signature")
        if format in (None, NATIVE):
            return signature if isinstance(signature, str) else ""
    elif format == NATIVE and isinstance(detail.get("data"), str):
        return str(detail["data"])
    kept = {
        name: value for name, value in detail.items() if name != _TEXT_OF.get(str(kind)) and value not in (None, "")
    }
    return _pack(kept) if kept else ""


def _pack(detail: Json) -> str:
    kept = {name: value for name, value in detail.items() if value not in (None, "")}
    return PACKED + urlsafe_b64encode(msgspec.json.encode(kept)).decode().rstrip("=")


def blocks(message: Json, *, hidden: bool = False) -> list[tuple[Any, Json]]:
    """The thinking blocks of a whole inner answer, each with its place among the other blocks, where it is Anthropic's.

    ``hidden``: without the texts; the next turn needs the signatures.
    """
    found: list[tuple[Any, Json]] = []
    has_text = False
    all_details = message.get("reasoning_details")
    for detail in all_details if isinstance(all_details, list) else ():
        kind = detail.get("type") if isinstance(detail, dict) else None
        index = detail.get("index") if kind is not None and detail.get("format") == NATIVE else None
        if kind in READABLE:
            text = text_of(detail)
            has_text = has_text or bool(text)
            sealed = opaque(detail, text if hidden else "")
            found.append((index, {"type": "thinking", "thinking": "" if hidden else text, "signature": sealed}))
        elif kind == "reasoning.encrypted" and isinstance(detail.get("data"), str):
            found.append((index, {"type": "redacted_thinking", "data": opaque(detail)}))
    plain = message.get("reasoning")
    if isinstance(plain, str) and plain and not has_text:
        found.insert(0, (None, {"type": "thinking", "thinking": "" if hidden else plain, "signature": ""}))
    return [(at, block) for at, block in found if block.get("thinking") or block.get("signature") or block.get("data")]


# -- requests: blocks to details ---------------------------------------------------------------------------------------


def details(content: list[Json]) -> tuple[list[Json], str]:
    """``reasoning_details`` of one assistant turn, in order, and their plain text."""
    found: list[Json] = []
    texts: list[str] = []
    calls: dict[str, Json] = {}
    others = 0  # calls before this block, and one for all text: see ``providers.chat.turns.interleaved``
    has_text = False
    for block in content:
        kind = block["type"]
        if kind == "thinking":
            detail = _thinking_detail(block["thinking"], block.get("signature") or "")
            texts.append(text_of(detail))
        elif kind == "redacted_thinking":
            unpacked = _unpack(block["data"])
            detail = unpacked or {"type": "reasoning.encrypted", "data": block["data"], "format": NATIVE}
        elif kind in ("server_tool_use", "mcp_tool_use"):
            detail = calls[block["id"]] = _server_call(block)
        else:
            others += kind == "tool_use" or (kind == "text" and not has_text)
            has_text = has_text or kind == "text"
            if "tool_use_id" in block and block["tool_use_id"] in calls:
                calls[block["tool_use_id"]]["result"] = msgspec.json.encode(block.get("content")).decode()
            continue
        detail.setdefault("index", len(found) + others)
        found.append(detail)
    return found, "".join(texts)


def _thinking_detail(text: str, signature: str) -> Json:
    unpacked = _unpack(signature)
    if unpacked is not None:
        field = _TEXT_OF.get(str(unpacked.get("type")), "text")
        return {**unpacked, field: text or unpacked.get(field, "")}
    if not signature or signature.startswith(PACKED):
        return {"type": "reasoning.text", "text": text}
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": NATIVE}


def _unpack(text: str) -> Json | None:
    """The detail inside a packed text; None for any other text, and for a damaged one."""
    if not text.startswith(PACKED):
        return None
    packed = text[len(PACKED) :]
    try:
        value = msgspec.json.decode(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValueError, RecursionError):  # msgspec.DecodeError and binascii.Error are ValueErrors
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def _server_call(block: Json) -> Json:
    return {
        "type": "reasoning.server_tool_call",
        "tool_name": block["name"],
        "tool_call_id": block["id"],
        "arguments": msgspec.json.encode(block["input"]).decode(),
        "result": "",
        "format": NATIVE,
    }


# -- passing on a request ----------------------------------------------------------------------------------------------


def without_foreign_thinking(messages: list[Json]) -> tuple[list[Json], bool]:
    """The turns, which have been checked, without blocks that Anthropic would refuse, and whether its thinking must be off for this
    request.

    When thinking is on, Anthropic requires that the turn whose call a tool result answers begins with its own thinking; a turn
    that another vendor wrote does not.
    """
    kept: list[Json] = []
    thinking_off = False
    for turn in messages:
        content = turn.get("content")
        if turn["role"] != "assistant" or not isinstance(content, list):
            kept.append(turn)
            thinking_off = thinking_off and turn["role"] == "user" and _has_results(content)
            continue
        types = [block["type"] for block in content]
        own = content
        if not THINKING.isdisjoint(types):
            own = [_restored(block) for block in content if not _foreign(block)]
        calls_without_thinking = "tool_use" in types and types[0] not in THINKING
        thinking_off = bool(own) if len(own) < len(content) else calls_without_thinking
        if own or not content:
            kept.append({**turn, "content": own} if own is not content else turn)
    return kept, thinking_off


def _foreign(block: Json) -> bool:
    """Whether a block is thinking that Anthropic did not sign."""
    if block["type"] not in THINKING:
        return False
    text = block.get("signature") if block["type"] == "thinking" else block["data"]
    return not text or (text.startswith(PACKED) and _restored(block) is block)


def _restored(block: Json) -> Json:
    """The block with the thinking of Anthropic's that was packed because the caller did not want to see it; else the block."""
    unpacked = _unpack(block.get("signature") or "") if block["type"] == "thinking" else None
    if unpacked is None or unpacked.get("format") != NATIVE or not isinstance(unpacked.get("signature"), str):
        return block
    return {**block, "thinking": text_of(unpacked), "signature": unpacked["signature"]}


def _has_results(content: Any) -> bool:
    return isinstance(content, list) and any(block["type"] == "tool_result" for block in content)
