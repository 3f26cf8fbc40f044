"""Which calls of tools and which structured outputs are wrong, and that no schema of a stranger keeps a process from its work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.analytics import answer_checks, schema_check
from gateway.analytics.answer_checks import (
    FINE,
    MISMATCH,
    NOT_JSON,
    NOT_LOOKED_AT,
    SAID_FINE,
    SAID_MISMATCH,
    SAID_NO_JSON,
    TEXT_BYTES_MAX,
    UNKNOWN_NAME,
    WAITING_MAX,
    AnswerChecks,
    Call,
)

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 2}, "days": {"type": "integer", "maximum": 14}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str = "weather", parameters: Any = WEATHER, kind: str = "function") -> dict[str, Any]:
    return {"type": kind, kind: {"name": name, "parameters": parameters}}


OFFERED = [tool(), tool("bare", None), tool("note", kind="custom")]


async def looked_at(calls: list[Call], offered: list[Any]) -> tuple[int, int]:
    checks = AnswerChecks()
    answer = checks.calls(calls, offered)
    await checks.look()
    checks.close()
    return answer.calls, answer.found[0]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (Call("weather", '{"city": "Berlin"}'), FINE),
        (Call("weather", ' {"city": "Berlin", "days": 3}\n'), FINE),
        (Call("weather", '{"city": "Berlin", "days": 30}'), MISMATCH),
        (Call("weather", '{"city": "Berlin", "days": "3"}'), MISMATCH),
        (Call("weather", '{"town": "Berlin"}'), MISMATCH),
        (Call("weather", ""), MISMATCH),
        (Call("weather", '["Berlin"]'), MISMATCH),
        (Call("weather", '{"city": "Berl'), NOT_JSON),
        (Call("weather", '{"city": NaN}'), NOT_JSON),
        (Call("weather", "{'city': 'Berlin'}"), NOT_JSON),
        (Call("weather", "\ud800"), NOT_JSON),
        (Call("weather", "[" * 60_000), NOT_JSON),
        (Call("Weather", '{"city": "Berlin"}'), UNKNOWN_NAME),
        (Call("", "{}"), UNKNOWN_NAME),
        (Call("bare", ""), FINE),
        (Call("bare", '{"anything": 1}'), FINE),
        (Call("note", None), FINE),
    ],
)
async def test_calls(call: Call, error: int) -> None:
    """Nothing at all stands for no arguments; a custom tool takes any text; a good call beside it excuses nothing."""
    pytest.importorskip("jsonschema", reason="schemas are checked with the extra `analytics`")
    assert await looked_at([call], OFFERED) == (1, error)
    good = Call("weather", '{"city": "Rome"}')
    assert await looked_at([good, call, good], OFFERED) == (3, error)


@pytest.mark.parametrize(
    ("offered", "error"),
    [
        ([tool(), {"type": "web_search"}], FINE),
        ([tool(), {"type": "bash_20250124", "name": "bash"}], FINE),
        ([tool(), "none"], FINE),
        ([tool()], UNKNOWN_NAME),
        ([{"type": "function"}], UNKNOWN_NAME),
    ],
)
async def test_names_that_only_a_vendor_knows(offered: list[Any], error: int) -> None:
    """Beside a vendor's own tool a name that the request does not say is no error."""
    assert await looked_at([Call("str_replace", "{}")], offered) == (1, error)


@pytest.mark.parametrize(
    ("said", "schema", "found"),
    [
        ('{"city": "Berlin"}', WEATHER, SAID_FINE),
        ('{"city": "B"}', WEATHER, SAID_MISMATCH),
        ("[1]", None, SAID_FINE),
        ("```json\n{}\n```", None, SAID_NO_JSON),
        ("", WEATHER, SAID_NO_JSON),
    ],
)
async def test_structured_output(said: str, schema: Any, found: int) -> None:
    """As clients read it: a fence around it is an error."""
    pytest.importorskip("jsonschema", reason="schemas are checked with the extra `analytics`")
    checks = AnswerChecks()
    answer = checks.structured(said, {"type": "json_schema", "json_schema": {"schema": schema}})
    await checks.look()
    checks.close()
    assert (answer.calls, answer.found) == (0, (FINE, found, 0))


async def test_a_process_that_stops_looks_at_nothing() -> None:
    """Its last events are written with what is known."""
    checks = AnswerChecks()
    before = checks.calls([Call("else", "{}")], OFFERED)
    checks.close()
    assert checks.calls([Call("else", "{}")], OFFERED) is NOT_LOOKED_AT
    await checks.look()
    assert before.calls == 0


