"""Whatever breaks before the first content stays invisible: the caller sees the next endpoint's answer, and pays for that alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
import trustme

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from providers.errors import FAILURES
from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, staged
from tests.support.invariants import calm, charged, content, forget_health, one_ending, our_tasks, price, truth_cost
from tests.support.rawserver import Peer, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT_TOKENS = 9
GOOD = "000 001 002 003 004 005 "


@dataclass(frozen=True)
class Row:
    """One way to fail: the vendor's script, or an address without a vendor; the failure's kind, JSON and SSE."""

    name: str
    kind: str
    status: int | None = None
    script: str | None = None
    sse_kind: str | None = None
    counted: int | None = None
    """Completion tokens of the usage that comes with the error of a JSON answer."""

    def expected(self, stream: bool) -> str:
        return self.sse_kind if stream and self.sse_kind else self.kind


ROWS = (
    Row("refused", "connect_refused"),
    Row("dns", "dns"),
    Row("tls-plain", "tls"),
    Row("tls-untrusted", "tls"),
    Row("blackhole", "connect_timeout"),
    Row("silent", "timeout_total", script="stall@0", sse_kind="timeout_first_content"),
    Row("role-only", "timeout_total", script="roleonly", sse_kind="timeout_first_content"),
    Row("comments", "timeout_total", script="comments+every=20", sse_kind="timeout_first_content"),
    Row("slow-headers", "timeout_total", script="ok+slowheaders=30000", sse_kind="timeout_first_content"),
    Row("slow-content", "timeout_total", script="ok+ttft=30000", sse_kind="timeout_first_content"),
    Row("drip", "timeout_total", script="ok+drip=50", sse_kind="timeout_first_content"),
    Row("error200", "overloaded", 503, "error200"),
    Row("error-first", "overloaded", 503, "errorfirst"),
    Row("error-first-rate", "rate_limited", 429, "errorfirst+code=rate_limit_exceeded"),
    Row("error-no-content", "overloaded", 503, "erroratn@0", counted=0),
    Row("reset", "cut", script="rst"),
    Row("hangup", "cut", script="hangup"),
    Row("cut", "cut", script="cut@0"),
    Row("cut-clean", "empty", 200, "cut@0+clean", sse_kind="cut"),
    Row("empty", "empty", 200, "emptybody"),
    Row("html", "malformed", script="wrongtype", sse_kind="empty"),
    Row("gzip", "empty", 200, "gzipbomb=1"),
    Row("bad-chunk", "malformed", script="badchunk"),
    Row("two-lengths", "malformed", script="doublelength"),
    *(Row(f"garbage-{n}", "malformed", script=f"garbage@0+mutation={n}") for n in range(20)),
    Row("429", "rate_limited", 429, "status=429"),
    Row("429-later", "rate_limited", 429, "status=429+retry_after=60"),
    Row("429-spent", "quota_exhausted", 429, "status=429+code=insufficient_quota"),
    Row("401", "credential", 401, "status=401"),
    Row("402", "payment", 402, "status=402"),
    Row("403", "forbidden", 403, "status=403"),
    Row("403-page", "blocked", 403, "status=403+html"),
    Row("405", "unexpected", 405, "status=405"),
    Row("409", "unexpected", 409, "status=409"),
    Row("421", "unexpected", 421, "status=421"),
    Row("425", "unexpected", 425, "status=425"),
    Row("499", "unexpected", 499, "status=499"),
    Row("404", "not_found", 404, "status=404"),
    Row("408", "timeout_vendor", 408, "status=408"),
    Row("500", "server_error", 500, "status=500"),
    Row("502", "server_error", 502, "status=502"),
    Row("502-page", "server_error", 502, "status=502+html"),
    Row("503", "overloaded", 503, "status=503"),
    Row("504", "timeout_vendor", 504, "status=504"),
    Row("529", "overloaded", 529, "status=529"),
    Row("redirect", "malformed", 302, "status=302"),
)
JSON_ROWS = (
    Row("json-cut", "cut", script="cut@3"),
    Row("json-stall", "timeout_total", script="stall@3"),
    Row("json-cut-end", "cut", script="cutusage"),
    Row("json-error", "overloaded", 503, "erroratn@3", counted=3),
    Row("json-endless", "timeout_total", script="endless+tps=1000"),
)
"""A JSON answer has no first content: whatever breaks in it is invisible."""
PASSED_ON = (
    (400, "bad_request", "invalid_request"),
    (413, "too_large", "payload_too_large"),
    (422, "unprocessable", "unprocessable"),
)


def closed_port(stack: AsyncExitStack) -> int:
    """A port that is ours and refuses connections: bound, but not listening."""
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    return port


def full_backlog(stack: AsyncExitStack) -> int:
    """A port whose connections are never accepted: the kernel drops every further SYN."""
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    port: int = listener.getsockname()[1]
    return port


async def _plain(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")


async def _places(stack: AsyncExitStack) -> dict[str, str]:
    """Base URLs of the vendors to which no connection can be made."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    untrusted = await stack.enter_async_context(RawServer(_plain, tls=tls))
    plain = await stack.enter_async_context(RawServer(_plain))
    return {
        "refused": f"http://127.0.0.1:{closed_port(stack)}/v1",
        "dns": "http://no-such-host.invalid/v1",
        "tls-plain": f"https://127.0.0.1:{plain.port}/v1",
        "tls-untrusted": f"https://127.0.0.1:{untrusted.port}/v1",
        "blackhole": f"http://127.0.0.1:{full_backlog(stack)}/v1",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway for all rows: model ``f/<row>`` is sold by a vendor that fails in that way and by one that works."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with AsyncExitStack() as stack:
        urls = await _places(stack)
        sales = [Sale(f"f/{row.name}", "good", "ok+tokens=6", "2", "3") for row in ROWS + JSON_ROWS]
        for row in ROWS + JSON_ROWS:
            sales.append(Sale(f"f/{row.name}", row.name if row.script is None else "bad", row.script or "ok"))
        for status, _, _ in PASSED_ON:
            sales += [
                Sale(f"p/{status}", "bad", f"status={status}"),
                Sale(f"p/{status}", "good", "ok+tokens=6", "2", "3"),
            ]
        clocks = {"connect_timeout_s": 0.7, "answer_timeout_s": 0.7}
        clocks |= {"first_content_timeout_s": 0.7, "thinking_timeout_s": 0.7, "headers_timeout_s": 0.7}
        yield await stack.enter_async_context(
            staged(
                *(tmp_path_factory.mktemp("failover"), valkey_server.url, *sales),
                **{"urls": urls, "health_share_interval_s": 3600, "gap_timeout_s": 5, **clocks},
            )
        )


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """The shared gateway, with nothing remembered of the vendors' health."""
    forget_health(shared)
    yield shared


async def ask(caller: Caller, model: str, first: str, stream: bool) -> tuple[str, str, str]:
    """(generation id, provider, text) of an answer that must be a success, to the field."""
    wishes = {"order": [first, "good"]}
    if stream:
        response, found = await caller.stream(model, provider=wishes)
        chunks = wireshape.stream(response, found)
        one_ending(found)
        return chunks[0]["id"], chunks[0]["provider"], content(chunks)
    body = wireshape.answer(await caller.chat(model, provider=wishes))
    return body["id"], body["provider"], body["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("row", "stream"),
    [*((row, stream) for row in ROWS for stream in (False, True)), *((row, False) for row in JSON_ROWS)],
    ids=lambda value: value.name if isinstance(value, Row) else "sse" if value else "json",
)
async def test_the_next_endpoint_answers(stage: Stage, row: Row, stream: bool) -> None:
    """One answer, whole and from the good vendor only; the record names both attempts; a loss line where the bad one may bill."""
    tasks = our_tasks()
    caller = await stage.caller()
    bad = row.name if row.script is None else "bad"
    id, provider, text = await ask(caller, f"f/{row.name}", bad, stream)
    assert (provider, text) == ("Good", GOOD)
    record = await caller.record(id)
    kind = row.expected(stream)
    if row.name == "dns":  # a resolver that takes its time falls to the connect clock
        kind = record.attempts[0].kind
        assert kind in ("dns", "connect_timeout")
    assert [(a.endpoint.partition("/")[0], a.kind) for a in record.attempts] == [(bad, kind), ("good", "ok")]
    if row.status is not None:
        assert record.attempts[0].status == row.status
    assert (record.outcome, record.provider) == ("complete", "good")
    settled, losses = await charged(caller)
    good = stage.sale(f"f/{row.name}", "good")
    bill = price(good, PROMPT_TOKENS, 6)
    assert (settled.provider, settled.cost_nano, settled.fee_nano, settled.user_nano) == (
        *("good", bill.cost, bill.fee),
        bill.total,
    )
    assert settled.cost_nano == truth_cost(stage, good)
    counted = None if stream else row.counted
    wasted = price(stage.sale(f"f/{row.name}", bad), PROMPT_TOKENS, counted or 0).cost
    assert [(line.provider, line.cost_nano, line.loss_nano, line.fee_nano, line.user_nano) for line in losses] == (
        [(bad, wasted, wasted, 0, 0)] if FAILURES[kind].may_bill or counted is not None else []
    )
    await calm(stage, tasks)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(("status", "kind", "error_type"), PASSED_ON)
async def test_the_callers_mistake_is_passed_on_at_once(
    stage: Stage, status: int, kind: str, error_type: str, stream: bool
) -> None:
    """400, 413 and 422 reach the caller with their status and the vendor's words after one attempt; nothing is charged."""
    caller = await stage.caller()
    response = await caller.chat(f"p/{status}", stream=stream, provider={"order": ["bad", "good"]})
    error = wireshape.refused(response, status, error_type)
    assert error["metadata"]["provider_name"] == "Bad"
    assert error["metadata"]["attempts"] == [{"provider": "bad", "code": kind, "status": status}]
    assert error["message"]
    assert error["metadata"]["raw"]
    assert not stage.vendors["good"].log.requests
    assert await caller.lines() == []
    assert (await caller.record(response.headers["x-generation-id"])).outcome == "upstream_failed"
    assert stage.gateway.services.health.view(f"bad/status={status}@p/{status}").attempts == 0
    await calm(stage)
