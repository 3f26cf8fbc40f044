"""What the simulated wire formats refuse, in their vendors' words, and how their answers break."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import anthropic
import httpx
import pytest
from botocore.eventstream import EventStreamBuffer
from google import genai
from google.genai import types as genai_types

from simulator import formats
from tests.support.vendor import line, until, vendor
from tests.support.vendor_clients import CLIENTS, NO_TLS, TOOLS, ClientRequest

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
Body = dict[str, Any]
FORMATS = [name for name in CLIENTS if name not in ("vertex", "vertex-anthropic", "azure-v1")]
"""Each wire format once: Vertex speaks Gemini's and Anthropic's, the other Azure the same."""
HI = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
USE = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
MESSAGES, RESPONSES, GEMINI = "/v1/messages", "/v1/responses", "/v1beta/models/ok:generateContent"
CONVERSE, AZURE, COHERE = (
    "/model/ok/converse",
    "/openai/deployments/ok/chat/completions?api-version=2024-10-21",
    "/v2/chat",
)
MISTRAL, OLLAMA, OPENROUTER = "/mistral/v1/chat/completions", "/api/chat", "/openrouter/api/v1/chat/completions"
CLAUDE = "/v1/projects/p/locations/global/publishers/anthropic/models/ok:rawPredict"
ON_VERTEX: Body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [HI]}
HEADERS = {"anthropic-version": "2023-06-01"}


def claude(*messages: Any, **more: Any) -> Body:
    return {"model": "ok", "max_tokens": 9, "messages": [*messages] or [HI], **more}


def use(id: str = "t1") -> Body:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]}


def result(id: str = "t1") -> Body:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]}


def content(*parts: Body, role: str = "user") -> Body:
    return {"role": role, "parts": [*parts]}


def google(*contents: Body, **more: Any) -> Body:
    return {"contents": [*contents] or [content({"text": "hi"})], **more}


def converse(*messages: Body, **more: Any) -> Body:
    return {"messages": [*messages] or [{"role": "user", "content": [{"text": "hi"}]}], **more}


def chat(*messages: Body, **more: Any) -> Body:
    return {"model": "ok", "messages": [*messages] or [HI], **more}


CALLED = content({"functionCall": {"name": "f", "args": {}}}, role="model")
SAID = {"role": "assistant", "content": None, "tool_calls": [CALL]}
BEDROCK_USER: Body = {"role": "user", "content": [{"text": "hi"}]}
STRICT: list[tuple[str, str, Body, int, str]] = [
    ("unknown field", MESSAGES, claude(foo=1), 400, "foo: Extra inputs are not permitted"),
    ("unknown field inside", MESSAGES, claude(metadata={"foo": 1}), 400, "metadata.foo: Extra inputs"),
    ("no max_tokens", MESSAGES, {"model": "ok", "messages": [HI]}, 400, "max_tokens: Field required"),
    ("empty text", MESSAGES, claude({"role": "user", "content": [{"type": "text", "text": ""}]}), 400, "must be non-empty"),
    ("assistant first", MESSAGES, claude({"role": "assistant", "content": "x"}), 400, "first message must use"),
    ("call without result", MESSAGES, claude(HI, use(), HI), 400, "were found without `tool_result` blocks"),
    ("result without call", MESSAGES, claude(HI, use(), result("t2")), 400, "were found without"),
    ("result of nothing", MESSAGES, claude(HI, {"role": "assistant", "content": "x"}, result()), 400, "unexpected `tool_use_id`"),
    ("bad id", MESSAGES, claude(HI, use("a b"), result("a b")), 400, "tool_use.id"),
    ("hot", MESSAGES, claude(temperature=1.5), 400, "temperature"),
    ("thinking too little", MESSAGES, claude(thinking={"type": "enabled", "budget_tokens": 9}), 400, "greater than or equal to 1024"),
    ("thinking too much", MESSAGES, claude(thinking={"type": "enabled", "budget_tokens": 2000}), 400, "`max_tokens` must be greater"),
    ("schema", MESSAGES, claude(tools=[{"name": "f", "input_schema": {}}]), 400, "input_schema.type"),
    ("tool's name", MESSAGES, claude(tools=[{"name": "f g", "input_schema": {"type": "object"}}]), 400, "tools.0.custom.name"),
    ("forced stranger", MESSAGES, claude(tools=[{"name": "f", "input_schema": {"type": "object"}}], tool_choice={"type": "tool", "name": "g"}), 400, "'g' not found"),
    ("five breakpoints", MESSAGES, claude(system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}] * 5), 400, "Found 5"),
    ("trailing blank", MESSAGES, claude(HI, {"role": "assistant", "content": "x "}), 400, "trailing whitespace"),
    ("foreign signature", MESSAGES, claude(HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}, {"type": "text", "text": "z"}]}, HI), 400, "Invalid `signature`"),
    ("max_tokens of a count", "/v1/messages/count_tokens", claude(), 400, "max_tokens: Extra inputs"),
    ("no model", MESSAGES, claude() | {"model": "nonsense"}, 404, "unknown word 'nonsense'"),
    ("unknown field", RESPONSES, {"model": "ok", "input": "x", "foo": 1}, 400, "Unknown parameter: 'foo'."),
    ("too few tokens", RESPONSES, {"model": "ok", "input": "x", "max_output_tokens": 5}, 400, "Expected a value >= 16"),
    ("state", RESPONSES, {"model": "ok", "input": "x", "previous_response_id": "resp_1"}, 400, "not found"),
    ("nested tool", RESPONSES, {"model": "ok", "input": "x", "tools": [{"type": "function", "function": {}}]}, 400, "tools[0].name"),
    ("output without call", RESPONSES, {"model": "ok", "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, 400, "No tool call found"),
    ("call without output", RESPONSES, {"model": "ok", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, 400, "No tool output found"),
    ("id of another kind", RESPONSES, {"model": "ok", "input": [{"type": "function_call", "id": "call_1", "call_id": "c", "name": "f", "arguments": "{}"}]}, 400, "begins with 'fc'"),
    ("input_text of the assistant", RESPONSES, {"model": "ok", "input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}, 400, "'output_text'"),
    ("unsealed reasoning", RESPONSES, {"model": "ok", "input": [{"type": "reasoning", "id": "rs_1", "summary": []}, HI]}, 404, "not persisted"),
    ("another's reasoning", RESPONSES, {"model": "ok", "input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"}, HI]}, 400, "could not be verified"),
    ("unknown field", GEMINI, google(foo=1), 400, 'Unknown name \\"foo\\"'),
    ("unknown field inside", GEMINI, google(generationConfig={"foo": 1}), 400, "generationConfig"),
    ("role", GEMINI, google(content({"text": "x"}, role="assistant")), 400, "valid role: user, model"),
    ("no parts", GEMINI, google(content()), 400, "must not be empty"),
    ("two in one", GEMINI, google(content({"text": "x", "inlineData": {"mimeType": "image/png", "data": "AA=="}})), 400, "oneof"),
    ("answer without call", GEMINI, google(content({"functionResponse": {"name": "f", "response": {}}})), 400, "immediately after a function call"),
    ("call without answer", GEMINI, google(content({"text": "x"}), CALLED, content({"text": "y"})), 400, "number of function response parts"),
    ("another's name", GEMINI, google(content({"text": "x"}), CALLED, content({"functionResponse": {"name": "g", "response": {}}})), 400, "answers none"),
    ("foreign schema", GEMINI, google(tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "$ref": "x"}}]}]), 400, "$ref"),
    ("two budgets", GEMINI, google(generationConfig={"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}), 400, "only one of thinking"),
    ("no signature", "/v1beta/models/reasoning=2:generateContent", google(content({"text": "x"}), CALLED, content({"functionResponse": {"name": "f", "response": {}}})), 400, "thought_signature"),
    ("levels of the second generation", "/v1beta/models/gemini-2.5%2Fok:generateContent", google(generationConfig={"thinkingConfig": {"thinkingLevel": "LOW"}}), 400, "not supported"),
    ("no alt", "/v1beta/models/ok:streamGenerateContent", google(), 400, "alt=sse"),
    ("no version", CLAUDE, {"max_tokens": 9, "messages": [HI]}, 400, "anthropic_version"),
    ("model in the body", CLAUDE, {**ON_VERTEX, "model": "ok"}, 400, "model: Extra inputs"),
    ("stream at the wrong door", CLAUDE, {**ON_VERTEX, "stream": True}, 400, "streamRawPredict"),
    ("URL", CLAUDE, {**ON_VERTEX, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]}, 400, "not supported"),
    ("unknown field", CONVERSE, converse(foo=1), 400, "extraneous key [foo]"),
    ("blank text", CONVERSE, converse({"role": "user", "content": [{"text": " "}]}), 400, "is blank"),
    ("assistant first", CONVERSE, converse({"role": "assistant", "content": [{"text": "x"}]}), 400, "must start with a user message"),
    ("no alternation", CONVERSE, converse(BEDROCK_USER, BEDROCK_USER), 400, "must alternate"),
    ("two in one", CONVERSE, converse({"role": "user", "content": [{"text": "x", "cachePoint": {"type": "default"}}]}), 400, "must set one of"),
    ("call without result", CONVERSE, converse(BEDROCK_USER, {"role": "assistant", "content": [USE]}, BEDROCK_USER, toolConfig={"tools": [SPEC]}), 400, "Expected toolResult blocks"),
    ("result without call", CONVERSE, converse({"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": []}}]}, toolConfig={"tools": [SPEC]}), 400, "exceeds the number of toolUse"),
    ("no toolConfig", CONVERSE, converse(BEDROCK_USER, {"role": "assistant", "content": [USE]}), 400, "toolConfig field must be defined"),
    ("no tools", CONVERSE, converse(toolConfig={"tools": []}), 400, "toolConfig.tools"),
    ("no version", "/openai/deployments/ok/chat/completions", chat(), 404, "Resource not found"),
    ("unknown field", AZURE, chat(foo=1), 400, "Unrecognized request argument supplied: foo"),
    ("unknown field inside", AZURE, chat({"role": "user", "content": "x", "foo": 1}), 400, "Unknown parameter: 'messages.0.foo'"),
    ("result without call", AZURE, chat(HI, {"role": "tool", "tool_call_id": "c", "content": "x"}), 400, "must be a response to a preceeding"),
    ("call without result", AZURE, chat(HI, SAID, HI), 400, "did not have response messages: call_1"),
    ("unknown field", MISTRAL, chat(seed=1), 422, "extra_forbidden"),
    ("long id", MISTRAL, chat(HI, SAID, {"role": "tool", "tool_call_id": "call_1", "content": "x"}), 400, "length of 9"),
    ("user after tool", MISTRAL, chat(HI, {"role": "tool", "content": "x"}, HI), 400, "Not the same number"),
    ("assistant last", MISTRAL, chat(HI, {"role": "assistant", "content": "x"}), 400, "Expected last role User or Tool"),
    ("developer", MISTRAL, chat({"role": "developer", "content": "x"}), 422, "developer"),
    ("unknown field", OPENROUTER, chat(foo=1), 400, "foo"),
    ("altered reasoning", OPENROUTER, chat(HI, {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "x", "signature": "y"}]}, HI), 400, "Invalid `signature`"),
    ("unknown field", COHERE, chat(top_p=1), 422, "unknown field"),
    ("result without call", COHERE, chat(HI, {"role": "tool", "tool_call_id": "c", "content": "x"}), 400, "was not generated"),
    ("an empty message", COHERE, chat({"role": "user", "content": ""}), 400, "non-empty"),
    ("unknown option", OLLAMA, chat(options={"foo": 1}), 400, "invalid option provided: foo"),
    ("unknown field", OLLAMA, chat(max_tokens=1), 400, "max_tokens"),
    ("parts", OLLAMA, chat({"role": "user", "content": [{"type": "text", "text": "x"}]}), 400, "content"),
    ("thinking", OLLAMA, chat(think=True), 400, "does not support thinking"),
]  # fmt: skip


@pytest.fixture
async def post() -> AsyncIterator[Callable[..., Any]]:
    """A vendor, and a function that puts a body to one of its paths."""
    async with vendor() as sim, httpx.AsyncClient(base_url=f"http://{sim.host}:{sim.port}", verify=NO_TLS) as client:

        async def put(path: str, body: Any, **headers: str) -> httpx.Response:
            return await client.post(path, json=body, headers={**HEADERS, **headers})

        yield put


@pytest.mark.parametrize(
    ("path", "body", "status", "phrase"), [row[1:] for row in STRICT], ids=[f"{row[1]} {row[0]}" for row in STRICT]
)
async def test_refused(post: Callable[..., Any], path: str, body: Body, status: int, phrase: str) -> None:
    """What the vendor refuses is refused, with its status and words in its envelope."""
    response = await post(path, body)
    assert (response.status_code, phrase in response.text) == (status, True), response.text


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES, GEMINI, CONVERSE, AZURE, MISTRAL, OPENROUTER, COHERE, OLLAMA])
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5_000])
async def test_what_is_no_request(path: str, raw: bytes) -> None:
    """Bytes that are no request are a 400 or 422 of the vendor's, and the vendor lives on."""
    async with vendor() as sim, httpx.AsyncClient(base_url=f"http://{sim.host}:{sim.port}", verify=NO_TLS) as client:
        for _ in range(2):
            response = await client.post(path, content=raw, headers=HEADERS)
            assert response.status_code in (400, 422)
            assert isinstance(response.json(), dict)


