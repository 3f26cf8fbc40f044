"""Requests to Bedrock: every one is validated by botocore's service model and serialised by botocore to the very same body."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import botocore.session
import pytest

from providers.bedrock.dialect import Bedrock
from providers.errors import ProviderError
from providers.types import Target
from tests.support.dialectoracles import bedrock

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
BEDROCK = Bedrock(clock=lambda: 1_700_000_000)
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Weather.", "parameters": {"type": "object"}},
}


def target(model: str = CLAUDE, **options: Any) -> Target:
    return Target("aws", "https://bedrock-runtime.us-east-1.amazonaws.com", model, api_key="k", options=options)


def sent(body: dict[str, Any], model: str = CLAUDE, /, **options: Any) -> dict[str, Any]:
    before = copy.deepcopy(body)
    for stream in (True, False):
        request = BEDROCK.request(target(model, **options), body, stream=stream)
        bedrock(request, model, stream=stream)
        result: dict[str, Any] = json.loads(request.content)
    assert body == before
    return result


def inner_request(**more: Any) -> dict[str, Any]:
    return {"model": "x/y", "messages": [USER], **more}


def refused(body: dict[str, Any], model: str = CLAUDE, /, **options: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        BEDROCK.request(target(model, **options), body, stream=False)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


def call(id: str, name: str = "weather", arguments: str = '{"city":"Paris"}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_url_headers_and_both_ways_in() -> None:
    """Path with the encoded id, JSON asked for or a stream, an API key as bearer; with credentials a signature instead."""
    request = BEDROCK.request(target(headers=1), inner_request(), stream=False)
    assert request.url.endswith("/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse")
    assert ("accept", "application/json") in request.headers
    assert ("authorization", "Bearer k") in request.headers
    streamed = BEDROCK.request(target(), inner_request(), stream=True)
    assert streamed.url.endswith("/converse-stream")
    assert ("accept", "application/vnd.amazon.eventstream") in streamed.headers
    keys = {"access_key_id": "AKID", "secret_access_key": "s"}
    for options, host, region in (
        ({"region": "eu-west-3"}, "https://proxy.example/bedrock", "eu-west-3"),
        ({}, "https://bedrock-runtime.ap-south-1.amazonaws.com", "ap-south-1"),
        ({}, "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ({}, "https://vpce-1.bedrock-runtime.us-east-2.vpce.amazonaws.com", "us-east-2"),
    ):
        there = Target("aws", host, "m", api_key="k", options=options, credentials=keys)
        headers = dict(BEDROCK.request(there, inner_request(), stream=False).headers)
        assert headers["authorization"].startswith(
            f"AWS4-HMAC-SHA256 Credential=AKID/20231114/{region}/bedrock/aws4_request"
        )


@pytest.mark.parametrize(
    "there",
    [
        Target("aws", "https://bedrock-runtime.us-east-1.amazonaws.com", "m"),
        Target("aws", "https://x.example", "m", credentials={"access_key_id": "a", "secret_access_key": "b"}),
        Target("aws", "https://bedrock-runtime.us-east-1.amazonaws.com", "m", credentials={"access_key_id": "a"}),
    ],
)
def test_nothing_to_be_let_in_with(there: Target) -> None:
    """Without a key, or without a region to sign for, it is the operator's credential that is wrong, before anything is sent."""
    with pytest.raises(ProviderError) as caught:
        BEDROCK.request(there, inner_request(), stream=False)
    assert caught.value.failure.kind == "credential"


