"""The faults. ``WHOLE``: the response itself is the fault. ``MIDSTREAM`` (in ``midstream_faults``): after tokens of a good answer.

Both exist for JSON and SSE, and are steps like every answer. A new fault needs a word in the grammar, and an entry in
``REFUSALS`` if a vendor would not bill it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import count, islice

from simulator import tokens
from simulator.bodies import HTML, error_body
from simulator.call import Call
from simulator.chat_completion import closing, content, json_steps, opening, stream_steps, wait, whole_body
from simulator.midstream_faults import cut, cutusage, erroratn, garbage, stall
from simulator.steps import (
    LAST_CHUNK,
    Hang,
    Send,
    Shut,
    Steps,
    Wait,
    chunk,
    comment,
    cut_up,
    event,
    head,
    stream_head,
    whole,
)

PIECE_BYTES = 65_536
JSON, SSE = "application/json", "text/event-stream"
SPLIT_PAUSE_S = 0.0002
"""Long enough for the reader's turn, so that the pieces arrive as pieces."""
REFUSALS = frozenset({"status", "error200", "errorfirst", "rst", "hangup", "wrongtype", "gzipbomb"})
"""Faults that no vendor bills, because it did no work for the request."""


def _chunked_head(kind: str) -> bytes:
    return head(200, [("content-type", kind), ("transfer-encoding", "chunked")])


def error(call: Call) -> Steps:
    """``status=CODE``."""
    script = call.script
    more = [("retry-after", script.retry_after)] if script.retry_after is not None else []
    body, kind = (HTML, "text/html") if script.html else (error_body(script.status, code=script.code), JSON)
    yield from wait(script.slowheaders_ms / 1000)
    yield Send(whole(script.status, body, kind=kind, more=more))


def error200(call: Call) -> Steps:
    """``error200``: the envelope of status=CODE (503), under a 200."""
    yield from wait(call.start_s)
    yield Send(whole(200, error_body(call.script.status, code=call.script.code)))


def errorfirst(call: Call) -> Steps:
    """``errorfirst``."""
    if not call.request.stream:
        yield from error200(call)
        return
    yield from wait(call.start_s)
    yield Send(stream_head(close=call.script.close))
    yield Send(event(error_body(call.script.status, code=call.script.code), crlf=call.script.crlf))
    yield Send(LAST_CHUNK)


def rst(_: Call) -> Steps:
    """``rst``."""
    yield Shut(rst=True)


def hangup(_: Call) -> Steps:
    """``hangup``."""
    yield Shut()


def comments(call: Call) -> Steps:
    """``comments``."""
    stream = bool(call.request.stream)
    yield from wait(call.script.slowheaders_ms / 1000)
    yield Send(stream_head(close=False) if stream else _chunked_head(JSON))
    for number in count():
        yield Wait((call.script.slowheaders_ms + number * call.script.every_ms) / 1000)
        yield Send(comment(crlf=call.script.crlf) if stream else chunk(b"\n"))


def roleonly(call: Call) -> Steps:
    """``roleonly``; JSON: headers only."""
    if call.request.stream:
        yield from opening(call)
    else:
        yield Send(_chunked_head(JSON))
    yield Hang()


def wrongtype(call: Call) -> Steps:
    """``wrongtype``."""
    yield from wait(call.start_s)
    yield Send(whole(200, HTML, kind="text/html; charset=utf-8"))


def emptybody(call: Call) -> Steps:
    """``emptybody``."""
    yield from wait(call.start_s)
    if call.request.stream:
        yield Send(stream_head(close=call.script.close) + LAST_CHUNK)
    else:
        yield Send(whole(200, b""))


def hugeline(call: Call) -> Steps:
    """``hugeline=MB``: one content of that size, sent piece by piece so that the simulator itself stays small."""
    size = call.script.megabytes << 20
    if call.request.stream:
        yield from opening(call)
        before, after = b"data: " + call.head + b'{"content":"', b'"},"finish_reason":null}]}\n\n'
    else:
        yield Send(_chunked_head(JSON))
        before, _, after = whole_body(call).partition(b'"content":"')
        before += b'"content":"'
    yield Send(chunk(before))
    for _ in range(0, size, PIECE_BYTES):
        yield Send(chunk(b"x" * PIECE_BYTES))
    yield Send(chunk(after))
    yield from closing(call) if call.request.stream else iter([Send(LAST_CHUNK)])


def gzipbomb(call: Call) -> Steps:
    """``gzipbomb=MB``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    kind = SSE if call.request.stream else JSON
    names = [("content-type", kind), ("content-encoding", "gzip"), ("transfer-encoding", "chunked")]
    yield Send(head(200, names))
    for _ in range(call.script.megabytes):
        yield from (Send(chunk(packed)) for packed in [packer.compress(b" " * (1 << 20))] if packed)
    yield Send(chunk(packer.flush()) + LAST_CHUNK)


def badchunk(call: Call) -> Steps:
    """``badchunk``."""
    yield Send(_chunked_head(SSE if call.request.stream else JSON) + b"zz\r\n{}\r\n0\r\n\r\n")
    yield Shut()


def doublelength(call: Call) -> Steps:
    """``doublelength``."""
    body = whole_body(call)
    headers = [("content-type", JSON), ("content-length", "10"), ("content-length", str(len(body)))]
    yield Send(head(200, headers) + body)
    yield Shut()


def endless(call: Call) -> Steps:
    """``endless``."""
    if call.request.stream:
        yield from opening(call)
        yield from content(call)
        return
    yield from wait(call.start_s)
    yield Send(_chunked_head(JSON))
    yield Send(chunk(whole_body(call).partition(b'"content":"')[0] + b'"content":"'))
    stream, batch = tokens.numbered(), call.script.batch
    for number in count():
        yield from wait(call.due_s(number * batch))
        yield Send(chunk("".join(islice(stream, batch)).encode()), batch)


WHOLE: dict[str, Callable[[Call], Steps]] = {
    "status": error,
    "error200": error200,
    "errorfirst": errorfirst,
    "rst": rst,
    "hangup": hangup,
    "comments": comments,
    "roleonly": roleonly,
    "wrongtype": wrongtype,
    "emptybody": emptybody,
    "hugeline": hugeline,
    "gzipbomb": gzipbomb,
    "badchunk": badchunk,
    "doublelength": doublelength,
    "endless": endless,
    "cutusage": cutusage,
}
MIDSTREAM: dict[str, Callable[[Call], Steps]] = {"stall": stall, "cut": cut, "garbage": garbage, "erroratn": erroratn}
FAULTS = WHOLE | MIDSTREAM


def steps(call: Call) -> Steps:
    """The answer of one request, faults and slicing included."""
    script = call.script
    if script.fault is not None:
        response = FAULTS[script.fault](call)
    else:
        response = stream_steps(call) if call.request.stream else json_steps(call)
    if script.drip_ms:
        return cut_up(response, 1, script.drip_ms / 1000)
    return cut_up(response, script.split, SPLIT_PAUSE_S) if script.split else response


def generated(call: Call, sent: int, elapsed_s: float) -> int:
    """Tokens the vendor has worked for: those sent; of a JSON answer those ready by now, but none after its fault."""
    script = call.script
    if call.request.stream or sent:
        return sent
    if script.fault is None:
        return call.ready(elapsed_s)
    return min(script.at, call.ready(elapsed_s)) if script.fault in MIDSTREAM else 0
