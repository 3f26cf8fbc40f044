"""Conversations as other vendors and clients leave them, to every dialect: each simulated vendor refuses what its real one does.

One model for each dialect; its script calls the first tool until a result is the last message, then it answers in text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.store.embedded import Embedded
from tests.support import messageshape, wireshape
from tests.support.conversations import (
    CONVERSATIONS,
    DIGIT,
    DOTTED,
    LONG,
    PICTURE,
    TOOLS,
    USER,
    Json,
    call,
    calls,
    result,
    tool,
)
from tests.support.dialects import KEY, SOLD, VARIABLE
from tests.support.gateway import Caller, Sale, Stage, events, staged
from tests.support.invariants import calm
from tests.support.vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLUGS = [slug for slug in SOLD if slug not in ("azure-v1", "bedrock-signed")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway over a simulated vendor of each dialect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        async with AsyncExitStack() as stack:
            sims = {slug: await stack.enter_async_context(vendor(slug, key=KEY)) for slug in SLUGS}
            reads = {"input_modalities": ["text", "image"]}
            sales = [Sale(f"t/{slug}", slug, f"{SOLD[slug].label}toolcall", more=reads) for slug in SLUGS]
            sales += [Sale(f"t/{slug}-recalls", slug, f"{SOLD[slug].label}reasoning=3+recall") for slug in SLUGS]
            urls = {slug: SOLD[slug].base_url(sim) for slug, sim in sims.items()}
            rows = {slug: SOLD[slug].row() for slug in SLUGS}
            directory = tmp_path_factory.mktemp("conversations")
            made = await stack.enter_async_context(
                staged(directory, valkey_server.url, *sales, urls=urls, provider=rows, health_share_interval_s=3600)
            )
            made.vendors.update(sims)
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(stage: Stage) -> Caller:
    return await stage.caller("1000")


async def sent(caller: Caller, slug: str, messages: list[Json], **more: Any) -> httpx.Response:
    body = {"model": f"t/{slug}", "messages": messages, "tools": TOOLS, **more}
    return await caller.gateway.client.post("/api/v1/chat/completions", json=body, headers=caller.headers)


@pytest.mark.parametrize("slug", SLUGS)
async def test_every_vendor_takes_it(stage: Stage, caller: Caller, slug: str, subtests: pytest.Subtests) -> None:
    """No conversation that the gateway lets through is refused by a vendor for its ids, names, roles or arguments."""
    for name, messages in CONVERSATIONS.items():
        with subtests.test(msg=name):
            wireshape.answer(await sent(caller, slug, messages))
    await calm(stage)


@pytest.mark.parametrize("slug", SLUGS)
async def test_names_come_back_as_the_caller_wrote_them(stage: Stage, caller: Caller, slug: str) -> None:
    """A tool whose name the vendor refuses is called by the caller's name: whole, streamed, forced, and on Messages."""
    for name in (DOTTED, LONG, DIGIT):
        offered = {"tools": [tool(name)], "messages": [USER]}
        forced = {} if slug == "ollama" else {"tool_choice": {"type": "function", "function": {"name": name}}}
        body = wireshape.answer(await sent(caller, slug, **offered, **forced))
        (made,) = body["choices"][0]["message"]["tool_calls"]
        assert made["function"]["name"] == name
        assert body["choices"][0]["finish_reason"] == "tool_calls"
        pieces = events((await sent(caller, slug, **offered, **forced, stream=True)).text)
        found = [
            piece["function"]["name"]
            for event in pieces
            if event != "[DONE]"
            for choice in event["choices"]
            for piece in choice["delta"].get("tool_calls") or ()
            if piece["function"].get("name")
        ]
        assert found == [name]
        again = [USER, calls(made), result(made["id"])]
        wireshape.answer(await sent(caller, slug, again, tools=[tool(name)]))
    if slug not in ("anthropic", "vertex-anthropic"):  # there the caller's own words pass through
        native = {"model": f"t/{slug}", "max_tokens": 99, "messages": [USER]}
        native["tools"] = [{"name": LONG, "input_schema": {"type": "object", "properties": {}}}]
        response = await caller.gateway.client.post("/api/v1/messages", json=native, headers=caller.headers)
        assert [block["name"] for block in messageshape.answer(response)["content"]] == [LONG]
    await calm(stage)


@pytest.mark.parametrize(
    "slug", ["openai", "azure", "mistral", "anthropic", "bedrock", "gemini", "vertex", "openrouter"]
)
async def test_pictures_of_parallel_tools(stage: Stage, caller: Caller, slug: str) -> None:
    """They may come from any of them, and the user may go on or not."""
    messages = [
        USER,
        calls(call("a"), call("b", "g"), call("c", "g")),
        result("a", [{"type": "text", "text": "see"}, PICTURE]),
        result("b", [PICTURE]),
        result("c"),
    ]
    for last in ([], [{"role": "user", "content": "so"}], [{"role": "assistant", "content": "I see."}, USER]):
        wireshape.answer(await sent(caller, slug, [*messages, *last]))
    await calm(stage)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("slug", ["openai", "openrouter", "ollama"])
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "reasoning_details"])
async def test_reasoning_that_comes_back_as_text(
    stage: Stage, caller: Caller, field: str, slug: str, stream: bool
) -> None:
    """Under whichever name a client returns it, the vendor that takes plain reasoning back gets it; an empty text is none. One
    that demands a signature is not given the text for a detail."""
    for text, recalled in (("000 001 002 ", int(slug != "openrouter")), ("", 0)):
        turn = {"role": "assistant", "content": "Hello.", field: text}
        response = await sent(caller, f"{slug}-recalls", [USER, turn, USER], stream=stream)
        assert response.status_code == 200, response.text
        chunks = [event for event in events(response.text) if event != "[DONE]"] if stream else [response.json()]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        texts = [choice["delta" if stream else "message"].get("content") or "" for choice in choices]
        assert "".join(texts) == f"recalled {recalled}"
    await calm(stage)
