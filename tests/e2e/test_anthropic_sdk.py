"""The official Anthropic Python SDK against the gateway, by base URL alone: messages, streams, tools, thinking, counting, errors.

The vendors speak OpenAI's shape: what the SDK reads was translated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import pytest
from anthropic import beta_async_tool
from pydantic import BaseModel

from gateway.accounts import KeyChange
from tests.flows.test_messages_wire import Vendor, deltas
from tests.support.gateway import Caller, Sale, Stage
from tests.support.invariants import calm, forget_health, price
from tests.support.rawserver import RawServer

GatewayFactory = Callable[..., Any]
MESSAGES: Any = [{"role": "user", "content": "hello"}]
FIND: Any = {
    "name": "find_book",
    "input_schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
}
SALES = (
    Sale("acme/fast-1", "alpha", "ok+tokens=6"),
    Sale("acme/echo-1", "alpha", "echo"),
    Sale("acme/tools-1", "alpha", "toolcall"),
    Sale("acme/thinks-1", "alpha", "ok+reasoning=4+tokens=2"),
    Sale("broken/cut", "alpha", "cut@3"),
    Sale("broken/rate", "alpha", "status=429+retry_after=7"),
    Sale("broken/down", "alpha", "status=500"),
    Sale("broken/busy", "alpha", "status=503"),
    Sale("broken/refuses", "alpha", "status=400"),
    Sale("broken/large", "alpha", "status=413"),
    Sale("broken/odd", "alpha", "status=422"),
)


@pytest.fixture
async def stage(gateway: GatewayFactory) -> Stage:
    made: Stage = await gateway(*SALES, health_share_interval_s=3600)
    return made


@pytest.fixture
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


def client_of(caller: Caller, key: str | None = None, **options: Any) -> anthropic.AsyncAnthropic:
    """The SDK as a user makes it, but without its retries: they would hide what is tested here."""
    return anthropic.AsyncAnthropic(
        api_key=key or caller.secret, base_url=f"{caller.gateway.url}/api", max_retries=0, **options
    )


@pytest.fixture
async def client(caller: Caller) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with client_of(caller) as made:
        yield made


async def test_create(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """A message with usage; what is ours beyond Anthropic's shape arrives as extra fields."""
    answer = await client.messages.create(model="acme/fast-1", max_tokens=4, messages=MESSAGES, system="Be brief.")
    (block,) = answer.content
    assert isinstance(block, anthropic.types.TextBlock)
    assert block.text == "000 001 002 003 "
    assert (answer.stop_reason, answer.model, answer.role) == ("max_tokens", "acme/fast-1", "assistant")
    assert answer.id.startswith("gen-")
    prompt = answer.usage.input_tokens
    assert answer.usage.output_tokens == 4
    extra: Any = answer.usage.model_extra
    assert extra["cost"] * 10**9 == pytest.approx(price(stage.sale("acme/fast-1", "alpha"), prompt, 4).total)
    assert answer.model_extra is not None
    assert answer.model_extra["provider"] == "Alpha"
    await calm(stage)


async def test_base_urls_and_bearer_tokens(caller: Caller) -> None:
    """``ANTHROPIC_BASE_URL`` with and without ``/api``, ``ANTHROPIC_AUTH_TOKEN`` instead of a key, and the synchronous client."""
    for prefix in ("", "/api"):
        async with anthropic.AsyncAnthropic(
            auth_token=caller.secret, api_key=None, base_url=caller.gateway.url + prefix, max_retries=0
        ) as client:
            assert (await client.messages.create(model="acme/fast-1", max_tokens=9, messages=MESSAGES)).content

    def run() -> str:
        with anthropic.Anthropic(api_key=caller.secret, base_url=f"{caller.gateway.url}/api") as client:
            answer = client.messages.create(model="acme/fast-1", max_tokens=9, messages=MESSAGES)
            return "".join(block.text for block in answer.content if block.type == "text")

    assert await asyncio.to_thread(run) == "000 001 002 003 004 005 "


