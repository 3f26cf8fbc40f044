"""What clients of Anthropic's Messages API require of an answer, beside the response types of the official SDK.

Every event and every message goes through the SDK's own types in their strict form; the order of events is checked against the
protocol (platform.claude.com/docs/en/build-with-claude/streaming, 2026-11): one block after another, indexes without gaps.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.support.wireshape import COST_DETAILS, GENERATION_ID

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
MESSAGE = {
    "id",
    "type",
    "role",
    "model",
    "content",
    "stop_reason",
    "stop_sequence",
    "stop_details",
    "container",
    "usage",
}
COUNTS = {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"}
USAGE = COUNTS | {"server_tool_use", "service_tier", "inference_geo", "output_tokens_details"}
COST = {"cost", "cost_details", "is_byok"}
ERROR_TYPES = {
    *("invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error"),
    *("rate_limit_error", "timeout_error", "api_error", "overloaded_error"),
}
Event = tuple[str, dict[str, Any]]


def answer(response: httpx.Response, *, strict: bool = True) -> dict[str, Any]:
    """Assert that a JSON answer is to the field; its body. ``strict``: all blocks are the SDK's."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    if strict:
        Message.model_validate(body)
    assert body.keys() >= MESSAGE
    assert body["id"] == response.headers["x-generation-id"]
    assert re.fullmatch(GENERATION_ID, body["id"])
    assert "error" not in body
    for block in body["content"]:
        demanded(block)
    usage(body["usage"])
    return body


def demanded(block: dict[str, Any]) -> None:
    """The fields that the contract demands of a block."""
    needed = {
        "text": {"text", "citations"},
        "tool_use": {"id", "name", "input", "caller"},
        "thinking": {"thinking", "signature"},
        "redacted_thinking": {"data"},
    }
    assert block.keys() >= needed.get(block["type"], set())


def usage(reported: dict[str, Any]) -> None:
    """Usage as charged."""
    assert reported.keys() >= USAGE | COST
    assert all(isinstance(reported[name], int) for name in COUNTS - {"cache_creation"})
    assert isinstance(reported["cost"], int | float)
    assert reported["cost_details"].keys() >= COST_DETAILS


def events(text: str) -> list[Event]:
    """Name and data of every event of an SSE body. Comments are skipped; a name and its data must agree."""
    found: list[Event] = []
    for part in text.split("\n\n"):
        lines = [line for line in part.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        assert len(lines) == 2, part
        assert lines[0].startswith("event: "), part
        assert lines[1].startswith("data: "), part
        data = json.loads(lines[1][6:])
        assert data["type"] == lines[0][7:]
        found.append((lines[0][7:], data))
    return found


def stream(response: httpx.Response, *, strict: bool = True) -> list[Event]:
    """Assert that a successful stream is to the field and in order; its events."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    found = events(response.text)
    names = [name for name, _ in found if name != "ping"]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    if strict:
        for name, data in found:
            if name != "ping":
                EVENT.validate_python(data)
    opened = found[0][1]["message"]
    assert opened.keys() >= MESSAGE
    assert opened["id"] == response.headers["x-generation-id"]
    assert opened["stop_reason"] is None
    assert opened["usage"].keys() >= {"input_tokens", "output_tokens"}
    blocks(found)
    last = found[-2][1]
    assert last["delta"].keys() >= {"stop_reason", "stop_sequence"}
    assert last["delta"]["stop_reason"] is not None
    usage(last["usage"])
    return found


def blocks(found: list[Event]) -> list[dict[str, Any]]:
    """The content blocks that a stream's events make, in order; the sequence of the protocol is asserted."""
    made: list[dict[str, Any]] = []
    current: dict[str, Any] | None = None
    arguments = ""
    for name, data in found:
        if name == "content_block_start":
            assert current is None, "two blocks at once"
            assert data["index"] == len(made)
            current, arguments = dict(data["content_block"]), ""
            demanded(current)
        elif name == "content_block_delta":
            assert current is not None
            assert data["index"] == len(made)
            arguments += _apply(current, data["delta"])
        elif name == "content_block_stop":
            assert current is not None
            assert data["index"] == len(made)
            if arguments:
                current["input"] = json.loads(arguments)
            made.append(current)
            current = None
    assert current is None, "a block without an end"
    return made


def _apply(block: dict[str, Any], delta: dict[str, Any]) -> str:
    kind = delta["type"]
    if kind == "text_delta":
        block["text"] += delta["text"]
    elif kind == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    elif kind == "citations_delta":
        block["citations"] = [*(block["citations"] or []), delta["citation"]]
    else:
        assert kind == "input_json_delta"
        assert block["type"] == "tool_use"
        return str(delta["partial_json"])
    return ""


def error(body: dict[str, Any], type_: str, *, id: str | None = None) -> dict[str, Any]:
    """Assert the one error envelope; its ``error``."""
    assert body["type"] == "error"
    reported: dict[str, Any] = body["error"]
    assert reported["type"] == type_
    assert reported["type"] in ERROR_TYPES
    assert isinstance(reported["message"], str)
    assert reported["message"]
    assert isinstance(reported["error_type"], str)
    assert body["request_id"] == id
    return reported
