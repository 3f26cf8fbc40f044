"""The simulated vendors' other wire formats, checked with the vendors' own clients."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from simulator import formats
from tests.support.vendor import vendor
from tests.support.vendor_clients import CLIENTS, KINDS, ChatClient, ClientRequest, VendorClient

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
"""google-genai 3.4 does what aiohttp 3.14 discourages."""
KEY = "key-of-a-test"
EVERY = pytest.mark.parametrize("name", CLIENTS)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
REASONS = [name for name, kind in KINDS.items() if not name.startswith("azure")]
"""Azure's chat completions count reasoning and show none."""
SIGNS = [name for name, kind in KINDS.items() if kind.signs]
DEMANDS = [name for name, kind in KINDS.items() if kind.demands]


def test_formats_know_no_dialect() -> None:
    """A format is an independent reading of the vendor's documentation: it imports nothing of ``providers``."""
    folder = Path(formats.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.split(".")[0] in ("providers", "gateway")]
            assert all(name.startswith("simulator") for name in ours), f"{path.name}: {ours}"


@BOTH
async def test_parallel_calls_and_reasoning_of_the_plain_vendor(stream: bool) -> None:
    """/v1/chat/completions too makes several calls at once, and knows its reasoning_content when it comes back."""
    async with vendor(key=KEY) as sim:
        client = ChatClient(sim, KEY, mount="/v1")
        request = ClientRequest("toolcall+parallel=3+reasoning=2+recall+batch=2", stream, tools=True)
        answer = await client.ask(request)
        assert [call.name for call in answer.calls] == ["measure", "look_up", "measure"]
        assert len({call.id for call in answer.calls}) == 3
        assert all(call.arguments == {"n": 1, "u": "C"} for call in answer.calls)
        assert (answer.completion, answer.reasoned) == (sim.log.requests[0].planned_tokens, 2)
        for reasoning, expected in (("000 001 ", "recalled 1"), ("000 001", "recalled 0")):
            past = client.after(request, answer)
            past[0] = past[0] | {"reasoning_content": reasoning}
            assert (await client.ask(replace(request, past=past))).text == expected


@EVERY
@BOTH
async def test_text(name: str, stream: bool) -> None:
    """Numbered tokens, the ledger's counts in the vendor's own report, the vendor's own finish reason."""
    async with vendor(key=KEY) as sim:
        answer = await CLIENTS[name](sim, KEY).ask(ClientRequest("ok+tokens=3", stream))
        (entry,) = sim.log.requests
        assert answer.text == "000 001 002 "
        assert (answer.prompt, answer.completion, answer.cached) == (entry.prompt_tokens, 3, 0) == (3 + 4 + 3, 3, 0)
        assert (entry.finished, entry.stream, entry.billed_completion_tokens) == (True, stream, 3)
        assert answer.finish not in (None, KINDS[name].length)
        assert (answer.calls, answer.reasoning) == ([], "")


@EVERY
@BOTH
async def test_length_and_cache(name: str, stream: bool) -> None:
    """max_tokens cuts the answer with the vendor's finish reason; what came from a cache is part of the prompt and reported."""
    async with vendor(key=KEY) as sim:
        answer = await CLIENTS[name](sim, KEY).ask(ClientRequest("ok+tokens=40+cached=5", stream, max_tokens=20))
        assert answer.text == "".join(f"{number:03d} " for number in range(20))
        assert answer.finish == KINDS[name].length
        assert (answer.prompt, answer.completion) == (10, 20)
        assert answer.cached == (5 if KINDS[name].cached else 0)


@EVERY
@BOTH
async def test_characters_of_every_width(name: str, stream: bool) -> None:
    """Text comes back as it was, in pieces of single bytes too."""
    text = 'Grüße, 世界! 🙂 "quoted"\n\\ end'
    async with vendor(key=KEY) as sim:
        answer = await CLIENTS[name](sim, KEY).ask(ClientRequest("echo+split=7", stream, text=text))
        assert answer.text == text


@EVERY
@BOTH
async def test_tools(name: str, stream: bool) -> None:
    """Two calls at once, one of each tool, arguments by the schema; after the results, text."""
    async with vendor(key=KEY) as sim:
        client, request = CLIENTS[name](sim, KEY), ClientRequest("toolcall+parallel+tokens=2", stream, tools=True)
        answer = await client.ask(request)
        assert [(call.name, call.arguments) for call in answer.calls] == [
            ("measure", {"n": 1, "u": "C"}),
            ("look_up", {"n": 1, "u": "C"}),
        ]
        assert len({call.id for call in answer.calls}) == 2 or name == "ollama"
        after = await client.ask(replace(request, past=client.after(request, answer)))
        assert (after.text, after.calls) == ("000 001 ", [])
        assert (after.prompt or 0) > (answer.prompt or 0) > 0


