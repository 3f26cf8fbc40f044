"""Who pays what: one test for each row of the table, provider's cost, fee, caller's share and our loss to the nano-dollar."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway import money
from tests.support import wireshape
from tests.support.gateway import THOUGHTLESS, Caller, Sale, Stage, connected, events
from tests.support.invariants import calm, charged, content, one_ending, our_tasks, price, truth_cost
from tests.support.vendor import until

GatewayFactory = Callable[..., Any]
PROMPT_TOKENS = 9
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])


async def ask(caller: Caller, model: str, stream: bool, **more: Any) -> tuple[str, dict[str, Any]]:
    """(generation id, usage) of an answer that must be a success."""
    if stream:
        response, found = await caller.stream(model, **more)
        wireshape.stream(response, found)
        return response.headers["x-generation-id"], found[-2]["usage"]
    body = wireshape.answer(await caller.chat(model, **more))
    return body["id"], body["usage"]


async def leave_after(stage: Stage, caller: Caller, model: str, tokens: int, **more: Any) -> None:
    """Stream and hang up when so many tokens have arrived; with 0 tokens, as soon as the vendor has the request."""
    (sim,) = stage.vendors.values()
    before = len(sim.log.requests)
    async with connected(stage.gateway) as line:
        await line.send(caller.request(model, stream=True, **more))
        if not tokens:
            await until(lambda: len(sim.log.requests) > before)
            return
        await line.head()
        text = ""
        while len(content(events(text))) < 4 * tokens:
            text += (await line.chunk()).decode()


@BOTH
@pytest.mark.parametrize("fee", ["5", "0", "12.34"])
async def test_normal(gateway: GatewayFactory, stream: bool, fee: str) -> None:
    """Reported usage, cost plus fee paid by the caller, nothing lost; the fee is its own figure and follows its setting."""
    sale = Sale("t/a", "alpha", "ok+tokens=11", prompt="0.777", completion="1.333")
    stage = await gateway(sale, fee_percent=fee)
    caller = await stage.caller()
    id, _ = await ask(caller, "t/a", stream)
    bill = price(sale, PROMPT_TOKENS, 11, fee)
    settled, losses = await charged(caller)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano, settled.loss_nano) == (
        *(bill.cost, bill.fee, bill.total),
        0,
    )
    assert not losses
    balances = await caller.balances()
    assert balances.balance_nano == money.parse_usd("5") - bill.total
    assert (await caller.record(id)).usage_source == "reported"
    assert settled.cost_nano == truth_cost(stage, sale)
    await calm(stage)


async def test_zero_completion_is_not_charged(gateway: GatewayFactory) -> None:
    """An empty answer without a finish reason: we bear the vendor's bill for the prompt, there is no fee, the caller pays 0."""
    sale = Sale("t/a", "alpha", "ok+tokens=0+finish=blank")
    stage = await gateway(sale)
    caller = await stage.caller()
    response = await caller.chat("t/a")
    assert response.json()["usage"]["cost"] == 0
    assert response.json()["choices"][0]["finish_reason"] is None
    settled, _ = await charged(caller)
    cost = price(sale, PROMPT_TOKENS, 0).cost
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano, settled.loss_nano) == (cost, 0, 0, cost)
    assert settled.cost_nano == truth_cost(stage, sale)
    assert (await caller.balances()).used_nano == 0
    await calm(stage)


async def test_an_empty_answer_with_a_reason_is_charged(gateway: GatewayFactory) -> None:
    """A model that stops at once has answered: the prompt is charged."""
    sale = Sale("t/a", "alpha", "ok+tokens=0")
    stage = await gateway(sale)
    for stream in (False, True):
        caller = await stage.caller()
        await ask(caller, "t/a", stream)
        settled, _ = await charged(caller)
        assert settled.user_nano == price(sale, PROMPT_TOKENS, 0).total
    await calm(stage)


