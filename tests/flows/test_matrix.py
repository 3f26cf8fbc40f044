"""Every surface over every dialect: text, tools, reasoning and errors, whole and streamed, read by the surface's own SDK.

Behind the gateway stand simulated vendors that speak the dialect's wire format and refuse what its vendor refuses: a request that is
not to the letter, a call without its result, reasoning that did not come back as it was given. What the SDK says it was charged for is
compared with the vendor's own ledger, and the journal with prices computed apart.

A cell that cannot exist is in ``IMPOSSIBLE``, with the reason; everything else must be green.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.api.inference import asgi
from providers import registry
from tests.support.dialects import KEY, SETTINGS, SOLD, SURFACES, VARIABLE, VARIANTS
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, forget_health, price
from tests.support.vendor import vendor
from tests.support.vendor_clients import Answer, ClientRequest, VendorClient

pytestmark = [
    pytest.mark.filterwarnings("ignore:warning. .. DEPRECATED:DeprecationWarning"),
]
"""OpenRouter's SDK warns of its own fields while it reads them."""
GatewayFactory = Callable[..., Any]
MODELS = {
    "m/text": "ok+tokens=5+cached=3",
    "m/tools": "toolcall+parallel+tokens=2",
    "m/thinks": "toolcall+reasoning=4+recall",
    "m/muses": "reasoning=4+recall",
    "m/refuses": "status=400",
    "m/busy": "status=429",
    "m/breaks": "erroratn=2",
    "m/cut": "cut=2",
}
"""Slug → the script that the vendor follows."""
THOUGHT = "000 001 002 003 "
NO_TOOLS = "a prompt has no tools and no turns: OpenAI's completions are one text after another"
HIDDEN = "OpenAI's chat completions count reasoning and never show it, so there is nothing to send back"
IMPOSSIBLE: dict[tuple[str, str, str], str] = {
    **{("completions", slug, case): NO_TOOLS for slug in SOLD for case in ("tools", "reasoning")},
    **{(surface, slug, "reasoning"): HIDDEN for surface in SURFACES for slug in ("azure", "azure-v1")},
    **{(surface, slug, "thoughts"): HIDDEN for surface in SURFACES for slug in ("azure", "azure-v1")},
}
"""(surface, provider, case) → why there is no such cell."""
UNSAYABLE = {"responses": {"stop": "the Responses API has no stop sequences", "stop_sequences": "the same"}}
"""Provider → settings that its wire format cannot express: the dialect refuses them, and another provider is tried."""


class Cell:
    """One case, put by one SDK, to one dialect, whole or streamed; a caller of its own, so that its journal is its own."""

    def __init__(self, stage: Stage, caller: Caller, surface: str, slug: str, *, stream: bool) -> None:
        kind = SURFACES[surface]
        self.stage, self.caller, self.surface, self.stream = stage, caller, surface, stream
        self.sold, self.sim = SOLD[slug], stage.vendors[slug]
        self.slug = slug
        self.client: VendorClient = kind(stage.gateway.url, caller.secret)
        self.answers = 0

    async def ask(self, model: str, **more: Any) -> Answer:
        """Asks, and compares the counts with what the vendor's ledger says of this very request."""
        answer = await self.client.ask(ClientRequest(model, self.stream, **more))
        self.answers += 1
        entry = self.sim.log.requests[-1]
        assert entry.stream == self.stream
        assert (answer.prompt, answer.completion) == (entry.prompt_tokens, entry.planned_tokens)
        return answer

    async def settled(self) -> None:
        """The journal has a line for every answer, at the price of the vendor's own count."""
        await self.stage.gateway.settled()
        lines = [line for line in await self.caller.lines() if line.type == "settled"]
        entries = list(self.sim.log.requests)[-self.answers :] if self.answers else []
        assert len(lines) == self.answers
        for line, entry in zip(lines, entries, strict=True):
            bill = price(Sale("", ""), entry.prompt_tokens, entry.billed_completion_tokens)
            assert (line.cost_nano, line.user_nano) == (bill.cost, bill.total)

    async def fails(self, model: str) -> int:
        """The status of the SDK's own exception."""
        with pytest.raises(self.client.failures) as caught:
            await self.client.ask(ClientRequest(model, self.stream))
        return self.client.status(caught.value)


