"""The requests of the Responses dialect, judged by the official SDK's own types, and what it refuses to send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import ProviderError
from providers.responses.dialect import Responses
from providers.responses.request import CHAT_ONLY_FIELDS, GATEWAY_FIELDS
from providers.types import NativeRequest, Target
from tests.support.dialectoracles import responses_api

RESPONSES = Responses()
PDF = "data:application/pdf;base64,JVBERi0="
PNG = "data:image/png;base64,iVBORw0="


def target(**options: Any) -> Target:
    return Target("acme", "https://vendor/v1", "gpt-5", api_key="k-1", headers=(("x-team", "t"),), options=options)


def sent(
    options: dict[str, Any] | None = None, *, stream: bool = False, judge: bool = True, **body: Any
) -> dict[str, Any]:
    body.setdefault("messages", [{"role": "user", "content": "hi"}])
    before = json.dumps(body)
    request = RESPONSES.request(target(**(options or {})), body, stream=stream)
    assert json.dumps(body) == before
    content: dict[str, Any] = json.loads(request.content)
    if judge:
        responses_api(content)
    return content


def refused(options: dict[str, Any] | None = None, **body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        sent(options, **body)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


def test_url_and_headers() -> None:
    """URL, headers, key as bearer or bare, own path; only a stream has ``stream``; ``store`` is false."""
    request = RESPONSES.request(target(), {"messages": [], "stream": True}, stream=False)
    assert (request.method, request.url) == ("POST", "https://vendor/v1/responses")
    assert {("authorization", "Bearer k-1"), ("x-team", "t"), ("accept", "application/json")} <= set(request.headers)
    assert json.loads(request.content) == {"model": "gpt-5", "input": [], "store": False}
    other = target(path="/openai/v1/responses", api_key_header="api-key")
    request = RESPONSES.request(other, {"messages": [], "stream_options": {"include_usage": True}}, stream=True)
    assert request.url == "https://vendor/v1/openai/v1/responses"
    assert {("api-key", "k-1"), ("accept", "text/event-stream")} <= set(request.headers)
    assert json.loads(request.content) == {"model": "gpt-5", "input": [], "store": False, "stream": True}


def test_fields_that_mean_the_same_go_out_the_same() -> None:
    """Sampling, caching, tiers and metadata keep their names; nulls, fields of the gateway and of chat alone are left out."""
    same = {
        "temperature": 0.5,
        "top_p": 0.9,
        "parallel_tool_calls": False,
        "max_tool_calls": 3,
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
        "service_tier": "flex",
        "metadata": {"a": "b"},
    }
    ours = dict.fromkeys(GATEWAY_FIELDS - {"include_reasoning"}, 1) | {"truncation": None, "store": True}
    chat = dict.fromkeys(CHAT_ONLY_FIELDS - {"stop", "modalities"}, 1)
    body = sent(**same, **ours, **chat, user="u-1", max_completion_tokens=50, max_tokens=7)
    assert body == same | {
        "model": "gpt-5",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "store": False,
        "user": "u-1",
        "max_output_tokens": 50,
    }


def test_options_are_data() -> None:
    """Each documented option does what it says."""
    assert sent({"user_field": "safety_identifier"}, user="u")["safety_identifier"] == "u"
    assert not {"user", "safety_identifier"} & sent({"user_field": None}, user="u").keys()
    kept = sent({"keep_parameters": ["stop", "seed"]}, judge=False, stop=["x"], seed=7, top_k=3)
    assert (kept["stop"], kept["seed"], "top_k" in kept) == (["x"], 7, False)
    assert "temperature" not in sent({"drop_parameters": ["temperature"]}, temperature=1)
    assert sent({"extra_body": {"truncation": "auto", "store": None}})["truncation"] == "auto"
    assert sent({"min_output_tokens": 16}, max_tokens=16)["max_output_tokens"] == 16
    assert "max_tokens" in refused({"min_output_tokens": 16}, max_tokens=15)
    assert sent(max_tokens=1)["max_output_tokens"] == 1


MESSAGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"role": "system", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
    (
        {"role": "developer", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
        {"role": "developer", "content": [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}]},
    ),
    ({"role": "user", "name": "Ann", "content": "hi"}, {"role": "user", "content": "Ann: hi"}),
    (
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "x"},
    ),
    (
        {"role": "user", "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}],
        },
    ),
    (
        {"role": "user", "name": "Ann", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Ann: "},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
            ],
        },
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "https://a.example/b.png", "detail": "auto"}],
        },
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}]},
        {"role": "user", "content": [{"type": "input_file", "file_data": PDF, "filename": "a.pdf"}]},
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_data": PDF}}]},
        {"role": "user", "content": [{"type": "input_file", "file_data": PDF, "filename": "file.pdf"}]},
    ),
    (
        {
            "role": "user",
            "content": [{"type": "file", "file": {"file_data": "https://a.example/b.pdf", "filename": "b"}}],
        },
        {"role": "user", "content": [{"type": "input_file", "file_url": "https://a.example/b.pdf"}]},
    ),
    (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
    ),
    ({"role": "assistant", "content": "Hello"}, {"role": "assistant", "content": "Hello"}),
    (
        {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        {"role": "assistant", "content": "Hello"},
    ),
    (
        {"role": "assistant", "content": "Hello", "phase": "commentary"},
        {"role": "assistant", "content": "Hello", "phase": "commentary"},
    ),
]


@pytest.mark.parametrize(("message", "item"), MESSAGES)
def test_a_message_is_an_item(message: dict[str, Any], item: dict[str, Any]) -> None:
    """Each role and each kind of part, with its position kept, as the SDK's types have it."""
    first = {"role": "user", "content": "hi"}
    assert sent(messages=[first, message])["input"] == [{"type": "message", **first}, {"type": "message", **item}]