async def test_an_error_with_nothing_shown_is_not_charged(gateway: GatewayFactory) -> None:
    """A JSON answer that ends with finish_reason error is a failure: refused with a status, nothing charged. What the vendor has
    counted is the operator's loss.
    """
    sale = Sale("t/a", "alpha", "erroratn@0")
    stage = await gateway(sale, max_attempts=1)
    caller = await stage.caller()
    response = await caller.chat("t/a")
    wireshape.refused(response, 503, "provider_overloaded")
    (loss,) = await caller.lines()
    assert (loss.type, loss.loss_nano, loss.user_nano) == ("loss", price(sale, PROMPT_TOKENS, 0).cost, 0)
    assert (await caller.balances()).held_nano == 0
    await calm(stage)


async def test_mid_stream_error_is_charged_as_delivered(gateway: GatewayFactory) -> None:
    """After five tokens the vendor breaks off: the prompt and five tokens are charged, with the fee, and marked as estimated."""
    sale = Sale("t/a", "alpha", "erroratn@5")
    stage = await gateway(sale)
    caller = await stage.caller()
    response, found = await caller.stream("t/a")
    last = one_ending(found)
    bill = price(sale, PROMPT_TOKENS, 5)
    settled, losses = await charged(caller)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (bill.cost, bill.fee, bill.total)
    assert not losses
    assert last["usage"]["cost"] * 10**9 == pytest.approx(bill.total)
    assert settled.cost_nano == truth_cost(stage, sale)
    record = await caller.record(response.headers["x-generation-id"])
    assert (record.usage_source, record.outcome, record.finish_reason) == ("estimated", "upstream_failed", "error")
    await calm(stage)


@pytest.mark.parametrize(
    ("tokens", "dialect", "usage"),
    [(1, "openai", "normal"), (7, "openai", "normal"), (7, "openai", "cumulative"), (7, "anthropic", "normal")],
)
async def test_disconnect_where_closing_stops_billing(
    gateway: GatewayFactory, tokens: int, dialect: str, usage: str
) -> None:
    """The vendor is closed at once and bills what it sent until then; the caller pays for exactly that, also where the vendor has
    reported usage before: Claude's first event counts one token of the answer."""
    sale = Sale("t/a", "alpha", f"ok+tokens=1000+tps=40+usage={usage}")
    stage = await gateway(sale, provider={"alpha": {"dialect": dialect}})
    tasks = our_tasks()
    caller = await stage.caller()
    await leave_after(stage, caller, "t/a", tokens)
    await calm(stage, tasks)
    (entry,) = stage.vendors["alpha"].log.requests
    assert entry.client_closed_early
    assert tokens <= entry.sent_tokens < 100
    settled, _ = await charged(caller)
    # At most the token that was on the wire when the caller left is in the vendor's count and not in ours.
    assert price(sale, PROMPT_TOKENS, entry.sent_tokens - 1).total <= settled.user_nano
    assert settled.user_nano <= price(sale, PROMPT_TOKENS, entry.sent_tokens).total
    record = await caller.record(settled.generation_id)
    assert (record.outcome, record.cancelled) == ("caller_left", True)
    assert record.usage_source == ("reported" if usage == "cumulative" else "estimated")


async def test_disconnect_before_the_first_content(gateway: GatewayFactory) -> None:
    """The vendor was asked, and bills the prompt: so does the gateway, and counts the work that was left."""
    sale = Sale("t/a", "alpha", "ok+ttft=20000")
    stage = await gateway(sale)
    tasks = our_tasks()
    caller = await stage.caller()
    await leave_after(stage, caller, "t/a", 0)
    await calm(stage, tasks)
    (entry,) = stage.vendors["alpha"].log.requests
    assert entry.client_closed_early
    settled, _ = await charged(caller)
    bill = price(sale, PROMPT_TOKENS, 0)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (bill.cost, bill.fee, bill.total)
    assert settled.cost_nano == truth_cost(stage, sale)
    assert (await caller.record(settled.generation_id)).outcome == "caller_left"
    url = f"/api/v1/keys/{settled.key_hash}"
    key = (await stage.gateway.client.get(url, headers=stage.gateway.admin)).json()["data"]
    assert (key["abandoned_requests"], money.parse_usd(str(key["abandoned_usage"]))) == (1, bill.total)


