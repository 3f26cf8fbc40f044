"""Parts that do not fit together: calls without results, invalid tools, invalid schemas, invalid media.

Through every surface over real sockets: 400 in its own error shape, the place named in its own words, no vendor asked, nothing held.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, staged
from tests.support.invariants import calm
from tests.support.private_urls import PRIVATE
from tests.support.rawserver import Peer, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hello"}
SYSTEM: Json = {"role": "system", "content": "be brief"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
LINK_LOCAL = "http://169.254.169.254/latest/meta-data/"


def assistant(*ids: str | None, **more: Any) -> Json:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(id: str | None) -> Json:
    return {"role": "tool", "tool_call_id": id, "content": "done"}


def tool(name: str = "f", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, **function}}


def form(schema: Any = None, **more: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema or {"type": "object"}, **more}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway with a vendor that would answer."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with staged(tmp_path_factory.mktemp("conversations"), valkey_server.url, Sale("t/a", "alpha")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(stage: Stage) -> Caller:
    return await stage.caller("1000")


async def post(caller: Caller, path: str, body: Json) -> httpx.Response:
    return await caller.gateway.client.post(f"/api/v1{path}", content=json.dumps(body), headers=caller.headers)


async def sent(caller: Caller, **body: Any) -> httpx.Response:
    return await post(caller, "/chat/completions", {"model": "t/a", "messages": [USER], **body})


def untouched(stage: Stage) -> None:
    assert not any(sim.log.requests for sim in stage.vendors.values())


# -- turns ---------------------------------------------------------------------------------------------------------------

TURNS: list[tuple[list[Json], str]] = [
    ([result("a")], "messages[0]"),
    ([USER, result("a")], "messages[1]"),
    ([USER, {"role": "assistant", "content": "hi"}, result("a")], "messages[2].tool_call_id"),
    ([USER, assistant("a"), result("b")], "messages[2].tool_call_id"),
    ([USER, assistant("a"), result("a"), result("a")], "messages[3].tool_call_id"),
    ([USER, assistant("a"), result("a"), result("b")], "messages[3].tool_call_id"),
    ([USER, assistant("a", "a"), result("a")], "messages[1].tool_calls[1]"),
    ([USER, assistant("a"), assistant("a"), result("a")], "messages[2].tool_calls[0]"),
    ([USER, assistant("a", "a"), result("a"), result("a"), result("a")], "messages[4].tool_call_id"),
    ([USER, assistant("a"), {"role": "tool", "content": "done"}], "messages[2].tool_call_id"),
    ([USER, assistant("a"), USER], "messages[1].tool_calls[0]"),
    ([USER, assistant("a", "b"), result("a"), USER], "messages[1].tool_calls[1]"),
    ([USER, assistant("a", "b"), result("b"), assistant("c"), result("c")], "messages[1].tool_calls[0]"),
    ([USER, assistant("a"), USER, result("a")], "messages[1].tool_calls[0]"),
    ([USER, assistant("a")], "messages[1].tool_calls[0]"),
    ([USER, assistant("a", "b"), result("a")], "messages[1].tool_calls[1]"),
    ([USER, assistant("a"), result("a"), USER, result("a")], "messages[4]"),
    ([USER, assistant("a"), result("a"), assistant("b"), result("a")], "messages[4].tool_call_id"),
    ([USER, assistant("x" * 5000), result("y" * 5000)], "messages[2].tool_call_id"),
]
SOUND: list[list[Json]] = [
    [USER, assistant("a"), result("a")],
    [USER, assistant("a", "b"), result("b"), result("a"), USER],
    [USER, assistant("a"), assistant("b"), result("a"), result("b"), assistant("a"), result("a"), USER],
    [USER, assistant("a"), SYSTEM, result("a"), {"role": "developer", "content": "go on"}, USER],
    [USER, assistant("a", content="let me see"), result("a"), {"role": "assistant", "content": "so"}],
    [{"role": "assistant", "content": "welcome"}, USER, assistant(), USER],
    [USER, {"role": "assistant", "content": "x", "tool_calls": None}, USER],
    [assistant(""), result("")],
    [USER, assistant("a", "a"), result("a"), result("a")],
    [USER, assistant("a"), assistant("a"), result("a"), result("a")],
    [USER, assistant(None, None), {"role": "tool", "content": "done"}, result(None)],
]


@pytest.mark.parametrize(("messages", "field"), TURNS)
async def test_turns_that_do_not_fit(stage: Stage, caller: Caller, messages: list[Json], field: str) -> None:
    """Results without calls, calls without results, ids that are not unique or do not match: JSON and SSE alike."""
    for stream in (False, True):
        error = wireshape.refused(await sent(caller, messages=messages, stream=stream), 400, "invalid_request", field)
        assert error["metadata"]["field"] == field
        assert len(error["message"]) < 600
    untouched(stage)


@pytest.mark.parametrize("messages", SOUND)
async def test_turns_that_fit(stage: Stage, caller: Caller, messages: list[Json]) -> None:
    """Results in any order, several assistant messages as one turn, instructions in between, ids that come back later."""
    wireshape.answer(await sent(caller, messages=messages))
    await calm(stage)
    stage.vendors["alpha"].log.reset()


def use(*ids: str) -> Json:
    return {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "let me see"},
            *({"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ids),
        ],
    }


def used(*ids: str, text: str = "") -> Json:
    blocks = [{"type": "tool_result", "tool_use_id": id, "content": "done"} for id in ids]
    return {"role": "user", "content": [*([{"type": "text", "text": text}] if text else []), *blocks]}


BLOCKS: list[tuple[list[Json], str]] = [
    ([used("a")], "messages[0].content[0].tool_use_id"),
    ([USER, use("a"), used("b")], "messages[2].content[0].tool_use_id"),
    ([USER, use("a"), used("a", "a")], "messages[2].content[1].tool_use_id"),
    ([USER, use("a"), used("a"), used("a")], "messages[3].content[0].tool_use_id"),
    ([USER, use("a", "a"), used("a")], "messages[1].content[2]"),
    ([USER, use("a"), use("a"), used("a")], "messages[2].content[1]"),
    ([USER, use("a"), USER], "messages[1].content[1]"),
    ([USER, use("a")], "messages[1].content[1]"),
    ([USER, use("a", "b"), used("b")], "messages[1].content[1]"),
    ([USER, use("a"), used("a"), use("b", "c"), used("c", text="so")], "messages[3].content[1]"),
    ([USER, use("a"), used("a", text="so"), use("b"), used("a")], "messages[4].content[0].tool_use_id"),
    ([SYSTEM, USER, use("a"), SYSTEM, used("a"), use("b"), SYSTEM], "messages[5].content[1]"),
]


@pytest.mark.parametrize(("messages", "field"), BLOCKS)
@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
async def test_turns_of_messages_that_do_not_fit(
    stage: Stage, caller: Caller, path: str, messages: list[Json], field: str
) -> None:
    """The same rules for the blocks of the Messages API: the block is named as the caller wrote it."""
    response = await post(caller, path, {"model": "t/a", "max_tokens": 9, "messages": messages})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["metadata"]["field"] == field
    assert response.json()["error"]["message"].startswith(f"{field}: ")
    untouched(stage)


# -- tools, the choice among them, schemas -------------------------------------------------------------------------------

NO_SCHEMA: list[tuple[Any, str]] = [
    ({"type": "strin"}, ".type"),
    ({"type": "STRING"}, ".type"),
    ({"type": 1}, ".type"),
    ({"type": []}, ".type"),
    ({"type": ["object", "nil"]}, ".type[1]"),
    ({"properties": []}, ".properties"),
    ({"properties": {"a": 1}}, ".properties.a"),
    ({"properties": {"a": {"type": "objekt"}}}, ".properties.a.type"),
    (
        {"properties": {"a": {"properties": {"b c": {"items": {"anyOf": [{}, {"type": 0}]}}}}}},
        ".properties.a.properties.b c.items.anyOf[1].type",
    ),
    ({"required": "a"}, ".required"),
    ({"required": [1]}, ".required[0]"),
    ({"properties": {"a": {"required": True}}}, ".properties.a.required"),
    ({"enum": "a"}, ".enum"),
    ({"items": 1}, ".items"),
    ({"items": [{}, {"type": 1}]}, ".items[1].type"),
    ({"anyOf": {}}, ".anyOf"),
    ({"anyOf": []}, ".anyOf"),
    ({"allOf": ["x"]}, ".allOf[0]"),
    ({"oneOf": [{"not": 1}]}, ".oneOf[0].not"),
    ({"$ref": {}}, ".$ref"),
    ({"$defs": {"x": {"type": "y"}}}, ".$defs.x.type"),
    ({"additionalProperties": "no"}, ".additionalProperties"),
    ({"additionalProperties": {"type": "any"}}, ".additionalProperties.type"),
    ({"minLength": -1}, ".minLength"),
    ({"maximum": "9"}, ".maximum"),
    ({"pattern": 1}, ".pattern"),
    ({"uniqueItems": "yes"}, ".uniqueItems"),
]
SCHEMAS: list[Json] = [
    {},
    {"type": "object"},
    {"type": ["object", "null"], "properties": {"a": True, "b": False, "c": {}}},
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/x",
        "$defs": {"x": {"type": "object"}},
    },
    {
        "type": "object",
        "x-vendor": [1],
        "nullable": True,
        "example": 1,
        "default": {},
        "const": None,
        "enum": [1, None],
    },
    {"properties": {"type": {"type": "string"}, "required": {"type": "boolean"}, "items": {"items": {"items": [{}]}}}},
    {"properties": None, "required": None, "description": None, "anyOf": None},
    {
        "properties": {
            "n": {"minimum": 0.5, "exclusiveMinimum": True, "multipleOf": 0.1, "minLength": 1.0, "format": "date"}
        }
    },
    {"if": {}, "then": {}, "else": False, "not": {}, "patternProperties": {"^a": {}}, "unevaluatedProperties": False},
]


@pytest.mark.parametrize(("schema", "inside"), NO_SCHEMA)
async def test_invalid_schemas(stage: Stage, caller: Caller, schema: Json, inside: str) -> None:
    """In a tool and as the answer's form, on each surface, the path goes on inside the schema."""
    objects = {"type": "object", "properties": {"deep": schema}}
    places: list[tuple[str, Json, str]] = [
        (
            "/chat/completions",
            {"messages": [USER], "tools": [tool("a"), tool(parameters=objects)]},
            "tools[1].function.parameters",
        ),
        (
            "/chat/completions",
            {"messages": [USER], "response_format": form(objects)},
            "response_format.json_schema.schema",
        ),
        (
            "/responses",
            {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": objects}]},
            "tools[0].parameters",
        ),
        (
            "/responses",
            {"input": "x", "text": {"format": {"type": "json_schema", "name": "a", "schema": objects}}},
            "text.format.schema",
        ),
        (
            "/messages",
            {"messages": [USER], "max_tokens": 9, "tools": [{"name": "f", "input_schema": objects}]},
            "tools[0].input_schema",
        ),
    ]
    for path, body, where in places:
        response = await post(caller, path, {"model": "t/a", **body})
        assert response.status_code == 400, response.text
        field = f"{where}.properties.deep{inside}"
        assert field in response.text
        assert "not JSON Schema" in response.text
    untouched(stage)


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_schemas_that_are(stage: Stage, caller: Caller, schema: Json) -> None:
    """Every draft, unknown keywords, booleans, null as absent, properties that are called like keywords."""
    wireshape.answer(await sent(caller, tools=[tool(parameters=schema)], response_format=form(schema)))
    await calm(stage)
    stage.vendors["alpha"].log.reset()


async def test_the_deepest_schema_that_a_body_can_hold(stage: Stage, caller: Caller) -> None:
    """As deep as bodies may be nested: judged; deeper: refused with the body, never a fault."""
    for depth, status in ((20, 200), (5000, 400)):
        schema = '{"properties":{"a":' * depth + "{}" + "}}" * depth
        body = '{"model":"t/a","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":'
        assert (await caller.raw(body + schema + "}}]}")).status_code == status
    await calm(stage)
    stage.vendors["alpha"].log.reset()


OFFERS: list[tuple[Json, str]] = [
    *(({"tools": [tool(name)]}, "tools[0].function.name") for name in ("a b", "ä", "a\n", "x" * 129, "f()", "")),
    ({"tools": [tool("f"), tool("g"), tool("f")]}, "tools[2].function.name"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [tool(parameters={"type": "string"})]}, "tools[0].function.parameters.type"),
    ({"tools": [tool(parameters={"type": ["string", "null"]})]}, "tools[0].function.parameters.type"),
    ({"tools": [{"type": "mcp", "server_label": "x", "server_url": LINK_LOCAL}]}, "tools[0].server_url"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "required", "tools": []}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    *(
        ({"tools": [tool("f")], "tool_choice": {"type": "function", **choice}}, "tool_choice.function.name")
        for choice in ({}, {"function": "f"}, {"function": {}}, {"function": {"name": 1}}, {"function": {"name": "g"}})
    ),
    *(
        ({"tools": [tool("f")], "tool_choice": choice}, "tool_choice")
        for choice in ({}, {"type": 1}, {"type": "allowed_tools"})
    ),
    (
        {
            "tools": [tool("f")],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
        },
        "tool_choice.tools[0].function.name",
    ),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
    *(
        ({"response_format": form(name=name)}, "response_format.json_schema.name")
        for name in (None, 1, "", "a b", "x" * 65, "a.b")
    ),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "response_format.json_schema.schema"),
    ({"response_format": form([1])}, "response_format.json_schema.schema"),
    ({"response_format": form(strict="yes")}, "response_format.json_schema.strict"),
]
FINE: list[Json] = [
    {"tool_choice": "auto"},
    {"tool_choice": "none", "tools": []},
    {"tools": [tool("f"), tool("mcp.server:do-it_2")], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tools": [tool("x" * 128)], "tool_choice": "required"},
    {"tools": [tool("f")], "tool_choice": {"type": "function", "name": "f"}},
    {"response_format": {"type": "json_object"}},
    {"response_format": form({"type": "array", "items": {"type": "string"}}, strict=None)},
]


@pytest.mark.parametrize(("body", "field"), OFFERS)
async def test_offers_that_cannot_be(stage: Stage, caller: Caller, body: Json, field: str) -> None:
    """Names, doubles, choices of what is not there, forms without a name."""
    wireshape.refused(await sent(caller, **body), 400, "invalid_request", field)
    untouched(stage)


@pytest.mark.parametrize("body", FINE)
async def test_offers_that_can_be(stage: Stage, caller: Caller, body: Json) -> None:
    """The widest names of any vendor; a choice that says nothing."""
    wireshape.answer(await sent(caller, **body))
    await calm(stage)
    stage.vendors["alpha"].log.reset()


# -- media ---------------------------------------------------------------------------------------------------------------


def parted(*parts: Json) -> Json:
    return {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "?"}, *parts]}]}