def test_audio_and_refusals() -> None:
    """Sound goes out as ``input_audio``, a refusal as its own part (an id is what the SDK would want and chat has lost)."""
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert sent(judge=False, messages=[{"role": "user", "content": [sound]}])["input"][0]["content"] == [sound]
    parts = [{"type": "text", "text": "Well."}, {"type": "refusal", "refusal": "No."}]
    expected = [{"type": "output_text", "text": "Well.", "annotations": []}, {"type": "refusal", "refusal": "No."}]
    for message in ({"content": parts}, {"content": "Well.", "refusal": "No."}):
        body = sent(judge=False, messages=[{"role": "assistant", **message}])
        assert body["input"] == [{"type": "message", "role": "assistant", "content": expected}]
        body["input"][0] |= {"id": "msg_1", "status": "completed"}
        responses_api(body)


def test_tools_calls_and_results() -> None:
    """Calls and results keep ids and arguments, texts and parts; a call without arguments has an empty object."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    bare = {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}}
    own = {"id": "call_3", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    body = sent(
        messages=[
            {"role": "assistant", "content": "Wait.", "tool_calls": [call, bare, own]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "see"}, picture]},
            {"role": "tool", "tool_call_id": "call_3", "content": [{"type": "text", "text": "ok"}]},
        ]
    )
    see = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}]
    assert body["input"] == [
        {"type": "message", "role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "call_2", "name": "g", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "call_3", "name": "patch", "input": "*** x"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "call_2", "output": see},
        {"type": "custom_tool_call_output", "call_id": "call_3", "output": "ok"},
    ]


def test_a_long_call_id_is_shortened_at_both_ends() -> None:
    """An id of another vendor over 64 characters becomes the same short one in call and result; different ones stay apart."""
    ids = ["x" * 64, "y" * 65, "y" * 66]
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": "r"} for id in ids]
    items = sent(messages=[{"role": "assistant", "tool_calls": calls}, *results])["input"]
    assert [item["call_id"] for item in items[:3]] == [item["call_id"] for item in items[3:]]
    assert items[0]["call_id"] == ids[0]
    assert len({item["call_id"] for item in items}) == 3
    assert all(len(item["call_id"]) <= 64 for item in items)


def detail(kind: str, words: str, id: str | None = "rs_1", **more: Any) -> dict[str, Any]:
    field = {"summary": "summary", "text": "text", "encrypted": "data"}[kind]
    return {"type": f"reasoning.{kind}", field: words, "id": id, "format": "openai-responses-v1", **more}


def reasoning_of(details: list[Any], options: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    message = {"role": "assistant", "content": "so", "reasoning_details": details, **more}
    *reasoning, last = sent(options, messages=[message])["input"]
    assert last == {"type": "message", "role": "assistant", "content": "so"}
    return reasoning


def test_reasoning_goes_back_unchanged_and_in_order() -> None:
    """Summary parts and encrypted text become the items they were, before what followed them; fragments are joined by index."""
    pieces = [
        detail("summary", "On", index=0),
        detail("summary", "e", index=0),
        detail("summary", "Two", index=1),
        detail("encrypted", "AAA", index=2),
        detail("encrypted", "BBB", id="rs_2", index=3),
        detail("summary", "Three", id="rs_3"),
        detail("summary", "Four", id="rs_3"),
        detail("encrypted", "CCC", id="rs_3"),
    ]
    text = lambda *words: [{"type": "summary_text", "text": word} for word in words]  # noqa: E731
    assert reasoning_of(pieces) == [
        {"type": "reasoning", "id": "rs_1", "summary": text("One", "Two"), "encrypted_content": "AAA"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "BBB"},
        {"type": "reasoning", "id": "rs_3", "summary": text("Three", "Four"), "encrypted_content": "CCC"},
    ]


def test_foreign_reasoning_is_removed() -> None:
    """Other formats, junk, and items that cannot be looked up without their encrypted text are left out silently."""
    others = [
        detail("encrypted", "A", format="anthropic-claude-v1"),
        detail("encrypted", "A", id="x", format=None),
        {"type": "reasoning.server_tool_call", "format": "openai-responses-v1"},
        "junk",
        detail("summary", "never encrypted"),
    ]
    assert reasoning_of(others) == []
    assert reasoning_of([detail("encrypted", "A", format="unknown")])[0]["id"] == "rs_1"
    grok = detail("encrypted", "A", format="xai-responses-v1")
    assert reasoning_of([grok]) == []
    assert reasoning_of([grok], {"reasoning_format": "xai-responses-v1"})[0]["encrypted_content"] == "A"
    alone = {"role": "assistant", "content": "", "reasoning_details": [detail("encrypted", "A")]}
    assert sent(messages=[alone])["input"] == []


def test_details_without_ids_end_with_their_encrypted_part() -> None:
    """A client that lost the ids still sends items that belong together as they were."""
    lost = [
        detail("summary", "a", id=None),
        detail("encrypted", "A"),
        detail("summary", "b", id=None),
        detail("encrypted", "B", id=None),
    ]
    body = sent(judge=False, messages=[{"role": "assistant", "content": "so", "reasoning_details": lost}])
    assert [(item.get("id"), item["encrypted_content"]) for item in body["input"][:-1]] == [("rs_1", "A"), (None, "B")]


def test_open_models_get_their_reasoning_as_text() -> None:
    """With ``plain_reasoning`` nothing needs to be encrypted; without details the plain twin is used."""
    options = {"plain_reasoning": True}
    text = [{"type": "reasoning_text", "text": "hm"}]
    assert reasoning_of([detail("text", "hm", id="rs_7")], options) == [
        {"id": "rs_7", "type": "reasoning", "summary": [], "content": text}
    ]
    assert reasoning_of([], options, reasoning="hm") == [
        {"id": "rs_0_0", "type": "reasoning", "summary": [], "content": text}
    ]
    assert "content" not in reasoning_of([detail("text", "hm"), detail("encrypted", "A")])[0]


@pytest.mark.parametrize(
    ("requested", "reasoning", "encrypted"),
    [
        ({}, None, False),
        ({"reasoning": {"effort": "high"}}, {"effort": "high", "summary": "auto"}, True),
        ({"reasoning": {"effort": "high", "summary": "detailed"}}, {"effort": "high", "summary": "detailed"}, True),
        ({"reasoning": {"effort": "high", "exclude": True}}, {"effort": "high"}, False),
        ({"reasoning": {"enabled": True}}, {"effort": "medium", "summary": "auto"}, True),
        ({"reasoning": {"enabled": False}}, {"effort": "none"}, False),
        ({"reasoning": {"effort": "none"}}, {"effort": "none"}, False),
        ({"reasoning": {}}, {"summary": "auto"}, True),
        (
            {"reasoning": {"context": "all_turns", "mode": "pro"}},
            {"context": "all_turns", "mode": "pro", "summary": "auto"},
            True,
        ),
        ({"reasoning_effort": "low"}, {"effort": "low", "summary": "auto"}, True),
        ({"include_reasoning": True}, {"summary": "auto"}, True),
        ({"include_reasoning": False}, None, False),
        ({"reasoning": {"max_tokens": 2000}, "max_tokens": 10_000}, {"effort": "low", "summary": "auto"}, True),
        ({"reasoning": {"max_tokens": 5000}, "max_tokens": 10_000}, {"effort": "medium", "summary": "auto"}, True),
        ({"reasoning": {"max_tokens": 9000}, "max_tokens": 10_000}, {"effort": "high", "summary": "auto"}, True),
        ({"reasoning": {"max_tokens": 1024}}, {"effort": "low", "summary": "auto"}, True),
        ({"reasoning": {"max_tokens": 16_000}}, {"effort": "medium", "summary": "auto"}, True),
        ({"reasoning": {"max_tokens": 0}}, {"effort": "none"}, False),
    ],
)
def test_reasoning_is_requested(requested: dict[str, Any], reasoning: dict[str, Any] | None, encrypted: bool) -> None:
    """Every form of the contract as effort and summary; encrypted reasoning is requested unless the reasoning is hidden."""
    body = sent(**requested)
    assert body.get("reasoning") == reasoning
    assert body.get("include") == (["reasoning.encrypted_content"] if encrypted else None)


def test_reasoning_options() -> None:
    """Efforts the model lacks become the nearest, summaries can be off, encryption always or never."""
    known = {"efforts": ["low", "medium", "high"]}
    for requested, expected in (
        ("minimal", "low"),
        ("xhigh", "high"),
        ("max", "high"),
        ("medium", "medium"),
        ("none", "none"),
    ):
        assert sent(known, reasoning={"effort": requested})["reasoning"]["effort"] == expected
    assert sent({"reasoning_summary": None}, reasoning={"effort": "low"})["reasoning"] == {"effort": "low"}
    assert sent({"encrypted_reasoning": True})["include"] == ["reasoning.encrypted_content"]
    assert "include" not in sent({"encrypted_reasoning": False}, reasoning={"effort": "low"})


def test_the_form_of_the_answer() -> None:
    """JSON, schemas, verbosity and log probabilities have other places here."""
    schema = {"name": "city", "schema": {"type": "object"}, "strict": True, "description": None}
    assert sent(response_format={"type": "json_schema", "json_schema": schema}, verbosity="low")["text"] == {
        "format": {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True},
        "verbosity": "low",
    }
    assert sent(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}
    assert "text" not in sent(response_format={"type": "text"})
    assert sent(verbosity="max")["text"] == {"verbosity": "high"}
    body = sent(logprobs=True, top_logprobs=3)
    assert (body["include"], body["top_logprobs"]) == (["message.output_text.logprobs"], 3)
    assert not {"include", "top_logprobs"} & sent(logprobs=False, top_logprobs=3).keys()
    assert "response_format" in refused(response_format={"type": "grammar", "grammar": "root ::= x"})


def test_tools_are_flat() -> None:
    """Functions say whether they are strict, for here they are by default; the vendor's own tools pass."""
    search = {"type": "web_search", "search_context_size": "low"}
    body = sent(
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "defer_loading": True},
                "cache_control": {"type": "ephemeral"},
            },
            {
                "type": "function",
                "function": {"name": "g", "description": "d", "parameters": {"type": "object"}, "strict": True},
            },
            {
                "type": "custom",
                "custom": {
                    "name": "c",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
                },
            },
            search,
            {"type": "mcp", "server_label": "m", "server_url": "https://m.example", "require_approval": "never"},
        ]
    )
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "function", "name": "g", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        search,
        {"type": "mcp", "server_label": "m", "server_url": "https://m.example", "require_approval": "never"},
    ]