def test_roles_and_merging() -> None:
    """System and developer messages go apart, neighbours of one role become one message, empty text goes away."""
    body = inner_request(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": " "}]},
            {"role": "user", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "two"}], "name": "Ann"},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "  "},
            {"role": "assistant", "content": None, "refusal": "No."},
            {"role": "user", "content": "four"},
        ]
    )
    assert sent(body) == {
        "system": [{"text": "Be kind."}, {"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "one"}, {"text": "Ann: two"}]},
            {"role": "assistant", "content": [{"text": "three"}]},
            {"role": "user", "content": [{"text": "(empty)"}]},
            {"role": "assistant", "content": [{"text": "No."}]},
            {"role": "user", "content": [{"text": "four"}]},
        ],
    }


def test_a_prefill_loses_its_last_space() -> None:
    """A trailing assistant message stays, without the white space at its end that Claude refuses."""
    body = inner_request(messages=[USER, {"role": "assistant", "content": "The answer is \n"}])
    assert sent(body)["messages"][-1] == {"role": "assistant", "content": [{"text": "The answer is"}]}


def test_tools_and_results() -> None:
    """Parallel calls and their results keep ids, names, arguments; results with pictures; empty and broken ones survive."""
    body = inner_request(
        messages=[
            USER,
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    call("tooluse_a"),
                    call("b:1", "time", ""),
                    call("x" * 65),
                    call("é", arguments="{broken"),
                ],
            },
            {"role": "tool", "tool_call_id": "tooluse_a", "content": "sunny"},
            {"role": "tool", "tool_call_id": "b:1", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            {"role": "tool", "tool_call_id": "x" * 65, "content": ""},
            {"role": "tool", "tool_call_id": "é", "content": "bad"},
            {"role": "user", "content": "thanks"},
        ],
        tools=[TOOL, {"type": "function", "function": {"name": "time", "description": " "}}],
    )
    result = sent(body)
    calls, answers = result["messages"][1]["content"], result["messages"][2]["content"]
    assert calls[0] == {"text": "I look."}
    uses = [block["toolUse"] for block in calls[1:]]
    assert uses[0] == {"toolUseId": "tooluse_a", "name": "weather", "input": {"city": "Paris"}}
    assert uses[1] == {"toolUseId": "b:1", "name": "time", "input": {}}
    assert uses[3]["input"] == {"_unparsed_arguments": "{broken"}
    results = [block["toolResult"] for block in answers[:4]]
    assert [one["toolUseId"] for one in results] == [one["toolUseId"] for one in uses]
    assert results[0]["content"] == [{"text": "sunny"}]
    assert results[1]["content"] == [{"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}]
    assert results[2]["content"] == [{"text": "(empty)"}]
    assert answers[4] == {"text": "thanks"}
    assert result["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "weather", "description": "Weather.", "inputSchema": {"json": {"type": "object"}}}},
        {"toolSpec": {"name": "time", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
    ]


def test_media_go_inside() -> None:
    """Pictures, sound, video and documents as bytes; names of documents are made unique and harmless, a text goes with them."""
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/4AAQ"}},
        {"type": "image_url", "image_url": "data:image/webp;base64,UklGRg=="},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "data:video/quicktime;base64,AAAA"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "Q3: résumé_final.pdf"},
        },
        {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,QQ==", "filename": "table.XLSX"}},
        {"type": "file", "file": {"file_data": "data:text/plain,hello%20world", "filename": "a/b.txt"}},
        {"type": "file", "file": {"file_data": "data:text/x-python;base64,QQ=="}},
        {"type": "file", "file": {"file_data": "data:application/json;base64,e30=", "filename": "document"}},
        {"type": "file", "file": {"file_data": PNG, "filename": "picture.png"}},
    ]
    content = sent(inner_request(messages=[{"role": "user", "content": parts}]))["messages"][0]["content"]
    assert [next(iter(block)) for block in content] == [
        "image", "image", "audio", "video", *["document"] * 5, "image", "text",
    ]  # fmt: skip
    assert [content[0]["image"]["format"], content[1]["image"]["format"], content[3]["video"]["format"]] == [
        "jpeg",
        "webp",
        "mov",
    ]
    documents = [block["document"] for block in content if "document" in block]
    assert [one["format"] for one in documents] == ["pdf", "xlsx", "txt", "txt", "txt"]
    assert [one["name"] for one in documents] == ["Q3 r sum final", "table", "a b", "document", "document 2"]
    assert base64.b64decode(documents[2]["source"]["bytes"]) == b"hello world"
    assert content[-1] == {"text": "Q3 r sum final"}


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            "messages[0].content[0].image_url.url",
        ),
        ({"type": "image_url", "image_url": {"url": "s3://bucket/key.png"}}, "messages[0].content[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,QQ=="}}, "messages[0].content[0]"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "messages[0].content[0].image_url.url"),
        ({"type": "image_url", "image_url": None}, "messages[0].content[0].image_url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file.file_data"),
        (
            {"type": "file", "file": {"file_data": "data:application/zip;base64,QQ=="}},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "pcm16"}},
            "messages[0].content[0].input_audio.format",
        ),
        ({"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}, "messages[0].content[0].video_url.url"),
        ({"type": "hologram"}, "messages[0].content[0].type"),
        ("text", "messages[0].content[0].type"),
    ],
)
def test_parts_that_cannot_be_expressed(part: Any, field: str) -> None:
    """A part that Converse has no block for is refused by name, before anything is sent."""
    assert refused(inner_request(messages=[{"role": "user", "content": [part]}])).startswith(field + ":")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}, USER]}, "messages"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages[0].content[0]",
        ),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools[0].type"),
        ({"tools": ["x"]}, "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "tokenway_structured_answer"}}]},
            "tools[0].function.name",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "openrouter:web_search"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}}},
            "response_format",
        ),
        ({"max_tokens": 1000, "reasoning": {"effort": "high"}}, "max_tokens"),
        ({"max_tokens": 5000, "reasoning": {"max_tokens": 5000}}, "max_tokens"),
        ({"messages": [USER, {"role": "assistant", "content": "So"}], "reasoning": {"effort": "high"}}, "reasoning"),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]},
            "messages[1].tool_calls[0]",
        ),
    ],
)
def test_fields_that_cannot_be_expressed(more: dict[str, Any], field: str) -> None:
    """What would change the answer and cannot be expressed in Converse is refused by name; another endpoint may take it."""
    assert refused(inner_request(**more)).startswith(field)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}),
    ],
)
def test_tool_choice(choice: Any, expected: Any) -> None:
    """The three choices that Converse has."""
    assert sent(inner_request(tools=[TOOL], tool_choice=choice))["toolConfig"].get("toolChoice") == expected


