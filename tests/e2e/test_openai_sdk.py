"""The official OpenAI Python SDK against the gateway, by base URL alone: chat, streams, usage, tools, errors as its own exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from gateway.accounts import KeyChange
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, price

GatewayFactory = Callable[..., Any]
MESSAGES: Any = [{"role": "user", "content": "hello"}]
SALES = (
    Sale("acme/fast-1", "alpha", "ok+tokens=6"),
    Sale("acme/tools-1", "alpha", "toolcall"),
    Sale("acme/thinks-1", "alpha", "ok+reasoning=4+tokens=2"),
    Sale("acme/slow-1", "alpha", "ok+tokens=400+tps=50"),
    Sale("broken/cut", "alpha", "cut@3"),
    Sale("broken/rate", "alpha", "status=429+retry_after=7"),
    Sale("broken/down", "alpha", "status=500"),
    Sale("broken/refuses", "alpha", "status=400"),
    Sale("broken/large", "alpha", "status=413"),
    Sale("broken/odd", "alpha", "status=422"),
    Sale("broken/key", "locked", "ok"),
)


@pytest.fixture
async def stage(gateway: GatewayFactory) -> Stage:
    made: Stage = await gateway(
        *SALES, provider={"locked": {"api_key_env": "TEST_NO_SUCH_VARIABLE"}}, health_share_interval_s=3600
    )
    return made


@pytest.fixture
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


def client_of(caller: Caller, key: str | None = None, prefix: str = "/api/v1") -> openai.AsyncOpenAI:
    """The SDK as a user makes it, but without its retries: they would hide what is tested here."""
    return openai.AsyncOpenAI(api_key=key or caller.secret, base_url=caller.gateway.url + prefix, max_retries=0)


@pytest.fixture
async def client(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(caller) as made:
        yield made


async def test_chat(stage: Stage, caller: Caller, client: openai.AsyncOpenAI) -> None:
    """A completion with usage; what is ours beyond OpenAI's shape arrives as extra fields."""
    answer = await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES, max_tokens=4, temperature=0.5)
    assert answer.choices[0].message.content == "000 001 002 003 "
    assert answer.choices[0].finish_reason == "length"
    assert answer.model == "acme/fast-1"
    assert answer.id.startswith("gen-")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 4)
    assert answer.model_extra is not None
    assert answer.model_extra["provider"] == "Alpha"
    extra: Any = answer.usage.model_extra
    assert extra["cost"] * 10**9 == pytest.approx(price(stage.sale("acme/fast-1", "alpha"), 9, 4).total)
    await calm(stage)


async def test_both_prefixes(stage: Stage, caller: Caller) -> None:
    """``/v1`` works like ``/api/v1``."""
    async with client_of(caller, prefix="/v1") as client:
        assert (await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES)).choices
        assert {model.id async for model in await client.models.list()} >= {"acme/fast-1"}


async def test_the_synchronous_client(stage: Stage, caller: Caller) -> None:
    """The plain client in a thread, as most scripts use it."""

    def run() -> str | None:
        with openai.OpenAI(api_key=caller.secret, base_url=f"{caller.gateway.url}/api/v1") as client:
            return client.chat.completions.create(model="acme/fast-1", messages=MESSAGES).choices[0].message.content

    assert await asyncio.to_thread(run) == "000 001 002 003 004 005 "


async def test_stream(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """Deltas in order, then the usage on a chunk without choices."""
    stream = await client.chat.completions.create(
        model="acme/fast-1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "000 001 002 003 004 005 "
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    await calm(stage)


async def test_the_streaming_helper(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """``chat.completions.stream`` puts the answer together itself."""
    async with client.chat.completions.stream(
        model="acme/fast-1", messages=MESSAGES, stream_options={"include_usage": True}
    ) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].message.content == "000 001 002 003 004 005 "
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


async def test_tools(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """A call comes back as the SDK's own object, is answered, and the conversation goes on; streamed, it is put together."""
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": "find_book",
                "parameters": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
            },
        }
    ]
    answer = await client.chat.completions.create(model="acme/tools-1", messages=MESSAGES, tools=tools)
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    assert message.tool_calls
    call: Any = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("find_book", '{"title":"sample"}')
    talk: Any = [*MESSAGES, message, {"role": "tool", "tool_call_id": call.id, "content": "found"}]
    final = await client.chat.completions.create(model="acme/tools-1", messages=talk, tools=tools)
    assert final.choices[0].finish_reason == "stop"
    async with client.chat.completions.stream(model="acme/tools-1", messages=MESSAGES, tools=tools) as stream:
        streamed = await stream.get_final_completion()
    calls: Any = streamed.choices[0].message.tool_calls
    assert [(c.function.name, c.function.arguments) for c in calls] == [("find_book", '{"title":"sample"}')]
    await calm(stage)