def shaped(url: str) -> list[tuple[str, Json, str]]:
    """One URL on every surface that takes one, and where its caller wrote it."""
    image = {"type": "image_url", "image_url": {"url": url}}
    source = {"type": "url", "url": url}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
    made = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image", "source": source}]}
    return [
        ("/chat/completions", parted(image), "messages[1].content[1].image_url.url"),
        (
            "/chat/completions",
            parted({"type": "file", "file": {"file_data": url}}),
            "messages[1].content[1].file.file_data",
        ),
        (
            "/chat/completions",
            parted({"type": "video_url", "video_url": {"url": url}}),
            "messages[1].content[1].video_url.url",
        ),
        (
            "/chat/completions",
            parted({"type": "input_video", "input_video": {"url": url}}),
            "messages[1].content[1].input_video.url",
        ),
        (
            "/chat/completions",
            {"messages": [USER, assistant("a"), {**result("a"), "content": [image]}]},
            "messages[2].content[0].image_url.url",
        ),
        (
            "/chat/completions",
            {"messages": [{"role": "assistant", "content": "x", "images": [image]}, USER]},
            "messages[0].images[0].image_url.url",
        ),
        (
            "/responses",
            {
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": url}],
                    }
                ]
            },
            "input[0].content[1].image_url",
        ),
        (
            "/responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": url}]}]},
            "input[0].content[0].file_url",
        ),
        (
            "/responses",
            {
                "input": [
                    call,
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": url}],
                    },
                ]
            },
            "input[1].output[0].image_url",
        ),
        (
            "/messages",
            {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]},
            "messages[0].content[0].source.url",
        ),
        (
            "/messages",
            {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]},
            "messages[0].content[0].source.url",
        ),
        (
            "/messages",
            {"max_tokens": 9, "messages": [USER, use, {"role": "user", "content": [made]}]},
            "messages[2].content[0].content[0].source.url",
        ),
        (
            "/messages/count_tokens",
            {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]},
            "messages[0].content[0].source.url",
        ),
        ("/images", {"prompt": "x", "input_references": [image]}, "input_references[0].image_url.url"),
        ("/embeddings", {"input": [{"content": [image]}]}, "input[0].content[0].image_url.url"),
        ("/rerank", {"query": "x", "documents": ["a", {"image": url}]}, "documents[1].image"),
    ]