async def test_the_streaming_helper(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """``messages.stream`` puts text and message together itself; its usage is the one that was charged."""
    async with client.messages.stream(model="acme/fast-1", max_tokens=100, messages=MESSAGES) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert len(pieces) == 6
    assert "".join(pieces) == text_of(message) == "000 001 002 003 004 005 "
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 9, 6)
    await calm(stage)


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_raw_events(client: anthropic.AsyncAnthropic) -> None:
    """``stream=True``: the SDK's own event types in the protocol's order."""
    stream = await client.messages.create(model="acme/fast-1", max_tokens=100, messages=MESSAGES, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 6,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_tools(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """A call as the SDK's own block, answered by passing the message back; streamed, the input is put together."""
    answer = await client.messages.create(model="acme/tools-1", max_tokens=100, messages=MESSAGES, tools=[FIND])
    assert answer.stop_reason == "tool_use"
    (call,) = answer.content
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert (call.name, call.input) == ("find_book", {"title": "sample"})
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "found"}]}
    talk: Any = [*MESSAGES, answer.to_param(), {"role": "user", "content": [result]}]
    final = await client.messages.create(model="acme/tools-1", max_tokens=100, messages=talk, tools=[FIND])
    assert final.stop_reason == "end_turn"
    async with client.messages.stream(model="acme/tools-1", max_tokens=100, messages=MESSAGES, tools=[FIND]) as stream:
        kinds = {event.type async for event in stream}
        message = await stream.get_final_message()
    assert "input_json" in kinds
    assert [(b.name, b.input) for b in message.content if b.type == "tool_use"] == [("find_book", {"title": "sample"})]
    await calm(stage)


async def test_the_tool_runner(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """The SDK's own loop: it calls the function and goes on until the answer is text; the path has ``?beta=true``."""
    called: list[str] = []

    @beta_async_tool
    async def find_book(title: str) -> str:
        """Finds a book.

        Args:
            title: Its title.
        """
        called.append(title)
        return "found"

    runner = client.beta.messages.tool_runner(
        model="acme/tools-1",
        max_tokens=100,
        messages=MESSAGES,
        tools=[find_book],
        betas=["interleaved-thinking-2025-05-14"],
    )
    final = await runner.until_done()
    assert called == ["sample"]
    assert final.stop_reason == "end_turn"
    await calm(stage)


async def test_thinking(client: anthropic.AsyncAnthropic) -> None:
    """A thinking block first; the whole turn can be passed back; streamed the SDK tells it apart from text."""
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    answer = await client.messages.create(model="acme/thinks-1", max_tokens=2000, messages=MESSAGES, thinking=thinking)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    talk: Any = [*MESSAGES, answer.to_param(), {"role": "user", "content": "go on"}]
    await client.messages.create(model="acme/thinks-1", max_tokens=2000, messages=talk, thinking=thinking)
    async with client.messages.stream(
        model="acme/thinks-1", max_tokens=2000, messages=MESSAGES, thinking=thinking
    ) as stream:
        thought = "".join([event.thinking async for event in stream if event.type == "thinking"])
        message = await stream.get_final_message()
    assert thought == "000 001 002 003 "
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 4


async def test_foreign_reasoning_makes_the_round_trip(gateway: GatewayFactory) -> None:
    """Encrypted reasoning of another vendor comes out of the SDK, goes back through it and reaches the vendor unchanged."""
    details = [
        {"type": "reasoning.summary", "summary": "Hm.", "format": "openai-responses-v1", "id": "rs_1", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAA", "format": "openai-responses-v1", "id": "rs_1", "index": 0},
    ]
    chunks = deltas(*({"reasoning_details": [one]} for one in details), {"content": "x"})
    script = Vendor({"content": "x", "reasoning": "Hm.", "reasoning_details": details}, chunks)
    async with RawServer(script) as server:
        extended = {"odd": {"options": {"extended": True}}}  # a vendor that takes reasoning back
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"}, provider=extended)
        caller = await stage.caller()
        async with client_of(caller) as client:
            whole = await client.messages.create(model="t/a", max_tokens=100, messages=MESSAGES)
            async with client.messages.stream(model="t/a", max_tokens=100, messages=MESSAGES) as stream:
                streamed = await stream.get_final_message()
            for message in (whole, streamed):
                assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "text"]
                talk: Any = [*MESSAGES, message.to_param(), {"role": "user", "content": "go on"}]
                await client.messages.create(model="t/a", max_tokens=100, messages=talk)
                assert script.requests[-1]["messages"][1]["reasoning_details"] == details


async def test_pictures_in_an_answer_do_not_break_it(gateway: GatewayFactory) -> None:
    """The SDK has no type for a picture in an answer: it hands it over as it is, whole and streamed."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    script = Vendor({"content": "x", "images": [picture]}, deltas({"content": "x"}, {"images": [picture]}))
    async with RawServer(script) as server:
        stage = await gateway(Sale("t/a", "odd"), urls={"odd": f"{server.url}/v1"})
        caller = await stage.caller()
        async with client_of(caller) as client:
            whole = await client.messages.create(model="t/a", max_tokens=100, messages=MESSAGES)
            async with client.messages.stream(model="t/a", max_tokens=100, messages=MESSAGES) as stream:
                streamed = await stream.get_final_message()
        for message in (whole, streamed):
            text, image = message.content
            assert (text.type, image.type) == ("text", "image")
            assert image.model_extra is not None
            assert image.model_extra["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}


class Title(BaseModel):
    title: str


async def test_structured_output(client: anthropic.AsyncAnthropic) -> None:
    """``messages.parse``: the schema goes to the vendor, the SDK parses what comes."""
    messages: Any = [{"role": "user", "content": '{"title": "Emma"}'}]
    answer = await client.messages.parse(model="acme/echo-1", max_tokens=100, messages=messages, output_format=Title)
    assert answer.parsed_output == Title(title="Emma")


async def test_count_tokens(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """The count of the prompt, the same as is billed; nothing is charged."""
    counted = await client.messages.count_tokens(
        model="acme/fast-1", messages=MESSAGES, system="Be brief.", tools=[FIND]
    )
    assert counted.input_tokens > 9
    beta = await client.beta.messages.count_tokens(model="acme/fast-1", messages=MESSAGES)
    assert beta.input_tokens == 9
    await calm(stage)


async def test_routing_fields_by_extra_body(client: anthropic.AsyncAnthropic) -> None:
    """The gateway's own fields go in through ``extra_body``."""
    extra = {"fallbacks": [{"model": "acme/fast-1"}], "provider": {"sort": "price"}}
    answer = await client.messages.create(model="broken/down", max_tokens=9, messages=MESSAGES, extra_body=extra)
    assert answer.model == "acme/fast-1"


@pytest.mark.parametrize(
    ("model", "exception", "type_"),
    [
        ("broken/refuses", anthropic.BadRequestError, "invalid_request_error"),
        ("broken/large", anthropic.ContentTooLargeError, "invalid_request_error"),
        ("broken/odd", anthropic.UnprocessableEntityError, "invalid_request_error"),
        ("broken/rate", anthropic.RateLimitError, "rate_limit_error"),
        ("broken/down", anthropic.InternalServerError, "api_error"),
        ("broken/busy", anthropic.ServiceUnavailableError, "overloaded_error"),
    ],
)
async def test_a_vendors_failure(
    stage: Stage, client: anthropic.AsyncAnthropic, model: str, exception: type[Any], type_: str
) -> None:
    """Each as the SDK's own exception with Anthropic's type, from a plain call and from opening a stream."""
    with pytest.raises(exception) as caught:
        await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)
    assert caught.value.body["error"]["type"] == type_
    assert "alpha" in caught.value.body["metadata"]["provider_name"].lower()
    forget_health(stage)
    with pytest.raises(exception):
        await client.messages.create(model=model, max_tokens=9, messages=MESSAGES, stream=True)


