"""Bodies, headers and keys that are wrong as a whole: exact status, the one error shape, and no vendor gets a request."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.accounts import KeyChange
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import ADMIN_KEY, Caller, Sale, Stage, connected, staged
from tests.support.invariants import calm
from tests.support.vendor import Line

pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = '{"model":"t/a","messages":[{"role":"user","content":"hello"}]%s}'
PATH = "/api/v1/chat/completions"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    """One gateway; a body has one second to arrive."""
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    directory = tmp_path_factory.mktemp("bodies")
    async with staged(directory, valkey_server.url, Sale("t/a", "alpha"), body_timeout_s=1) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """The vendor's request log is empty before and after, unless a test changes that."""
    shared.vendors["alpha"].log.reset()
    yield shared
    await calm(shared)


@pytest_asyncio.fixture(loop_scope="module")
async def caller(stage: Stage) -> Caller:
    return await stage.caller("1000")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" ", "not valid JSON"),
        (b"null", "must be a JSON object"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"42", "must be a JSON object"),
        (b"{", "not valid JSON"),
        (b"{'model': 't/a'}", "not valid JSON"),
        (b"model=t/a", "not valid JSON"),
        ((GOOD % "").encode() + b"x", "not valid JSON"),
        ((GOOD % "").encode() * 2, "not valid JSON"),
        (b"\xef\xbb\xbf" + (GOOD % "").encode(), "not valid JSON"),
        ((GOOD % "").encode("utf-16"), "not valid JSON"),
        ((GOOD % "").replace("hello", "\xff").encode("latin-1"), "not valid JSON"),
        ((GOOD % "").replace("hello", "a\nb").encode(), "not valid JSON"),
        ((GOOD % "").replace("hello", "a\x00b").encode(), "not valid JSON"),
        *(
            ((GOOD % "").replace("hello", text).encode(), "not valid JSON")
            for text in ("\\ud800", "\\udc00", "\\ud800x", "\\ud800\\ud800", "\\u12", "\\x41")
        ),
        *((GOOD % f',"temperature":{n}').encode() and ((GOOD % f',"temperature":{n}').encode(), "not valid JSON")
          for n in ("NaN", "Infinity", "-Infinity", "1e999", "01", "+1", ".5", "1.", "0x1")),
        ((GOOD % (',"seed":' + "9" * 5000)).encode(), "not valid JSON"),
        ((GOOD % (',"extra":' + nested(2000))).encode(), "nested deeper than 64"),
        ((GOOD % (',"extra":' + nested(100_000))).encode(), "nested deeper than 64"),
        ((GOOD % (',"extra":' + nested(65))).encode(), "nested deeper than 64"),
        (('{"a":' * 2000 + "1" + "}" * 2000).encode(), "nested deeper than 64"),
        (b"[" * 1_000_000, ""),
    ],
    ids=lambda value: repr(value[:48]) if isinstance(value, bytes) else "",
)  # fmt: skip
async def test_what_is_no_request(stage: Stage, caller: Caller, body: bytes, words: str) -> None:
    """400 in plain words for every kind of broken JSON."""
    error = wireshape.refused(await caller.raw(body), 400, "invalid_request")
    assert words in error["message"]
    assert len(error["message"]) < 300
    assert not stage.vendors["alpha"].log.requests


async def test_what_is_odd_but_fine(stage: Stage, caller: Caller) -> None:
    """Deep but allowed nesting, escaped pairs, NUL as an escape, unknown fields, huge integers in unknown fields, any content type."""
    for more in ('"extra":' + nested(60), '"extra":12345678901234567890', '"extra":{"a":[1,2,{"b":null}]}', '"é":"😀"'):
        wireshape.answer(await caller.raw(GOOD % f",{more}"))
    wireshape.answer(await caller.raw((GOOD % "").replace("hello", "\\ud83d\\ude00 \\u0000")))
    wireshape.answer(await caller.raw("  \n" + GOOD % "" + "\n "))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        wireshape.answer(await caller.raw(GOOD % "", **{"content-type": kind}))


async def test_of_duplicate_names_the_last_one_counts(stage: Stage, caller: Caller) -> None:
    """The gateway and the vendor read the same one: the body that goes out has each name once."""
    response = await caller.raw('{"model":"nope/nope","model":"t/a","max_tokens":9,"max_tokens":2,' + (GOOD % "")[15:])
    body = wireshape.answer(response)
    assert (body["model"], body["usage"]["completion_tokens"]) == ("t/a", 2)
    assert stage.vendors["alpha"].log.requests[-1].planned_tokens == 2


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_25_megabytes(stage: Stage, caller: Caller, chunked: bool) -> None:
    """413 without parsing the body, with or without a Content-Length."""
    body = (GOOD % "").replace("hello", "x" * 25_000_000).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    response = await stage.gateway.client.post(PATH, content=pieces() if chunked else body, headers=caller.headers)
    error = wireshape.refused(response, 413, "payload_too_large")
    assert "20971520" in error["message"]
    assert not stage.vendors["alpha"].log.requests