def test_web_search_in_every_spelling() -> None:
    """OpenRouter's tool, nested or flat, and chat's options ask for the vendor's own search."""
    here = {"type": "approximate", "city": "Rome"}
    expected = [{"type": "web_search", "search_context_size": "low", "user_location": here}]
    nested = {"search_context_size": "low", "user_location": here, "engine": "native", "max_results": 3}
    assert sent(tools=[{"type": "openrouter:web_search", "parameters": nested}])["tools"] == expected
    assert sent(tools=[{"type": "openrouter:web_search", **nested}])["tools"] == expected
    chat = {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Rome"}}}
    assert sent(web_search_options=chat)["tools"] == expected
    allowed = sent(tools=[{"type": "openrouter:web_search", "allowed_domains": ["a.example"]}])["tools"]
    assert allowed == [{"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
        (
            {"type": "openrouter:web_search"},
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
        ),
        ({"type": "image_generation"}, {"type": "image_generation"}),
    ],
)
def test_tool_choice(choice: Any, expected: Any) -> None:
    """Every form of chat's choice in the flat spelling."""
    assert sent(tool_choice=choice)["tool_choice"] == expected


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stop": "x"}, "stop"),
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": ["text", "image"]}, "modalities"),
        ({"tools": [{"type": "computer_use_preview"}]}, "tools[0]"),
        ({"tools": [{"type": "openrouter:datetime"}]}, "tools[0]"),
        ({"tools": [{"type": "mcp", "server_label": "m"}]}, "tools[0].require_approval"),
        ({"tools": [{"type": "openrouter:web_search", "engine": "exa"}]}, "tools[0].engine"),
        ({"tools": [{"type": "openrouter:web_search", "excluded_domains": ["a"]}]}, "tools[0].excluded_domains"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "assistant", "images": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages[0].images[0]",
        ),
        ({"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, "messages[0].audio"),
    ],
)
def test_what_cannot_be_expressed_is_refused(body: dict[str, Any], field: str) -> None:
    """What would change the answer or its price if it were left out is refused with the field's name; nothing was sent."""
    assert refused(**body).startswith(field + " ")


def test_pictures_that_the_vendor_made_go_back() -> None:
    """A generated picture returns as the call that made it."""
    picture = {"type": "image_url", "image_url": {"url": PNG}, "id": "ig_1"}
    body = sent(
        messages=[{"role": "assistant", "images": [picture]}],
        modalities=["image"],
        tools=[{"type": "image_generation"}],
    )
    assert body["input"] == [
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0="}
    ]


ENCRYPTED = "reasoning.encrypted_content"
WIRE: dict[str, Any] = {
    "model": "openai/gpt-5",
    "input": [{"type": "item_reference", "id": "x"}, {"role": "user", "content": "hi"}],
    "instructions": "Be brief.",
    "reasoning": {"effort": "high"},
    "text": {"verbosity": "low"},
    "include": ["web_search_call.action.sources"],
    "tools": [{"type": "local_shell"}],
    "future_field": {"a": [1]},
    "temperature": None,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "store": True,
    "user": "raw",
}


def passed(wire: dict[str, Any], body: dict[str, Any], *, stream: bool = True, **options: Any) -> dict[str, Any]:
    before = json.dumps(wire)
    request = RESPONSES.passthrough(target(**options), NativeRequest("responses", wire), body, stream=stream)
    assert json.dumps(wire) == before
    assert request.url == "https://vendor/v1/responses"
    content: dict[str, Any] = json.loads(request.content)
    return content


def test_a_request_in_this_shape_passes() -> None:
    """Only model, stream, store and the end user's id are rewritten, and the encrypted reasoning is asked for, without which the
    next turn could not be sent; what the gateway alone knows is dropped.
    """
    ours = dict.fromkeys(GATEWAY_FIELDS, 1)
    inner = {name: WIRE[name] for name in ("temperature", "top_p") if name in WIRE}
    inner |= {"max_tokens": WIRE["max_output_tokens"]} if "max_output_tokens" in WIRE else {}
    included = {"include": [*WIRE["include"], ENCRYPTED]}
    expected = WIRE | included | {"model": "gpt-5", "store": False}
    assert passed(WIRE | ours, {**inner, "user": "hashed"}) == expected | {"user": "hashed"}
    plain = passed(WIRE, inner, stream=False)
    gone = {"user", "stream", "stream_options"}
    assert plain == {k: v for k, v in expected.items() if k not in gone}
    assert "future_field" not in passed(WIRE, {}, drop_parameters=["future_field"])


def test_what_only_openrouter_knows_is_translated_in_passing() -> None:
    """Reasoning budgets and switches, its search tool and chat's sampling fields would be refused by a plain vendor."""
    wire = {
        "reasoning": {"max_tokens": 9000, "summary": "auto"},
        "max_output_tokens": 10_000,
        "tools": [{"type": "openrouter:web_search"}, {"type": "function", "name": "f"}],
        "tool_choice": {"type": "openrouter:web_search"},
        "top_k": 3,
        "presence_penalty": 0.5,
    }
    assert passed(wire, {"max_tokens": 10_000}, stream=False) == {
        "model": "gpt-5",
        "store": False,
        "max_output_tokens": 10_000,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": [ENCRYPTED],
        "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
    }
    assert passed({"reasoning": {"enabled": True}}, {})["reasoning"] == {"effort": "medium"}
    assert passed({"top_k": 3}, {}, keep_parameters=["top_k"])["top_k"] == 3


@pytest.mark.parametrize(
    ("requested", "options", "include"),
    [
        ({}, {}, None),
        ({}, {"encrypted_reasoning": True}, [ENCRYPTED]),
        ({"include": [ENCRYPTED]}, {"encrypted_reasoning": True}, [ENCRYPTED]),
        ({"include": None}, {"encrypted_reasoning": True}, [ENCRYPTED]),
        ({"reasoning": {"effort": "low"}}, {}, [ENCRYPTED]),
        ({"reasoning": {"effort": "low"}}, {"encrypted_reasoning": False}, None),
        ({"reasoning": {"effort": "none"}}, {}, None),
        ({"reasoning": {"enabled": False}}, {}, None),
    ],
)
def test_encrypted_reasoning_is_asked_for(requested: Any, options: Any, include: Any) -> None:
    """Where the model reasons, or the caller says so: the caller need not know that the next turn depends on it."""
    assert passed({"input": "hi", **requested}, {}, **options).get("include") == include


SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
BARE = {"type": "reasoning", "id": "rs_1", "summary": []}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}
CALLED = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "x"}
LATER = {"type": "function_call", "id": "fc_2", "call_id": "d", "name": "f", "arguments": "{}"}


