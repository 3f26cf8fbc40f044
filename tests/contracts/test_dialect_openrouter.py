"""OpenRouter as an upstream: what passes and what stays here, cost, errors with the vendor's own answer, streams and answers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openrouter.components import ChatRequest, ChatStreamChunk

from providers.errors import ProviderError
from providers.openrouter.dialect import OpenRouter
from providers.openrouter.embeddings import OpenRouterEmbeddings
from providers.openrouter.rerank import OpenRouterRerank
from providers.transport.sse import SseParser
from providers.types import HttpRequest, HttpResponse, Target
from tests.support import dialectcases as cases
from tests.support.examples import examples

OPENROUTER = OpenRouter()
BESIDE = {"embeddings": OpenRouterEmbeddings(), "rerank": OpenRouterRerank()}
STREAMS = cases.streams("openrouter")
ANSWERS = cases.documents("openrouter", "answers")
ERRORS = cases.documents("openrouter", "errors")
OPERATIONS = cases.documents("openrouter", "operations")
TARGET = Target("openrouter", "https://openrouter.ai/api/v1", "anthropic/claude-sonnet-4.5", api_key="k-1")
USER = {"role": "user", "content": "hi"}


def request_for(body: dict[str, Any], *, stream: bool = False, **options: Any) -> HttpRequest:
    body = {"model": "anthropic/claude", "messages": [USER], **body}
    before = json.dumps(body)
    request = OPENROUTER.request(msgspec.structs.replace(TARGET, options=options), body, stream=stream)
    assert json.dumps(body) == before
    return request


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The body of a request, which the SDK's type accepts."""
    found: dict[str, Any] = json.loads(request_for(body, stream=stream, **options).content)
    ChatRequest.model_validate(found)
    return found


# -- requests ----------------------------------------------------------------------------------------------------------


def test_what_is_ours_stays_here() -> None:
    """Our providers, fallbacks, presets, sessions and traces do not leave; the cost is requested; stream options are removed."""
    body = {
        "provider": {"order": ["openrouter"], "sort": "price"}, "models": ["a"], "route": "fallback", "preset": "p", "session_id": "s",
        "trace": {}, "debug": {}, "usage": {"include": False}, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    common = {"model": "anthropic/claude-sonnet-4.5", "messages": [USER], "usage": {"include": True}}
    assert sent(body) == common
    assert sent(body, stream=True) == {**common, "stream": True}
    request = request_for({}, stream=True)
    assert (request.method, request.url) == ("POST", "https://openrouter.ai/api/v1/chat/completions")
    assert {("authorization", "Bearer k-1"), ("accept", "text/event-stream")} <= set(request.headers)


def test_what_is_openrouters_passes() -> None:
    """Reasoning, its details, cache breakpoints, plugins, server tools and unknown fields go out as they came."""
    body = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            },
            {
                "role": "assistant",
                "content": "y",
                "reasoning": "r",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "r",
                        "signature": "s",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    },
                    {"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1", "id": "rs_1"},
                ],
            },
            USER,
        ],
        "reasoning": {"effort": "high", "summary": "auto"},
        "plugins": [{"id": "web", "max_results": 2}],
        "tools": [{"type": "openrouter:web_search"}],
        "web_search_options": {"search_context_size": "low"},
        "image_config": {"aspect_ratio": "1:1"},
        "transforms": ["middle-out"],
        "cache_control": {"type": "ephemeral"},
        "user": "hash",
        "verbosity": "low",
        "unknown": 10**30,
    }
    found = sent(body)
    assert {name: found[name] for name in body} == body


def test_reasoning_is_not_excluded_upstream() -> None:
    """``exclude`` is applied here: upstream it would hide the answer's first sign of life."""
    assert sent({"reasoning": {"effort": "low", "exclude": True}})["reasoning"] == {"effort": "low"}
    assert "include_reasoning" not in sent({"include_reasoning": False})
    assert sent({"include_reasoning": True})["include_reasoning"] is True


def test_routing_inside_of_openrouter() -> None:
    """The operator's ``provider`` object goes out; a caller's only from under ``provider.options``, and the operator wins."""
    inside = {"provider": {"options": {"openrouter": {"provider": {"sort": "price", "data_collection": "allow"}}}}}
    assert sent(inside)["provider"] == {"sort": "price", "data_collection": "allow"}
    both = sent(inside, provider={"data_collection": "deny", "order": ["anthropic"]})
    assert both["provider"] == {"sort": "price", "data_collection": "deny", "order": ["anthropic"]}
    assert "provider" not in sent({"provider": {"options": {"openai": {"provider": {"sort": "price"}}}}})
    for junk in (7, {"options": 7}, {"options": {"openrouter": 7}}, {"options": {"openrouter": {"provider": 7}}}, None):
        assert "provider" not in sent({"provider": junk})


def test_the_app_and_other_options() -> None:
    """The operator's app goes out in headers; the options of the plain dialect hold here too."""
    headers = dict(request_for({}, app={"url": "https://gw.example", "title": "Gateway"}).headers)
    assert (headers["http-referer"], headers["x-openrouter-title"]) == ("https://gw.example", "Gateway")
    assert not {"http-referer", "x-openrouter-title"} & dict(request_for({}, app={"url": 7}).headers).keys()
    assert sent({"seed": 1}, drop_parameters=["seed"], extra_body={"transforms": []}).keys() & {
        "seed",
        "transforms",
    } == {"transforms"}
    assert request_for({}, path="/x").url == "https://openrouter.ai/api/v1/x"
    assert ("x-key", "k-1") in request_for({}, api_key_header="x-key").headers


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_the_bytes_are_the_vendors(name: str) -> None:
    """Every event of a good stream is one that the SDK can read."""
    for _, data in SseParser().feed(STREAMS[name].raw):
        if data != b"[DONE]":
            ChatStreamChunk.model_validate_json(data)