def test_no_tools_wanted() -> None:
    """``none`` leaves tools out, unless the conversation holds calls; calls without tools bring tools of their names."""
    past = [USER, {"role": "assistant", "tool_calls": [call("a"), call("b", "time")]}]
    past += [{"role": "tool", "tool_call_id": one, "content": "x"} for one in ("a", "b")]
    assert "toolConfig" not in sent(inner_request(tools=[TOOL], tool_choice="none"))
    kept = sent(inner_request(messages=past, tools=[TOOL], tool_choice="none"))["toolConfig"]
    assert kept == {
        "tools": [
            {"toolSpec": {"name": "weather", "description": "Weather.", "inputSchema": {"json": {"type": "object"}}}}
        ]
    }
    names = [one["toolSpec"]["name"] for one in sent(inner_request(messages=past))["toolConfig"]["tools"]]
    assert names == ["weather", "time"]


def test_parallel_calls_can_be_switched_off() -> None:
    """Claude gets Anthropic's own field; ``type`` goes along exactly when there is no ``toolChoice``."""
    off = {"tools": [TOOL], "parallel_tool_calls": False}
    assert sent(inner_request(**off))["additionalModelRequestFields"] == {
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}
    }
    forced = sent(inner_request(**off, tool_choice="required"))
    assert forced["additionalModelRequestFields"] == {"tool_choice": {"disable_parallel_tool_use": True}}
    assert "additionalModelRequestFields" not in sent(inner_request(parallel_tool_calls=False))
    assert "additionalModelRequestFields" not in sent(inner_request(**off), "mistral.mistral-large-2407-v1:0")


def test_sampling() -> None:
    """Bounds and sampling where Converse has them; ``top_k`` in the family's own words, or not at all."""
    more = {
        "max_tokens": 9,
        "stop": "END",
        "temperature": 1.7,
        "top_p": 0.5,
        "top_k": 40,
        "seed": 1,
        "frequency_penalty": 1,
    }
    result = sent(inner_request(**more))
    assert result["inferenceConfig"] == {"maxTokens": 9, "stopSequences": ["END"], "temperature": 1, "topP": 0.5}
    assert result["additionalModelRequestFields"] == {"top_k": 40}
    assert sent(inner_request(**more), "amazon.nova-pro-v1:0")["additionalModelRequestFields"] == {
        "inferenceConfig": {"topK": 40}
    }
    assert "additionalModelRequestFields" not in sent(inner_request(**more), "meta.llama3-70b-instruct-v1:0")
    assert sent(inner_request(max_tokens=9, max_completion_tokens=7))["inferenceConfig"] == {"maxTokens": 7}