def test_every_format_is_reached() -> None:
    """The paths of this file reach every format."""
    paths = {MESSAGES, RESPONSES, GEMINI, CONVERSE, AZURE.partition("?")[0], MISTRAL, OPENROUTER, COHERE, OLLAMA}
    paths |= {"/v1/projects/p/locations/global/publishers/google/models/ok:generateContent", CLAUDE}
    assert {format.name for format in formats.FORMATS for path in paths if format.route(path) is not None} == {
        format.name for format in formats.FORMATS
    }


async def test_anthropic_wants_its_version(post: Callable[..., Any]) -> None:
    """Without anthropic-version nothing is read."""
    response = await post(MESSAGES, claude(), **{"anthropic-version": "x"})
    assert response.status_code == 200
    async with vendor() as sim, httpx.AsyncClient(verify=NO_TLS) as client:
        response = await client.post(f"http://{sim.host}:{sim.port}{MESSAGES}", json=claude())
        assert response.json()["error"]["message"] == "anthropic-version: header is required"


async def test_tokens_are_counted_and_not_billed() -> None:
    """Anthropic's and Google's clients count a prompt; the log has no tokens for it."""
    async with vendor(key="k") as sim:
        root = f"http://{sim.host}:{sim.port}"
        async with anthropic.AsyncAnthropic(base_url=root, api_key="k") as client:
            counted = await client.messages.count_tokens(
                model="ok", messages=[{"role": "user", "content": "hello you"}]
            )
        async with anthropic.AsyncAnthropicVertex(
            base_url=root + "/v1", region="global", project_id="p", access_token="k"
        ) as vertex:
            again = await vertex.messages.count_tokens(model="ok", messages=[{"role": "user", "content": "hello you"}])
        google_client = genai.Client(
            api_key="k", http_options=genai_types.HttpOptions(base_url=root, api_version="v1beta")
        )
        there = await google_client.aio.models.count_tokens(model="ok", contents="hello you")
        await google_client.aio.aclose()
        assert (counted.input_tokens, again.input_tokens, there.total_tokens) == (10, 10, 10)
        assert [entry.billed_completion_tokens for entry in sim.log.requests] == [0, 0, 0]


