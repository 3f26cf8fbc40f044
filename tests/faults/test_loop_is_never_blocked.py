"""Bodies and vendors' answers made to hold up the event loop: each is refused by a bound that its error names, or worked on in a thread.

What each takes is printed (``-s``), and never asserted: a slow machine is no fault. Bodies are as large as the gateway accepts.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.api.inference.surface import Surface
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from providers.errors import ProviderError
from providers.transport import json_bounds
from providers.transport.sse import SseDecoder, decode_repaired
from providers.types import Event
from tests.support.gateway import Sale, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")
MB = 2**20
SIZE = 19 * MB
CHAT = '{"model":"t/a","messages":[{"role":"user","content":"hello"}],%s}'
SCHEMA = '"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]'
VALUES, TEXTS = "many values", "texts and names"
DIGITS, ESCAPES, OBJECTS = "digits of numbers", "escaped characters", "objects and lists"
REFUSED_UNREAD, IN_THREAD, ON_LOOP = "refused unread", "in the thread", "on the loop"


class Row(NamedTuple):
    name: str
    body: Callable[[], str]
    words: str
    """In the refusal; "" for a request that is served."""
    where: str
    path: str = "/chat/completions"


def field(piece: str, size: int = SIZE) -> Callable[[], str]:
    """An unknown field with a list of these."""
    return lambda: CHAT % f'"x":[{piece * (size // len(piece))}0]'


def keys(count: int) -> str:
    return "{" + ",".join(f'"{number:x}":1' for number in range(count)) + "}"


def properties(count: int, last: str = "{}") -> str:
    inner = "".join(f'"p{number}":{{}},' for number in range(count))
    return f'{{"type":"object","properties":{{{inner}"z":{last}}}}}'


def picture(url: str) -> str:
    part = json.dumps({"type": "image_url", "image_url": {"url": url}})
    return f'{{"model":"t/a","messages":[{{"role":"user","content":[{part}]}}]}}'


def attached(data: str) -> str:
    part = json.dumps(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + data}}
    )
    return f'{{"model":"t/a","messages":[{{"role":"user","content":[{part}]}}]}}'


def other(piece: str, rest: str) -> Callable[[], str]:
    return lambda: f'{{"model":"t/a",{rest},"x":[{piece * (SIZE // len(piece))}0]}}'


SALE = Sale("t/a", "alpha", more={"input_modalities": ["text", "image", "file"]})
NESTED = "[" * 60 + "]" * 60 + ","
MESSAGES = '"max_tokens":9,"messages":[{"role":"user","content":"hello"}]'
ROWS = [
    Row("lists", field("[],"), OBJECTS, REFUSED_UNREAD),
    Row("objects", field("{},"), OBJECTS, REFUSED_UNREAD),
    Row("nested lists", field(NESTED), OBJECTS, REFUSED_UNREAD),
    Row("nested lists, 500 kB", field(NESTED, 500_000), OBJECTS, ON_LOOP),
    Row("nested lists, 430 kB", field(NESTED, 430_000), OBJECTS, ON_LOOP),
    Row("lists, 500 kB", field("[],", 500_000), OBJECTS, ON_LOOP),
    Row("lists, 150 kB", field("[],", 150_000), "", IN_THREAD),
    Row("too deep", lambda: CHAT % f'"x":{"[" * 65 + "]" * 65}', "nested deeper than 64", ON_LOOP),
    Row("far too deep", lambda: CHAT % f'"x":{"[" * 200_000}', "nested deeper than 64", ON_LOOP),
    Row("integers", field("1,"), VALUES, REFUSED_UNREAD),
    Row("integers of 600 digits", field("9" * 600 + ","), DIGITS, REFUSED_UNREAD),
    Row("an integer of 100,000 digits", lambda: CHAT % f'"x":{"9" * 100_000}', "not valid JSON", ON_LOOP),
    Row("an exponent", lambda: CHAT % '"x":1e999999', "not valid JSON", ON_LOOP),
    Row("names of fields", lambda: CHAT % f'"x":{keys(1_500_000)}', TEXTS, REFUSED_UNREAD),
    Row("one name repeated", lambda: CHAT % ('"x":1,' * (SIZE // 6) + '"x":1'), TEXTS, REFUSED_UNREAD),
    Row("short texts", field('"ab",'), TEXTS, REFUSED_UNREAD),
    Row("escapes", lambda: CHAT % f'"x":"{"a" + chr(92) + "n"}{(chr(92) + "n") * (SIZE // 2)}"', ESCAPES, REFUSED_UNREAD),
    Row("surrogates", lambda: CHAT % f'"x":"{(chr(92) + "ud83d" + chr(92) + "ude00") * (SIZE // 12)}"', ESCAPES, REFUSED_UNREAD),
    Row("letters beyond ASCII", lambda: CHAT % f'"x":"{"ż" * (SIZE // 2)}"', "bytes beyond ASCII", REFUSED_UNREAD),
    Row("500,000 properties", lambda: CHAT % SCHEMA % properties(500_000), OBJECTS, REFUSED_UNREAD),
    Row("20,000 properties", lambda: CHAT % SCHEMA % properties(20_000), "more than 5,000", IN_THREAD),
    Row("4,900 properties, the last wrong", lambda: CHAT % SCHEMA % properties(4_900, '{"type":7}'), "z.type", IN_THREAD),
    Row("semicolons in a data URL", lambda: picture("data:image/png" + ";" * SIZE), "not a data URL", IN_THREAD),
    Row("commas in a data URL", lambda: picture("data:image/png;base64," + "," * SIZE), "not base64", IN_THREAD),
    Row("padding in a data URL", lambda: picture("data:image/png;base64,AA" + "=" * SIZE), "not base64", IN_THREAD),
    Row("blanks in a data URL", lambda: picture("data:image/png;base64," + " " * SIZE), "not base64", IN_THREAD),
    Row("words of base64 in a file", lambda: attached("AA " * (SIZE // 3)), "", IN_THREAD),
    Row("words of padding in a file", lambda: attached("AAA" + "= " * (SIZE // 2)), "not base64", IN_THREAD),
    Row("commas in a text", lambda: CHAT % f'"x":"{"a,[{," * (8 * MB // 5)}"', "", IN_THREAD),
    Row("messages: lists", other("[],", MESSAGES), OBJECTS, REFUSED_UNREAD, "/messages"),
    Row("count_tokens: lists", other("[],", MESSAGES), OBJECTS, REFUSED_UNREAD, "/messages/count_tokens"),
    Row("responses: lists", other("[],", '"input":"hello"'), OBJECTS, REFUSED_UNREAD, "/responses"),
    Row("completions: lists", other("[],", '"prompt":"hello"'), OBJECTS, REFUSED_UNREAD, "/completions"),
    Row("embeddings: integers", other("1,", '"input":"hello"'), VALUES, REFUSED_UNREAD, "/embeddings"),
    Row("rerank: objects", other("{},", '"query":"a","documents":["b"]'), OBJECTS, REFUSED_UNREAD, "/rerank"),
    Row("images: lists", other("[],", '"prompt":"hello"'), OBJECTS, REFUSED_UNREAD, "/images/generations"),
    Row("speech: texts", other('"a",', '"input":"hello","voice":"a"'), TEXTS, REFUSED_UNREAD, "/audio/speech"),
    Row("transcription: lists", other("[],", '"language":"en"'), OBJECTS, REFUSED_UNREAD, "/audio/transcriptions"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with staged(tmp_path_factory.mktemp("loop"), valkey_server.url, SALE) as made:
        yield made


class Probe:
    """The longest turn of the event loop: CPU of its thread, and the time that others waited."""

    def __init__(self) -> None:
        self.cpu_ms = self.wall_ms = 0.0
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            cpu, wall = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0)
            self.cpu_ms = max(self.cpu_ms, (time.thread_time() - cpu) * 1e3)
            self.wall_ms = max(self.wall_ms, (time.perf_counter() - wall) * 1e3)

    def stop(self) -> None:
        self._task.cancel()


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    """From a thread, so that the probe does not measure the client."""
    server = urlsplit(url)
    connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=60)
    try:
        connection.request("POST", path, body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_bodies(stage: Stage, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused before it is decoded, or decoded in the thread, or too small to matter; the error names the bound."""
    seen: list[str] = []
    understood = Surface._understood

    def noted(self: Surface, *args: Any, on_loop: bool) -> Any:
        seen.append(ON_LOOP if threading.current_thread() is threading.main_thread() else IN_THREAD)
        return understood(self, *args, on_loop=on_loop)

    monkeypatch.setattr(Surface, "_understood", noted)
    body, secret = row.body().encode(), await stage.gateway.key("100")
    probe = Probe()
    headers = {"authorization": f"Bearer {secret}"}
    status, answer = await asyncio.to_thread(post, stage.gateway.url, "/api/v1" + row.path, body, headers)
    probe.stop()
    print(
        f"\n{row.name} | {len(body):,} bytes | {status} | {probe.cpu_ms:.1f} ms of the loop | waited {probe.wall_ms:.1f} ms"
    )
    assert (seen[-1] if seen else REFUSED_UNREAD) == row.where, answer
    if not row.words:
        assert status == 200, answer
    else:
        assert status == 400, answer
        problem = json.dumps(answer, ensure_ascii=False)
        assert row.words in problem, answer


