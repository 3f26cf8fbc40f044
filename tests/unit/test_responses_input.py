"""A Responses request becomes chat: items, turns, tools, reasoning; what cannot be is refused by name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference.responses import reasoning
from gateway.api.inference.responses import schema as responses_schema
from gateway.api.inference.responses.request import inner, passthrough_body
from gateway.errors import BadRequest

Json = dict[str, Any]
USER = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "one"}


def accepted(input: Any, **more: Any) -> Json:
    body = {"model": "t/a", "input": input, **more}
    before = json.dumps(body)
    responses_schema.check(body)
    request = inner(body)
    assert json.dumps(body) == before, "the request was changed in place"
    return request


def messages(*items: Json) -> list[Json]:
    found: list[Json] = accepted(list(items))["messages"]
    return found


def refusal(input: Any = "hello", **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        accepted(input, **more)
    return caught.value


def test_a_text_is_a_user_message() -> None:
    """``input`` as a text, instructions in front of it."""
    request = accepted("hello", instructions="Be short.", max_output_tokens=7, temperature=0.5, stream=True)
    assert request == {
        "model": "t/a",
        "messages": [{"role": "system", "content": "Be short."}, USER],
        "max_tokens": 7,
        "temperature": 0.5,
        "stream": True,
    }


def test_parts_of_every_kind() -> None:
    """Text, images, files, audio and video in chat's words; cache marks stay."""
    (message,) = messages(
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see", "cache_control": {"type": "ephemeral"}},
                {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://x.test/b.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "input_video", "video_url": "https://x.test/c.mp4"},
            ],
        }
    )
    assert message["content"] == [
        {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://x.test/b.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://x.test/c.mp4"}},
    ]


def test_one_turn_of_reasoning_text_and_calls() -> None:
    """Reasoning, text and parallel calls that follow each other are one assistant message; results stand behind it."""
    second = {**CALL, "call_id": "c2", "name": "g", "arguments": "{}"}
    found = messages(
        USER,
        {
            "type": "reasoning",
            "id": "rs_9",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "E",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Wait.", "annotations": []}],
        },
        CALL,
        second,
        {**OUTPUT, "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "and?"},
        OUTPUT,
    )
    openai = {"format": "openai-responses-v1", "id": "rs_9"}
    assert found == [
        USER,
        {
            "role": "assistant",
            "content": "Wait.",
            "reasoning": "hm",
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "hm", **openai, "index": 0},
                {"type": "reasoning.encrypted", "data": "E", **openai, "index": 1},
            ],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "user", "content": "and?"},
    ]


def test_sequential_calls_are_turns_of_their_own() -> None:
    """A result ends the turn: the next call belongs to the next one."""
    found = messages(USER, CALL, OUTPUT, {**CALL, "call_id": "c2"}, {**OUTPUT, "call_id": "c2"})
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "assistant", "tool"]


def test_two_answers_in_a_row_stay_two() -> None:
    """Messages of the assistant are not glued together; a refusal keeps its place; thoughts alone are no turn."""
    found = messages(
        USER,
        {"role": "assistant", "content": "one"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "lost"}]},
        {"role": "user", "content": "two"},
    )
    assert found[1:3] == [
        {"role": "assistant", "content": "one"},
        {"role": "assistant", "content": "", "refusal": "No.", "reasoning": "lost"},
    ]
    assert messages(USER, {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}, USER) == [
        USER,
        USER,
    ]


def test_tools_of_the_caller_become_functions() -> None:
    """Functions are nested, custom tools and the local shell travel as functions, other tools as they are."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    search = {"type": "web_search", "external_web_access": False}
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True, "output_schema": {}},
        {
            "type": "function",
            "name": "bare",
            "parameters": None,
            "strict": None,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": grammar},
        {"type": "local_shell"},
        search,
    ]
    request = accepted("hello", tools=tools, tool_choice={"type": "custom", "name": "apply_patch"})
    plain, bare, custom, shell, hosted = request["tools"]
    assert plain == {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    assert bare == {"type": "function", "function": {"name": "bare"}, "cache_control": {"type": "ephemeral"}}
    assert custom["function"]["parameters"]["required"] == ["input"]
    assert "lark grammar:\nstart: /x/" in custom["function"]["parameters"]["properties"]["input"]["description"]
    assert shell["function"]["name"] == "local_shell"
    assert hosted == search
    assert request["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}


def test_calls_of_the_callers_tools_come_back_as_function_calls() -> None:
    """Custom and shell calls with their results, by call id or, for the shell, by the item's id."""
    action: Json = {"type": "exec", "command": ["ls", "-l"], "env": {}, "timeout_ms": None}
    found = messages(
        USER,
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c2", "action": action, "status": "completed"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "total 0"},
    )
    calls = [call["function"] for call in found[1]["tool_calls"]]
    assert [call["name"] for call in calls] == ["apply_patch", "local_shell"]
    assert [json.loads(call["arguments"]) for call in calls] == [
        {"input": "*** Begin"},
        {"command": ["ls", "-l"], "env": {}},
    ]
    assert [message["tool_call_id"] for message in found[2:]] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("choice", "inner_choice", "left"),
    [
        ("none", "none", ["f", "g"]),
        ("required", "required", ["f", "g"]),
        ({"type": "function", "name": "g"}, {"type": "function", "function": {"name": "g"}}, ["f", "g"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            "required",
            ["g"],
        ),
    ],
)
def test_tool_choice(choice: Any, inner_choice: Any, left: list[str]) -> None:
    """Every form in chat's words; ``allowed_tools`` drops the others."""
    tools: list[Json] = [{"type": "function", "name": name, "parameters": {}} for name in ("f", "g")]
    request = accepted("hello", tools=tools, tool_choice=choice)
    assert request["tool_choice"] == inner_choice
    assert [tool["function"]["name"] for tool in request["tools"]] == left


