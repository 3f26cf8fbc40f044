"""Anthropic's headers, requests that pass in the vendor's own shape, counted tokens, refusals and usage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import ErrorResponse

from providers.anthropic.count_tokens import AnthropicCount
from providers.anthropic.response import usage_of
from providers.errors import ProviderError
from providers.types import HttpResponse, NativeRequest, Target
from tests.support.anthropicwire import DIALECT, ERRORS, TARGET, target
from tests.support.dialectcases import counted
from tests.support.dialectoracles import anthropic as valid

HI = {"role": "user", "content": "hi"}
COUNT = AnthropicCount()
CLAUDE_CODE = {
    "model": "anthropic/claude-sonnet-4.5",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "# Environment", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "fix it"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "Eq"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py", "is_error": False}],
        },
    ],
    "tools": [
        {"name": "Bash", "description": "Runs", "input_schema": {"type": "object"}, "eager_input_streaming": True}
    ],
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "temperature": 1,
    "metadata": {"user_id": "user_abc_account__session_1"},
}
INNER = {"max_tokens": 32000, "temperature": 1, "reasoning": {"max_tokens": 31999}}
"""What dialects are told of the same request in the inner language."""
GATEWAYS = {
    "models": ["a"],
    "fallbacks": [{"model": "b"}],
    "provider": {"only": ["anthropic"]},
    "plugins": [],
    "session_id": "s",
    "trace": {},
    "user": "raw",
    "stop_server_tools_when": [],
    "safeguards": [],
    "transforms": [],
    "route": "fallback",
}


def headers(inner_request: Any, made_for: Target = TARGET, *, stream: bool = False) -> dict[str, str]:
    return dict(DIALECT.request(made_for, inner_request, stream=stream).headers)


def test_url_and_headers() -> None:
    """URL, key, version, accept and the stream flag; the key as bearer where the vendor wants that; own paths."""
    request = DIALECT.request(TARGET, {"messages": [HI]}, stream=True)
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "anthropic-version": "2023-06-01",
        "x-api-key": "k-1",
    }
    assert json.loads(request.content)["stream"] is True
    plain = DIALECT.request(TARGET, {"messages": [HI], "stream": True}, stream=False)
    assert "stream" not in json.loads(plain.content)
    bearer = headers({"messages": [HI]}, target(auth="bearer", version="2099-01-01"))
    assert (bearer["authorization"], bearer["anthropic-version"], "x-api-key" in bearer) == (
        "Bearer k-1",
        "2099-01-01",
        False,
    )
    local = Target("local", "http://127.0.0.1:1/v1", "m", headers=(("x-team", "t"),), options={"path": "/other"})
    request = DIALECT.request(local, {"messages": [HI]}, stream=False)
    assert request.url == "http://127.0.0.1:1/v1/other"
    assert ("x-team", "t") in request.headers
    assert not {"x-api-key", "authorization"} & dict(request.headers).keys()


def test_betas_of_options_caller_and_request_are_one_header() -> None:
    """Each once, in order; names that could break out of a header are left out."""
    body = {
        "messages": [HI],
        "tools": [{"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1}],
        "speed": "fast",
    }
    native = NativeRequest("messages", body, ("interleaved-thinking-2025-05-14", "a\r\nx-evil: 1", "b-1"))
    request = DIALECT.passthrough(target(beta=["b-1", "c-1"]), native, {}, stream=False)
    names = ["b-1", "c-1", "interleaved-thinking-2025-05-14", "computer-use-2025-01-24", "fast-mode-2026-02-01"]
    assert dict(request.headers)["anthropic-beta"] == ",".join(names)
    names.remove("interleaved-thinking-2025-05-14")
    assert headers(body, target(beta=["b-1", "c-1"]))["anthropic-beta"] == ",".join(names)
    assert "anthropic-beta" not in headers({"messages": [HI]})


def test_quirks_of_a_vendor_are_data() -> None:
    """Fields are dropped or merged over the body as the options say."""
    made_for = target(drop_parameters=["metadata"], extra_body={"top_k": 5, "stop_sequences": None})
    vendor_body = json.loads(
        DIALECT.request(made_for, {"messages": [HI], "user": "u", "stop": "x"}, stream=False).content
    )
    assert vendor_body.keys() == {"model", "max_tokens", "messages", "top_k"}


def passed(wire: dict[str, Any], body: dict[str, Any] | None = None, *, stream: bool = False) -> dict[str, Any]:
    before = json.dumps(wire)
    request = DIALECT.passthrough(
        TARGET, NativeRequest("messages", wire), INNER if body is None else body, stream=stream
    )
    assert json.dumps(wire) == before
    vendor_body: dict[str, Any] = json.loads(request.content)
    return vendor_body


def test_a_request_in_the_vendors_shape_passes() -> None:
    """Claude Code's request goes out as it came but for model, stream and the end user; the gateway's own fields are gone."""
    vendor_body = passed({**CLAUDE_CODE, **GATEWAYS}, {**INNER, "user": "hashed"}, stream=True)
    expected = {**CLAUDE_CODE, "model": "claude-sonnet-4-5", "metadata": {"user_id": "hashed"}}
    assert vendor_body == expected
    valid(vendor_body)
    assert "stream" not in passed(CLAUDE_CODE)


@pytest.mark.parametrize(
    ("dropped", "changed"),
    [
        (("temperature",), {"temperature": None}),
        (("reasoning",), {"thinking": None}),
        (("parallel_tool_calls", "tools", "verbosity"), {}),
    ],
)
def test_what_the_model_does_not_take_is_left_out(dropped: tuple[str, ...], changed: dict[str, Any]) -> None:
    """Planning drops a parameter from the inner request: it is left out here, and the rest stays as the caller wrote it."""
    inner = {name: value for name, value in INNER.items() if name not in dropped}
    expected = {**CLAUDE_CODE, "model": "claude-sonnet-4-5", **changed}
    expected = {
        name: value for name, value in expected.items() if value is not None and name not in ("stream", "metadata")
    }
    assert passed(CLAUDE_CODE, inner) == expected


def test_a_limit_that_was_lowered_lowers_the_budget() -> None:
    """The vendor refuses a budget that is not smaller than max_tokens."""
    lowered = passed(CLAUDE_CODE, {**INNER, "max_tokens": 8000, "reasoning": {"max_tokens": 6400}})
    assert (lowered["max_tokens"], lowered["thinking"]) == (8000, {"type": "enabled", "budget_tokens": 6400})


@pytest.mark.parametrize(
    ("metadata", "user", "expected"),
    [
        ({"user_id": "raw"}, None, None),
        ({"user_id": "raw"}, "hashed", {"user_id": "hashed"}),
        ({"user_id": "raw", "other": 1}, None, {"other": 1}),
        (None, "hashed", {"user_id": "hashed"}),
        ("junk", None, None),
    ],
)
def test_the_callers_own_user_id_never_leaves(metadata: Any, user: str | None, expected: Any) -> None:
    """metadata.user_id is the hashed one or none at all."""
    assert passed({**CLAUDE_CODE, "metadata": metadata}, {"user": user} if user else {}).get("metadata") == expected


def test_betas_of_a_passed_request_move_into_the_header() -> None:
    """They are no field of the body; a missing max_tokens is filled in, because the vendor demands it."""
    native = NativeRequest(
        "messages", {"messages": [HI], "context_management": {"edits": []}}, ("context-1m-2025-08-07",)
    )
    request = DIALECT.passthrough(TARGET, native, {"max_tokens": 9}, stream=False)
    assert dict(request.headers)["anthropic-beta"] == "context-1m-2025-08-07,context-management-2025-06-27"
    vendor_body = json.loads(request.content)
    assert vendor_body == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": [HI],
        "context_management": {"edits": []},
    }


def test_counting_sends_what_makes_the_prompt() -> None:
    """Only the fields that the count takes go out, from the inner language and from the vendor's own shape."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = {
        "messages": [{"role": "system", "content": "s"}, HI],
        "max_tokens": 5,
        "temperature": 0.1,
        "user": "u",
        "stop": "x",
        "tools": tools,
    }
    request = COUNT.request(TARGET, body, stream=False)
    assert request.url == "https://api.anthropic.com/v1/messages/count_tokens"
    vendor_body = json.loads(request.content)
    assert vendor_body.keys() == {"model", "system", "messages", "tools"}
    valid(vendor_body, count=True)
    native = NativeRequest("messages", {**CLAUDE_CODE, **GATEWAYS})
    vendor_body = json.loads(COUNT.passthrough(TARGET, native, {**INNER, "user": "h"}, stream=False).content)
    assert vendor_body == {name: CLAUDE_CODE[name] for name in ("system", "messages", "tools", "thinking")} | {
        "model": "claude-sonnet-4-5"
    }
    valid(vendor_body, count=True)


