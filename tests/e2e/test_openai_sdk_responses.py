"""The official OpenAI and OpenRouter Python SDKs on the Responses API, by base URL alone: whole answers, streams, tools, parsed output,
reasoning that is sent back, errors as their own exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openrouter import OpenRouter, components, errors
from pydantic import BaseModel

from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, price

GatewayFactory = Callable[..., Any]
SALES = (
    Sale("acme/fast-1", "alpha", "ok+tokens=6"),
    Sale("acme/tools-1", "alpha", "toolcall"),
    Sale("acme/thinks-1", "alpha", "ok+reasoning=4+tokens=2"),
    Sale("acme/echo-1", "alpha", "echo"),
    Sale("broken/cut", "alpha", "cut@3"),
    Sale("broken/late", "alpha", "status=400+slowheaders=400"),
    Sale("broken/rate", "alpha", "status=429+retry_after=7"),
    Sale("broken/large", "alpha", "status=413"),
)
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
TEXT = "000 001 002 003 004 005 "


@pytest.fixture
async def stage(gateway: GatewayFactory) -> Stage:
    made: Stage = await gateway(*SALES, keepalive_s=0.15, health_share_interval_s=3600)
    return made


@pytest.fixture
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


@pytest.fixture
async def client(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    base_url = caller.gateway.url + "/api/v1"
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=base_url, max_retries=0) as made:
        yield made


@pytest.fixture
async def router(caller: Caller) -> AsyncIterator[OpenRouter]:
    async with OpenRouter(api_key=caller.secret, server_url=f"{caller.gateway.url}/api/v1") as made:
        yield made


async def test_create(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """A whole answer, its text and its usage; the cost arrives as an extra field."""
    answer = await client.responses.create(model="acme/fast-1", input="hello", max_output_tokens=4, store=False)
    assert answer.output_text == "000 001 002 003 "
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 4)
    extra: Any = answer.usage.model_extra
    assert extra["cost"] * 10**9 == pytest.approx(price(stage.sale("acme/fast-1", "alpha"), 9, 4).total)
    await calm(stage)


async def test_the_synchronous_client(caller: Caller) -> None:
    """The plain client in a thread, at the other prefix, without ``store``."""

    def run() -> str:
        with openai.OpenAI(api_key=caller.secret, base_url=f"{caller.gateway.url}/v1") as client:
            return client.responses.create(model="acme/fast-1", input="hello").output_text

    assert await asyncio.to_thread(run) == TEXT


async def test_stream_of_events(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """Typed events from ``created`` to ``completed``."""
    stream = await client.responses.create(model="acme/fast-1", input="hello", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == TEXT
    await calm(stage)


async def test_the_streaming_helper(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """``responses.stream`` puts text and calls together itself and finds them whole at the end."""
    async with client.responses.stream(model="acme/fast-1", input="hello") as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        answer = await stream.get_final_response()
    assert snapshots[-1] == answer.output_text == TEXT
    assert answer.usage is not None
    async with client.responses.stream(model="acme/tools-1", input="hello", tools=[WEATHER]) as stream:
        parts = [event.snapshot async for event in stream if event.type == "response.function_call_arguments.delta"]
        (call,) = (await stream.get_final_response()).output
    assert call.type == "function_call"
    assert parts[-1] == call.arguments == '{"city":"sample"}'
    await calm(stage)


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_and_the_next_turn(stage: Stage, client: openai.AsyncOpenAI, stream: bool) -> None:
    """The SDK's own items go back as input, with the call's output; the conversation goes on."""
    if stream:
        async with client.responses.stream(model="acme/tools-1", input="hello", tools=[WEATHER]) as running:
            output: Any = (await running.get_final_response()).output
    else:
        output = (await client.responses.create(model="acme/tools-1", input="hello", tools=[WEATHER])).output
    (call,) = output
    answered: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    turn: Any = [{"role": "user", "content": "hello"}, *output, answered]
    answer = await client.responses.create(model="acme/tools-1", input=turn, tools=[WEATHER])
    assert answer.output_text.startswith(TEXT)
    await calm(stage)


async def test_reasoning_items_go_back(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """Reasoning is an item with text; as the SDK holds it, it is taken back."""
    first = await client.responses.create(
        model="acme/thinks-1", input="hello", reasoning={"effort": "low"}, include=["reasoning.encrypted_content"]
    )
    thought, message = first.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == "000 001 002 003 "
    assert message.type == "message"
    turn: Any = [{"role": "user", "content": "hello"}, *first.output, {"role": "user", "content": "again"}]
    assert (await client.responses.create(model="acme/thinks-1", input=turn)).output_text == "000 001 "
    assert first.usage is not None
    assert first.usage.output_tokens_details.reasoning_tokens == 4
    await calm(stage)


class Book(BaseModel):
    title: str
    pages: int


async def test_parsed_output(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """``responses.parse`` and the helper with a type: the schema goes out, the object comes back."""
    text = '{"title":"Momo","pages":304}'
    answer = await client.responses.parse(model="acme/echo-1", input=text, text_format=Book)
    assert answer.output_parsed == Book(title="Momo", pages=304)
    async with client.responses.stream(model="acme/echo-1", input=text, text_format=Book) as stream:
        assert (await stream.get_final_response()).output_parsed == Book(title="Momo", pages=304)
    await calm(stage)


async def test_a_broken_stream_ends_as_failed(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """What came is there; the last event says that it failed and why."""
    stream = await client.responses.create(model="broken/cut", input="hello", stream=True)
    *_, last = [event async for event in stream]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert last.response.output_text == "000 001 002 "
    await calm(stage)


async def test_errors_are_its_own_exceptions(client: openai.AsyncOpenAI) -> None:
    """Status errors by class; an error that comes after the first comment is raised as well."""
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        await client.responses.create(model="acme/fast-1", input="hello", previous_response_id="resp_1")
    with pytest.raises(openai.RateLimitError) as limited:
        await client.responses.create(model="broken/rate", input="hello")
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.APIError) as late:
        async for _ in await client.responses.create(model="broken/late", input="hello", stream=True):
            pass
    assert (late.value.code, late.value.type) == ("invalid_prompt", "invalid_request")


async def test_openrouter(stage: Stage, router: OpenRouter) -> None:
    """OpenRouter's SDK validates every field of an answer and reads cost and details."""
    answer = await router.responses.send_async(model="acme/fast-1", input="hello", max_output_tokens=4)
    assert answer.status == "incomplete"
    (message,) = answer.output
    assert isinstance(message, components.OutputMessageItem)
    assert isinstance(message.content[0], components.ResponseOutputText)
    assert message.content[0].text == "000 001 002 003 "
    usage: Any = answer.usage
    bill = price(stage.sale("acme/fast-1", "alpha"), 9, 4)
    assert usage.cost * 10**9 == pytest.approx(bill.total)
    details = usage.cost_details
    whole = details.upstream_inference_input_cost + details.upstream_inference_output_cost
    assert whole * 10**9 == pytest.approx(bill.cost)
    await calm(stage)


