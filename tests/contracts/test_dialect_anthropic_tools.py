"""What Anthropic gets for tools, structured output, sampling and limits. Checked against the SDK's types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.errors import ProviderError
from tests.support.anthropicwire import DIALECT, TARGET, sent
from tests.support.examples import examples

HI = {"role": "user", "content": "hi"}


def refusal(body: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        sent({"messages": [HI], **body}, **options)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}, **more}}


def test_tools_and_what_of_them_passes() -> None:
    """Functions become tools with an object schema; the vendor's own tools pass; other vendors' are refused."""
    strict = function(
        "s", strict=True, description="d", parameters={"properties": {"a": {"type": "integer", "minimum": 1}}}
    )
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    vendor_body = sent(
        {"messages": [HI], "tools": [function("f"), strict, {"type": "function", "function": {"name": "bare"}}, search]}
    )
    assert vendor_body["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "s",
            "description": "d",
            "input_schema": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
        },
        {"name": "bare", "input_schema": {"type": "object"}},
        search,
    ]
    native = sent({"messages": [HI], "tools": [strict]}, structured_outputs="native")["tools"][0]
    assert native["strict"] is True
    assert native["input_schema"]["additionalProperties"] is False
    assert native["input_schema"]["properties"]["a"] == {"type": "integer", "description": "{minimum: 1}"}
    assert "code_interpreter" in refusal({"tools": [{"type": "code_interpreter"}]})
    assert "openrouter:web_search" in refusal({"tools": [{"type": "openrouter:web_search"}]})


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ({"type": "function", "function": {"name": "g"}}, None, {"type": "tool", "name": "g"}),
        (
            {"type": "function", "function": {"name": "g"}},
            False,
            {"type": "tool", "name": "g", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_tool_choice(choice: Any, parallel: Any, expected: Any) -> None:
    """Every form of tool_choice, with parallel_tool_calls folded into it."""
    body = {
        "messages": [HI],
        "tools": [function("f"), function("g")],
        "tool_choice": choice,
        "parallel_tool_calls": parallel,
    }
    assert sent(body).get("tool_choice") == expected


def test_tool_choice_narrowed_refused_and_pointless() -> None:
    """Allowed tools narrow the list; an unknown choice is refused; without tools there is nothing to choose."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    body = {"messages": [HI], "tools": [function("f"), function("g")]}
    vendor_body = sent({**body, "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}})
    assert ([tool["name"] for tool in vendor_body["tools"]], vendor_body["tool_choice"]) == (["g"], {"type": "any"})
    assert "tool_choice" in refusal({**body, "tool_choice": {"type": "openrouter:web_search"}})
    assert not {"tools", "tool_choice"} & sent({"messages": [HI], "tool_choice": "auto"}).keys()


def test_calls_in_the_history_declare_their_tools() -> None:
    """A conversation with calls but without tools declares them by name and forbids their use: the vendor demands it."""
    made = {"role": "assistant", "tool_calls": [call("a", "f", "{}"), call("b", "g", "{}")]}
    results = [{"role": "tool", "tool_call_id": id, "content": "x"} for id in "ab"]
    vendor_body = sent({"messages": [HI, made, *results]})
    assert [tool["name"] for tool in vendor_body["tools"]] == ["f", "g"]
    assert vendor_body["tool_choice"] == {"type": "none"}


def test_web_search_is_the_vendors_tool() -> None:
    """web_search_options add the vendor's search with the place of the caller."""
    place = {"type": "approximate", "approximate": {"city": "Bern", "country": "CH", "planet": "Earth"}}
    vendor_body = sent({"messages": [HI], "web_search_options": {"search_context_size": "low", "user_location": place}})
    where = {"type": "approximate", "city": "Bern", "country": "CH"}
    assert vendor_body["tools"] == [{"type": "web_search_20250305", "name": "web_search", "user_location": where}]
    assert (
        sent({"messages": [HI], "web_search_options": {}}, web_search_tool="web_search_20260318")["tools"][0]["type"]
        == "web_search_20260318"
    )


SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "minimum": 1},
        "b": {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
    },
    "required": ["a"],
}