async def test_disconnect_before_the_vendor_was_asked(gateway: GatewayFactory) -> None:
    """While the connection to the vendor is being made there is nothing to pay."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        place = full.getsockname()
        waiting = [socket.create_connection(place) for _ in range(1)]  # no more are taken: the next one hangs
        urls = {"alpha": f"http://127.0.0.1:{place[1]}/v1"}
        stage = await gateway(Sale("t/a", "alpha"), urls=urls, connect_timeout_s=5)
        tasks = our_tasks()
        caller = await stage.caller()
        async with connected(stage.gateway) as line:
            await line.send(caller.request("t/a", stream=True))
            await until(lambda: stage.gateway.services.background.open)
            await asyncio.sleep(0.1)
        await calm(stage, tasks)
        assert await caller.lines() == []
        for each in waiting:
            each.close()


async def test_a_vendor_that_fails_after_its_caller_left(gateway: GatewayFactory) -> None:
    """The vendor's own failure is free, also for a caller who did not wait for it; nobody else is asked any more."""
    sales = (Sale("t/a", "alpha", "stall@0"), Sale("t/a", "beta"))
    late = {"first_content_timeout_s": 0.5, "headers_timeout_s": 0.3, "answer_timeout_s": 0.6}
    stage = await gateway(*sales, provider={"alpha": {"cancel_stops_billing": False}}, **late)
    tasks = our_tasks()
    caller = await stage.caller()
    for stream in (False, True):
        async with connected(stage.gateway) as line:
            body = {"provider": {"order": ["alpha", "beta"]}, "stream": stream}
            await line.send(caller.request("t/a", **body))
            await until(lambda: stage.vendors["alpha"].log.in_flight)
        await calm(stage, tasks)
    assert not stage.vendors["beta"].log.requests
    assert sum(line.user_nano for line in await caller.lines()) == 0


async def test_disconnect_during_the_second_attempt(gateway: GatewayFactory) -> None:
    """The failed attempt is the operator's, the one that was under way is the caller's."""
    sales = (Sale("t/a", "alpha", "status=500", prompt="3"), Sale("t/a", "beta", "ok+ttft=20000"))
    stage = await gateway(*sales)
    tasks = our_tasks()
    caller = await stage.caller()
    async with connected(stage.gateway) as line:
        await line.send(caller.request("t/a", stream=True, provider={"order": ["alpha", "beta"]}))
        await until(lambda: stage.vendors["beta"].log.in_flight)
    await calm(stage, tasks)
    settled, losses = await charged(caller)
    assert settled.provider == "beta"
    assert settled.user_nano == price(sales[1], PROMPT_TOKENS, 0).total
    assert all(line.user_nano == 0 for line in losses)


async def test_forty_who_leave_cannot_run_up_a_bill_for_the_operator(gateway: GatewayFactory) -> None:
    """A dollar of credit and 40 streams of a long prompt, each left after a moment: the operator loses nothing."""
    sale = Sale("t/a", "alpha", "ok+ttft=20000", prompt="3", completion="15")
    stage = await gateway(sale)
    tasks = our_tasks()
    caller = await stage.caller("1")
    sim, text = stage.vendors["alpha"], "word " * 7_500
    for _ in range(40):
        before = len(sim.log.requests)
        async with connected(stage.gateway) as line:
            await line.send(caller.request("t/a", text, stream=True, max_tokens=10))
            answered = asyncio.ensure_future(line.reader.read(1))
            await until(lambda before=before, answered=answered: len(sim.log.requests) > before or answered.done())
            answered.cancel()
        await stage.gateway.settled()
    await calm(stage, tasks)
    lines = await caller.lines()
    assert len(lines) > 10
    assert sum(line.loss_nano for line in lines) == 0
    assert sum(line.user_nano for line in lines) > 0.8 * 10**9  # what is left does not cover another hold