def anonymous(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "id"}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([SEALED, SAID, CALLED, RESULT], [SEALED, SAID, CALLED, RESULT]),
        ([BARE, SAID, CALLED, RESULT, LATER], [anonymous(SAID), anonymous(CALLED), RESULT, LATER]),
        ([BARE, SEALED, CALLED], [SEALED, CALLED]),
        ([anonymous(SEALED), CALLED], [anonymous(SEALED), CALLED]),
        ([{**CALLED, "id": None}], [anonymous(CALLED)]),
        (
            [{"type": "web_search_call", "status": "completed"}],
            [{"type": "web_search_call", "status": "completed", "id": "ws_0"}],
        ),
        ([{"type": "mcp_call", "id": None, "name": "n"}], [{"type": "mcp_call", "id": "mcp_0", "name": "n"}]),
        ([{**CALLED, "parsed_arguments": {}}], [CALLED]),
        (
            [{**SAID, "content": [{"type": "output_text", "text": "so", "parsed": None}]}],
            [SAID],
        ),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
    ],
)
def test_what_a_vendor_without_a_store_takes_back(items: Any, expected: Any) -> None:
    """Reasoning that it could not find is left out, with the ids that depend on it; ids that it demands are made up."""
    assert passed({"input": items}, {})["input"] == expected


def test_open_models_take_reasoning_back_as_text_in_passing() -> None:
    """They encrypt nothing: nothing is left out, and what lacks an id gets one."""
    assert passed({"input": [anonymous(BARE), SAID]}, {}, plain_reasoning=True)["input"] == [
        {**BARE, "id": "rs_0"},
        SAID,
    ]


@pytest.mark.parametrize(
    "wire",
    [
        {"stop": ["x"]},
        {"tools": [{"type": "openrouter:datetime"}]},
        {"input": [{"type": "openrouter:web_search", "id": "w"}]},
    ],
)
def test_what_a_plain_vendor_lacks_is_refused_in_passing(wire: dict[str, Any]) -> None:
    """Server tools of the router's own and stop sequences cannot be left out unseen."""
    with pytest.raises(ProviderError) as caught:
        passed(wire, {})
    assert caught.value.failure.kind == "unsupported"
