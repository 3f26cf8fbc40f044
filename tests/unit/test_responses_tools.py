"""The tools of a Responses request under the names that a chat vendor sees, and the way back of their calls."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.api.inference.responses.request import inner, native_only
from gateway.api.inference.responses.response import Output
from gateway.errors import BadRequest
from tests.unit.test_responses_input import USER, accepted, messages, refusal
from tests.unit.test_responses_output import ask

Json = dict[str, Any]
SAFE = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "name": name, "parameters": SCHEMA, **more}


def namespace(name: str, *tools: Json, description: str = "") -> Json:
    return {"type": "namespace", "name": name, "description": description, "tools": list(tools)}


MCP = namespace("mcp__weather", function("get_weather", description="d"), function("list"), description="A server.")
CODEX = namespace("functions", {"type": "custom", "name": "exec", "format": {"type": "text"}}, function("wait"))
SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": SCHEMA}


def offered(tools: list[Json], input: Any = "hello") -> list[str]:
    """The names of the functions that are sent, and the types of other tools."""
    sent = accepted(input, tools=tools)["tools"]
    return [tool["function"]["name"] if tool["type"] == "function" else tool["type"] for tool in sent]


def called(name: str, arguments: str = "{}", **sent: Any) -> Json:
    """The item of a call that the vendor makes by this name."""
    output = Output(ask(**sent))
    output.delta({"tool_calls": [{"id": "c1", "function": {"name": name, "arguments": arguments}}]})
    output.close("tool_calls")
    (item,) = output.view
    return {field: value for field, value in item.items() if field not in ("id", "status", "call_id")}


def test_a_namespace_becomes_functions() -> None:
    """Flat names that every vendor takes, the description of the namespace at its first tool, nothing stricter or deferred."""
    tools = [function("f", defer_loading=True, strict=False), MCP, CODEX, SEARCH, {"type": "web_search"}]
    assert offered(tools) == [
        *("f", "mcp__weather__get_weather", "mcp__weather__list"),
        *("functions__exec", "functions__wait", "tool_search", "web_search"),
    ]
    first, weather, listing, script, *_ = (tool["function"] for tool in accepted("hello", tools=tools[:-1])["tools"])
    assert first == {"name": "f", "parameters": SCHEMA, "strict": False}
    assert weather["description"] == "A server.\n\nd"
    assert "description" not in listing
    assert script["parameters"]["required"] == ["input"]


@pytest.mark.parametrize(
    ("name", "arguments", "item"),
    [
        ("f", "{}", {"type": "function_call", "name": "f", "arguments": "{}"}),
        ("unknown", "{}", {"type": "function_call", "name": "unknown", "arguments": "{}"}),
        (
            "mcp__weather__get_weather",
            '{"city":"x"}',
            {"type": "function_call", "namespace": "mcp__weather", "name": "get_weather", "arguments": '{"city":"x"}'},
        ),
        (
            "functions__exec",
            '{"input":"1+1"}',
            {"type": "custom_tool_call", "namespace": "functions", "name": "exec", "input": "1+1"},
        ),
        (
            "tool_search",
            '{"query":"x"}',
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}},
        ),
        ("tool_search", "x", {"type": "tool_search_call", "execution": "client", "arguments": {}}),
        (
            "shell",
            '{"commands":["ls"],"timeout_ms":9,"x":1}',
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": 9}},
        ),
        ("shell", '{"commands":"ls"}', {"type": "shell_call", "action": {"commands": ["ls"]}}),
        (
            "apply_patch",
            '{"operation":{"type":"delete_file","path":"a"}}',
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
        ),
        (
            "apply_patch",
            '{"type":"create_file","path":"a","diff":"+b"}',
            {"type": "apply_patch_call", "operation": {"type": "create_file", "path": "a", "diff": "+b"}},
        ),
        (
            "local_shell",
            '{"command":"ls"}',
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["bash", "-lc", "ls"], "env": {}}},
        ),
    ],
)
def test_a_call_comes_back_as_its_own_item(name: str, arguments: str, item: Json) -> None:
    """With its namespace and its own name; what a model wrote instead of the schema does no harm."""
    kinds: list[Json] = [{"type": kind} for kind in ("shell", "apply_patch", "local_shell")]
    assert called(name, arguments, tools=[function("f"), MCP, CODEX, SEARCH, *kinds]) == item


@pytest.mark.parametrize(
    "tools",
    [
        [namespace("a.b", function("c:d")), namespace("a_b", function("c_d"))],
        [namespace("n" * 40, function("f" * 40 + "1"), function("f" * 40 + "2"))],
        [function("a__b"), namespace("a", function("b")), namespace("a__b", {"type": "custom", "name": "c"})],
        [namespace("a", function("b__c")), namespace("a__b", function("c"))],
        [{"type": "custom", "name": "shell"}, {"type": "shell"}],
    ],
    ids=["letters", "length", "taken", "ambiguous", "kinds"],
)
def test_names_are_safe_unique_and_lead_back(tools: list[Json]) -> None:
    """Whatever namespaces and names meet: each tool has a name of its own, the same each time, and is found by it."""
    names = offered(tools)
    assert all(SAFE.fullmatch(name) for name in names)
    assert len(set(names)) == len(names)
    assert offered(tools) == names
    back = [called(name, tools=tools) for name in names]
    found = [(item["type"], item.get("namespace"), item.get("name")) for item in back]
    assert len(set(found)) == len(names)
    for item, name in zip(back, names, strict=True):
        if item["type"] == "function_call":  # a call of an earlier turn has the name of the offer
            again = {**item, "call_id": "c", "arguments": "{}"}
            result = {"type": "function_call_output", "call_id": "c", "output": "x"}
            turn = accepted([USER, again, result], tools=tools)["messages"][1]
            assert turn["tool_calls"][0]["function"]["name"] == name


def test_tools_within_the_input() -> None:
    """Tools that the developer adds, and those that a search has found, are offered; one that comes twice is offered once."""
    added = {"type": "additional_tools", "role": "developer", "tools": [CODEX, {"type": "web_search"}]}
    call = {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {"query": "x"}}
    found = {"type": "tool_search_output", "call_id": "s", "execution": "client", "tools": [MCP, CODEX]}
    names = ["tool_search", "functions__exec", "functions__wait", "web_search"]
    items = [added, USER, call, found]
    assert offered([SEARCH], items) == [*names, "mcp__weather__get_weather", "mcp__weather__list"]
    request = accepted(items, tools=[SEARCH])
    assert request["messages"][1]["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"query":"x"}'}
    assert "mcp__weather__get_weather" in request["messages"][2]["content"]
    item = called("mcp__weather__list", input=items, tools=[SEARCH])
    assert (item["namespace"], item["name"]) == ("mcp__weather", "list")
    hosted = [{**call, "call_id": None}, {**found, "call_id": None}]
    assert [message["role"] for message in messages(added, USER, *hosted)] == ["user"]


@pytest.mark.parametrize(
    ("choice", "inner_choice", "left"),
    [
        (
            {"type": "function", "name": "get_weather", "namespace": "mcp__weather"},
            {"type": "function", "function": {"name": "mcp__weather__get_weather"}},
            7,
        ),
        ({"type": "custom", "name": "exec"}, {"type": "function", "function": {"name": "functions__exec"}}, 7),
        ({"type": "tool_search"}, {"type": "function", "function": {"name": "tool_search"}}, 7),
        ({"type": "shell"}, {"type": "function", "function": {"name": "shell"}}, 7),
        ({"type": "web_search"}, {"type": "web_search"}, 7),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "mcp__weather"}]},
            "auto",
            2,
        ),
    ],
)
def test_a_choice_among_namespaces(choice: Any, inner_choice: Any, left: int) -> None:
    """A tool by its name and namespace, a whole namespace, tools that have no name."""
    tools = [MCP, CODEX, SEARCH, {"type": "shell"}, {"type": "web_search"}]
    request = accepted("hello", tools=tools, tool_choice=choice)
    assert (request["tool_choice"], len(request["tools"])) == (inner_choice, left)


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"type": "namespace", "tools": []}, "tools[0].name"),
        (namespace("n", {"type": "function"}), "tools[0].tools[0].name"),
        (namespace("n", {"type": "web_search"}), "tools[0].tools[0].type"),
        (namespace("n", namespace("m")), "tools[0].tools[0].type"),
        (namespace("n", {"name": "f"}), "tools[0].tools[0]"),
    ],
)
def test_bad_namespaces_are_refused_by_name(tool: Json, field: str) -> None:
    """In ``tools`` and in an item alike."""
    assert refusal("hello", tools=[tool]).metadata["field"] == field
    error = refusal([USER, {"type": "additional_tools", "role": "developer", "tools": [tool]}])
    assert error.metadata["field"] == f"input[1].{field}"


ACTION: Json = {"type": "click", "button": "left", "x": 1, "y": 2}
CALLS: list[tuple[Json, Json, str, Any, Any]] = [
    (
        {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": None}},
        {
            "type": "shell_call_output",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        "shell",
        {"commands": ["ls"]},
        '[{"stdout":"a","stderr":"","outcome":{"type":"exit","exit_code":0}}]',
    ),
    (
        {"type": "apply_patch_call", "status": "completed", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "status": "failed"},
        "apply_patch",
        {"operation": {"type": "delete_file", "path": "a"}},
        "failed",
    ),
    (
        {"type": "computer_call", "id": "cu_1", "actions": [ACTION], "pending_safety_checks": []},
        {
            "type": "computer_call_output",
            "output": {"type": "computer_screenshot", "image_url": "https://x.test/a.png"},
        },
        "computer",
        {"actions": [ACTION]},
        [{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}],
    ),
    (
        {"type": "custom_tool_call", "name": "exec", "namespace": "functions", "input": "1"},
        {"type": "custom_tool_call_output", "output": "2"},
        "functions__exec",
        {"input": "1"},
        "2",
    ),
    (
        {"type": "tool_search_call", "arguments": {"query": "x"}, "execution": "client"},
        {"type": "tool_search_output", "tools": []},
        "tool_search",
        {"query": "x"},
        "No tool was found.",
    ),
]


@pytest.mark.parametrize(("call", "output", "name", "arguments", "content"), CALLS, ids=[row[2] for row in CALLS])
def test_calls_of_every_kind_in_a_conversation(
    call: Json, output: Json, name: str, arguments: Any, content: Any
) -> None:
    """Each is a call and its result for a vendor that knows functions only, and both are demanded."""
    turn, result = messages(USER, {**call, "call_id": "c"}, {**output, "call_id": "c"})[1:]
    function = turn["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (name, arguments)
    assert (result["tool_call_id"], result["content"]) == ("c", content)
    assert refusal([USER, {**call, "call_id": "c"}]).metadata["field"] == "input[1]"
    assert refusal([USER, {**output, "call_id": "c"}]).metadata["field"] == "input[1].call_id"


def test_ids_that_a_vendor_counts_from_zero_in_each_turn() -> None:
    """The same id in two turns is two calls (Kimi's ``list_dir:0``); twice in one turn it is refused."""
    call: Json = {"type": "function_call", "call_id": "f:0", "name": "f", "arguments": "{}"}
    output: Json = {"type": "function_call_output", "call_id": "f:0", "output": "x"}
    found = messages(USER, call, output, call, {**output, "output": "y"})
    ids = [message["tool_calls"][0]["id"] for message in found if "tool_calls" in message]
    results = [(message["tool_call_id"], message["content"]) for message in found if message["role"] == "tool"]
    assert len(set(ids)) == 2
    assert results == list(zip(ids, "xy", strict=True))
    deltas = [{"id": "f:0", "index": index, "function": {"name": "f", "arguments": "{}"}} for index in (0, 1)]
    answer = Output(ask())
    answer.delta({"tool_calls": deltas})
    assert len({item["call_id"] for item in answer.view}) == 2


def test_what_others_than_the_model_wrote() -> None:
    """An agent's message is the user's; a result without a call gets one; a changed configuration holds from there on."""
    parts = [{"type": "encrypted_content", "encrypted_content": text} for text in ("say hi", "gAAAAABh")]
    text = [{"type": "input_text", "text": "hi"}, *parts]
    agent = {"type": "agent_message", "author": "/root", "recipient": "/root/a", "content": text}
    given = {"type": "function_call_output", "name": "note", "namespace": "n", "output": "x"}
    update = {"type": "configuration_update", "reasoning": {"effort": "low"}}
    request = accepted([agent, given, update], reasoning={"effort": "high", "summary": "auto"})
    user, turn, result = request["messages"]
    assert [part["text"][:12] for part in user["content"]] == ["Message from", "hi", "say hi", "(encrypted: "]
    assert turn["tool_calls"][0]["function"] == {"name": "n__note", "arguments": "{}"}
    assert (result["tool_call_id"], result["content"]) == (turn["tool_calls"][0]["id"], "x")
    assert request["reasoning"] == {"effort": "low", "summary": "auto"}


RECORDS = ("mcp_approval_request", "mcp_approval_response", "mcp_call", "web_search_call")
NATIVE = ("compaction", "context_compaction", "compaction_trigger", "program", "program_output")


@pytest.mark.parametrize("type_", [*RECORDS, *NATIVE])
def test_what_only_its_vendor_can_read(type_: str) -> None:
    """Records of a vendor's own tools are left out; a compacted conversation cannot be: only a vendor of this API can take it."""
    body: Json = {"model": "t/a", "input": [{"type": type_, "id": "x"}, USER]}
    assert inner(body)["messages"] == [USER]
    why = native_only(body)
    assert (why is None) is (type_ in RECORDS)
    assert why is None or why.startswith(f"input[0]: {type_} ")


def test_unknown_types_are_refused() -> None:
    """A type that nobody knows is more likely a typing error."""
    with pytest.raises(BadRequest):
        inner({"model": "t/a", "input": [{"type": "shell_cal", "call_id": "c"}]})