@pytest.mark.parametrize(
    ("more", "thinking", "most"),
    [
        ({"reasoning": {"effort": "high"}, "max_tokens": 10_000}, 8_000, 10_000),
        ({"reasoning": {"effort": "minimal"}, "max_tokens": 4_000}, 1_024, 4_000),
        ({"reasoning": {"effort": "max"}, "max_tokens": 500_000}, 128_000, 500_000),
        ({"reasoning_effort": "low", "max_tokens": 10_000}, 2_000, 10_000),
        ({"reasoning": {"enabled": True}}, 16_000, 32_000),
        ({"reasoning": {"max_tokens": 2_000}}, 2_000, 32_000),
        ({"reasoning": {"max_tokens": 50_000}}, 50_000, 51_024),
        ({"reasoning": {"max_tokens": 5}, "max_tokens": 2_000}, 1_024, 2_000),
        ({"reasoning": {"effort": "none"}}, None, None),
        ({"reasoning": {"enabled": False, "effort": "high"}}, None, None),
        ({"reasoning": {}}, None, None),
        ({"reasoning": None, "include_reasoning": True}, None, None),
        ({"reasoning": {"effort": "ludicrous"}}, 16_000, 32_000),
    ],
)
def test_a_budget_of_thinking(more: dict[str, Any], thinking: int | None, most: int | None) -> None:
    """Claude gets a share of ``max_tokens`` between 1,024 and 128,000, always less than ``maxTokens``."""
    result = sent(inner_request(**more))
    extra = result.get("additionalModelRequestFields", {})
    assert extra.get("thinking") == (None if thinking is None else {"type": "enabled", "budget_tokens": thinking})
    assert result.get("inferenceConfig", {}).get("maxTokens") == most


def test_beside_thinking() -> None:
    """What Claude refuses beside thinking goes: temperature, top_k, a low top_p; a forced tool wins over thinking."""
    more = {"reasoning": {"effort": "high"}, "temperature": 0.3, "top_k": 5}
    assert sent(inner_request(**more, top_p=0.5))["inferenceConfig"] == {"maxTokens": 32_000}
    assert sent(inner_request(**more, top_p=0.97))["inferenceConfig"] == {"maxTokens": 32_000, "topP": 0.97}
    forced = sent(inner_request(**more, tools=[TOOL], tool_choice="required"))
    assert forced["additionalModelRequestFields"] == {"top_k": 5}
    assert forced["inferenceConfig"] == {"temperature": 0.3}


@pytest.mark.parametrize(
    ("model", "options", "reasoning", "expected"),
    [
        (CLAUDE, {"reasoning": "adaptive"}, {"effort": "minimal"}, ({"thinking": {"type": "adaptive", "display": "summarized"}}, "low")),
        (CLAUDE, {"reasoning": "adaptive"}, {"effort": "max"}, ({"thinking": {"type": "adaptive", "display": "summarized"}}, "max")),
        (CLAUDE, {"reasoning": "adaptive"}, {"max_tokens": 30_000}, ({"thinking": {"type": "adaptive", "display": "summarized"}}, "high")),
        (CLAUDE, {"reasoning": "none"}, {"effort": "high"}, ({}, None)),
        ("openai.gpt-oss-120b-1:0", {}, {"effort": "xhigh"}, ({"reasoning_effort": "high"}, None)),
        ("openai.gpt-oss-120b-1:0", {}, {"max_tokens": 1}, ({"reasoning_effort": "low"}, None)),
        ("global.openai.gpt-5.6", {}, {"effort": "xhigh"}, ({"reasoning": {"effort": "xhigh"}}, None)),
        ("us.amazon.nova-2-lite-v1:0", {}, {"effort": "high"}, ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None)),
        ("deepseek.v3-v1:0", {}, {"effort": "high"}, ({}, None)),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", {"family": "openai", "reasoning": "openai"}, {"effort": "low"}, ({"reasoning_effort": "low"}, None)),
    ],
)  # fmt: skip
def test_reasoning_in_each_family(model: str, options: dict[str, Any], reasoning: Any, expected: Any) -> None:
    """Each family is asked in its own words; a family that has none is not asked."""
    result = sent(inner_request(reasoning=reasoning), model, **options)
    assert result.get("additionalModelRequestFields", {}) == expected[0]
    assert result.get("outputConfig", {}).get("effort") == expected[1]


