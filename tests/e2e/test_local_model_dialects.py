"""One real model behind three of its own APIs: llama.cpp's chat completions, Messages and Responses, each through its dialect.

Official SDK → gateway → dialect → model, JSON and streamed. The same weights answer through every API, so the
answers can be compared: the same text, the same tokens, the same bill.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from simulator import local_model
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, charged, price
from tests.support.process import ROOT, free_port

pytestmark = [pytest.mark.model, pytest.mark.timeout(180), pytest.mark.xdist_group("local-model")]

DIALECTS = ("openai", "anthropic", "responses")
MAX_TOKENS = 12
SYSTEM, QUESTION = "You answer in one short sentence.", "What is the capital of France?"
Start = Callable[..., Awaitable[Stage]]


def sold(dialect: str) -> Sale:
    return Sale(f"local/{dialect}", dialect, local_model.MODEL, prompt="0.01", completion="0.02")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The model's server, one for all APIs: its base URL."""
    local_model.check()
    port, log = free_port(), tmp_path_factory.mktemp("model") / "log"
    command = ["-m", "simulator.local_model", str(port), "--threads", "1", "--parent", str(os.getpid())]
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=out, stderr=out)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not healthy(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url + "/v1"
    finally:
        process.kill()
        process.wait()


def healthy(url: str) -> bool:
    try:
        return httpx.get(url + "/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def stage(gateway: Start, model: str) -> Stage:
    """The model as three providers, one for each of its APIs."""
    return await gateway(
        *(sold(dialect) for dialect in DIALECTS),
        urls=dict.fromkeys(DIALECTS, model),
        provider={dialect: {"dialect": dialect} for dialect in DIALECTS},
    )


def openai_of(caller: Caller) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=caller.gateway.url + "/api/v1", api_key=caller.secret, max_retries=0)


def anthropic_of(caller: Caller) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=caller.gateway.url + "/api", api_key=caller.secret, max_retries=0)


async def by_chat(caller: Caller, model: str, *, stream: bool) -> tuple[str, int, int]:
    """Text, tokens of the prompt, tokens of the answer."""
    messages: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    async with openai_of(caller) as client:
        request: Any = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
        if not stream:
            answer = await client.chat.completions.create(**request)
            assert answer.usage is not None
            return answer.choices[0].message.content or "", answer.usage.prompt_tokens, answer.usage.completion_tokens
        text, usage, finish = "", None, None
        async for chunk in await client.chat.completions.create(**request, stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
            usage = chunk.usage or usage
        assert finish in ("stop", "length")
        assert usage is not None
        return text, usage.prompt_tokens, usage.completion_tokens


async def by_messages(caller: Caller, model: str, *, stream: bool) -> tuple[str, int, int]:
    messages: Any = [{"role": "user", "content": QUESTION}]
    async with anthropic_of(caller) as client:
        request: Any = {"model": model, "system": SYSTEM, "messages": messages, "max_tokens": MAX_TOKENS}
        request["extra_body"] = {"temperature": 0}  # version 2 of the SDK has no parameter for it
        if stream:
            async with client.messages.stream(**request) as events:
                text = "".join([piece async for piece in events.text_stream])
                answer = await events.get_final_message()
            assert "".join(block.text for block in answer.content if block.type == "text") == text
        else:
            answer = await client.messages.create(**request)
        assert answer.stop_reason in ("end_turn", "max_tokens")
        read = answer.usage.cache_read_input_tokens or 0
        text = "".join(block.text for block in answer.content if block.type == "text")
        return text, answer.usage.input_tokens + read, answer.usage.output_tokens


async def by_responses(caller: Caller, model: str, *, stream: bool) -> tuple[str, int, int]:
    async with openai_of(caller) as client:
        request: Any = {"model": model, "instructions": SYSTEM, "input": QUESTION, "temperature": 0}
        request["max_output_tokens"] = MAX_TOKENS
        if stream:
            text, answer = "", None
            async for event in await client.responses.create(**request, stream=True):
                if event.type == "response.output_text.delta":
                    text += event.delta
                elif event.type in ("response.completed", "response.incomplete"):
                    answer = event.response
            assert answer is not None
            assert answer.output_text == text
        else:
            answer = await client.responses.create(**request)
        assert answer.status in ("completed", "incomplete")
        assert answer.usage is not None
        return answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens


SURFACES = {"chat": by_chat, "messages": by_messages, "responses": by_responses}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("surface", list(SURFACES))
async def test_every_surface_with_every_dialect(stage: Stage, surface: str, dialect: str) -> None:
    """JSON and streamed: real text, plausible counts, billed as counted; between equal formats it passes through."""
    answers = []
    for stream in (False, True):
        caller = await stage.caller()
        text, prompt, completion = await SURFACES[surface](caller, f"local/{dialect}", stream=stream)
        assert text.strip()
        assert 20 < prompt < 60
        assert 0 < completion <= MAX_TOKENS
        await calm(stage)
        line, losses = await charged(caller)
        assert not losses
        assert line.cost_nano == price(sold(dialect), prompt, completion).cost
        answers.append((text, prompt, completion))
    assert answers[0] == answers[1]


async def test_all_surfaces_and_dialects_give_the_same_answer(stage: Stage) -> None:
    """At temperature 0 three APIs through three surfaces are one text, with one count of its prompt and its tokens."""
    answers = {}
    for dialect in DIALECTS:
        for surface, ask in SURFACES.items():
            answers[surface, dialect] = await ask(await stage.caller(), f"local/{dialect}", stream=False)
    assert len(set(answers.values())) == 1, answers
    await calm(stage)


async def test_the_model_counts_for_the_caller(stage: Stage) -> None:
    """``count_tokens`` through the anthropic dialect is what the model then says the prompt was; nothing is billed for it."""
    caller = await stage.caller()
    messages: Any = [{"role": "user", "content": QUESTION}]
    async with anthropic_of(caller) as client:
        counted = await client.messages.count_tokens(model="local/anthropic", system=SYSTEM, messages=messages)
    assert not await caller.lines()
    _, prompt, _ = await by_messages(caller, "local/anthropic", stream=False)
    assert counted.input_tokens == prompt
    await calm(stage)