async def test_fields_of_forms(stage: Stage) -> None:
    """A field that holds JSON has a bound of its own."""
    parts = ["--b", 'Content-Disposition: form-data; name="provider"', "", "[" * 70_000, "--b--", ""]
    headers = {
        "authorization": f"Bearer {await stage.gateway.key('1')}",
        "content-type": "multipart/form-data; boundary=b",
    }
    for path in ("/audio/transcriptions", "/images/edits"):
        body = "\r\n".join(parts).encode()
        status, answer = await asyncio.to_thread(post, stage.gateway.url, "/api/v1" + path, body, headers)
        assert (status, answer["error"]["metadata"]["field"]) == (400, "provider"), answer
        assert "65536 bytes" in answer["error"]["message"]


async def test_management_bodies(stage: Stage) -> None:
    """At most 64 kB, whatever they consist of."""
    for body in (
        b"[" * 60_000,
        b"9" * 60_000,
        b'{"name":[' + b"[]," * 21_000 + b"1]}",
        b'{"a":' * 10_000,
        b" " * 70_000,
    ):
        status, answer = await asyncio.to_thread(post, stage.gateway.url, "/api/v1/keys", body, stage.gateway.admin)
        assert status in (400, 413, 422), answer


ANSWERS = {
    "lists": (b'{"choices":[' + b"[]," * (4 * MB) + b"0]}", OBJECTS),
    "objects": (b'{"choices":[' + b"{}," * (4 * MB) + b"0]}", OBJECTS),
    "integers": (b'{"choices":[' + b"1," * (4 * MB) + b"0]}", VALUES),
    "long integers": (b'{"choices":[' + (b"9" * 600 + b",") * 20_000 + b"0]}", DIGITS),
    "names": (b"{" + b'"a":1,' * (2 * MB) + b'"a":1}', TEXTS),
    "escapes": (b'{"a":"' + b"\\n" * (4 * MB) + b'"}', ESCAPES),
}  # fmt: skip