@pytest.mark.parametrize("name", REASONS)
@BOTH
async def test_reasoning_comes_back(name: str, stream: bool) -> None:
    """Reasoning is shown when asked for, before the calls; sent back as the SDK has it, the vendor knows it again."""
    async with vendor(key=KEY) as sim:
        client = CLIENTS[name](sim, KEY)
        request = ClientRequest("toolcall+parallel+reasoning=4+recall", stream, tools=True, thinks=True)
        answer = await client.ask(request)
        assert answer.reasoning == "000 001 002 003 "
        assert answer.completion == sim.log.requests[0].planned_tokens
        assert answer.reasoned == (4 if KINDS[name].counts_reasoning else 0)
        after = await client.ask(replace(request, past=client.after(request, answer)))
        assert (after.text, after.reasoning) == ("recalled 1", "000 001 002 003 ")


@pytest.mark.parametrize("name", REASONS)
@BOTH
async def test_reasoning_of_a_text_answer_comes_back(name: str, stream: bool) -> None:
    """The same without tools: the second turn tells the first one's reasoning."""
    async with vendor(key=KEY) as sim:
        client, request = CLIENTS[name](sim, KEY), ClientRequest("reasoning=4+recall", stream, thinks=True)
        answer = await client.ask(request)
        assert (answer.text, answer.reasoning) == ("recalled 0", "000 001 002 003 ")
        after = await client.ask(replace(request, past=client.after(request, answer)))
        assert after.text == "recalled 1"


@pytest.mark.parametrize("name", SIGNS)
@BOTH
async def test_altered_reasoning_is_refused(name: str, stream: bool) -> None:
    """One character more in a signed block, and the vendor answers 400."""
    async with vendor(key=KEY) as sim:
        client, request = (
            CLIENTS[name](sim, KEY),
            ClientRequest("toolcall+reasoning=4", stream, tools=True, thinks=True),
        )
        past = client.after(request, await client.ask(request))
        with pytest.raises(KINDS[name].failures) as caught:
            await client.ask(replace(request, past=client.altered(past, lost=False)))
        assert KINDS[name].status(caught.value) == 400


@pytest.mark.parametrize("name", SIGNS)
async def test_lost_reasoning_is_refused_where_the_vendor_demands_it(name: str) -> None:
    """A turn of calls without its reasoning: 400, but of vendors that do not care."""
    async with vendor(key=KEY) as sim:
        client, request = CLIENTS[name](sim, KEY), ClientRequest("toolcall+reasoning=4+recall", tools=True, thinks=True)
        past = client.altered(client.after(request, await client.ask(request)), lost=True)
        if KINDS[name].demands:
            with pytest.raises(KINDS[name].failures) as caught:
                await client.ask(replace(request, past=past))
            assert KINDS[name].status(caught.value) == 400
        else:
            assert (await client.ask(replace(request, past=past))).text == "recalled 0"


@EVERY
@BOTH
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_refusals(name: str, stream: bool, status: int) -> None:
    """An error before the answer: the SDK raises its own exception with the status."""
    async with vendor(key=KEY) as sim:
        with pytest.raises(KINDS[name].failures) as caught:
            await CLIENTS[name](sim, KEY).ask(ClientRequest(f"status={status}", stream))
        assert KINDS[name].status(caught.value) == status
        assert sim.log.requests[0].ending == "refused"


@EVERY
@pytest.mark.parametrize("model", ["errorfirst", "erroratn@2"])
async def test_errors_inside_a_stream(name: str, model: str) -> None:
    """An error as the first event and after tokens: the SDK finds it where that vendor puts it."""
    async with vendor(key=KEY) as sim:
        kind: type[VendorClient] = KINDS[name]
        with pytest.raises(kind.failures) as caught:
            await CLIENTS[name](sim, KEY).ask(ClientRequest(model, stream=True))
        if name != "mistral":  # its SDK cannot read an error where an event stands
            assert kind.status(caught.value) == {"anthropic": 500, "vertex-anthropic": 500, "responses": 500}.get(
                name, 503
            )


@EVERY
async def test_a_wrong_key(name: str) -> None:
    """A wrong key gets the vendor's own error."""
    expected = {"gemini": 400, "bedrock": 403}
    async with vendor(key=KEY) as sim:
        with pytest.raises(KINDS[name].failures) as caught:
            await CLIENTS[name](sim, "another").ask(ClientRequest())
        assert KINDS[name].status(caught.value) == expected.get(name, 401)


@pytest.mark.parametrize(
    "name", [name for name in CLIENTS if name not in ("anthropic", "vertex-anthropic", "ollama", "bedrock")]
)
async def test_no_usage(name: str) -> None:
    """usage=none: there is no report at all, the answer is whole. (The other clients cannot do without.)"""
    async with vendor(key=KEY) as sim:
        answer = await CLIENTS[name](sim, KEY).ask(ClientRequest("ok+tokens=2+usage=none", stream=True))
        assert (answer.text, answer.prompt) == ("000 001 ", None)