def test_nova_thinks_less_under_a_bound() -> None:
    """Nova's high effort takes no bound of the answer; the bound stays, the effort gives way."""
    result = sent(inner_request(reasoning={"effort": "high"}, max_tokens=500), "us.amazon.nova-2-lite-v1:0")
    assert result["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert result["inferenceConfig"] == {"maxTokens": 500}


def test_verbosity_is_claudes_effort() -> None:
    """``verbosity`` goes out as effort; an effort of reasoning that is spelled the same way wins."""
    assert sent(inner_request(verbosity="low"))["outputConfig"] == {"effort": "low"}
    both = sent(inner_request(verbosity="low", reasoning={"effort": "high"}), reasoning="adaptive")
    assert both["outputConfig"] == {"effort": "high"}


MARK = {"type": "ephemeral"}
POINT = {"cachePoint": {"type": "default"}}
NOTES = {"type": "file", "file": {"filename": "a.md", "file_data": "data:text/markdown;base64,aGk="}}
PAPER = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}
WORDS = {"type": "text", "text": "so"}


@pytest.mark.parametrize(
    ("model", "content", "kinds"),
    [
        (CLAUDE, [WORDS, {**NOTES, "cache_control": MARK}], ["text", "cachePoint", "document"]),
        (CLAUDE, [WORDS, NOTES, {**NOTES, "cache_control": MARK}], ["text", "cachePoint", "document", "document"]),
        (CLAUDE, [WORDS, {**PAPER, "cache_control": MARK}], ["text", "document", "cachePoint"]),
        (CLAUDE, [{**NOTES, "cache_control": MARK}, WORDS], ["document", "text"]),
        (CLAUDE, [NOTES, {**WORDS, "cache_control": MARK}], ["document", "text", "cachePoint"]),
        ("amazon.nova-pro-v1:0", [WORDS, {**NOTES, "cache_control": MARK}], ["text", "document", "cachePoint"]),
    ],
)
def test_cache_points_stand_where_the_model_takes_them(model: str, content: list[Any], kinds: list[str]) -> None:
    """Claude refuses one right behind a document that is no PDF: it moves before the documents, or is left out."""
    (message,) = sent(inner_request(messages=[{"role": "user", "content": content}]), model)["messages"]
    assert [kind for block in message["content"] for kind in block] == kinds


@pytest.mark.parametrize(("model", "marked"), [(CLAUDE, True), ("amazon.nova-pro-v1:0", False)])
def test_cache_points_behind_results(model: str, marked: bool) -> None:
    """Nova takes none there."""
    result = {"role": "tool", "tool_call_id": "a", "content": [{**WORDS, "cache_control": MARK}]}
    turns = [USER, {"role": "assistant", "tool_calls": [call("a", "f")]}, result]
    blocks = sent(inner_request(messages=turns), model)["messages"][-1]["content"]
    assert (POINT in blocks) is marked


SIGNED = {"type": "reasoning.text", "text": "Hm.", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}
SECRET = {"type": "reasoning.encrypted", "data": "AAEC", "format": "anthropic-claude-v1", "index": 1}


def thinking(details: Any, *, model: str = CLAUDE) -> list[Any]:
    turn = {
        "role": "assistant",
        "content": "ok",
        "reasoning": "Hm.",
        "reasoning_details": details,
        "tool_calls": [call("a")],
    }
    body = inner_request(messages=[USER, turn, {"role": "tool", "tool_call_id": "a", "content": "x"}], tools=[TOOL])
    content: list[Any] = sent(body, model)["messages"][1]["content"]
    return [block["reasoningContent"] for block in content if "reasoningContent" in block]