async def test_what_waits_is_bounded() -> None:
    """So many answers, none longer than that: others are not looked at, and say so."""
    checks = AnswerChecks()
    assert checks.calls([Call("weather", "x" * TEXT_BYTES_MAX + "x")], OFFERED) is NOT_LOOKED_AT
    found = [checks.calls([Call("weather", "{}")], OFFERED) for _ in range(WAITING_MAX + 3)]
    assert [each is NOT_LOOKED_AT for each in found] == [False] * WAITING_MAX + [True] * 3
    await checks.look()
    checks.close()
    assert {each.calls for each in found} == {1, 0}
    assert (NOT_LOOKED_AT.calls, NOT_LOOKED_AT.found) == (0, (0, 0, 0))


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


TWICE = {"anyOf": [{"$ref": "#/definitions/a"}, {"$ref": "#/definitions/b"}]}
HOSTILE: dict[str, tuple[Any, Any]] = {
    "itself": ({"$ref": "#"}, {}),
    "a circle that doubles": ({"definitions": {"a": TWICE, "b": TWICE}, **TWICE}, {}),
    "exponential": (
        {
            "definitions": {f"d{n}": {"allOf": [{"$ref": f"#/definitions/d{n + 1}"}] * 2} for n in range(40)}
            | {"d40": {}},
            "allOf": [{"$ref": "#/definitions/d0"}],
        },
        {},
    ),
    "elsewhere": ({"$ref": "http://127.0.0.1:1/schema.json"}, {}),
    "a file": ({"$ref": "file:///etc/hostname"}, {}),
    "deep": (deep(3_000), {"a": {}}),
    "large": ({"enum": [f"{n:08}" for n in range(9_000)]}, {}),
    "many comparisons": ({"items": {"enum": list(range(9_000))}}, ["x"] * 9_000),
    "no schema": ({"type": 7, "required": 5, "properties": []}, {"a": 1}),
    "a part that is applied to much": ({"allOf": [{"items": {}}] * 1_500}, [1] * 2_000),
    "many searches for an anchor": ({"allOf": [{"$ref": "#foo"}] * 300, "x": "y" * 40_000}, {}),
    "no regular expression": ({"propertyNames": {"minLength": "x"}}, {"a": 1}),
}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
SEARCHED = {"properties": {"a": {"$schema": DRAFT_7, "pattern": "^(a+)+$"}}}
BOUNDED = {
    "a part that names its own validator": (SEARCHED, {"a": "a" * 60 + "!"}),
    "the whole names it, and comes again": (
        {"$schema": DRAFT_7, "properties": {"x": {"$ref": "#"}, "a": {"pattern": "^(a+)+$"}}},
        {"x": {"a": "a" * 60 + "!"}},
    ),
    "a broken search": ({"$schema": DRAFT_7, "pattern": "(("}, "x"),
    "a search that never ends": ({"pattern": "^(a+)+$"}, "a" * 40 + "!"),
    "the same in names": ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 40 + "!": 1}),
    "everything with everything": ({"uniqueItems": True}, [{"a": n} for n in range(6_000)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_of_a_hostile_schema_nothing_is_said(name: str) -> None:
    """Neither true nor false, and never an exception."""
    pytest.importorskip("jsonschema", reason="schemas are checked with the extra `analytics`")
    schema, value = HOSTILE[name]
    assert schema_check.follows(value, schema_check.written(schema)) is None


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.timeout(60)
def test_what_may_not_end_is_left_out(name: str) -> None:
    """These keywords are ignored; with them the test would not end."""
    pytest.importorskip("jsonschema", reason="schemas are checked with the extra `analytics`")
    schema, value = BOUNDED[name]
    since = time.thread_time()
    assert schema_check.follows(value, schema_check.written(schema)) is True
    assert time.thread_time() - since < 30


async def test_without_the_extra_schemas_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON and names are, all the same."""
    monkeypatch.setattr(schema_check, "is_available", lambda: False)
    assert await looked_at([Call("weather", '{"days": "many"}')], OFFERED) == (1, FINE)
    assert await looked_at([Call("weather", '{"days": ')], OFFERED) == (1, NOT_JSON)
    assert await looked_at([Call("else", "{}")], OFFERED) == (1, UNKNOWN_NAME)
    assert answer_checks.FINE == 0