@pytest.mark.parametrize("number", range(len(shaped(""))))
async def test_private_urls_on_every_surface(stage: Stage, caller: Caller, number: int) -> None:
    """400, with ``invalid_image`` where the contract has that code; the field is named as the caller wrote it."""
    for url in (
        LINK_LOCAL,
        "https://127。0。0。1/x",
        "https://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        " http://localhost:6379/",
    ):
        path, body, where = shaped(url)[number]
        response = await post(caller, path, {"model": "t/a", **body})
        assert response.status_code == 400, response.text
        assert f"{where}: the URL" in response.text
        assert "invalid_image" in response.text
    untouched(stage)


async def test_three_hundred_forms(stage: Stage, caller: Caller) -> None:
    """Every form of a private address, whether the vendor or the gateway would open it."""
    for url in PRIVATE.values():
        body = parted({"type": "image_url", "image_url": {"url": url}})
        error = wireshape.refused(
            await sent(caller, **body), 400, "invalid_image", "messages[1].content[1].image_url.url"
        )
        assert len(error["message"]) < 600
    untouched(stage)


DATA: list[tuple[str, str, str]] = [
    *(("image_url", f"data:image/png;base64,{data}", "invalid_image") for data in ("", "*", "AAAA=", "A", "A=AA", "é")),
    *(
        ("image_url", text, "invalid_image")
        for text in ("data:", "data:image/png", "data:image/png;base64", "DATA:image/png;base64,", "")
    ),
    ("image_url", "data:image/png,", "invalid_image"),
    *(
        ("image_url", f"data:{mime};base64,{PNG}", "unsupported_image_format")
        for mime in ("text/html", "video/mp4", "audio/wav", "png")
    ),
    *(
        ("video_url", f"data:{mime};base64,{PNG}", "unsupported_image_format")
        for mime in ("image/png", "application/pdf")
    ),
    ("file", "data:application/pdf;base64,", "invalid_image"),
    ("file", "data:application/pdf;base64,%%%", "invalid_image"),
    ("file", f"data:no type;base64,{PNG}", "unsupported_image_format"),
]