async def test_our_refusals(stage: Stage, caller: Caller, client: anthropic.AsyncAnthropic) -> None:
    """A wrong key, a management key, an account without credit, a switched-off key, a broken conversation, an ended thread."""

    async def refused(exception: type[Any], key: str | None = None, **more: Any) -> Any:
        async with client_of(caller, key) as other:
            with pytest.raises(exception) as caught:
                await other.messages.create(**{"model": "acme/fast-1", "max_tokens": 9, "messages": MESSAGES, **more})
        return caught.value

    await refused(anthropic.AuthenticationError, "sk-or-v1-" + "0" * 64)
    await refused(anthropic.PermissionDeniedError, stage.gateway.admin["authorization"].removeprefix("Bearer "))
    poor = await stage.caller("0")
    broke = await refused(anthropic.PaymentRequiredError, poor.secret)
    assert broke.body["error"]["type"] == "billing_error"
    orphan: Any = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}]
    wrong = await refused(anthropic.BadRequestError, messages=orphan)
    assert "messages[0].content[0].tool_use_id" in wrong.message
    thread = {"thread": {"type": "continue", "previous_message_id": "gen-1"}}
    gone = await refused(anthropic.NotFoundError, extra_body=thread)
    assert type(gone).__name__ == "ThreadNotFoundError"
    found = await stage.gateway.services.accounts.authenticate(caller.secret)
    await stage.gateway.services.accounts.update_key(found.key_hash, KeyChange(disabled=True))
    await refused(anthropic.AuthenticationError)


async def test_a_stream_that_breaks_off(stage: Stage, client: anthropic.AsyncAnthropic) -> None:
    """After the first token the SDK raises; what came before has been delivered."""
    seen: list[str] = []

    async def read() -> None:
        async with client.messages.stream(model="broken/cut", max_tokens=100, messages=MESSAGES) as stream:
            async for piece in stream.text_stream:
                seen.append(piece)

    with pytest.raises(anthropic.APIStatusError) as caught:
        await read()
    assert "".join(seen) == "000 001 002 "
    body: Any = caught.value.body
    assert body["error"]["type"] == "api_error"
    await calm(stage)