@pytest.mark.parametrize("name", CLIENTS)
async def test_vendor_stalls(name: str) -> None:
    """stall@2: two tokens, then nothing until the client leaves; the ledger bills what was made."""
    async with vendor(key="k") as sim:
        body, path, headers = _streaming(name, "stall@2")
        async with line(sim) as wire:
            await wire.send(_request(path, body, headers))
            await until(lambda: sim.log.requests and sim.log.requests[0].sent_tokens == 2)
            await wire.head()
            wire.leave()
        await until(lambda: sim.log.requests[0].ending is not None)
        assert (sim.log.requests[0].ending, sim.log.requests[0].billed_completion_tokens) == ("client_closed", 2)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "how", ["cut@2", "cut@2+clean", "cut@2+midline", "cut@2+midline+clean", "cut@2+rst", "cutusage", "cut@0"]
)
async def test_cut(name: str, how: str) -> None:
    """The connection, or only the answer, ends where the model's name says; what the tokens before say has arrived."""
    async with vendor(key="k") as sim, line(sim) as wire:
        body, path, headers = _streaming(name, f"{how}+tokens=4")
        await wire.send(_request(path, body, headers))
        status, _ = await wire.head()
        try:
            rest = await wire.rest() if "clean" not in how else await _until_last_chunk(wire)
        except ConnectionResetError:
            rest = b""
        await until(lambda: sim.log.requests[0].ending is not None)
        entry = sim.log.requests[0]
        sent = 4 if how == "cutusage" else int(how[4])
        assert (status, entry.ending, entry.sent_tokens) == (200, "failed", sent)
        assert "rst" in how or (b"001 " in rest) == (sent > 1)


