"""What strict clients demand of the Responses API, beside the models of the two official SDKs: fields, order and numbers of events."""

from __future__ import annotations

import json
from typing import Any

import httpx
from openai.types.responses import Response, ResponseStreamEvent
from openrouter.components import OpenResponsesResult, StreamEvents
from pydantic import TypeAdapter

REQUIRED = {
    *("id", "object", "created_at", "completed_at", "status", "model", "output", "error", "incomplete_details"),
    *("instructions", "metadata", "parallel_tool_calls", "temperature", "top_p", "presence_penalty"),
    *("frequency_penalty", "tool_choice", "tools"),
}
NEVER_NULL = ("output_text", "store", "text", "top_logprobs", "error_type", "openrouter_metadata")
COSTS = {"upstream_inference_input_cost", "upstream_inference_output_cost", "platform_fee"}
UNLISTED = {"local_shell_call", "tool_search_call"}
"""Output items of OpenAI's that OpenRouter's SDK has no type for; it keeps them as they are."""
UNLISTED_TOOLS = {"namespace", "tool_search", "web_search"}
"""Tools in the words of their caller: the SDK has no type for the first two, and none with all of Codex's fields for the third."""
LAST = ("response.completed", "response.incomplete", "response.failed")
_OPENAI: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_OPENROUTER: TypeAdapter[Any] = TypeAdapter(StreamEvents)


def answer(response: httpx.Response) -> dict[str, Any]:
    """Assert that a JSON answer is to the field; its body."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body["id"] == response.headers["x-generation-id"]
    whole(body)
    usage(body["usage"])
    assert body["status"] in ("completed", "incomplete")
    return body


def whole(body: dict[str, Any]) -> None:
    """One Response object, finished or not."""
    Response.model_validate(body)
    read = OpenResponsesResult.model_validate(body)
    unknown = [item_body["type"] for item, item_body in zip(read.output, body["output"], strict=True) if _unknown(item)]
    assert set(unknown) <= UNLISTED
    unread = [tool["type"] for tool, told in zip(body["tools"], read.tools, strict=True) if _unknown(told)]
    assert set(unread) <= UNLISTED_TOOLS, body["tools"]
    assert body.keys() >= REQUIRED
    assert body["object"] == "response"
    assert type(body["created_at"]) is int
    assert not [name for name in NEVER_NULL if body.get(name, "") is None]
    assert body["store"] is False
    ids = [item["id"] for item in body["output"]]
    assert len(ids) == len(set(ids))
    assert (body["completed_at"] is not None) is (body["status"] == "completed")
    assert (body["incomplete_details"] is not None) is (body["status"] == "incomplete")


def _unknown(read: Any) -> bool:
    return getattr(read, "is_unknown", False) is True


def usage(value: dict[str, Any]) -> None:
    """The whole usage object, whole numbers, both details, costs complete."""
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert type(value[name]) is int
    assert value["total_tokens"] == value["input_tokens"] + value["output_tokens"]
    assert type(value["input_tokens_details"]["cached_tokens"]) is int
    assert type(value["output_tokens_details"]["reasoning_tokens"]) is int
    assert isinstance(value["cost"], int | float)
    assert value["cost_details"].keys() == COSTS


def events(text: str) -> list[dict[str, Any]]:
    """The events of an SSE body, each with its own ``event:`` line; the body ends with ``[DONE]`` and nothing else."""
    *blocks, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    found = []
    for block in blocks:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def stream(response: httpx.Response) -> list[dict[str, Any]]:
    """Assert that a stream is to the field and in order; its events."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    found = events(response.text)
    check_sequence(found)
    assert found[-1]["response"]["id"] == response.headers["x-generation-id"]
    return found


def check_sequence(found: list[dict[str, Any]]) -> None:
    """Assert the sequence: numbers from 0, created, in progress, items one by one, one end that repeats them."""
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        _OPENAI.validate_python(event)
        assert not _unknown(_OPENROUTER.validate_python(event)), event
        if "response" in event:
            whole(event["response"])
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    assert [event["type"] for event in found if event["type"] in LAST] == [found[-1]["type"]]
    final = found[-1]["response"]
    assert f"response.{final['status']}" == found[-1]["type"]
    if found[-1]["type"] != "response.failed" and final["error"] is None:
        usage(final["usage"])
        assert [_item(found, index) for index in range(len(final["output"]))] == final["output"]
    for event in found[:2]:
        assert event["response"]["status"] == "in_progress"
        assert event["response"]["output"] == []
        assert "usage" not in event["response"]


def _item(found: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """Put one item together from its deltas, as a client does; assert that every ``done`` event agrees. Returns the item."""
    mine = [event for event in found if event.get("output_index") == index]
    assert (mine[0]["type"], mine[-1]["type"]) == ("response.output_item.added", "response.output_item.done")
    first, last = mine[0]["item"], mine[-1]["item"]
    assert (first["id"], first["type"]) == (last["id"], last["type"])
    assert {event["item_id"] for event in mine[1:-1]} <= {first["id"]}
    texts: dict[tuple[str, Any], str] = {}
    for event in mine[1:-1]:
        kind, _, phase = event["type"].rpartition(".")
        place = kind, event.get("content_index", event.get("summary_index"))
        if phase == "delta":
            texts[place] = texts.get(place, "") + event["delta"]
        elif phase == "done" and "part" not in event:
            text = next(event[name] for name in ("text", "arguments", "input", "refusal") if name in event)
            assert texts.get(place, "") == text, event
    _parts(mine, last)
    assert last.get("status", "completed") in ("completed", "incomplete")  # a vendor may leave it out
    return dict(last)


def _parts(mine: list[dict[str, Any]], last: dict[str, Any]) -> None:
    """Content parts are opened and closed in order, and the item holds what they ended with."""
    if last["type"] not in ("message", "reasoning"):
        return
    content = last.get("content", [])
    added = [event for event in mine if event["type"] == "response.content_part.added"]
    done = [event for event in mine if event["type"] == "response.content_part.done"]
    assert [event["content_index"] for event in added] == list(range(len(content)))
    assert [event["part"] for event in done] == content


def refused(response: httpx.Response, status: int, error_type: str, field: str | None = None) -> dict[str, Any]:
    """Assert the error shape of this API; the error object."""
    body = response.json()
    assert response.status_code == status, body
    assert body.keys() == {"error", "error_type"}
    error: dict[str, Any] = body["error"]
    assert type(error["code"]) is int
    assert error["code"] == status
    assert error["message"]
    assert body["error_type"] == error["metadata"]["error_type"] == error_type, error
    if field is not None:
        assert error["metadata"].get("field") == field, error
    return error
