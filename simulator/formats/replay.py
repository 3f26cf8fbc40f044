"""An answer of any format as steps: pacing, and the faults that can befall every wire format.

The faults are those of ``faults`` and ``placed``, made anew on a format's frames; what those two make without looking at the answer
(resets, HTML, bombs) is used as it is.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from typing import Final

from simulator.answer import wait
from simulator.bodies import GARBAGE, HTML
from simulator.faults import FAULTS, SPLIT_PAUSE_S
from simulator.formats.wire_format import Answer, Frame, WireFormat
from simulator.steps import LAST_CHUNK, Hang, Send, Shut, Step, Steps, Wait, chunk, cut_up, encode, head, whole

JSON: Final = "application/json"
SAME: Final = frozenset({"rst", "hangup", "wrongtype", "gzipbomb"})
"""Faults that do not look at the answer."""
OWN: Final = frozenset(
    {
        "status",
        "error200",
        "errorfirst",
        "erroratn",
        "cut",
        "cutusage",
        "stall",
        "garbage",
        "roleonly",
        "comments",
        "emptybody",
    }
)


def steps(format: WireFormat, turn: Answer) -> Steps:
    """The answer of one request, faults and slicing included."""
    script = turn.call.script
    made = _steps(format, turn)
    if script.drip_ms:
        return cut_up(made, 1, script.drip_ms / 1000)
    return cut_up(made, script.split, SPLIT_PAUSE_S) if script.split else made


def _steps(format: WireFormat, turn: Answer) -> Steps:
    fault = turn.call.script.fault
    if fault in SAME:
        return FAULTS[fault](turn.call)
    if fault == "status":
        return _refused(format, turn)
    if fault == "error200" or (fault == "errorfirst" and not turn.call.request.stream):
        return _error200(format, turn)
    return _stream(format, turn) if turn.call.request.stream else _whole(format, turn)


def _refused(format: WireFormat, turn: Answer) -> Steps:
    script = turn.call.script
    more = [("retry-after", script.retry_after)] if script.retry_after is not None else []
    body = HTML if script.html else format.envelope(script.status, code=script.code)
    kind = "text/html" if script.html else JSON
    yield from wait(script.slowheaders_ms / 1000)
    yield Send(whole(script.status, body, kind=kind, more=[*more, *format.headers(script.status, script.code)]))


def _error200(format: WireFormat, turn: Answer) -> Steps:
    script = turn.call.script
    yield from wait(turn.call.start_s)
    yield Send(whole(200, format.envelope(script.status, code=script.code)))


# -- JSON --------------------------------------------------------------------------------------------------------------


def _whole(format: WireFormat, turn: Answer) -> Steps:
    call, script = turn.call, turn.call.script
    if script.fault == "comments" or script.fault == "roleonly":
        yield Send(_chunked_head(JSON))
        yield from _for_ever(script.every_ms, b"\n") if script.fault == "comments" else iter([Hang()])
        return
    if script.fault in ("erroratn", "emptybody", "garbage"):
        body = b"" if script.fault == "emptybody" else GARBAGE[script.mutation % len(GARBAGE)]
        if script.fault == "erroratn":
            body = format.envelope(script.status, code=script.code)
        yield from wait(call.due_s(min(script.at, call.planned)))
        yield Send(whole(200, body))
        return
    if script.fault == "stall" and not script.at:
        yield Hang()
    body = encode(format.body(turn))
    yield from wait(call.due_s(call.planned))
    if script.fault is None:
        more = [("connection", "close")] if script.close else []
        yield Send(whole(200, body, more=more), call.planned)
        return
    part = body[:-20] if script.fault == "cutusage" else body[: len(body) // 2]
    if script.fault == "cut" and script.clean:
        yield Send(whole(200, part))
        return
    yield Send(head(200, [("content-type", JSON), ("content-length", str(len(body)))]) + part)
    yield Hang() if script.fault == "stall" else Shut(rst=script.rst)


# -- streams -----------------------------------------------------------------------------------------------------------


def _stream(format: WireFormat, turn: Answer) -> Steps:
    call, script = turn.call, turn.call.script
    if (script.fault == "stall" and not script.at) or (script.fault == "comments" and not format.keepalive):
        yield Hang()
    yield from wait(script.slowheaders_ms / 1000)
    yield Send(_chunked_head(format.stream_kind, close=script.close))
    if script.fault == "comments":
        yield from _for_ever(script.every_ms, format.keepalive)
    elif script.fault == "errorfirst":
        yield from wait(call.start_s)
        yield Send(chunk(format.error_event(script.status, script.code)))
    elif script.fault != "emptybody":
        ended = yield from _frames(format, turn)
        if ended:
            return
    yield Send(LAST_CHUNK)


def _frames(format: WireFormat, turn: Answer) -> Generator[Step, None, bool]:
    """The frames until the fault, or all of them. True: nothing may follow."""
    call, script, sent = turn.call, turn.call.script, 0
    placed = script.fault in ("cut", "stall", "erroratn", "garbage", "roleonly")
    for frame in format.frames(turn):
        if placed and (frame.tokens or frame.usage) and sent >= script.at:
            if (yield from _broken(format, turn, frame)):
                return True
            placed = False
        if script.fault == "cutusage" and frame.usage:
            yield Shut()
            return True
        if frame.tokens:
            yield from wait(call.due_s(sent))
        if script.keepalives and format.keepalive:
            yield Send(chunk(format.keepalive))
        if frame.data:
            yield Send(chunk(frame.data), frame.tokens)
        else:
            yield Send(b"", frame.tokens)
        sent += frame.tokens
    if placed:
        return (yield from _broken(format, turn, Frame(b"")))
    return False


def _broken(format: WireFormat, turn: Answer, following: Frame) -> Generator[Step, None, bool]:
    """The placed fault, before the frame ``following``. Garbage goes on, all others end the answer."""
    script = turn.call.script
    if script.fault == "garbage":
        yield Send(chunk(format.frame_bytes(GARBAGE[script.mutation % len(GARBAGE)])))
        return False
    if script.fault in ("stall", "roleonly"):
        yield Hang()
    if script.fault == "erroratn":
        yield Send(chunk(format.error_event(script.status, script.code)))
        yield Send(LAST_CHUNK)
        return True
    torn = following.data[: len(following.data) // 2] if script.midline or script.midutf8 else b""
    if torn:
        yield Send(chunk(torn) if script.clean else b"%x\r\n" % len(following.data) + torn)
    yield Send(LAST_CHUNK) if script.clean else Shut(rst=script.rst)
    return True


def _chunked_head(kind: str, *, close: bool = False) -> bytes:
    more = [("connection", "close")] if close else []
    return head(200, [("content-type", kind), ("cache-control", "no-cache"), ("transfer-encoding", "chunked"), *more])


def _for_ever(every_ms: float, data: bytes) -> Steps:
    for number in count(1):
        yield Wait(number * every_ms / 1000)
        yield Send(chunk(data))