async def text(cell: Cell) -> None:
    """Five tokens, the reason, what came from the cache."""
    answer = await cell.ask("m/text")
    assert answer.text == "000 001 002 003 004 "
    assert answer.finish in ("stop", "end_turn", "completed")
    assert answer.cached == (3 if cell.sold.cached else 0)


async def settings(cell: Cell) -> None:
    """Everything a caller usually sets; the simulated vendor refuses a field that it does not know."""
    wished = SETTINGS[cell.surface]
    more = {name: value for name, value in wished.items() if name not in UNSAYABLE.get(cell.slug, {})}
    answer = await cell.ask("m/text", more=more)
    assert answer.text == "000 001 002 003 004 "
    if more != wished:
        with pytest.raises(cell.client.failures) as caught:
            await cell.client.ask(ClientRequest("m/text", cell.stream, more=wished))
        assert cell.client.status(caught.value) == 400


async def tools(cell: Cell) -> None:
    """Two calls at once with arguments by their schema, then a turn with both results."""
    answer = await cell.ask("m/tools", tools=True)
    assert [(call.name, call.arguments) for call in answer.calls] == [
        ("measure", {"n": 1, "u": "C"}),
        ("look_up", {"n": 1, "u": "C"}),
    ]
    assert len({call.id for call in answer.calls}) == 2
    assert answer.finish in ("tool_calls", "tool_use", "completed")
    after = await cell.ask("m/tools", tools=True, past=cell.client.after(ClientRequest(), answer))
    assert (after.text, after.calls) == ("000 001 ", [])


async def reasoning(cell: Cell) -> None:
    """Reasoning before a call; the next turn brings it back to the letter, and the vendor confirms it."""
    answer = await cell.ask("m/thinks", tools=True, thinks=True)
    assert answer.reasoning == THOUGHT
    assert len(answer.calls) == 1
    after = await cell.ask("m/thinks", tools=True, thinks=True, past=cell.client.after(ClientRequest(), answer))
    assert (after.text, after.reasoning) == ("recalled 1", THOUGHT)


async def thoughts(cell: Cell) -> None:
    """Reasoning before a text, and on surfaces with turns the same again."""
    answer = await cell.ask("m/muses", thinks=True)
    assert (answer.text, answer.reasoning) == ("recalled 0", THOUGHT)
    if cell.surface != "completions":
        after = await cell.ask("m/muses", thinks=True, past=cell.client.after(ClientRequest(), answer))
        # What Google's streams end with stands behind the text, where Claude Code takes no thinking: the surface leaves it out.
        lost = cell.surface == "messages" and cell.stream and cell.sold.dialect in ("gemini", "vertex")
        assert after.text == ("recalled 0" if lost else "recalled 1")


async def refused(cell: Cell) -> None:
    """The vendor's 400 before any content is the SDK's exception of that status; nothing is charged."""
    assert await cell.fails("m/refuses") == 400


async def busy(cell: Cell) -> None:
    """A vendor's 429 that no other endpoint can mend is the caller's 429."""
    assert await cell.fails("m/busy") == 429


async def _broken(cell: Cell, model: str) -> None:
    """An answer that broke off: an exception; of a stream the caller pays what was delivered, of a document nothing."""
    with pytest.raises(cell.client.failures):
        await cell.client.ask(ClientRequest(model, cell.stream))
    await cell.stage.gateway.settled()
    lines = [line for line in await cell.caller.lines() if line.type == "settled"]
    if not cell.stream:
        assert not lines
        return
    assert cell.sim.log.requests[-1].sent_tokens == 2
    (line,) = lines
    assert line.cost_nano > 0
    assert line.user_nano == line.cost_nano + (line.cost_nano * 5 + 50) // 100


async def broken(cell: Cell) -> None:
    """The vendor's error after two tokens."""
    await _broken(cell, "m/breaks")


async def cut(cell: Cell) -> None:
    """The vendor's connection ends after two tokens."""
    await _broken(cell, "m/cut")


CASES = {one.__name__: one for one in (text, settings, tools, reasoning, thoughts, refused, busy, broken, cut)}