@pytest.mark.parametrize("tokens", [0, 4])
async def test_disconnect_where_closing_does_not_stop_billing(gateway: GatewayFactory, tokens: int) -> None:
    """The vendor bills the whole answer anyway: it is read to its end and paid by its own usage."""
    sale = Sale("t/a", "alpha", "ok+tokens=60+ttft=50+tps=200+uncancellable")
    stage = await gateway(sale, provider={"alpha": {"cancel_stops_billing": False}})
    tasks = our_tasks()
    caller = await stage.caller()
    await leave_after(stage, caller, "t/a", tokens)
    await calm(stage, tasks)
    (entry,) = stage.vendors["alpha"].log.requests
    assert entry.finished
    settled, _ = await charged(caller)
    bill = price(sale, PROMPT_TOKENS, 60)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (bill.cost, bill.fee, bill.total)
    assert settled.cost_nano == truth_cost(stage, sale)
    record = await caller.record(settled.generation_id)
    assert (record.outcome, record.usage_source, record.finish_reason) == ("caller_left", "reported", "stop")


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("asgi", [False, True], ids=["direct", "asgi"])
async def test_a_json_disconnect(gateway: GatewayFactory, stops: bool, asgi: bool) -> None:
    """A JSON call is billed whole wherever its caller is: it goes on without its caller and is paid by its own usage."""
    sale = Sale("t/a", "alpha", "ok+tokens=30+ttft=300+uncancellable")
    stage = await gateway(sale, provider={"alpha": {"cancel_stops_billing": stops}}, asgi=asgi)
    tasks = our_tasks()
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    async with connected(stage.gateway) as line:
        await line.send(caller.request("t/a"))
        await until(lambda: sim.log.in_flight)
    await calm(stage, tasks)
    (entry,) = sim.log.requests
    assert entry.finished
    settled, _ = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 30).total
    assert settled.cost_nano == truth_cost(stage, sale)
    record = await caller.record(settled.generation_id)
    assert (record.outcome, record.cancelled, record.usage_source) == ("caller_left", True, "reported")


async def test_disconnect_between_finish_and_usage(gateway: GatewayFactory) -> None:
    """The answer is there, only its usage is not: it is waited for, although closing would stop the bill."""
    sale = Sale("t/a", "alpha", "ok+tokens=5+tps=200")
    stage = await gateway(sale)
    tasks = our_tasks()
    caller = await stage.caller()
    generation: Any = None
    async with connected(stage.gateway) as line:
        await line.send(caller.request("t/a", stream=True))
        await until(lambda: stage.gateway.services.background.open)
        (generation,) = stage.gateway.services.background.open
        while generation.delivered.finish is None and not generation.ended:
            await line.reader.read(1)
    await calm(stage, tasks)
    settled, _ = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 5).total
    assert (await caller.record(settled.generation_id)).usage_source == "reported"


@BOTH
async def test_draining_has_an_end(gateway: GatewayFactory, stream: bool) -> None:
    """When the answer does not end within the drain's time, what was delivered until then is charged and the vendor closed."""
    sale = Sale("t/a", "alpha", "ok+tokens=1000+ttft=200+tps=20+uncancellable")
    stage = await gateway(sale, provider={"alpha": {"cancel_stops_billing": False}}, drain_timeout_s=0.4)
    tasks = our_tasks()
    caller = await stage.caller()
    sim = stage.vendors["alpha"]
    async with connected(stage.gateway) as line:
        await line.send(caller.request("t/a", stream=stream))
        await until(lambda: sim.log.in_flight)
    await calm(stage, tasks)
    (entry,) = sim.log.requests
    assert entry.client_closed_early
    settled, _ = await charged(caller)
    if stream:
        assert 0 < settled.user_nano <= price(sale, PROMPT_TOKENS, entry.sent_tokens).total
    else:
        assert (settled.user_nano, settled.loss_nano) == (price(sale, PROMPT_TOKENS, 0).total, 0)