async def test_openrouter_stream(stage: Stage, router: OpenRouter) -> None:
    """Every event is one that the SDK knows; items go back as input."""
    stream = await router.responses.send_async(model="acme/tools-1", input="hello", tools=[WEATHER], stream=True)
    async with stream:
        events = [event async for event in stream]
    assert not [event for event in events if getattr(event, "is_unknown", False)]
    last = events[-1]
    assert isinstance(last, components.StreamEventsResponseCompleted)
    (call,) = last.response.output
    assert isinstance(call, components.OutputFunctionCallItem)
    turn: Any = [
        {"role": "user", "content": "hello"},
        call.model_dump(by_alias=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    answer = await router.responses.send_async(model="acme/tools-1", input=turn, tools=[WEATHER])
    assert isinstance(answer.output[0], components.OutputMessageItem)
    await calm(stage)


async def test_openrouter_errors(router: OpenRouter) -> None:
    """A refusal is the SDK's typed exception; a late one is an ``error`` event that it can read."""
    with pytest.raises(errors.BadRequestResponseError, match="previous_response_id"):
        await router.responses.send_async(model="acme/fast-1", input="hello", previous_response_id="resp_1")
    with pytest.raises(errors.PayloadTooLargeResponseError):
        await router.responses.send_async(model="broken/large", input="hello")
    stream = await router.responses.send_async(model="broken/late", input="hello", stream=True)
    async with stream:
        first, last = [event async for event in stream]
    assert isinstance(first, components.ErrorEvent)
    assert isinstance(last, components.StreamEventsResponseFailed)