def test_an_error_chunk_names_the_vendor_behind() -> None:
    """Of an error in a stream, the message names the vendor and ``raw`` is that vendor's own answer."""
    _, error = cases.decode(OPENROUTER, [STREAMS["error-middle"].raw])
    assert error is not None
    assert (error.message, error.raw) == ("Anthropic: Provider disconnected unexpectedly", "socket closed")


NAMES = (
    "choices", "message", "delta", "content", "finish_reason", "native_finish_reason", "usage", "cost", "cost_details", "is_byok",
    "upstream_inference_cost", "error", "code", "metadata", "raw", "provider_name", "error_type", "data", "embedding", "results",
    "server_tool_use_details", "web_search_requests",
)  # fmt: skip


@examples(200)
@given(cases.junk(NAMES), st.sampled_from(["embeddings", "rerank"]))
def test_any_json_is_an_answer_of_an_operation_or_a_failure(document: Any, operation: str) -> None:
    """No JSON raises anything but a provider's failure."""
    cases.survives(BESIDE[operation].completion, msgspec.json.encode(document))


# -- answers and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.001}, "0.001"),
        ({"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, "0.0021"),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, "0.002"),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, "0.002"),
        ({"cost": 0.001, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.002}}, "0.001"),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": -5}}, "0.001"),
        ({"cost": 0.001, "is_byok": True, "cost_details": None}, "0.001"),
        ({"cost": "x"}, None),
        ({"cost": -1}, None),
    ],
)
def test_the_cost_is_all_that_the_operator_pays(usage: dict[str, Any], cost: str | None) -> None:
    """With the operator's own key at the vendor the fee is not all: what the vendor charged is added; nonsense is no cost."""
    body = json.loads(json.dumps(ANSWERS["text"]["body"]))
    body["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, **usage}
    found = OPENROUTER.completion(json.dumps(body).encode()).usage
    assert found is not None
    assert found.cost_usd == (None if cost is None else Decimal(cost))


def test_searches_are_counted() -> None:
    """Searches made by server tools are units of the answer; nonsense marks it."""
    body = json.loads(json.dumps(ANSWERS["text"]["body"]))
    body["usage"]["server_tool_use_details"] = {"web_search_requests": 2}
    found = OPENROUTER.completion(json.dumps(body).encode()).usage
    assert found is not None
    assert found.units == {"web_search": 2}
    body["usage"]["server_tool_use_details"] = {"web_search_requests": -2}
    found = OPENROUTER.completion(json.dumps(body).encode()).usage
    assert found is not None
    assert (found.units, found.suspect) == (None, True)


def test_a_refusal_keeps_the_vendors_own_error() -> None:
    """``raw`` is the vendor's own body, the message names the vendor, the codes and the advice to wait are kept."""
    case = {**ERRORS["upstream-429"], "headers": {"retry-after": "3"}}
    error = cases.failure_of(OPENROUTER, case)
    assert error.message == "BaseTen: Provider returned error"
    assert error.raw.startswith("z-ai/glm-5.3-flash is temporarily rate-limited")
    assert (error.retry_after_s, error.status) == (3.0, 429)
    assert cases.failure_of(OPENROUTER, ERRORS["typed-context"]).provider_code == "3051"


# -- beside chat -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "operation"), [("embed", "embeddings"), ("rerank", "rerank")])
def test_operations_report_their_cost(name: str, operation: str) -> None:
    """Embeddings and rankings come back with what they cost."""
    case = OPERATIONS[name]
    usage = BESIDE[operation].completion(json.dumps(case["body"]).encode()).usage
    assert {k: v for k, v in msgspec.to_builtins(usage).items() if v} == case["expected"]["usage"]


def test_operations_pass_what_openrouter_knows() -> None:
    """Multimodal input, its type and format, documents as objects; our own fields stay; the app is named."""
    target = msgspec.structs.replace(TARGET, options={"app": {"title": "Gateway"}})
    parts = [{"content": [{"type": "text", "text": "a"}]}]
    body = {
        "input": parts,
        "input_type": "query",
        "encoding_format": "base64",
        "dimensions": 8,
        "provider": {"order": []},
    }
    request = BESIDE["embeddings"].request(target, body, stream=False)
    assert request.url == "https://openrouter.ai/api/v1/embeddings"
    assert ("x-openrouter-title", "Gateway") in request.headers
    kept = {name: value for name, value in body.items() if name != "provider"}
    assert json.loads(request.content) == {**kept, "model": TARGET.upstream_id}
    ranked = {"query": "q", "documents": ["a", {"text": "b", "image": "https://x.example/i.png"}], "top_n": 1}
    request = BESIDE["rerank"].request(target, ranked, stream=False)
    assert request.url == "https://openrouter.ai/api/v1/rerank"
    assert ("x-openrouter-title", "Gateway") in request.headers
    assert json.loads(request.content) == {**ranked, "model": TARGET.upstream_id}


@pytest.mark.parametrize("operation", ["embeddings", "rerank"])
def test_operations_fail_alike(operation: str) -> None:
    """An error of an operation, as a status or inside of a 200, is read as one of chat."""
    dialect = BESIDE[operation]
    refused = dialect.failure(HttpResponse(429, {}, json.dumps(ERRORS["upstream-429"]["body"]).encode()))
    assert (refused.failure.kind, refused.message) == ("rate_limited", "BaseTen: Provider returned error")
    with pytest.raises(ProviderError) as caught:
        dialect.completion(json.dumps(ERRORS["error-200"]["body"]).encode())
    assert (caught.value.failure.kind, caught.value.raw) == ("overloaded", "overloaded")
