"""The official OpenRouter Python SDK against the gateway, by server URL alone: it validates every field of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from openrouter import OpenRouter, errors
from openrouter.utils.retries import BackoffStrategy, RetryConfig

from gateway.accounts import KeyChange
from tests.support.gateway import ADMIN_KEY, Caller, Sale, Stage
from tests.support.invariants import calm, price

pytestmark = pytest.mark.filterwarnings("ignore:warning. .. DEPRECATED:DeprecationWarning")
"""The SDK warns of its own fields while it reads the key's."""
GatewayFactory = Callable[..., Any]
MESSAGES: Any = [{"role": "user", "content": "hello"}]
ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1.0, 1), retry_connection_errors=False)
SALES = (
    Sale("acme/fast-1", "alpha", "ok+tokens=6"),
    Sale("acme/tools-1", "alpha", "toolcall"),
    Sale("acme/thinks-1", "alpha", "ok+reasoning=4+tokens=2"),
    Sale("acme/waits-1", "alpha", "ok+ttft=200"),
    Sale("acme/slow-1", "alpha", "ok+tokens=2+slowheaders=4000"),
    Sale("broken/slow", "alpha", "status=400+slowheaders=600"),
    Sale("broken/cut", "alpha", "cut@3"),
    Sale("broken/late", "alpha", "status=400+slowheaders=200"),
    Sale("broken/400", "alpha", "status=400"),
    Sale("broken/413", "alpha", "status=413"),
    Sale("broken/422", "alpha", "status=422"),
    *(Sale("broken/429", name, "status=429") for name in ("alpha", "beta")),
    *(Sale("broken/502", name, "status=500") for name in ("alpha", "beta")),
    *(Sale("broken/503", name, "status=503") for name in ("alpha", "beta")),
    Sale("broken/404", "locked", "ok"),
)


@pytest.fixture
async def stage(gateway: GatewayFactory, request: pytest.FixtureRequest) -> Stage:
    made: Stage = await gateway(
        *SALES,
        **{
            "provider": {"locked": {"api_key_env": "TEST_NO_SUCH_VARIABLE"}},
            "keepalive_s": getattr(request, "param", 10),
        },
        health_share_interval_s=3600,
    )
    return made


@pytest.fixture
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


@pytest.fixture
async def sdk(caller: Caller) -> AsyncIterator[OpenRouter]:
    async with OpenRouter(api_key=caller.secret, server_url=f"{caller.gateway.url}/api/v1") as made:
        yield made


async def test_chat(stage: Stage, sdk: OpenRouter) -> None:
    """A completion; usage with cost and its details."""
    answer = await sdk.chat.send_async(model="acme/fast-1", messages=MESSAGES, max_tokens=4)
    assert answer.choices[0].message.content == "000 001 002 003 "
    assert answer.choices[0].finish_reason == "length"
    assert answer.model == "acme/fast-1"
    assert answer.usage is not None
    bill = price(stage.sale("acme/fast-1", "alpha"), 9, 4)
    assert answer.usage.cost * 10**9 == pytest.approx(bill.total)
    details: Any = answer.usage.cost_details
    whole = details.upstream_inference_prompt_cost + details.upstream_inference_completions_cost
    assert whole * 10**9 == pytest.approx(bill.cost)
    await calm(stage)


async def test_the_synchronous_client(caller: Caller) -> None:
    """The plain client in a thread."""

    def run() -> Any:
        with OpenRouter(api_key=caller.secret, server_url=f"{caller.gateway.url}/api/v1") as sdk:
            return sdk.chat.send(model="acme/fast-1", messages=MESSAGES).choices[0].message.content

    assert await asyncio.to_thread(run) == "000 001 002 003 004 005 "


SOON = pytest.mark.parametrize("stage", [0.05], indirect=True, ids=["comments"])
"""Comments while waiting come soon; elsewhere they must not turn a failure's status into a 200."""


@SOON
@pytest.mark.parametrize("model", ["acme/fast-1", "acme/waits-1"])
async def test_stream(stage: Stage, sdk: OpenRouter, model: str) -> None:
    """Every chunk validates, keep-alive comments are skipped, the usage comes last."""
    stream = await sdk.chat.send_async(model=model, messages=MESSAGES, stream=True)
    async with stream:
        chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith("000 001 002 ")
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.cost > 0
    await calm(stage)


async def test_tools_and_reasoning(stage: Stage, sdk: OpenRouter) -> None:
    """Tool calls and reasoning as the SDK's own objects, JSON and streamed."""
    tools: Any = [{"type": "function", "function": {"name": "find_book", "parameters": {"type": "object"}}}]
    answer = await sdk.chat.send_async(model="acme/tools-1", messages=MESSAGES, tools=tools, tool_choice="auto")
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "find_book"
    stream = await sdk.chat.send_async(model="acme/tools-1", messages=MESSAGES, tools=tools, stream=True)
    async with stream:
        deltas = [c.choices[0].delta async for c in stream if c.choices]
    assert next(d.tool_calls[0].function.name for d in deltas if d.tool_calls) == "find_book"
    answer = await sdk.chat.send_async(model="acme/thinks-1", messages=MESSAGES)
    assert answer.choices[0].message.reasoning == "000 001 002 003 "


