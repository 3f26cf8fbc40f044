"""What strict clients require of an answer, beside the models of the two official SDKs.

The rules come from probing OpenRouter's Python and TypeScript SDKs, the Vercel AI provider and LangChain (2026-11): the key
``error`` never in a success, null only where a client accepts it, whole numbers of tokens, cost details complete.
"""

from __future__ import annotations

from typing import Any

import httpx
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk

GENERATION_ID = r"gen-\d{10}-[A-Za-z0-9]{20}"
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
USAGE |= {"cost", "is_byok", "cost_details"}
COST_DETAILS = {"upstream_inference_prompt_cost", "upstream_inference_completions_cost", "platform_fee"}


def answer(response: httpx.Response) -> dict[str, Any]:
    """Assert that a JSON answer is to the field; its body."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    ChatResult.model_validate_json(response.text)
    ChatCompletion.model_validate_json(response.text)
    body: dict[str, Any] = response.json()
    assert "error" not in body
    assert body["object"] == "chat.completion"
    assert body["id"] == response.headers["x-generation-id"]
    assert "system_fingerprint" in body
    for choice in body["choices"]:
        assert {"index", "finish_reason", "native_finish_reason", "message"} <= choice.keys()
        message = choice["message"]
        assert message["role"] == "assistant"
        assert message["content"] is None or isinstance(message["content"], str)
        assert message.get("tool_calls", []) is not None
        for call in message.get("tool_calls", ()):
            assert isinstance(call["id"], str)
            assert call["type"] == "function"
            assert isinstance(call["function"]["arguments"], str)
    usage(body["usage"])
    return body


def stream(response: httpx.Response, events: list[Any], *, explained: bool = False) -> list[dict[str, Any]]:
    """Assert that a successful stream is to the field, usage on its own last chunk; the chunks before it."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert events[-1] == "[DONE]"
    *chunks, last = events[:-1]
    for each in (*chunks, last):
        chunk(each, response.headers["x-generation-id"])
    for each in chunks:
        assert each["choices"]
        assert "usage" not in each
        assert "openrouter_metadata" not in each
    assert last["choices"] == []
    assert ("openrouter_metadata" in last) is explained
    usage(last["usage"])
    ends = [each for each in chunks if each["choices"][0]["finish_reason"] is not None]
    assert ends == [chunks[-1]]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    return chunks


def chunk(value: dict[str, Any], id: str, *, failed: bool = False) -> None:
    """One chunk: what it must have, and what it must not."""
    ChatStreamChunk.model_validate(value)
    if not failed:  # the OpenAI SDK raises at the key ``error`` before it looks at anything else
        ChatCompletionChunk.model_validate(value)
    assert ("error" in value) is failed
    assert value["id"] == id
    assert value["object"] == "chat.completion.chunk"
    assert type(value["created"]) is int
    assert isinstance(value["model"], str)
    assert isinstance(value.get("provider", "" if failed else None), str)  # it is null when no provider served
    assert value.get("system_fingerprint", "") is not None
    for choice in value["choices"]:
        assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
        delta = choice["delta"]
        assert delta.get("role", "assistant") == "assistant"
        assert delta.get("tool_calls", []) is not None
        for call in delta.get("tool_calls", ()):
            assert type(call["index"]) is int


def usage(value: dict[str, Any]) -> None:
    """The whole usage object, whole numbers, both details, cost details complete."""
    assert value.keys() == USAGE
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert type(value[name]) is int
    assert value["total_tokens"] == value["prompt_tokens"] + value["completion_tokens"]
    assert type(value["prompt_tokens_details"]["cached_tokens"]) is int
    assert type(value["completion_tokens_details"]["reasoning_tokens"]) is int
    assert isinstance(value["cost"], int | float)
    assert value["cost_details"].keys() == COST_DETAILS


def refused(response: httpx.Response, status: int, error_type: str, field: str | None = None) -> dict[str, Any]:
    """Assert the one error shape; the error object."""
    body = response.json()
    assert response.status_code == status, body
    assert response.headers["content-type"] == "application/json"
    assert body.keys() == {"error"}
    error: dict[str, Any] = body["error"]
    assert error["code"] == status
    assert type(error["code"]) is int
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["metadata"]["error_type"] == error_type, error
    if field is not None:
        assert error["metadata"].get("field") == field, error
    return error