def test_reasoning_goes_back_unchanged() -> None:
    """Signed and encrypted reasoning of Claude goes back in order, whole or in fragments; what is not Claude's stays away."""
    whole = [{"reasoningText": {"text": "Hm.", "signature": "sig"}}, {"redactedContent": "AAEC"}]
    assert thinking([SIGNED, SECRET]) == whole
    pieces = [{**SIGNED, "text": "H", "signature": None}, {**SIGNED, "text": "m."}, SECRET]
    assert thinking(pieces) == whole
    assert thinking([{**SIGNED, "signature": None}]) == []
    assert thinking([{**SIGNED, "format": "google-gemini-v1"}, {**SECRET, "format": "openai-responses-v1"}]) == []
    assert thinking([SIGNED, SECRET], model="amazon.nova-pro-v1:0") == []
    for junk in (None, "x", [1, None, {"format": "anthropic-claude-v1", "type": "reasoning.summary", "summary": "s"}]):
        assert thinking(junk) == []


def test_a_tool_loop_without_thoughts_goes_on_without() -> None:
    """In a turn whose calls lost their reasoning Claude is not asked to think; in the next turn it is again."""
    loop = [
        USER,
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]
    more = {"reasoning": {"effort": "high"}, "tools": [TOOL]}
    assert "additionalModelRequestFields" not in sent(inner_request(messages=loop, **more))
    later = [*loop, {"role": "assistant", "content": "done"}, {"role": "user", "content": "again"}]
    assert "thinking" in sent(inner_request(messages=later, **more))["additionalModelRequestFields"]
    kept = [USER, {**loop[1], "reasoning_details": [SIGNED]}, loop[2]]
    assert "thinking" in sent(inner_request(messages=kept, **more))["additionalModelRequestFields"]
    assert (
        "thinking" in sent(inner_request(messages=loop, **more), reasoning="adaptive")["additionalModelRequestFields"]
    )


MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def test_cache_points() -> None:
    """``cache_control`` becomes a cache point behind its block: in the system, tools, messages, behind a tool's result."""
    body = inner_request(
        messages=[
            {
                "role": "system",
                "content": [{"type": "text", "text": "long", "cache_control": HOUR}, {"type": "text", "text": "b"}],
            },
            {
                "role": "user",
                "content": [{"type": "text", "text": "doc", "cache_control": MARK}, {"type": "text", "text": ""}],
            },
            {"role": "assistant", "tool_calls": [call("a")]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "x", "cache_control": MARK}]},
        ],
        tools=[{**TOOL, "cache_control": HOUR}],
    )
    result = sent(body)
    point, hour = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert result["toolConfig"]["tools"][1] == hour
    assert result["system"] == [{"text": "long"}, hour, {"text": "b"}]
    assert result["messages"][0]["content"] == [{"text": "doc"}, point]
    assert result["messages"][2]["content"][1] == point
    nova = sent(body, "amazon.nova-pro-v1:0")
    assert len(nova["toolConfig"]["tools"]) == 1
    assert nova["system"][1] == point
    assert "cachePoint" not in json.dumps(sent(body, "meta.llama3-70b-instruct-v1:0"))
    assert "cachePoint" in json.dumps(sent(body, "meta.llama3-70b-instruct-v1:0", prompt_caching=True))


def test_the_automatic_cache_point() -> None:
    """Top-level ``cache_control`` marks the end of the last user message, once, and never as the fifth."""
    point = {"cachePoint": {"type": "default"}}
    assert sent(inner_request(cache_control=MARK))["messages"][0]["content"] == [{"text": "hi"}, point]
    marked = [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": MARK}]}]
    assert sent(inner_request(messages=marked, cache_control=MARK))["messages"][0]["content"] == [{"text": "a"}, point]
    five = [{"role": "user", "content": [{"type": "text", "text": str(n), "cache_control": MARK} for n in range(5)]}]
    assert json.dumps(sent(inner_request(messages=five, cache_control=MARK))).count("cachePoint") == 4


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "person", "description": "A person.", "schema": SCHEMA, "strict": True},
}