@pytest.mark.parametrize(("kind", "url", "error_type"), DATA)
async def test_data_urls_that_hold_nothing(stage: Stage, caller: Caller, kind: str, url: str, error_type: str) -> None:
    """Empty, not base64, of a type that the part does not take."""
    key = "file_data" if kind == "file" else "url"
    response = await sent(caller, **parted({"type": kind, kind: {key: url}}))
    if url:  # an empty url is a matter of types
        wireshape.refused(response, 400, error_type, f"messages[1].content[1].{kind}.{key}")
    assert response.status_code == 400
    untouched(stage)


async def test_data_on_other_surfaces(stage: Stage, caller: Caller) -> None:
    """The same for blocks and items that hold it in other ways: named there."""
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!not base64!"}}
    item = {"type": "input_image", "image_url": "data:image/png;base64,!not base64!"}
    audio = {"type": "input_audio", "input_audio": {"data": "!not base64!", "format": "wav"}}
    for path, body, where in (
        (
            "/messages",
            {"max_tokens": 9, "messages": [{"role": "user", "content": [block]}]},
            "messages[0].content[0].source.data",
        ),
        ("/responses", {"input": [{"role": "user", "content": [item]}]}, "input[0].content[0].image_url"),
        ("/responses", {"input": [{"role": "user", "content": [audio]}]}, "input[0].content[0].input_audio.data"),
        ("/chat/completions", parted(audio), "messages[1].content[1].input_audio.data"),
    ):
        response = await post(caller, path, {"model": "t/a", **body})
        assert response.status_code == 400, response.text
        assert f"{where}: is not base64" in response.text
    untouched(stage)


