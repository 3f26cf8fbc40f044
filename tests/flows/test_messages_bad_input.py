"""Every documented field of a Messages request with wrong values: 400, Anthropic's envelope, the field named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway.api.inference.messages.schema import MessagesRequest
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import messageshape
from tests.support.gateway import Caller, Sale, Stage, staged
from tests.support.invariants import calm

pytestmark = pytest.mark.asyncio(loop_scope="module")
HUGE = 10**30
USER = {"role": "user", "content": "hello"}


def user(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def assistant(*blocks: Any) -> list[dict[str, Any]]:
    return [USER, {"role": "assistant", "content": list(blocks)}]


def system(*blocks: Any) -> list[dict[str, Any]]:
    return [USER, {"role": "system", "content": list(blocks)}]


def use(id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}, **more}


def result(id: str = "a", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": "x", **more}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


PICTURE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
WRONG: dict[str, list[tuple[Any, str]]] = {
    "model": [(1, ""), ([], ""), (True, ""), ("nope/nope", ""), ("x" * 300, "")],
    "models": [("t/a", ""), ([1], "[0]"), (["t/a"] * 33, "")],
    "fallbacks": [
        ("t/a", ""),
        (["t/a"], "[0]"),
        ([{}], "[0]"),
        ([{"model": "t/a", "x": 1}], "[0]"),
        ([{"model": "t/a"}] * 4, ""),
    ],
    "messages": [
        *((value, "") for value in (None, "hi", {}, [], True)),
        *(([value], "[0]") for value in (1, None, {}, {"role": "user"}, {"content": "x"})),
        ([USER, {"role": "tool", "content": "x"}], "[1].role"),
        ([USER, {"role": "developer", "content": "x"}], "[1].role"),
        ([{"role": "user", "content": 1}], "[0].content"),
        ([{"role": "user", "content": None}], "[0].content"),
        ([{"role": "system", "content": {}}], "[0].content"),
        ([{"role": "system", "content": [image(**PICTURE)]}], "[0].content[0].type"),
        (user("x"), "[0].content[0]"),
        (user({"type": "text"}), "[0].content[0]"),
        (user({"text": "x"}), "[0].content[0]"),
        (user({"type": "smell"}), "[0].content[0].type"),
        (
            user({"type": "text", "text": "x", "cache_control": {"type": "eternal"}}),
            "[0].content[0].cache_control.type",
        ),
        (user(image()), "[0].content[0].source"),
        (user(image(type="ftp", url="x")), "[0].content[0].source.type"),
        (user(image(type="url", url="")), "[0].content[0].source.url"),
        (
            user(image(**PICTURE) | {"source": {**PICTURE, "media_type": "image/bmp"}}),
            "[0].content[0].source.media_type",
        ),
        (user(image(**{**PICTURE, "data": ""})), "[0].content[0].source.data"),
        (user(document(type="base64", media_type="text/html", data="eA==")), "[0].content[0].source.media_type"),
        (user(document(type="text", data=1)), "[0].content[0].source.data"),
        (user(use()), "[0].content[0].type"),
        (user({"type": "thinking", "thinking": "x"}), "[0].content[0].type"),
        (assistant(result()), "[1].content[0].type"),
        (assistant({"type": "tool_use", "id": "a", "name": "f"}), "[1].content[0]"),
        (assistant(use(input="x")), "[1].content[0].input"),
        (assistant(use(id="")), "[1].content[0].id"),
        (assistant({"type": "thinking", "thinking": 1, "signature": ""}), "[1].content[0].thinking"),
        (
            system({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {"name": "g"}}}),
            "[1].content[0].tool.definition.input_schema",
        ),
        (system({"type": "tool_addition", "tool": {"type": "tool_definition"}}), "[1].content[0].tool.definition.name"),
        (system({"type": "tool_addition", "tool": {"type": "wish"}}), "[1].content[0].tool.type"),
        (system({"type": "tool_removal"}), "[1].content[0]"),
        # tool calls and their results
        (user(result()), "[0].content[0].tool_use_id"),
        ([*assistant(use()), *user(result("b"))], "[2].content[0].tool_use_id"),
        ([*assistant(use()), USER], "[1].content[0]"),
        (assistant(use()), "[1].content[0]"),
        ([*assistant(use("a"), use("b")), *user(result("a"))], "[1].content[1]"),
        ([*assistant(use()), *user(result(), result())], "[2].content[1].tool_use_id"),
        (assistant(use(), use()), "[1].content[0]"),
        (
            [*assistant(use()), *user(result()), *assistant({"type": "text", "text": "y"}), *user(result())],
            "[5].content[0].tool_use_id",
        ),
        (
            [*assistant(use()), *user(result(content=[image(**{**PICTURE, "media_type": "x/y"})]))],
            "[2].content[0].content[0].source.media_type",
        ),
    ],
    "max_tokens": [(value, "") for value in (0, -1, True, HUGE, 2**31, "5", 1.5, [])],
    "system": [(1, ""), ({}, ""), (["x"], "[0]"), ([image(**PICTURE)], "[0].type"), ([{"type": "text"}], "[0]")],
    "stream": [("yes", ""), (1, "")],
    "temperature": [(value, "") for value in (-0.1, 2.1, "1", True)],
    "top_p": [(value, "") for value in (-0.1, 1.1, "1")],
    "top_k": [(value, "") for value in (-1, 1.5, "1", HUGE)],
    "stop_sequences": [("x", ""), ([1], "[0]"), ([""], "[0]"), (["x"] * 65, "")],
    "tools": [
        *((value, "") for value in ("x", {}, [TOOL] * 1025)),
        ([1], "[0]"),
        ([{}], "[0].name"),
        ([{"name": "f"}], "[0].input_schema"),
        ([{"name": "f", "input_schema": {}}], "[0].input_schema"),
        ([{"name": "f", "input_schema": {"type": "string"}}], "[0].input_schema"),
        ([{"name": "", "input_schema": {"type": "object"}}], "[0].name"),
        ([{**TOOL, "strict": "yes"}], "[0].strict"),
        ([{**TOOL, "description": 1}], "[0].description"),
    ],
    "tool_choice": [
        ("auto", ""),
        ({"type": "some"}, ".type"),
        ({"type": "any"}, ""),
        ({"type": "tool", "name": "f"}, ""),
        ({}, ""),
    ],
    "thinking": [
        *(({"type": "enabled", "budget_tokens": value}, ".budget_tokens") for value in (1023, "x", 1.5, True, HUGE)),
        ({"type": "enabled"}, ".budget_tokens"),
        ({"type": "enabled", "budget_tokens": 2000}, ".budget_tokens"),
        ({"type": "on"}, ".type"),
        ({"type": "adaptive", "display": "loud"}, ".display"),
        (True, ""),
    ],
    "output_config": [
        ({"effort": "huge"}, ".effort"),
        ({"format": {"type": "json"}}, ".format.type"),
        ({"format": {"type": "json_schema"}}, ".format"),
        (1, ""),
    ],
    "output_format": [({"type": "json_schema", "schema": 1}, ".schema"), ("json", "")],
    "metadata": [(1, ""), ({"user_id": 1}, ".user_id"), ({"user_id": "x" * 513}, ".user_id")],
    "user": [(1, ""), ("x" * 513, "")],
    "session_id": [(1, ""), ("x" * 257, "")],
    "provider": [("x", ""), ({"order": 1}, ".order")],
    "cache_control": [({"type": "eternal"}, ".type"), (1, "")],
    "service_tier": [(1, "")],
    "speed": [(1, "")],
    "inference_geo": [("us", ""), (1, "")],
    "thread": [({"type": "fork"}, ".type"), ("x", "")],
    "trace": [(1, "")],
    "plugins": [("x", ""), ([1], "[0]")],
}
CASES = [(field, value, path) for field, rows in WRONG.items() for value, path in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with staged(tmp_path_factory.mktemp("messages"), valkey_server.url, Sale("t/a", "alpha")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


async def test_every_field_has_its_cases() -> None:
    """A field that is documented and has no wrong value here was forgotten."""
    assert WRONG.keys() == set(MessagesRequest.__struct_fields__)


@pytest.mark.parametrize(("field", "value", "path"), CASES, ids=[f"{f}-{i}" for i, (f, _, _) in enumerate(CASES)])
async def test_wrong_value(caller: Caller, field: str, value: Any, path: str) -> None:
    """Refused before anything is held or sent, and the message begins with the place that is wrong."""
    body = {"model": "t/a", "max_tokens": 2000, "messages": [USER], field: value}
    response = await caller.gateway.client.post(
        "/v1/messages", content=msgspec.json.encode(body), headers=caller.headers
    )
    assert response.status_code == 400, response.text
    messageshape.error(response.json(), "invalid_request_error")
    assert response.json()["metadata"]["field"] == field + path


async def test_models_and_fallbacks(caller: Caller) -> None:
    """Two lists of models contradict each other."""
    body = {"model": "t/a", "models": ["t/a"], "fallbacks": [{"model": "t/a"}], "messages": [USER]}
    response = await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers)
    assert response.status_code == 400
    assert response.json()["metadata"]["field"] == "fallbacks"


async def test_a_thread_cannot_go_on(caller: Caller) -> None:
    """Nothing is stored here: 404 with the code by which Anthropic's SDK knows that it must send the whole conversation."""
    body = {"model": "t/a", "messages": [USER], "thread": {"type": "continue", "previous_message_id": "gen-1"}}
    response = await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers)
    assert response.status_code == 404
    error = messageshape.error(response.json(), "not_found_error")
    assert error["details"] == {"error_code": "thread_not_found"}
    body["thread"] = {"type": "create"}
    messageshape.answer(await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers))


async def test_null_is_absent_and_the_unknown_is_no_error(caller: Caller) -> None:
    """``null`` for every optional field, and unknown fields: accepted."""
    body: dict[str, Any] = dict.fromkeys(MessagesRequest.__struct_fields__)
    body |= {"model": "t/a", "messages": [USER], "novelty": {"a": [1]}}
    messageshape.answer(await caller.gateway.client.post("/v1/messages", json=body, headers=caller.headers))


async def test_nothing_is_left(stage: Stage) -> None:
    """After all of it no hold is open and the books balance."""
    await calm(stage)