def formed(schema: Any, **more: Any) -> dict[str, Any]:
    spec = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "description": "Why."}}
    return {"messages": [HI], "response_format": spec, **more}


def test_a_schema_goes_out_natively_where_the_model_has_it() -> None:
    """output_config.format with closed objects; keywords that the vendor refuses move to the description; maps take the tool."""
    vendor_body = sent(formed(SCHEMA), structured_outputs="native")
    assert "tools" not in vendor_body
    assert vendor_body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "{minimum: 1}"},
            "b": {"anyOf": [{"type": "string", "description": "{maxLength: 3}"}, {"type": "null"}]},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    maps = {"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}}
    assert "output_config" not in sent(formed(maps), structured_outputs="native")


TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "value": {"type": "string"}}}


def test_a_schema_that_contains_itself_takes_the_forced_tool() -> None:
    """The vendor cannot constrain its output to it; a tool with such arguments is there, but not strict."""
    vendor_body = sent(formed(TREE), structured_outputs="native")
    assert "output_config" not in vendor_body
    (forced,) = vendor_body["tools"]
    assert (forced["input_schema"], vendor_body["tool_choice"]["name"]) == (TREE, forced["name"])
    strict = function("grow", strict=True, parameters=TREE)
    (tool,) = sent({"messages": [HI], "tools": [strict]}, structured_outputs="native")["tools"]
    assert tool == {"name": "grow", "input_schema": TREE}


@pytest.mark.parametrize(
    "search", [None, {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}]
)
def test_a_deferred_tool_needs_a_search(search: Any) -> None:
    """Without one in the request nothing could load the tool, so it is an ordinary one."""
    tools = [function("f", defer_loading=True), *([search] if search else [])]
    assert ("defer_loading" in sent({"messages": [HI], "tools": tools})["tools"][0]) is (search is not None)


def test_a_schema_is_a_forced_tool_elsewhere() -> None:
    """Alone it is forced; beside the caller's tools any may be called; a turn that demands a call has no answer yet."""
    name = "tokenway_structured_answer"
    vendor_body = sent(formed(SCHEMA))
    assert vendor_body["tools"][0]["name"] == name
    assert vendor_body["tools"][0]["input_schema"] == SCHEMA
    assert vendor_body["tools"][0]["description"].endswith("Why.")
    assert vendor_body["tool_choice"] == {"type": "tool", "name": name, "disable_parallel_tool_use": True}
    vendor_body = sent(formed(SCHEMA, tools=[function("f")]))
    assert ([tool["name"] for tool in vendor_body["tools"]], vendor_body["tool_choice"]["type"]) == (["f", name], "any")
    vendor_body = sent(formed(SCHEMA, tools=[function("f")], tool_choice="none"))
    assert vendor_body["tool_choice"] == {"type": "tool", "name": name, "disable_parallel_tool_use": True}
    vendor_body = sent(formed(SCHEMA, tools=[function("f")], tool_choice="required"))
    assert [tool["name"] for tool in vendor_body["tools"]] == ["f"]
    assert "object" in refusal(formed({"type": "array", "items": {}}))


def test_other_formats() -> None:
    """json_object is an instruction, text is nothing, a grammar is refused."""
    vendor_body = sent(
        {"messages": [{"role": "system", "content": "s"}, HI], "response_format": {"type": "json_object"}}
    )
    assert [block["text"][:4] for block in vendor_body["system"]] == ["s", "Answ"]
    assert sent({"messages": [HI], "response_format": {"type": "text"}}).keys() == {"model", "messages", "max_tokens"}
    assert "grammar" in refusal({"response_format": {"type": "grammar", "grammar": "x"}})