async def test_routing_fields(sdk: OpenRouter) -> None:
    """Preferences, fallback models and the opt-in metadata are ordinary arguments of this SDK."""
    answer = await sdk.chat.send_async(
        model="broken/502",
        models=["acme/fast-1"],
        messages=MESSAGES,
        provider={"allow_fallbacks": True, "sort": "price", "data_collection": "deny"},
        x_open_router_metadata="enabled",
        session_id="s-1",
        user="u-1",
    )
    assert answer.model == "acme/fast-1"
    metadata = answer.openrouter_metadata
    assert metadata is not None
    assert (metadata.requested, metadata.strategy, metadata.attempt) == ("broken/502", "fallback", 4)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("nope/nope", errors.BadRequestResponseError),
        ("broken/400", errors.BadRequestResponseError),
        ("broken/404", errors.NotFoundResponseError),
        ("broken/413", errors.PayloadTooLargeResponseError),
        ("broken/422", errors.UnprocessableEntityResponseError),
        ("broken/429", errors.TooManyRequestsResponseError),
        ("broken/502", errors.BadGatewayResponseError),
        ("broken/503", errors.ServiceUnavailableResponseError),
    ],
)
async def test_typed_errors(stage: Stage, sdk: OpenRouter, model: str, error: type[Any], stream: bool) -> None:
    """Each failure is the SDK's typed exception, its integer code inside."""
    with pytest.raises(error) as caught:
        await sdk.chat.send_async(model=model, messages=MESSAGES, stream=stream, retries=ONCE)
    assert caught.value.data.error.code == caught.value.status_code
    assert caught.value.data.error.message
    await calm(stage)


async def test_errors_of_the_key(stage: Stage, caller: Caller) -> None:
    """401, 402 and 403 as typed exceptions."""
    poor = await stage.caller("0")
    policy = await stage.gateway.services.accounts.authenticate(caller.secret)
    await stage.gateway.services.accounts.update_key(policy.key_hash, KeyChange(disabled=True))
    for key, error in (
        ("sk-tw-v1-nonsense", errors.UnauthorizedResponseError),
        (caller.secret, errors.UnauthorizedResponseError),
        (poor.secret, errors.PaymentRequiredResponseError),
        (ADMIN_KEY, errors.ForbiddenResponseError),
    ):
        async with OpenRouter(api_key=key, server_url=f"{caller.gateway.url}/api/v1") as sdk:
            with pytest.raises(error):
                await sdk.chat.send_async(model="acme/fast-1", messages=MESSAGES, retries=ONCE)


@SOON
@pytest.mark.parametrize(("model", "shown", "code"), [("broken/cut", "000 001 002 ", 502), ("broken/late", "", 400)])
async def test_a_break_after_the_status_line(stage: Stage, sdk: OpenRouter, model: str, shown: str, code: int) -> None:
    """An error chunk in the middle, or as the first event after a comment, is a chunk that validates, with the error in it."""
    stream = await sdk.chat.send_async(model=model, messages=MESSAGES, stream=True)
    async with stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == shown
    last = chunks[-1]
    assert last.error is not None
    assert last.error.code == code
    assert last.choices[0].finish_reason == "error"
    await calm(stage)


async def test_the_other_calls(stage: Stage, caller: Caller, sdk: OpenRouter) -> None:
    """Models, the own key, the generation just made, credits and a new key that works at once."""
    answer = await sdk.chat.send_async(model="acme/fast-1", messages=MESSAGES)
    page = await sdk.models.list_async()
    assert page is not None
    assert {model.id for model in page.result.data} >= {"acme/fast-1"}
    bill = price(stage.sale("acme/fast-1", "alpha"), 9, 6)
    mine = await sdk.api_keys.get_current_key_metadata_async()
    assert mine.data.usage * 10**9 == pytest.approx(bill.total)
    generation = await sdk.generations.get_generation_async(id=answer.id)
    assert generation.data.total_cost * 10**9 == pytest.approx(bill.total)
    assert generation.data.provider_name == "Alpha"
    assert generation.data.native_tokens_completion == 6
    async with OpenRouter(api_key=ADMIN_KEY, server_url=f"{caller.gateway.url}/api/v1") as admin:
        made = await admin.api_keys.create_async(name="from the SDK")
        credits = await admin.credits.get_credits_async()
        assert credits.data.total_usage >= 0
    await stage.gateway.services.ledger.grant("default", 10**9, id="for-the-sdk", actor="test", reason="test")
    async with OpenRouter(api_key=made.key, server_url=f"{caller.gateway.url}/api/v1") as fresh:
        assert (await fresh.chat.send_async(model="acme/fast-1", messages=MESSAGES)).choices
    await calm(stage)


PATIENT = pytest.mark.parametrize("stage", [0.3], indirect=True, ids=["patient"])


@PATIENT
async def test_a_vendor_slower_than_the_sdks_patience(stage: Stage, sdk: OpenRouter) -> None:
    """Its read time-out falls due several times over before the vendor says a word: comments and blanks keep it waiting."""
    more: Any = {"messages": MESSAGES, "timeout_ms": 1500, "retries": ONCE}
    answer = await sdk.chat.send_async(model="acme/slow-1", **more)
    assert answer.choices[0].message.content == "000 001 "
    stream = await sdk.chat.send_async(model="acme/slow-1", stream=True, **more)
    async with stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "000 001 "
    await calm(stage)


@PATIENT
async def test_an_error_behind_blanks_raises(stage: Stage, sdk: OpenRouter) -> None:
    """The status is a 200 by then, so the SDK finds a body that is no answer: an exception that has the error in it, no retry."""
    with pytest.raises(errors.OpenRouterError) as caught:
        await sdk.chat.send_async(model="broken/slow", messages=MESSAGES)
    assert '"error_type":"invalid_request"' in caught.value.body
    await calm(stage)