@pytest.mark.parametrize("name", FORMATS)
async def test_cut_json(name: str) -> None:
    """A document that promises more than comes, and one that is whole for HTTP and half for JSON."""
    async with vendor(key="k") as sim:
        for how in ("cut@1", "cutusage", "cut@1+clean"):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - every SDK has its own for this
                await CLIENTS[name](sim, "k").ask(ClientRequest(how))
            assert not isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("more", ["batch=3", "keepalives", "split=1", "close", "crlf"])
async def test_other_ways_to_send_the_same(name: str, more: str) -> None:
    """Batches, keep-alives, single bytes: the vendor's client reads the same answer."""
    async with vendor(key="k") as sim:
        answer = await CLIENTS[name](sim, "k").ask(
            ClientRequest(f"toolcall+reasoning=5+{more}", stream=True, tools=True, thinks=True)
        )
        assert [(call.name, call.arguments) for call in answer.calls] == [(TOOLS[0], {"n": 1, "u": "C"})]
        assert answer.reasoning == ("" if name.startswith("azure") else "000 001 002 003 004 ")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "model", ["garbage@1+tokens=3", "emptybody", "wrongtype", "hangup", "rst", "html+status=502", "error200"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_broken_answers_reach_the_client(name: str, model: str, stream: bool) -> None:
    """No way of breaking an answer breaks the vendor: it answers the next request."""
    async with vendor(key="k") as sim:
        client = CLIENTS[name](sim, "k")
        with suppress(Exception):  # every SDK has its own
            await client.ask(ClientRequest(model, stream))
        assert (await client.ask(ClientRequest("ok+tokens=2", stream))).text == "000 001 "


async def test_frames_of_amazon_have_right_checksums() -> None:
    """Every frame's checksums hold, fed byte by byte, and each event has its pad."""
    async with vendor() as sim, httpx.AsyncClient(verify=NO_TLS) as client:
        url = f"http://{sim.host}:{sim.port}/model/ok%2Btokens%3D3/converse-stream"
        raw = (await client.post(url, json=converse())).content
    buffer = EventStreamBuffer()
    for at in range(len(raw)):
        buffer.add_data(raw[at : at + 1])
    events = [(event.headers[":event-type"], json.loads(event.payload)) for event in buffer]
    assert [name for name, _ in events] == [
        "messageStart",
        *["contentBlockDelta"] * 3,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert all("p" in data for _, data in events)


@pytest.mark.parametrize("kind", ["zero", "negative", "absurd", "text"])
@pytest.mark.parametrize("path", [MESSAGES, RESPONSES, GEMINI, CONVERSE, COHERE, OLLAMA, MISTRAL, OPENROUTER])
async def test_wrong_usage(post: Callable[..., Any], path: str, kind: str) -> None:
    """usage=KIND bends every count that the vendor reports, and only those."""
    model = f"ok+tokens=3+usage={kind}"
    body = {MESSAGES: claude(), GEMINI: google(), CONVERSE: converse(), RESPONSES: {"model": "ok", "input": "hi"}}.get(
        path, chat()
    )
    if "model" in body:
        body = body | {"model": model}
    answer = (
        await post(path.replace("/ok", f"/{model}"), {**body, **({"stream": False} if path == OLLAMA else {})})
    ).json()
    counts = [*_numbers(answer)]
    assert {"zero": 0, "negative": -3, "absurd": 3_000_000, "text": "3"}[kind] in counts
    assert 3 not in counts


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner) if name not in ("index", "created", "created_at") else ()
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    else:
        yield value


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES, GEMINI, CONVERSE, COHERE])
async def test_faults_of_openai_alone(post: Callable[..., Any], path: str) -> None:
    """A fault that only /v1/chat/completions can have is a model that does not exist here."""
    body = {MESSAGES: claude(), GEMINI: google(), CONVERSE: converse(), RESPONSES: {"model": "ok", "input": "hi"}}.get(
        path, chat()
    )
    if "model" in body:
        body = body | {"model": "endless"}
    response = await post(path.replace("/ok", "/endless"), body)
    assert response.status_code == 404
    assert "endless" in response.text