def test_sampling_within_the_vendors_bounds() -> None:
    """Temperature at most 1; temperature or top_p, not both; both or none where the options say so."""

    def got(**inner_request: Any) -> dict[str, Any]:
        options = {name: inner_request.pop(name) for name in ("sampling",) if name in inner_request}
        vendor_body = sent({"messages": [HI], **inner_request}, **options)
        return {name: vendor_body[name] for name in ("temperature", "top_p", "top_k") if name in vendor_body}

    assert got(temperature=1.7) == {"temperature": 1}
    assert got(temperature=0.2, top_p=0.9, top_k=40) == {"temperature": 0.2, "top_k": 40}
    assert got(temperature=1, top_p=0.9) == {"top_p": 0.9}
    assert got(temperature=0.2, top_p=0.9, sampling="both") == {"temperature": 0.2, "top_p": 0.9}
    assert got(temperature=0.2, top_p=0.9, top_k=1, sampling="none") == {}
    assert got(temperature=None, top_p="x", top_k=0) == {}


def test_limits_stops_user_and_tier() -> None:
    """max_tokens always goes out; stop, user and tier are spelled the vendor's way; its unknown fields do not pass."""

    def limit(inner_request: dict[str, Any], **options: Any) -> int:
        return int(sent({"messages": [HI], **inner_request}, **options)["max_tokens"])

    assert limit({}) == 4096
    assert limit({}, max_completion_tokens=8192) == 8192
    assert limit({}, max_completion_tokens=8192, default_max_tokens=1000) == 1000
    assert limit({"max_tokens": 7, "max_completion_tokens": None}) == 7
    assert limit({"max_tokens": 7, "max_completion_tokens": 9}) == 9
    assert limit({"max_tokens": 99999}, max_completion_tokens=8192) == 8192
    foreign = {
        "seed": 1,
        "logit_bias": {},
        "frequency_penalty": 1,
        "provider": {},
        "metadata": {"a": "b"},
        "unknown": 1,
        "n": 1,
    }
    vendor_body = sent(
        {"messages": [HI], "stop": "END", "user": "u-1", "service_tier": "default", "speed": "standard", **foreign}
    )
    assert vendor_body.keys() == {
        "model",
        "messages",
        "max_tokens",
        "stop_sequences",
        "metadata",
        "service_tier",
        "speed",
    }
    assert (vendor_body["stop_sequences"], vendor_body["metadata"], vendor_body["service_tier"]) == (
        ["END"],
        {"user_id": "u-1"},
        "standard_only",
    )
    assert sent({"messages": [HI], "stop": ["a", "b"]})["stop_sequences"] == ["a", "b"]
    assert "stop" in refusal({"stop": ["a", "\n"]})
    assert "n:" in refusal({"n": 2})
    assert "modalities" in refusal({"modalities": ["text", "audio"]})


LOOSE = [
    "tool_choice",
    "reasoning_details",
    "web_search_options",
    "json_schema",
    "parameters",
    "output_config",
    "thinking",
    "cache_control",
]
KEYS = "type function name tools mode allowed_tools schema properties items anyOf effort budget_tokens text signature format index data ttl approximate city user_location"
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["object", "function", "allowed_tools", "reasoning.text", "ephemeral", "required", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=10,
)


@examples(300)
@given(st.sampled_from(LOOSE), JUNK, st.sampled_from([{}, {"structured_outputs": "native", "thinking": "adaptive"}]))
def test_junk_where_the_contract_is_loose_is_survived(field: str, junk: Any, options: dict[str, Any]) -> None:
    """In the fields that no surface checks to the leaves, anything becomes a request or is ``unsupported``."""
    answered = {
        "role": "assistant",
        "content": "a",
        "reasoning_details": junk if field == "reasoning_details" else None,
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": junk if field == "parameters" else None}}
    body: dict[str, Any] = {
        "messages": [HI, answered, HI],
        "tools": [tool],
        "reasoning": {"effort": "low"},
        "max_tokens": 9000,
    }
    body |= (
        {"response_format": {"type": "json_schema", "json_schema": junk}} if field == "json_schema" else {field: junk}
    )
    made_for = replace(TARGET, options=options)
    refused = None
    try:
        json.loads(DIALECT.request(made_for, body, stream=True).content)
    except ProviderError as error:
        refused = error.failure.kind
    assert refused in (None, "unsupported")
