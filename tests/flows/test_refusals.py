"""A vendor refuses one caller's requests: the others keep the vendor, the operator reads why, and nobody reads the operator's key."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import structlog
from structlog.testing import LogCapture

from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support.gateway import ADMIN_KEY, Caller, Sale, Stage, staged
from tests.support.invariants import calm, forget_health
from tests.support.rawserver import Peer, RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-acme-0123456789abcdefghijklmnop"
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
CHUNK = {
    "id": "x",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": ANSWER["usage"],
}


def _error(message: str, code: Any = None, **more: Any) -> str:
    return json.dumps({"error": {"message": message, "code": code, **more}})


PER_MODEL = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaDimensions": {"model": "m"}}
USED_UP = _error(
    "You exceeded your current quota", 429, status="RESOURCE_EXHAUSTED", details=[{"violations": [PER_MODEL]}]
)


@dataclass(frozen=True)
class Refusal:
    """What the vendor answers, as which kind that counts, and whether the refused model itself may be asked again at once."""

    name: str
    kind: str
    status: int
    body: str
    model_stays: bool = True


REFUSALS = (
    Refusal("waf", "blocked", 403, "<html><body>Your request has been blocked</body></html>"),
    Refusal("sample", "forbidden", 403, _error("You are not allowed to sample from this model")),
    Refusal("access", "forbidden", 403, _error("You don't have access to this model", "AccessDenied")),
    Refusal("plain", "forbidden", 403, "Forbidden"),
    Refusal("law", "forbidden", 451, _error("not here")),
    Refusal("inside-a-200", "forbidden", 200, _error("no permission", 403)),
    Refusal("item", "not_found", 404, _error("Item with id 'rs_1' not found")),
    *(Refusal(str(status), "unexpected", status, _error("no")) for status in (405, 409, 421, 425, 499)),
    Refusal(
        "afford",
        "exceeds_account",
        402,
        _error("This request requires more credits, or fewer max_tokens; can only afford 3"),
    ),
    Refusal(
        "tpm", "exceeds_account", 429, _error("Request too large: Limit 30000, Requested 45000", "rate_limit_exceeded")
    ),
    Refusal("groq", "exceeds_account", 413, _error("Request too large for model", "rate_limit_exceeded")),
    Refusal("quota", "model_quota", 429, USED_UP, model_stays=False),
    Refusal("key", "credential", 401, _error("Incorrect API key provided")),
    Refusal("money", "payment", 402, _error("Insufficient Balance")),
)
BY_NAME = {each.name: each for each in REFUSALS}


def closed_port(stack: AsyncExitStack) -> int:
    """A port at which nobody listens, kept by us."""
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))
    return int(sock.getsockname()[1])


async def _vendor(peer: Peer) -> None:
    """Refuses what the prompt asks it to refuse, and answers everything else."""
    while True:
        request = json.loads(await peer.request())
        words = request["messages"][-1]["content"].split()
        if words[0] == "status":  # an answer with another status than 200
            await peer.answer(json.dumps(ANSWER).encode(), status=int(words[1]))
        elif words[0] == "refuse":
            refusal = BY_NAME[words[1]]
            kind = "application/json"
            if refusal.status == 200 and request.get("stream"):
                await peer.begin()
                await peer.chunk(b"data: " + refusal.body.encode() + b"\n\n")
                await peer.end()
                continue
            await peer.answer(refusal.body.encode(), status=refusal.status, kind=kind)
        elif words[0] == "echo":
            body = _error(f"no: {peer.requests[-1][0].partition('authorization: ')[2].splitlines()[0]} is not enough")
            await peer.answer(body.encode(), status=int(words[1]))
        elif request.get("stream"):
            await peer.begin()
            await peer.chunk(b"data: " + json.dumps(CHUNK).encode() + b"\n\ndata: [DONE]\n\n")
            await peer.end()
        else:
            await peer.answer(json.dumps(ANSWER).encode())


async def _without_tls(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """A vendor with a key that sells three models, and another one that sells the first, too."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("ACME_API_KEY", KEY)
        server = await stack.enter_async_context(RawServer(_vendor))
        plain = await stack.enter_async_context(RawServer(_without_tls))
        sales = [Sale("t/a", "acme", "m"), Sale("t/a", "other"), Sale("t/b", "acme", "n"), Sale("t/c", "acme", "m")]
        sales += [Sale(f"t/{name}", name) for name in ("lost", "plain", "closed")]
        yield await stack.enter_async_context(
            staged(
                *(tmp_path_factory.mktemp("refusals"), valkey_server.url, *sales),
                urls={
                    "acme": f"{server.url}/v1",
                    "lost": "http://no-such-host.invalid/v1",
                    "plain": f"https://127.0.0.1:{plain.port}/v1",
                    "closed": f"http://127.0.0.1:{closed_port(stack)}/v1",
                },
                provider={"acme": {"api_key_env": "ACME_API_KEY"}},
                health_share_interval_s=3600,
            )
        )


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """The shared gateway, with nothing remembered of the vendors' health."""
    forget_health(shared)
    yield shared