@BOTH
async def test_retrying_the_same_endpoint_books_the_failed_attempt(gateway: GatewayFactory, stream: bool) -> None:
    """A model with one endpoint: the attempt that was cut may be billed by its vendor, so it has its own loss line."""
    sale = Sale("t/a", "alpha", "flaky=0.5+hangup")
    stage = await gateway(sale)
    sim = stage.vendors["alpha"]
    sim._rng.seed(1)
    assert sim._rng.random() < 0.5 <= sim._rng.random()
    sim._rng.seed(1)
    caller = await stage.caller()
    id, _ = await ask(caller, "t/a", stream)
    assert [a.kind for a in (await caller.record(id)).attempts] == ["cut", "ok"]
    settled, losses = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 16).total
    cost = price(sale, PROMPT_TOKENS, 0).cost
    assert [(line.part, line.cost_nano, line.loss_nano, line.user_nano) for line in losses] == [(1, cost, cost, 0)]
    await calm(stage)


@BOTH
@pytest.mark.parametrize("script", ["ok+tokens=13+nousage", "ok+tokens=13+usage=text", "ok+tokens=13+usage=negative"])
async def test_without_a_usable_report_we_count(gateway: GatewayFactory, script: str, stream: bool) -> None:
    """No usage, or nonsense: our own count is charged and marked as an estimate; here it equals what the vendor bills."""
    sale = Sale("t/a", "alpha", script)
    stage = await gateway(sale)
    caller = await stage.caller()
    id, usage = await ask(caller, "t/a", stream)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (PROMPT_TOKENS, 13)
    settled, _ = await charged(caller)
    assert settled.cost_nano == price(sale, PROMPT_TOKENS, 13).cost == truth_cost(stage, sale)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 13).total
    assert (await caller.record(id)).usage_source == "estimated"
    await calm(stage)


@BOTH
async def test_an_absurd_report_is_clamped(gateway: GatewayFactory, stream: bool) -> None:
    """A vendor that reports a million times too much is not believed: our count is charged."""
    sale = Sale("t/a", "alpha", "ok+tokens=13+usage=absurd")
    stage = await gateway(sale)
    caller = await stage.caller()
    id, _ = await ask(caller, "t/a", stream)
    settled, _ = await charged(caller)
    assert settled.cost_nano == price(sale, PROMPT_TOKENS, 13).cost == truth_cost(stage, sale)
    assert (await caller.record(id)).usage_source == "estimated"
    await calm(stage)


@BOTH
async def test_an_explicit_zero_is_zero(gateway: GatewayFactory, stream: bool) -> None:
    """A report of zero tokens is a report: nothing is charged, and it is not replaced by an estimate."""
    stage = await gateway(Sale("t/a", "alpha", "ok+usage=zero"))
    caller = await stage.caller()
    id, usage = await ask(caller, "t/a", stream)
    assert usage["cost"] == 0
    assert await caller.lines() == []
    assert (await caller.balances()).used_nano == 0
    assert (await caller.record(id)).usage_source == "reported"
    await calm(stage)


@pytest.mark.parametrize("kind", ["twice", "cumulative", "onfinish", "afterdone"])
async def test_where_the_report_comes_does_not_matter(gateway: GatewayFactory, kind: str) -> None:
    """Twice, growing, on the finish event or too late: charged once, for the whole answer."""
    sale = Sale("t/a", "alpha", f"ok+tokens=13+usage={kind}")
    stage = await gateway(sale)
    caller = await stage.caller()
    await ask(caller, "t/a", True)
    settled, _ = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 13).total
    assert settled.cost_nano == truth_cost(stage, sale)
    await calm(stage)


async def test_cut_between_finish_and_usage(gateway: GatewayFactory) -> None:
    """The whole answer came, only its usage is lost: a success, charged by our own count."""
    sale = Sale("t/a", "alpha", "cutusage")
    stage = await gateway(sale)
    caller = await stage.caller()
    id, _ = await ask(caller, "t/a", True)
    settled, _ = await charged(caller)
    assert settled.user_nano == price(sale, PROMPT_TOKENS, 16).total
    assert settled.cost_nano == truth_cost(stage, sale)
    record = await caller.record(id)
    assert (record.outcome, record.usage_source) == ("complete", "estimated")
    await calm(stage)