async def test_routing_fields_by_extra_body(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """The gateway's own fields go in through ``extra_body``."""
    answer = await client.chat.completions.create(
        model="broken/down", messages=MESSAGES, extra_body={"models": ["acme/fast-1"], "provider": {"sort": "price"}}
    )
    assert answer.model == "acme/fast-1"


async def test_reasoning_is_an_extra_field(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """``reasoning`` is where OpenRouter's users look for it."""
    answer = await client.chat.completions.create(model="acme/thinks-1", messages=MESSAGES)
    extra: Any = answer.choices[0].message.model_extra
    assert extra["reasoning"] == "000 001 002 003 "
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4


async def test_models_list_and_retrieve(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """The catalogue through the SDK."""
    listed = [model.id async for model in await client.models.list()]
    assert "acme/fast-1" in listed


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("nope/nope", openai.BadRequestError, 400),
        ("broken/refuses", openai.BadRequestError, 400),
        ("broken/key", openai.NotFoundError, 404),
        ("broken/large", openai.APIStatusError, 413),
        ("broken/odd", openai.UnprocessableEntityError, 422),
        ("broken/rate", openai.RateLimitError, 429),
        ("broken/down", openai.InternalServerError, 502),
    ],
)
async def test_typed_errors(
    stage: Stage, client: openai.AsyncOpenAI, model: str, error: type[openai.APIStatusError], status: int, stream: bool
) -> None:
    """Each failure is the SDK's exception for its status, with the message and the code in it."""
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    assert caught.value.status_code == status
    body: Any = caught.value.body
    assert body["code"] == status
    assert body["message"] in str(caught.value)
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"
    await calm(stage)


async def test_errors_of_the_key(stage: Stage, caller: Caller) -> None:
    """AuthenticationError, PermissionDeniedError, and 402 as APIStatusError."""
    async with client_of(caller, key="sk-tw-v1-nonsense") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES)
    async with client_of(caller, key=stage.gateway.services.admin_key) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES)
    poor = await stage.caller("0")
    async with client_of(poor) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES)
        assert caught.value.status_code == 402
    policy = await stage.gateway.services.accounts.authenticate(caller.secret)
    await stage.gateway.services.accounts.update_key(policy.key_hash, KeyChange(disabled=True))
    async with client_of(caller) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES)


async def test_bad_input(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """A wrong field is a BadRequestError that names it."""
    with pytest.raises(openai.BadRequestError, match="temperature"):
        await client.chat.completions.create(model="acme/fast-1", messages=MESSAGES, temperature=9)


async def test_a_break_in_the_middle_raises(stage: Stage, client: openai.AsyncOpenAI) -> None:
    """What was shown was shown; then the SDK raises APIError instead of ending as if all were well."""
    stream = await client.chat.completions.create(model="broken/cut", messages=MESSAGES, stream=True)
    seen: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            seen.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError, match="cut") as caught:
        await read()
    assert "".join(seen) == "000 001 002 "
    assert not isinstance(caught.value, openai.APIStatusError)
    await calm(stage)


async def test_closing_a_stream_stops_it(stage: Stage, caller: Caller, client: openai.AsyncOpenAI) -> None:
    """Leaving the loop closes the vendor's stream and pays for what came."""
    stream = await client.chat.completions.create(model="acme/slow-1", messages=MESSAGES, stream=True)
    seen = 0
    async for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == 5:
            break
    await stream.close()
    await calm(stage)
    (line,) = await caller.lines()
    (entry,) = stage.vendors["alpha"].log.requests
    sale = stage.sale("acme/slow-1", "alpha")
    assert entry.client_closed_early
    assert price(sale, 9, 5).total <= line.user_nano <= price(sale, 9, entry.sent_tokens).total


async def test_the_sdks_retries_meet_a_working_endpoint(stage: Stage, caller: Caller) -> None:
    """With its default retries the SDK rides over a vendor that is away for a moment."""
    sim = stage.vendors["alpha"]
    await sim.refuse()
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=f"{caller.gateway.url}/api/v1") as client:
        asking = asyncio.create_task(client.chat.completions.create(model="acme/fast-1", messages=MESSAGES))
        await asyncio.sleep(0.2)
        await sim.accept()
        assert (await asking).choices[0].finish_reason == "stop"
    await calm(stage)