async def served_by(caller: Caller, model: str, text: str = "hello", **more: Any) -> str:
    """Provider of an answer that must be a success, asked first at acme."""
    response = await caller.chat(model, text, provider={"order": ["acme"]}, **more)
    assert response.status_code == 200, response.text
    if more.get("stream"):
        return str(json.loads(response.text.split("data: ")[1])["provider"])
    return str(response.json()["provider"])


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.name)
async def test_a_refused_request_harms_nobody_else(stage: Stage, refusal: Refusal, stream: bool) -> None:
    """Six refused requests of one caller are answered by another vendor; the others still get theirs from the one that refused."""
    refused, others = await stage.caller(), await stage.caller()
    assert await served_by(others, "t/b") == "Acme"
    for _ in range(6):
        if not refusal.model_stays:
            forget_health(stage)
        assert await served_by(refused, "t/a", f"refuse {refusal.name}", stream=stream) == "Other"
    assert await served_by(others, "t/b", stream=stream) == "Acme"
    assert await served_by(others, "t/a", stream=stream) == ("Acme" if refusal.model_stays else "Other")
    if not refusal.model_stays:  # the same model of the vendor under another name
        response = await others.chat("t/c")
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1
    assert len([line for line in await refused.lines() if line.type == "loss"]) == 0
    await calm(stage)


@pytest.mark.parametrize(
    "refusal",
    [each for each in REFUSALS if each.kind in ("forbidden", "blocked", "unexpected")],
    ids=lambda each: each.name,
)
async def test_without_any_success_neither(stage: Stage, refusal: Refusal) -> None:
    """Also a vendor that has served nobody yet is not taken away by one caller's refused requests."""
    refused, others = await stage.caller(), await stage.caller()
    for _ in range(6):
        assert await served_by(refused, "t/a", f"refuse {refusal.name}") == "Other"
    for model in ("t/b", "t/c", "t/a"):
        assert await served_by(others, model) == "Acme"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize("name", ["405", "409", "425"])
async def test_one_request_is_one_refusal(stage: Stage, name: str, stream: bool) -> None:
    """An endpoint that refuses one request three times has refused one request; after three requests it is asked last."""
    caller, health = await stage.caller(), stage.gateway.services.health
    bands = []
    for _ in range(3):
        response = await caller.chat("t/b", f"refuse {name}", stream=stream)
        assert [each["code"] for each in response.json()["error"]["metadata"]["attempts"]] == ["unexpected"] * 3
        bands.append(health.view("acme/n@t/b").band)
    assert bands == [0, 0, 2]


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
async def test_a_whole_answer_is_an_answer_whatever_success_it_is(stage: Stage, status: int) -> None:
    """Some vendors say 201, 202 or 206 with a whole completion."""
    caller = await stage.caller()
    assert await served_by(caller, "t/b", f"status {status}") == "Acme"


