"""Who answers when some fail: every model of a list is reached, refusals cost nothing, and what passes is tried once more."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
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
from tests.support.invariants import calm, charged, forget_health, one_ending
from tests.support.rawserver import Peer, RawServer
from tests.support.streams import DONE, HEY, STOP

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
LONG = "status=400+code=context_length_exceeded"
SILENT = "stall@0"
CLOCKS = {"first_content_timeout_s": 0.7, "headers_timeout_s": 0.7, "thinking_timeout_s": 0.7, "answer_timeout_s": 8}


@dataclass(frozen=True)
class Row:
    """``sales``: (model, provider, what it does), the first is tried first. ``tried``: the attempts of the record, ``provider:kind``.

    Provider ``once`` fails every other time in the way named; ``served`` is the model whose answer comes, None = an error of this
    status and type."""

    name: str
    sales: tuple[tuple[str, str, str], ...]
    tried: str
    served: str | tuple[int, str] = "a"


THREE_CUT = (("a", "alpha", "hangup"), ("a", "beta", "rst"), ("a", "gamma", "hangup"))
ROWS = (
    Row("next-model", (*THREE_CUT, ("b", "delta", "ok")), "alpha:cut beta:cut gamma:cut delta:ok", "b"),
    Row(
        "every-model",
        (*THREE_CUT, ("b", "delta", "hangup"), ("c", "omega", "ok")),
        "alpha:cut beta:cut gamma:cut delta:cut omega:ok",
        "c",
    ),
    Row(
        "last-word",
        (("a", "alpha", "status=500"), ("b", "beta", "status=401"), ("c", "gamma", "status=404")),
        "alpha:server_error alpha:server_error beta:credential gamma:not_found",
        (404, "not_found"),
    ),
    Row(
        "refusals-are-free",
        (
            ("a", "alpha", "status=401"),
            ("a", "beta", "status=403"),
            ("a", "gamma", "status=429"),
            ("a", "delta", "status=404"),
            ("a", "omega", "ok"),
        ),
        "alpha:credential beta:forbidden gamma:rate_limited delta:not_found omega:ok",
    ),
    Row("once-500", (("a", "once", "500"), ("b", "beta", "ok")), "once:server_error once:ok"),
    Row("once-reset", (("a", "once", "reset"), ("b", "beta", "ok")), "once:cut once:ok"),
    Row("once-429", (("a", "once", "429"), ("b", "beta", "ok")), "once:rate_limited once:ok"),
    Row(
        "another-endpoint-first",
        (("a", "once", "500x"), ("a", "beta", "ok"), ("b", "gamma", "ok")),
        "once:server_error beta:ok",
    ),
    Row(
        "429-for-long",
        (("a", "alpha", "status=429+retry_after=30"), ("b", "beta", "ok")),
        "alpha:rate_limited beta:ok",
        "b",
    ),
    Row(
        "larger-context",
        (("a", "small", LONG), ("a", "small2", "ok"), ("a", "alpha", "ok")),
        "small:context_length alpha:ok",
    ),
    Row(
        "no-larger-context",
        (("a", "alpha", LONG), ("a", "small", "ok"), ("b", "beta", "ok")),
        "alpha:context_length beta:ok",
        "b",
    ),
    Row(
        "too-long-for-all",
        (("a", "small", LONG), ("a", "alpha", LONG)),
        "small:context_length alpha:context_length",
        (400, "context_length_exceeded"),
    ),
    Row("silent", (("a", "alpha", SILENT), ("a", "beta", "ok")), "alpha:timeout_first_content beta:ok"),
    Row("silent-model", (("a", "alpha", SILENT), ("b", "beta", "ok")), "alpha:timeout_first_content beta:ok", "b"),
)


def once() -> Any:
    """A vendor that fails the first, third … call of each model, as the model's name says; streams are counted apart."""
    calls: Counter[tuple[str, bool]] = Counter()

    async def script(peer: Peer) -> None:
        while True:
            body = json.loads(await peer.request())
            called = body["model"], body.get("stream", False)
            calls[called] += 1
            how = body["model"] if calls[called] % 2 else "ok"
            if how.startswith("500"):
                await peer.answer(b'{"error": {"message": "oops"}}', status=500)
            elif how == "429":
                await peer.answer(b'{"error": {"message": "slow down"}}', status=429, headers="retry-after: 1\r\n")
            elif how == "reset":
                await peer.send(b"HTTP/1.1 200 OK\r\n")  # without a byte it would be a kept connection that has died
                await asyncio.sleep(0.05)
                peer.reset()
                return
            elif called[1]:
                await peer.begin()
                await peer.chunk(HEY + STOP + DONE)
                await peer.end()
            else:
                await peer.answer(
                    b'{"choices":[{"message":{"role":"assistant","content":"hey"},"finish_reason":"stop"}]}'
                )

    return script


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway for all rows; the models of a row are ``<row>/a``, ``<row>/b`` …"""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    sales = [Sale("slow/a", "alpha", "ok+slowheaders=1600")]
    for row in ROWS:
        for place, (model, provider, does) in enumerate(row.sales, 1):
            more = {"context_length": 8000} if provider.startswith("small") else {}
            sales.append(Sale(f"{row.name}/{model}", provider, does, str(place), str(place), more))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(RawServer(once()))
        yield await stack.enter_async_context(
            staged(
                *(tmp_path_factory.mktemp("order"), valkey_server.url, *sales),
                **{"urls": {"once": f"{server.url}/v1"}, "health_share_interval_s": 3600, **CLOCKS},
            )
        )


@BOTH
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_who_answers(shared: Stage, row: Row, stream: bool) -> None:
    """One answer, of the model that should give it; the caller pays for it alone, and the books balance."""
    forget_health(shared)
    caller = await shared.caller()
    models = list(dict.fromkeys(f"{row.name}/{model}" for model, _, _ in row.sales))
    wishes: dict[str, Any] = {"provider": {"sort": "price"}, "models": models[1:], "max_tokens": 8}
    if not isinstance(row.served, str):
        response = await caller.chat(models[0], stream=stream, **wishes)
        error = wireshape.refused(response, *row.served)
        tried = [f"{each['provider']}:{each['code']}" for each in error["metadata"]["attempts"]]
        assert not (await caller.balances()).used_nano
    else:
        if stream:
            response, found = await caller.stream(models[0], **wishes)
            body = wireshape.stream(response, found)[0]
            one_ending(found)
        else:
            body = wireshape.answer(await caller.chat(models[0], **wishes))
        assert body["model"] == f"{row.name}/{row.served}"
        record = await caller.record(body["id"])
        tried = [f"{each.provider.lower()}:{each.kind}" for each in record.attempts]
        settled, _ = await charged(caller)
        assert settled.provider == row.tried.split()[-1].partition(":")[0]
    assert " ".join(tried) == row.tried
    await calm(shared)


async def test_a_json_answer_without_an_alternative_may_take_its_time(shared: Stage) -> None:
    """Nobody else could answer, so the silence before the headers is waited out."""
    forget_health(shared)
    caller = await shared.caller()
    body = wireshape.answer(await caller.chat("slow/a"))
    assert (await caller.record(body["id"])).attempts[0].kind == "ok"