def _streaming(name: str, model: str) -> tuple[Body, str, dict[str, str]]:
    """A raw streaming request: body, path, headers."""
    bearer, azure = {"authorization": "Bearer k"}, {"stream": True, "stream_options": {"include_usage": True}}
    quoted = model.replace("+", "%2B").replace("@", "%40")
    return {
        "anthropic": (claude(stream=True) | {"model": model}, MESSAGES, HEADERS | {"x-api-key": "k"}),
        "responses": ({"model": model, "input": "hi", "stream": True}, RESPONSES, bearer),
        "gemini": (google(), f"/v1beta/models/{quoted}:streamGenerateContent?alt=sse", {"x-goog-api-key": "k"}),
        "vertex": (google(), f"/v1/publishers/google/models/{quoted}:streamGenerateContent?alt=sse", bearer),
        "vertex-anthropic": (
            {**ON_VERTEX, "stream": True},
            CLAUDE.replace("/ok:rawPredict", f"/{quoted}:streamRawPredict"),
            bearer,
        ),
        "bedrock": (converse(), f"/model/{quoted}/converse-stream", bearer),
        "azure": (chat(**azure), f"/openai/deployments/{quoted}/chat/completions?api-version=1", {"api-key": "k"}),
        "azure-v1": (chat(**azure) | {"model": model}, "/openai/v1/chat/completions", {"api-key": "k"}),
        "mistral": (chat(stream=True) | {"model": model}, MISTRAL, bearer),
        "openrouter": (chat(stream=True) | {"model": model}, OPENROUTER, bearer),
        "cohere": (chat(stream=True) | {"model": model}, COHERE, bearer),
        "ollama": (chat() | {"model": model}, OLLAMA, bearer),
    }[name]


def _request(path: str, body: Body, headers: dict[str, str]) -> bytes:
    raw = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: sim", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(raw)}", "", ""]).encode() + raw


async def _until_last_chunk(wire: Any) -> bytes:
    body = bytearray()
    while data := await wire.chunk():
        body += data
    return bytes(body)