class Reader(SseDecoder):
    """A stream whose events are decoded as any dialect's."""

    def _event(self, name: str, data: bytes) -> Event | None:
        raise AssertionError("an event was decoded that should have been refused")


def arrives(reader: SseDecoder, data: bytes) -> None:
    """As it does from the network: in pieces."""
    for at in range(0, len(data), 256 * 1024):
        reader.feed(data[at : at + 256 * 1024])


@pytest.mark.parametrize("kind", ANSWERS)
async def test_answers(stage: Stage, kind: str) -> None:
    """A whole answer, an event of a stream (SSE; a line or an AWS message): refused before it is decoded, as malformed, so that the
    next endpoint is tried.
    """
    answer, words = ANSWERS[kind]
    with pytest.raises(json_bounds.TooMuch, match=words):
        await json_bounds.check_in_turns(answer)
    reads: tuple[Callable[[], Any], ...] = (
        lambda: arrives(Reader(), b"data: " + answer + b"\n\n"),
        lambda: decode_repaired(answer, {}),
    )
    for read in reads:
        began = time.thread_time()
        with pytest.raises(ProviderError, match=words) as refused:
            read()
        print(f"\nevent of {kind} | {len(answer):,} bytes | in all {(time.thread_time() - began) * 1e3:.1f} ms")
        assert refused.value.failure.kind == "malformed"


@pytest.mark.parametrize("room", [1, json_bounds.VECTORS_ROOM])
async def test_embeddings_have_more_room(stage: Stage, room: int) -> None:
    """A hundred vectors of 3,072 numbers are a usual answer, and no usual chat."""
    vector = b'{"embedding":[' + b",".join([b"-0.01234567890123456"] * 3_072) + b"]}"
    answer = b'{"data":[' + b",".join([vector] * 100) + b"]}"
    if room == 1:
        with pytest.raises(json_bounds.TooMuch, match=DIGITS):
            await json_bounds.check_in_turns(answer, room)
    else:
        await json_bounds.check_in_turns(answer, room)


async def test_texts_do_not_count() -> None:
    """Brackets, commas, quotes and backslashes in texts, wherever a piece ends."""
    said = json.dumps({"x": '\\ "[{,1' * 400_000}).encode()
    for pad in range(4):
        await json_bounds.check_in_turns(b" " * pad + b"[" + said[:900_000] + b'"}]')
    with pytest.raises(json_bounds.TooMuch, match=OBJECTS):
        await json_bounds.check_in_turns(b"[" + said[:900_000] + b'"},' + b"[]," * 120_000 + b"0]")