@pytest.mark.parametrize(
    ("name", "status", "error_type"),
    [
        ("afford", 413, "payload_too_large"),
        ("tpm", 413, "payload_too_large"),
        ("groq", 413, "payload_too_large"),
        ("sample", 502, "provider_unavailable"),
        ("409", 502, "provider_unavailable"),
        ("item", 404, "not_found"),
    ],
)
async def test_what_the_caller_reads(stage: Stage, name: str, status: int, error_type: str) -> None:
    """When nobody else sells the model: never our 401, 402 or 403, and never an invitation to wait where waiting cannot help."""
    caller = await stage.caller()
    response = await caller.chat("t/b", f"refuse {name}")
    error = response.json()["error"]
    assert (response.status_code, error["metadata"]["error_type"]) == (status, error_type)
    assert "retry-after" not in response.headers
    assert ("max_tokens" in error["message"]) == (status == 413)
    assert (await caller.chat("t/b")).status_code == 200


@contextmanager
def logged(stage: Stage) -> Iterator[LogCapture]:
    """What the gateway logs meanwhile, of every level."""
    captured, telemetry = LogCapture(), stage.gateway.services.telemetry
    telemetry._warned = (-1, 0)  # the refusals of the tests before this one used up what a second may log
    everything = structlog.make_filtering_bound_logger(0)
    before, telemetry.log = telemetry.log, structlog.wrap_logger(None, processors=[captured], wrapper_class=everything)
    try:
        yield captured
    finally:
        telemetry.log = before


@pytest.mark.parametrize(
    ("name", "kinds"), [("lost", {"dns", "connect_timeout"}), ("plain", {"tls"}), ("closed", {"connect_refused"})]
)
async def test_the_networks_words(stage: Stage, name: str, kinds: set[str]) -> None:
    """A name that does not resolve, a certificate, a closed port: the operator reads it, and not only the kind of failure."""
    caller = await stage.caller()
    with logged(stage) as captured:
        response = await caller.chat(f"t/{name}")
    assert response.status_code in (502, 504)
    warning = next(entry for entry in captured.entries if entry["event"] == "vendor failed")
    assert (warning["log_level"], warning["endpoint"]) == ("warning", f"{name}/ok@t/{name}")
    assert warning["kind"] in kinds
    assert len(warning["said"]) > 10
    record = await caller.record(response.headers["x-generation-id"])
    assert record.attempts[0].message == warning["said"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("status", "kept"),
    [(401, True), (402, True), (403, True), (404, True), (429, True), (500, True), (400, False), (422, False)],
)
async def test_the_vendors_words(stage: Stage, status: int, kept: bool, stream: bool) -> None:
    """The operator reads what the vendor said in the log and in the generation; its key is in neither, nor in the answer.

    What a vendor says about a request that is wrong may quote the prompt, and goes to the caller alone.
    """
    caller = await stage.caller()
    with logged(stage) as captured:
        response = await caller.chat("t/b", f"echo {status}", stream=stream)
    assert response.status_code >= 400
    record = await stage.gateway.client.get(
        "/api/v1/generation",
        params={"id": response.headers["x-generation-id"]},
        headers={"authorization": f"Bearer {ADMIN_KEY}"},
    )
    own = await stage.gateway.client.get(
        "/api/v1/generation", params={"id": response.headers["x-generation-id"]}, headers=caller.headers
    )
    assert not any("message" in each for each in own.json()["data"]["provider_responses"])
    warnings = [entry for entry in captured.entries if entry["event"] == "vendor failed"]
    for text in (response.text, record.text, repr(captured.entries)):
        assert KEY not in text
        assert "0123456789" not in text
    said = [each.get("message") for each in record.json()["data"]["provider_responses"]]
    if kept:
        assert warnings[0]["log_level"] == "warning"
        assert (warnings[0]["id"], warnings[0]["status"]) == (response.headers["x-generation-id"], status)
        assert warnings[0]["said"] == said[0] == "no: Bearer [secret] is not enough"
    else:
        assert not warnings
        assert said == [None]
        assert "[secret]" in response.json()["error"]["message"]