async def test_a_large_body_that_is_allowed(stage: Stage, caller: Caller) -> None:
    """15 MB are taken; the prompt is then too long for the model, which is a 400 with the sizes."""
    response = await caller.raw((GOOD % "").replace("hello", "x" * 15_000_000))
    wireshape.refused(response, 400, "context_length_exceeded")


async def test_compressed_bodies_are_refused(stage: Stage, caller: Caller) -> None:
    """Compressed request bodies are refused, so no decompression bomb can come."""
    response = await caller.raw(gzip.compress((GOOD % "").encode()), **{"content-encoding": "gzip"})
    wireshape.refused(response, 400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods(stage: Stage, caller: Caller, method: str) -> None:
    """405 in the same shape."""
    response = await stage.gateway.client.request(method, PATH, headers=caller.headers)
    wireshape.refused(response, 405, "invalid_request")


async def test_an_unknown_path(stage: Stage, caller: Caller) -> None:
    """404 in the same shape."""
    response = await stage.gateway.client.post("/api/v1/chat/completion", headers=caller.headers, content=b"{}")
    wireshape.refused(response, 404, "not_found")


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "Bearer sk-tw-v1-"},
        {"authorization": "Bearer sk-or-v1-" + "0" * 64},
        {"authorization": "Bearer sk-tw-v1-aaaaaaaa-" + "A" * 43},
        {"authorization": "Bearer " + "x" * 5000},
        {"authorization": "Bearer \xe4\xf6\xfc".encode("latin-1")},
        {"authorization": "Bearer a b c"},
        {"authorization": "Bearer {l0}:k:deadbeef"},
        {"x-api-key": "nonsense"},
    ],
    ids=lambda headers: repr(headers)[:60],
)
async def test_missing_and_garbled_keys(stage: Stage, headers: dict[str, Any]) -> None:
    """401, before the body is looked at."""
    for body in (GOOD % "", "not even JSON"):
        response = await stage.gateway.client.post(PATH, content=body, headers=headers)
        wireshape.refused(response, 401, "authentication")


async def test_the_management_key_is_no_inference_key(stage: Stage) -> None:
    """403 that names the kind of key that is needed."""
    response = await stage.gateway.client.post(
        PATH, content=GOOD % "", headers={"authorization": f"Bearer {ADMIN_KEY}"}
    )
    wireshape.refused(response, 403, "permission_denied")


@pytest.mark.parametrize("change", ["disabled", "expired", "deleted"])
async def test_a_key_that_has_stopped_working(stage: Stage, caller: Caller, change: str) -> None:
    """401 from the next request on, although the process knows the key; its credit is untouched."""
    wireshape.answer(await caller.chat("t/a"))
    accounts = stage.gateway.services.accounts
    policy = await accounts.authenticate(caller.secret)
    if change == "deleted":
        await accounts.delete_key(policy.key_hash)
    else:
        new = KeyChange(disabled=True) if change == "disabled" else KeyChange(expires_at=time.time() - 1)
        await accounts.update_key(policy.key_hash, new)
    accounts.learn(policy, policy.key_hash)  # another process, which does not know it yet
    for _ in range(2):
        wireshape.refused(await caller.chat("t/a"), 401, "authentication")
    assert len(await caller.lines()) == 1
    if change == "disabled":
        await accounts.update_key(policy.key_hash, KeyChange(disabled=False))
        wireshape.answer(await caller.chat("t/a"))


async def test_no_credit_and_a_used_up_limit(stage: Stage) -> None:
    """402 that says whether the credit or the key's limit was too low."""
    poor = await stage.caller("0")
    error = wireshape.refused(await poor.chat("t/a"), 402, "payment_required")
    assert error["metadata"]["limit_source"] == "credits"
    limited = await stage.caller("5", limit_nano=0)
    error = wireshape.refused(await limited.chat("t/a", stream=True), 402, "payment_required")
    assert error["metadata"]["limit_source"] == "key_limit"


# -- on the wire -------------------------------------------------------------------------------------------------------