def test_a_choice_among_the_vendors_tools_stays() -> None:
    """What only the vendor knows passes as it is; a choice among no tools is no choice."""
    choice = {"type": "web_search_preview"}
    assert accepted("hello", tools=[choice], tool_choice=choice)["tool_choice"] == choice
    assert "tool_choice" not in accepted("hello", tool_choice="auto", tools=[])


def test_text_and_reasoning_and_the_rest() -> None:
    """Format, verbosity, reasoning and logprobs in chat's words; fields known to neither pass; memory's fields do not."""
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": None}
    request = accepted(
        "hello",
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "high", "summary": None, "generate_summary": "auto"},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        top_logprobs=3,
        store=False,
        background=False,
        previous_response_id=None,
        truncation="auto",
        stream_options={"include_obfuscation": False},
        metadata={"a": "b"},
        user="u",
        prompt_cache_key="k",
        service_tier="flex",
        session_id="s",
        provider={"sort": "price"},
        models=["t/b"],
        safe_prompt=True,
    )
    assert {name: value for name, value in request.items() if name not in ("model", "messages")} == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
        "verbosity": "low",
        "reasoning": {"effort": "high", "summary": "auto"},
        "logprobs": True,
        "top_logprobs": 3,
        "metadata": {"a": "b"},
        "user": "u",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "session_id": "s",
        "provider": {"sort": "price"},
        "models": ["t/b"],
        "safe_prompt": True,
    }
    assert accepted("hello", text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in accepted("hello", text={"format": {"type": "text"}})


def test_pictures_and_records_of_earlier_turns() -> None:
    """A picture that was made goes back as the assistant's; what a vendor's tools did is left to the text that tells it."""
    found = messages(
        USER,
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="},
        {"role": "user", "content": "blue, please"},
    )
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}, "id": "ig_1"}
    assert found[1] == {"role": "assistant", "content": "", "images": [image]}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([OUTPUT], "input[0].call_id"),
        ([USER, CALL], "input[1]"),
        ([USER, CALL, CALL, OUTPUT], "input[2].call_id"),
        ([USER, CALL, OUTPUT, OUTPUT], "input[3].call_id"),
        ([USER, {"type": "function_call_output", "output": "x"}], "input[1]"),
        ([USER, {**CALL, "call_id": ""}], "input[1].call_id"),
        ([USER, {"type": "item_reference", "id": "msg_1"}], "input[1]"),
        ([{"id": "msg_1"}], "input[0]"),
        ([{"type": "teleport"}], "input[0].type"),
        ([{"content": "x"}], "input[0].type"),
        ([{"type": 7}], "input[0].type"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "input_text", "text": 1}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], "input[0].content[0]"),
        ([{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}], "input[0].content[0]"),
        ([{"type": "compaction", "encrypted_content": "x"}], "input"),
        ([{"type": "reasoning", "encrypted_content": "twr1.%%%"}], "input[0].encrypted_content"),
        ([], "input"),
        (7, "input"),
        (None, "input"),
        ([{"type": "web_search_call", "id": "ws_1"}], "input"),
    ],
)
def test_bad_items_are_refused_by_name(items: Any, field: str) -> None:
    """Calls and results must pair, items must be whole, and the field at fault is named."""
    error = refusal(items)
    assert error.metadata["field"] == field
    assert error.message


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"model": None}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stream": "yes"}, "stream"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"effort": "low", "max_tokens": 5}}, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"tool_choice": {"name": "f"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "any", "tools": []}}, "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "tools": 1}}, "tool_choice.tools"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}}, "tool_choice.tools[0]"),
        ({"metadata": {"a[0]": "b"}}, "metadata"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"truncation": "middle"}, "truncation"),
    ],
)
def test_bad_fields_are_refused_by_name(more: Json, field: str) -> None:
    """Memory that is not there, wrong types and ranges, choices of tools that do not exist."""
    assert refusal("hello", **more).metadata["field"] == field


WORDS = st.text(max_size=8)
DETAIL = st.one_of(
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": WORDS, "signature": WORDS}),
    st.fixed_dictionaries({"type": st.just("reasoning.summary"), "summary": WORDS}),
    st.fixed_dictionaries({"type": st.just("reasoning.encrypted"), "data": WORDS}),
    st.dictionaries(WORDS, st.none() | st.integers() | WORDS, max_size=3),
)


@given(st.lists(DETAIL, max_size=5))
def test_what_is_sealed_comes_back_unchanged(details: list[Json]) -> None:
    """Sealing and unsealing is the identity, and a seal is recognised."""
    text = reasoning.seal(details)
    assert reasoning.sealed(text)
    assert reasoning.unseal(text) == details


@given(st.text(max_size=40))
def test_a_broken_seal_is_an_error_and_nothing_else(text: str) -> None:
    """Whatever stands behind the mark: details, or ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(reasoning.unseal("twr1." + text), list)


def test_a_vendor_of_this_api_sees_no_foreign_reasoning() -> None:
    """Another vendor's reasoning is dropped, OpenAI's goes without foreign fields; the rest is untouched."""
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
    foreign = {**own, "format": "anthropic-claude-v1", "signature": "S"}
    sealed = {**own, "encrypted_content": reasoning.seal([{"type": "reasoning.text"}])}
    marked = {**own, "format": "openai-responses-v1", "signature": None}
    body = {"model": "t/a", "input": [USER, own, foreign, sealed, marked, CALL, OUTPUT]}
    assert passthrough_body(body) == {"model": "t/a", "input": [USER, own, own, CALL, OUTPUT]}
    plain = {"model": "t/a", "input": [USER]}
    assert passthrough_body(plain) is plain
