"""A stream that breaks after its first content ends with an error chunk: finish_reason error, one ending, no second attempt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import Sale, Stage, staged
from tests.support.invariants import calm, charged, content, forget_health, one_ending, our_tasks, price
from tests.support.rawserver import Peer, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROMPT_TOKENS = 9


@dataclass(frozen=True)
class Row:
    """The vendor's script, the failure's kind, the caller's error; tokens sent before it, None = some."""

    name: str
    script: str
    kind: str
    code: int
    error_type: str
    tokens: int | None = 3
    clock: str | None = None


CUT, GONE = ("cut", 502, "provider_unavailable"), ("malformed", 502, "provider_unavailable")
ROWS = (
    Row("cut", "cut@3", *CUT),
    Row("cut-reset", "cut@3+rst", *CUT),
    Row("cut-in-a-character", "cut@3+midutf8", *CUT),
    Row("cut-in-a-line", "cut@3+midline", *CUT),
    Row("cut-cleanly", "cut@3+clean", *CUT),
    Row("cut-cleanly-in-a-line", "cut@3+clean+midline", *CUT),
    Row("stall", "stall@3", "timeout_gap", 504, "timeout", clock="gap"),
    Row("total", "ok+tokens=400+tps=100", "timeout_total", 504, "timeout", None, clock="total"),
    Row("drip", "ok+tokens=100+split=40+tps=20", "timeout_total", 504, "timeout", None, clock="total"),
    *(Row(f"garbage-{n}", f"garbage@3+mutation={n}", *GONE) for n in range(20)),
    Row("error", "erroratn@3", "overloaded", 503, "provider_overloaded"),
    Row("error-rate", "erroratn@3+code=rate_limit_exceeded", "rate_limited", 429, "rate_limit_exceeded"),
    Row("error-key", "erroratn@3+code=invalid_api_key", "credential", 502, "provider_unavailable"),
    Row("error-length", "erroratn@3+code=context_length_exceeded", "context_length", 400, "context_length_exceeded"),
)


def _chunk(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


async def _huge_line(peer: Peer) -> None:
    """Three tokens, then a line that does not end."""
    await peer.request()
    await peer.begin()
    for text in ("000 ", "001 ", "002 "):
        await peer.chunk(_chunk(text))
    await peer.chunk(b'data: {"choices":[{"delta":{"content":"')
    for _ in range(400):
        await peer.chunk(b"x" * 65_536)
    await peer.wait_gone()


async def _comments_for_ever(peer: Peer) -> None:
    """Three tokens, then nothing but comments: signs of life, which keep the gap clock running up to its bound."""
    await peer.request()
    await peer.begin()
    for text in ("000 ", "001 ", "002 "):
        await peer.chunk(_chunk(text))
    while not peer.gone.is_set():
        await peer.chunk(b": still here\n\n")
        await asyncio.sleep(0.02)


RAW = {
    "huge-line": (_huge_line, Row("huge-line", "ok", *GONE)),
    "comments": (_comments_for_ever, Row("comments", "ok", "timeout_gap", 504, "timeout", clock="gap")),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """Model ``m/<row>``: the first vendor breaks, the second would work and must never get a request."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with AsyncExitStack() as stack:
        urls = {}
        for name, (script, _) in RAW.items():
            urls[name] = (await stack.enter_async_context(RawServer(script))).url + "/v1"
        sales = [Sale(f"m/{row.name}", "bad", row.script, "2", "3") for row in ROWS]
        sales += [Sale(f"m/{name}", name, "ok", "2", "3") for name in RAW]
        sales += [Sale(sale.model, "good", "ok") for sale in sales]
        clocks = {
            "gap_timeout_s": 0.5,
            "total_timeout_s": 1.5,
            "first_content_timeout_s": 1.4,
            "thinking_timeout_s": 0.9,
        }
        yield await stack.enter_async_context(
            staged(
                *(tmp_path_factory.mktemp("midstream"), valkey_server.url, *sales),
                **{"urls": urls, "health_share_interval_s": 3600, **clocks},
            )
        )


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """The shared gateway, with nothing remembered of the vendors' health."""
    forget_health(shared)
    yield shared


def _shown(response: Any, found: list[Any], row: Row) -> str:
    """Assert what the caller received; the text that came before the break."""
    assert response.status_code == 200
    last = one_ending(found)
    assert last is found[-2], "nothing follows the error chunk but [DONE]"
    id = response.headers["x-generation-id"]
    for chunk in found[:-2]:
        wireshape.chunk(chunk, id)
        assert chunk["provider"] != "Good"
    wireshape.chunk(last, id, failed=True)
    assert last["choices"][0]["finish_reason"] == "error"
    assert last["error"]["code"] == row.code
    assert last["error"]["metadata"]["error_type"] == row.error_type
    assert last["error"]["metadata"].get("clock") == row.clock
    assert "raw" not in last["error"]["metadata"]
    wireshape.usage(last["usage"])
    return content(found[:-2])


@pytest.mark.parametrize("row", [*ROWS, *(row for _, row in RAW.values())], ids=lambda row: row.name)
async def test_broken_off(stage: Stage, row: Row) -> None:
    """The tokens that came are kept and charged, with the fee; the record has the reason; no other endpoint is tried."""
    tasks = our_tasks()
    caller = await stage.caller()
    bad = row.name if row.name in RAW else "bad"
    response, found = await caller.stream(f"m/{row.name}", provider={"order": [bad, "good"]})
    text = _shown(response, found, row)
    tokens = len(text) // 4
    if row.tokens is not None:
        assert text == "000 001 002 "
    assert tokens >= 3
    await calm(stage, tasks)
    assert not stage.vendors["good"].log.requests
    settled, losses = await charged(caller)
    bill = price(stage.sale(f"m/{row.name}", bad), PROMPT_TOKENS, tokens)
    assert (settled.cost_nano, settled.fee_nano, settled.user_nano, settled.loss_nano) == (
        *(bill.cost, bill.fee, bill.total),
        0,
    )
    assert not losses
    assert found[-2]["usage"]["completion_tokens"] == tokens
    record = await caller.record(settled.generation_id)
    assert (record.outcome, record.finish_reason, record.usage_source) == ("upstream_failed", "error", "estimated")
    assert [(a.endpoint.partition("/")[0], a.kind) for a in record.attempts] == [(bad, row.kind)]
    if bad == "bad":
        (entry,) = stage.vendors["bad"].log.requests
        slack = 0 if row.kind in ("cut", "timeout_gap") or row.script.startswith("erroratn") else 400
        assert tokens <= entry.billed_completion_tokens <= tokens + slack


async def test_a_stream_that_lives_is_not_cut(stage: Stage) -> None:
    """The gap clock measures gaps, not the whole: tokens every 10 ms for longer than the gap arrive complete."""
    stage.gateway.services.health._endpoints.clear()
    caller = await stage.caller()
    response, found = await caller.stream("m/total", max_tokens=80, provider={"order": ["bad"]})
    assert len(content(wireshape.stream(response, found))) == 320
    await calm(stage)