def raw_request(caller: Caller, *more: str, length: int | None = None, body: bytes = b"") -> bytes:
    """A request with further header lines."""
    content = body or (GOOD % "").encode()
    lines = [f"POST {PATH} HTTP/1.1", "Host: gateway", f"Authorization: Bearer {caller.secret}", *more]
    lines.append(f"Content-Length: {len(content) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


async def answer_to(stage: Stage, data: bytes) -> tuple[int, Any]:
    """Status and body of the answer to these bytes; (0, None) when the connection is closed without one."""
    async with connected(stage.gateway) as line:
        try:
            await line.send(data)
            status, _, body = await line.response()
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0, None
        return status, body


async def test_too_many_headers(stage: Stage, caller: Caller) -> None:
    """400 for a hundred too many, in the one shape."""
    status, body = await answer_to(stage, raw_request(caller, *(f"X-Bomb-{n}: x" for n in range(200))))
    assert status == 400
    assert "Too many request headers" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("name", ["X-Bomb", "Authorization", "x" * 70_000])
async def test_too_large_headers(stage: Stage, caller: Caller, name: str) -> None:
    """400 in the one error shape; no vendor gets a request."""
    status, body = await answer_to(stage, raw_request(caller, f"{name}: " + "x" * 70_000))
    assert status == 400
    assert json.loads(body)["error"]["metadata"]["error_type"] == "invalid_request"
    assert not stage.vendors["alpha"].log.requests


@pytest.mark.parametrize(
    "start", ["POST /api/v1/chat/completions HTTP/1.1\r\nX-Bomb: ", "POST /", "GET / HTTP/1.1\r\n"]
)
async def test_a_head_without_end(stage: Stage, start: str) -> None:
    """A head that goes on and on is cut long before it fills the memory, whatever part of it is the endless one."""
    filler = "x: y\r\n" * 20_000 if start.endswith("\n") else "x" * 120_000
    sent = 0
    async with connected(stage.gateway) as line:
        with contextlib.suppress(ConnectionError):
            await line.send(start.encode())
            while sent < 100_000_000 and not line.writer.transport.is_closing():
                await line.send(filler.encode())
                sent += len(filler)
                await asyncio.sleep(0)
    assert sent < 20_000_000


@pytest.mark.parametrize(
    "extra",
    [
        ("Host: other",),
        ("Content-Length: 5",),
        ("Authorization: Bearer x",),
        ("Content-Type: text/plain", "Content-Type: application/json"),
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("X-Bad\x01: x",),
        ("X-Space : x",),
        ("no colon at all",),
    ],
    ids=lambda lines: lines[0],
)
async def test_what_two_servers_could_read_differently(stage: Stage, caller: Caller, extra: tuple[str, ...]) -> None:
    """Refused with 400, and the connection is not used for a second request hidden in the first."""
    hidden = b"POST /api/v1/chat/completions HTTP/1.1\r\nHost: gateway\r\n\r\n"
    async with connected(stage.gateway) as line:
        await line.send(raw_request(caller, *extra) + hidden)
        status, rest = await _first_status(line)
    assert status == 400
    assert b" 200 " not in rest
    assert not stage.vendors["alpha"].log.requests


async def _first_status(line: Line) -> tuple[int, bytes]:
    """The first answer's status, and everything that came until the end, or for half a second."""
    got = b""
    try:
        async with asyncio.timeout(0.5):
            while data := await line.reader.read(65536):
                got += data
    except (TimeoutError, ConnectionError):
        pass
    return int(got.split(b" ")[1]), got


@pytest.mark.parametrize("length", ["-1", "1e3", "5x", "99999999999999999999", ""])
async def test_impossible_lengths(stage: Stage, caller: Caller, length: str) -> None:
    """400 or 413, never a hanging connection or a 5xx."""
    request = raw_request(caller).replace(
        b"Content-Length: " + str(len((GOOD % "").encode())).encode(), f"Content-Length: {length}".encode()
    )
    status, _ = await answer_to(stage, request)
    assert status in (400, 413)
    assert not stage.vendors["alpha"].log.requests


async def test_a_body_that_does_not_come(stage: Stage, caller: Caller) -> None:
    """408 after the time a body has, and nothing is held meanwhile."""
    async with connected(stage.gateway) as line:
        await line.send(raw_request(caller, length=1000)[:-10])
        status, _, body = await line.response()
    assert status == 408
    assert json.loads(body)["error"]["metadata"]["error_type"] == "timeout"
    assert (await caller.balances()).held_nano == 0


async def test_a_disconnect_inside_the_body(stage: Stage, caller: Caller) -> None:
    """Nothing is left behind: no hold, no open request, no vendor's work."""
    for _ in range(20):
        async with connected(stage.gateway) as line:
            await line.send(raw_request(caller, length=1000)[:-10])
            await asyncio.sleep(0.01)
    await calm(stage)
    assert not stage.vendors["alpha"].log.requests
    assert await caller.lines() == []


async def test_one_request_after_the_other_on_one_connection(stage: Stage, caller: Caller) -> None:
    """A refusal does not spoil the connection for the next request."""
    async with connected(stage.gateway) as line:
        for text, status in (
            (GOOD % "", 200),
            ("{", 400),
            (GOOD % ',"stream":true', 200),
            ("[]", 400),
            (GOOD % "", 200),
        ):
            await line.send(raw_request(caller, body=text.encode()))
            assert (await line.response())[0] == status