def test_the_count() -> None:
    """The vendor's number, and its document beside it; anything else is malformed or the error it carries."""
    answer = COUNT.completion(b'{"input_tokens": 33}')
    assert (answer.body, answer.native, answer.usage) == ({"input_tokens": 33}, {"input_tokens": 33}, None)
    for raw in (b"{}", b'{"input_tokens":-1}', b'{"input_tokens":true}', b'{"input_tokens":1.5}', b"[]", b""):
        with pytest.raises(ProviderError) as caught:
            COUNT.completion(raw)
        assert caught.value.failure.kind == "malformed"
    with pytest.raises(ProviderError) as caught:
        COUNT.completion(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert caught.value.failure.kind == "overloaded"
    with pytest.raises(ProviderError):
        COUNT.decoder()


@pytest.mark.parametrize("name", list(ERRORS))
def test_every_recorded_refusal_lands_in_its_row(name: str) -> None:
    """A refusal is classified as its recording says, keeps the vendor's words and finer code, and reads its Retry-After."""
    case = ERRORS[name]
    raw = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    if case["status"] == 200:
        with pytest.raises(ProviderError) as caught:
            DIALECT.completion(raw.encode())
        error = caught.value
    else:
        error = DIALECT.failure(HttpResponse(case["status"], case.get("headers", {}), raw.encode()))
    assert error.failure.kind == case["kind"]
    assert error.retry_after_s == case.get("retry_after_s")
    assert error.message
    if "code" in case:
        assert error.provider_code == case["code"]
    if (
        isinstance(case["body"], dict) and "request_id" in case["body"] and name != "too-large"
    ):  # the SDK has no such type
        ErrorResponse.model_validate(case["body"])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, {}),
        ({"input_tokens": 3, "output_tokens": 4}, {"prompt": 3, "completion": 4}),
        ({"cache_creation_input_tokens": 9}, {"cache_write": 9}),
        ({"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 9}}, {"cache_write_1h": 9}),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}},
            {"cache_write": 2, "cache_write_1h": 3},
        ),
        (
            {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            {"cache_write": 5, "cache_write_1h": 4},
        ),
        ({"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 9}}, {"reasoning": 9}),
        ({"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 9}}, {"reasoning": 5, "suspect": True}),
        ({"input_tokens": -1, "output_tokens": 1.5, "cache_read_input_tokens": "x"}, {"suspect": True}),
        ({"input_tokens": 10**30}, {"suspect": True}),
        ({"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}, {"units": {"web_search": 2}}),
        ({"server_tool_use": [], "cache_creation": 7, "output_tokens_details": "x"}, {}),
    ],
)
def test_usage_is_split_into_disjoint_kinds(raw: dict[str, Any], expected: dict[str, Any]) -> None:
    """Cache reads, writes by their life, thinking and searches are counted once each; an impossible count is 0 and marked."""
    assert counted(usage_of(raw)) == expected