@BOTH
async def test_refused_for_lack_of_credit(gateway: GatewayFactory, stream: bool) -> None:
    """402 in the text that clients parse, before any request to the vendor; nothing is held, posted or recorded."""
    stage = await gateway(Sale("t/a", "alpha", prompt="1000", completion="1000"))
    caller = await stage.caller("0.5")
    response = await caller.chat("t/a", stream=stream, max_tokens=1000)
    error = wireshape.refused(response, 402, "payment_required")
    assert error["message"].startswith(
        "This request requires more credits, or fewer max_tokens. You requested up to 1000 "
    )
    affordable = int(error["message"].partition("can only afford ")[2].partition(".")[0])
    assert error["metadata"]["limit_source"] == "credits"
    assert error["metadata"]["provider_name"] is None
    assert not stage.vendors["alpha"].log.requests
    assert await caller.lines() == []
    assert (await caller.balances()).held_nano == 0
    assert (await caller.chat("t/a", max_tokens=affordable + 1)).status_code == 402
    assert (await caller.chat("t/a", max_tokens=affordable)).status_code == 200
    await calm(stage)


@pytest.mark.parametrize(("usd", "limit", "source"), [("0.02", None, "credits"), ("5", "0.02", "key_limit")])
async def test_out_of_credit_in_the_middle(gateway: GatewayFactory, usd: str, limit: str | None, source: str) -> None:
    """Without max_tokens the hold grows while the stream runs; refused, the stream ends with length and says whose limit it was."""
    sale = Sale("t/a", "alpha", "endless+tps=2000", prompt="10", completion="100", more=THOUGHTLESS)
    stage = await gateway(sale, default_max_tokens=50)
    tasks = our_tasks()
    caller = await stage.caller(usd, limit_nano=None if limit is None else money.parse_usd(limit))
    response, found = await caller.stream("t/a")
    last = one_ending(found)
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["error"]["code"] == 402
    assert last["error"]["metadata"]["limit_source"] == source
    wireshape.chunk(last, response.headers["x-generation-id"], failed=True)
    await calm(stage, tasks)
    settled, _ = await charged(caller)
    assert settled.loss_nano == 0
    assert 0 < settled.user_nano <= money.parse_usd("0.02")
    (entry,) = stage.vendors["alpha"].log.requests
    assert entry.client_closed_early
    assert len(content(found)) // 4 > 50
    record = await caller.record(settled.generation_id)
    assert (record.outcome, record.finish_reason) == ("credit_exhausted", "length")


async def test_an_endless_stream_is_cut_past_max_tokens(gateway: GatewayFactory) -> None:
    """A vendor that ignores max_tokens is cut shortly after it, whatever the size of its events."""
    for batch in (1, 25):
        sale = Sale("t/a", "alpha", f"endless+tps=20000+batch={batch}")
        stage = await gateway(sale)
        caller = await stage.caller()
        _, found = await caller.stream("t/a", max_tokens=100)
        last = one_ending(found)
        assert last["choices"][0]["finish_reason"] == "length"
        delivered = len(content(found)) // 4
        assert 100 < delivered < 1000
        await calm(stage)
        settled, _ = await charged(caller)
        assert settled.user_nano + settled.loss_nano == price(sale, PROMPT_TOKENS, delivered).total


@BOTH
async def test_a_free_model_costs_nothing(gateway: GatewayFactory, stream: bool) -> None:
    """A written price of zero is free, also with an empty account; the ledger still has its line."""
    stage = await gateway(Sale("t/a", "alpha", prompt="0", completion="0"))
    caller = await stage.caller("0")
    _, usage = await ask(caller, "t/a", stream)
    assert usage["cost"] == 0
    settled, _ = await charged(caller)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano) == (0, 0, 0)
    await calm(stage)