@pytest.fixture
async def stage_of(gateway: GatewayFactory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """A factory: the gateway over these providers, whose vendors demand a key. What is sold: ``MODELS``, or model → script by provider."""
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setenv("TEST_MATRIX_ID", "AKID")
    async with AsyncExitStack() as stack:

        async def start(*slugs: str, sold: Callable[[str], Mapping[str, str]] = lambda _: MODELS) -> Stage:
            sims = {slug: await stack.enter_async_context(vendor(slug, key=KEY)) for slug in slugs}
            sales = [
                Sale(model, slug, SOLD[slug].label + script) for slug in slugs for model, script in sold(slug).items()
            ]
            urls = {slug: SOLD[slug].base_url(sim) for slug, sim in sims.items()}
            rows = {slug: SOLD[slug].row() for slug in slugs}
            stage: Stage = await gateway(*sales, urls=urls, provider=rows, health_share_interval_s=3600)
            stage.vendors.update(sims)
            return stage

        yield start


def test_nothing_is_left_out() -> None:
    """Every registered dialect is sold here and every surface of text has its SDK; what is impossible says why."""
    assert {sold.dialect for sold in SOLD.values()} == {
        name for name in registry.names() if "chat" in registry.operations(name)
    }
    paths = {"chat": "/chat/completions", "chat-openrouter": "/chat/completions"}
    served = {paths.get(name, f"/{name}") for name in SURFACES}
    assert served == {
        one.path for one in asgi.SURFACES if one.operation == "chat" and one.path != "/messages/count_tokens"
    }
    assert all(case in CASES and reason for (_, _, case), reason in IMPOSSIBLE.items())


SAMPLED = ("openai", "anthropic", "gemini")
"""A surface and a dialect meet only in the inner language: what each does with it is shown by chat with every vendor and by the other
surfaces with these; all of the pairs are tried by the long run."""
ONE_DIALECT = ("completions", "chat-openrouter")
"""Surfaces whose requests are a chat's, read otherwise or with additions: every run tries them with one dialect."""


def _is_tail(surface: str, slug: str) -> bool:
    if surface == "chat":
        return slug in VARIANTS
    return slug != "openai" if surface in ONE_DIALECT else slug not in SAMPLED


PAIRS = [
    pytest.param(*(surface, slug), marks=[pytest.mark.tail] if _is_tail(surface, slug) else [])
    for surface in SURFACES
    for slug in SOLD
    if surface == "chat" or slug not in ("azure-v1", "bedrock-signed")
]
"""Variants of a dialect are shown on one surface."""
MOVERS = [slug for slug in SOLD if slug not in VARIANTS]


@pytest.mark.parametrize(("surface", "slug"), PAIRS)
async def test_cells(stage_of: Callable[..., Any], subtests: pytest.Subtests, surface: str, slug: str) -> None:
    """All cells of one surface and one dialect; afterwards nothing is left and the books balance."""
    stage = await stage_of(slug)
    for case, check in CASES.items():
        if (surface, slug, case) in IMPOSSIBLE:
            continue
        for stream in (False, True):
            with subtests.test(f"{case} {'sse' if stream else 'json'}"):
                cell = Cell(stage, await stage.caller(), surface, slug, stream=stream)
                await check(cell)
                if case not in ("broken", "cut"):
                    await cell.settled()
            forget_health(stage)
    await calm(stage)


@pytest.mark.parametrize("surface", [name for name in SURFACES if name not in ("completions", "chat-openrouter")])
async def test_a_conversation_moves_between_vendors(
    stage_of: Callable[..., Any], subtests: pytest.Subtests, surface: str
) -> None:
    """A turn of one vendor, with its reasoning, its calls and their ids, is answered by every other one: what cannot be taken
    over is left out, and no vendor is sent what it would refuse."""
    stage = await stage_of(*MOVERS, sold=lambda slug: {f"{slug}/thinks": MODELS["m/thinks"]})
    caller = await stage.caller()
    client: VendorClient = SURFACES[surface](stage.gateway.url, caller.secret)
    for before in MOVERS:
        request = ClientRequest(f"{before}/thinks", tools=True, thinks=True)
        answer = await client.ask(request)
        assert len(answer.calls) == 1
        for after in MOVERS:
            with subtests.test(f"{before} to {after}"):
                there = ClientRequest(f"{after}/thinks", tools=True, thinks=True, past=client.after(request, answer))
                moved = await client.ask(there)
                assert moved.text.startswith("recalled ")
            forget_health(stage)
    await calm(stage)
