"""Turns that another vendor, or none, wrote: reasoning of every kind and calls with broken arguments, replayed to every dialect.

The contract: reasoning that a vendor cannot take is dropped or refused; a call's arguments are the model's words, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.store.embedded import Embedded
from providers import registry
from providers.base import Dialect
from providers.errors import ProviderError
from providers.types import Target
from tests.support import wireshape
from tests.support.gateway import events
from tests.support.hostile import KEYS, HostileVendor, Rig, dialects, rigged
from tests.support.invariants import calm, forget_health, one_ending

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]
FORMATS = (
    *("unknown", "openai-responses-v1", "azure-openai-responses-v1", "bedrock-openai-responses-v1"),
    *("bedrock-xai-responses-v1", "xai-responses-v1", "meta-responses-v1", "anthropic-claude-v1", "google-gemini-v1"),
    *("", "tomorrow-v9", None, 7, [], {}),
)
TYPES = (
    *("reasoning.text", "reasoning.summary", "reasoning.encrypted", "reasoning.server_tool_call"),
    *("reasoning.tomorrow", "", None, 7, [], {}),
)
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    "!!!",
    "gAAAA" * 9,
    7,
    -1,
    1e300,
    True,
    [],
    {},
    [None],
    {"a": {"b": []}},
    "\0",
    "é" * 5000,
)
KEYS_OF = (
    "text",
    "signature",
    "summary",
    "data",
    "tool_name",
    "arguments",
    "result",
    "tool_call_id",
    "id",
    "index",
    "format",
)
PROPER: list[Json] = [
    {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "cmVkYWN0ZWQ=", "format": "anthropic-claude-v1", "index": 1},
    {"type": "reasoning.summary", "summary": "So.", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAA", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "c2ln", "id": "c1", "format": "google-gemini-v1", "index": 0},
    {"type": "reasoning.text", "text": "Hm.", "format": "unknown", "index": 0},
]
ARGUMENTS = (
    '{"a":',
    "",
    "null",
    "[]",
    '"x"',
    "0",
    "{",
    '{"a":NaN}',
    '{"a":1}{"b":2}',
    "not json",
    '{"a":"\\ud800"}',
    "[" * 3000,
    "\0",
)


def garbage() -> list[list[Json]]:
    """Details as lists: every proper one alone and with each field spoilt, every type with every format, and the empty ones."""
    found: list[list[Json]] = [[], [{}], [{}, {}], PROPER, PROPER[::-1], PROPER * 20]
    found += [[detail] for detail in PROPER]
    found += [
        [{"type": type_, "format": format_, "text": "x", "data": "x", "summary": "x"}]
        for type_ in TYPES
        for format_ in FORMATS
    ]
    for detail in PROPER:
        for key in KEYS_OF:
            found += [[{**detail, key: value}] for value in VALUES]
        found += [[{name: value for name, value in detail.items() if name != key}] for key in detail]
    return found


def conversation(details: Any, arguments: str = "{}", **more: Any) -> Json:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = {"role": "assistant", "content": "x", "tool_calls": [call], "reasoning_details": details, **more}
    return {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hello"},
            turn,
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "assistant", "content": "so", "reasoning_details": details},
            {"role": "user", "content": "and?"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "reasoning": {"effort": "low"},
        "max_tokens": 2000,
    }


def target(dialect: str) -> Target:
    return Target("p", "http://127.0.0.1:9", "up-1", KEYS.get(dialect, "key"))


def written_or_refused(one: Dialect, where: Target, body: Json) -> None:
    """A request whose body is JSON, or ``unsupported``; every other error falls through."""
    try:
        made = one.request(where, body, stream=True)
    except ProviderError as error:
        refusal = error
    else:
        assert isinstance(json.loads(made.content), dict)
        return
    assert refusal.failure.kind == "unsupported"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Rig]:
    async with rigged(tmp_path_factory.mktemp("replayed"), valkey_server.url) as made:
        yield made
        await calm(made.stage)


@pytest.mark.parametrize("dialect", dialects())
async def test_every_dialect_writes_or_refuses(dialect: str) -> None:
    """A thousand kinds of garbage in the details of a turn: a request, or ``unsupported``; never another error, and the
    conversation is left as it was."""
    one, where = registry.dialect(dialect), target(dialect)
    for details in garbage():
        body = conversation(details)
        before = repr(body)
        written_or_refused(one, where, body)
        assert repr(body) == before


@pytest.mark.parametrize("dialect", dialects())
async def test_arguments_that_are_no_json(dialect: str) -> None:
    """What a model once wrote as arguments is replayed as it was, wrapped, or refused."""
    one, where = registry.dialect(dialect), target(dialect)
    for arguments in ARGUMENTS:
        written_or_refused(one, where, conversation(None, arguments))


@pytest.mark.parametrize("dialect", dialects())
async def test_through_the_gateway(rig: Rig, dialect: str) -> None:
    """The caller gets an answer, or a 400 that says the request cannot be taken; a fault of ours never."""
    vendor = rig.vendors[dialect]
    vendor.plan = vendor.tells(vendor.proper.document.encode())
    chosen = garbage()
    for details in [*chosen[:12], *chosen[12::61]]:
        forget_health(rig.stage)
        body = {**conversation(details), "model": f"m/{dialect}"}
        response = await rig.passer_by.raw(json.dumps(body))
        if response.status_code != 200:
            assert response.status_code == 400, response.text
            assert response.json()["error"]["metadata"]["error_type"] == "invalid_request"


WRONG: list[tuple[Any, str]] = [
    *(
        (7, ""),
        ({}, ""),
        (True, ""),
        ([1], "[0]"),
        ([PROPER[0], None], "[1]"),
        (["x"], "[0]"),
        ([[]], "[0]"),
    ),
    *(
        ([{}], "[0]"),
        ([{"type": None}], "[0].type"),
        ([{"type": []}], "[0].type"),
        ([{"type": "x", "index": "0"}], "[0].index"),
    ),
    *(([{**PROPER[0], name: 7}], f"[0].{name}") for name in ("format", "id", "text", "signature", "summary", "data")),
]


@pytest.mark.parametrize(("details", "field"), WRONG)
async def test_invalid_details(rig: Rig, details: Any, field: str) -> None:
    """Refused by name, before any vendor."""
    body = {**conversation(details), "model": "m/openai"}
    response = await rig.passer_by.raw(json.dumps(body))
    wireshape.refused(response, 400, "invalid_request", f"messages[1].reasoning_details{field}")


# -- calls that come with broken arguments -------------------------------------------------------------------------------


def _chat_call(arguments: str) -> Json:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def _chat_pieces(arguments: str) -> list[bytes]:
    half = len(arguments) // 2
    deltas: list[Json] = [
        {
            "role": "assistant",
            "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        *(
            {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            for piece in (arguments[:half], arguments[half:])
        ),
    ]
    chunks = [{"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


ASKS: dict[str, Json] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/responses": {"input": "x"},
    "/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 100},
}


@pytest.mark.parametrize("arguments", ARGUMENTS[:-1])
@pytest.mark.parametrize("path", ASKS)
async def test_broken_arguments_reach_every_surface(rig: Rig, path: str, arguments: str) -> None:
    """A model whose arguments are not JSON: its caller gets them as written, in each shape, and the books balance."""
    vendor: HostileVendor = rig.vendors["openai"]
    for stream in (False, True):
        vendor.plan = (
            vendor.streams(_chat_pieces(arguments))
            if stream
            else vendor.tells(json.dumps(_chat_call(arguments)).encode())
        )
        forget_health(rig.stage)
        body = {**ASKS[path], "model": "m/openai", "stream": stream}
        response: httpx.Response = await rig.stage.gateway.client.post(
            f"/api/v1{path}", content=json.dumps(body), headers=rig.passer_by.headers
        )
        assert response.status_code == 200, response.text
        assert '"f"' in response.text
        if path == "/chat/completions" and stream:
            found = events(response.text)
            assert one_ending(found)["choices"][0]["finish_reason"] == "tool_calls"
    await rig.stage.gateway.settled()