async def test_how_many_media(stage: Stage, caller: Caller) -> None:
    """More than any vendor takes."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    error = wireshape.refused(
        await sent(caller, **parted(*[image] * 501)), 400, "invalid_request", "messages[1].content[501].image_url.url"
    )
    assert "500" in error["message"]
    untouched(stage)


# -- media that are fetched for a vendor which takes no URLs -------------------------------------------------------------


async def test_a_picture_that_cannot_be_fetched(
    tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded
) -> None:
    """The vendor gets no request; an endpoint that opens URLs itself is tried next; without one the error names the part."""
    received: list[bytes] = []
    answers: list[list[str]] = []

    async def lookup(host: str, port: int) -> list[str]:
        return answers[0]

    async def script(peer: Peer) -> None:
        received.append(await peer.request())

    seeing = {"input_modalities": ["text", "image"]}
    sales = (Sale("t/p", "gem", more=seeing), Sale("t/p", "alpha", more=seeing), Sale("t/q", "gem", more=seeing))
    async with (
        RawServer(script) as server,
        staged(
            tmp_path_factory.mktemp("fetched"),
            valkey_server.url,
            *sales,
            urls={"gem": server.url},
            provider={"gem": {"dialect": "gemini"}},
        ) as stage,
    ):
        stage.gateway.services.media._names._resolver = lookup
        caller = await stage.caller()
        body = parted({"type": "image_url", "image_url": {"url": "https://pictures.example.com/x.png"}})
        for answers[:] in ([["127.0.0.1"]], [["8.8.8.8", "fd00::1"]], [[]]):
            response = await caller.chat("t/q", **body)
            error = wireshape.refused(response, 400, "invalid_image")
            assert error["message"].startswith(
                "messages[1].content[1].image_url.url: https://pictures.example.com/x.png "
            )
            assert error["metadata"]["attempts"] == [{"provider": "gem", "code": "media_refused", "status": None}]
        # The other vendor opens URLs itself, but from the operator's network.
        answers[:] = [["127.0.0.1"]]
        ordered = {"order": ["gem", "alpha"]}
        error = wireshape.refused(await caller.chat("t/p", provider=ordered, **body), 400, "invalid_image")
        assert [attempt["provider"] for attempt in error["metadata"]["attempts"]] == ["gem", "alpha"]
        answers[:] = [["8.8.8.8"]]
        body = parted({"type": "image_url", "image_url": {"url": "https://others.example.com/x.png"}})
        wireshape.answer(await caller.chat("t/p", provider={"only": ["alpha"]}, **body))
        assert len(stage.vendors["alpha"].log.requests) == 1
        assert not received
        await calm(stage)