def test_structured_output_by_a_forced_tool() -> None:
    """Alone the tool is forced; beside the caller's tools one of them must be called; the caller's forced tool comes first."""
    alone = sent(inner_request(response_format=FORMAT))["toolConfig"]
    assert alone["toolChoice"] == {"tool": {"name": "tokenway_structured_answer"}}
    assert alone["tools"][0]["toolSpec"]["inputSchema"] == {"json": SCHEMA}
    beside = sent(inner_request(response_format=FORMAT, tools=[TOOL]))["toolConfig"]
    assert [one["toolSpec"]["name"] for one in beside["tools"]] == ["weather", "tokenway_structured_answer"]
    assert beside["toolChoice"] == {"any": {}}
    demanded = sent(inner_request(response_format=FORMAT, tools=[TOOL], tool_choice="required"))["toolConfig"]
    assert (len(demanded["tools"]), demanded["toolChoice"]) == (1, {"any": {}})
    none = sent(inner_request(response_format=FORMAT, tools=[TOOL], tool_choice="none"))["toolConfig"]
    assert (len(none["tools"]), none["toolChoice"]) == (1, {"tool": {"name": "tokenway_structured_answer"}})
    assert "toolConfig" not in sent(inner_request(response_format={"type": "text"}))


def test_structured_output_where_the_model_has_it() -> None:
    """With ``structured_outputs: native`` the schema goes into ``outputConfig``, beside thinking too, and tools may be strict."""
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    body = inner_request(response_format=FORMAT, tools=[strict], reasoning={"effort": "low"})
    result = sent(body, structured_outputs="native")
    form = result["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    definition = form["structure"]["jsonSchema"]
    assert (json.loads(definition["schema"]), definition["name"], definition["description"]) == (
        SCHEMA,
        "person",
        "A person.",
    )
    assert result["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert "thinking" in result["additionalModelRequestFields"]
    assert "strict" not in sent(inner_request(tools=[strict]))["toolConfig"]["tools"][0]["toolSpec"]


def test_a_schema_that_contains_itself_takes_the_forced_tool() -> None:
    """Such a model cannot constrain its output to it; neither the answer nor a tool's arguments."""
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}}
    tool = {"type": "function", "function": {"name": "grow", "parameters": tree, "strict": True}}
    form = {"type": "json_schema", "json_schema": {"name": "tree", "schema": tree, "strict": True}}
    result = sent(inner_request(response_format=form, tools=[tool]), structured_outputs="native")
    assert "outputConfig" not in result
    specs = [one["toolSpec"] for one in result["toolConfig"]["tools"]]
    assert [(spec["inputSchema"]["json"], "strict" in spec) for spec in specs] == [(tree, False), (tree, False)]


def test_a_json_object_is_requested() -> None:
    """Without a schema the request becomes an instruction behind the system messages."""
    body = inner_request(messages=[{"role": "system", "content": "S"}, USER], response_format={"type": "json_object"})
    result = sent(body)
    assert result["system"][0] == {"text": "S"}
    assert "JSON object" in result["system"][1]["text"]
    assert "toolConfig" not in result


def test_what_callers_and_operators_may_add() -> None:
    """Guardrails pass; what decides prices does not; the operator's ``extra_body`` is merged over all of it."""
    guard = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    body = inner_request(
        guardrailConfig=guard,
        requestMetadata={"team": "a"},
        serviceTier={"type": "priority"},
        performanceConfig={"latency": "optimized"},
        additionalModelRequestFields={"max_tokens": 10**6},
        unknown=1,
        top_k=3,
    )
    result = sent(body)
    assert result["guardrailConfig"] == guard
    assert result["requestMetadata"] == {"team": "a"}
    assert result.keys() == {"messages", "guardrailConfig", "requestMetadata", "additionalModelRequestFields"}
    assert result["additionalModelRequestFields"] == {"top_k": 3}
    extra = {
        "serviceTier": {"type": "flex"},
        "guardrailConfig": {"guardrailVersion": "2"},
        "requestMetadata": None,
        "additionalModelRequestFields": {"anthropic_beta": ["x"]},
    }
    merged = sent(body, extra_body=extra)
    assert merged["guardrailConfig"] == {"guardrailIdentifier": "abc", "guardrailVersion": "2"}
    assert merged["serviceTier"] == {"type": "flex"}
    assert merged["additionalModelRequestFields"] == {"top_k": 3, "anthropic_beta": ["x"]}
    assert "requestMetadata" not in merged
