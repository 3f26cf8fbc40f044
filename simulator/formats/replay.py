"""An answer of any format as steps: pacing, and the faults that exist for every wire format.

The faults are those of ``faults`` and ``midstream_faults``, implemented again on a format's frames. Faults that do not depend on
the answer (resets, HTML, gzip bombs) are used as they are.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from typing import Final

from simulator.bodies import GARBAGE, HTML
from simulator.chat_completion import wait
from simulator.faults import FAULTS, SPLIT_PAUSE_S
from simulator.formats.wire_format import Answer, Frame, WireFormat
from simulator.steps import LAST_CHUNK, Hang, Send, Shut, Step, Steps, Wait, chunk, cut_up, encode, head, whole

JSON: Final = "application/json"
SHARED_FAULTS: Final = frozenset({"rst", "hangup", "wrongtype", "gzipbomb"})
"""Faults that do not look at the answer."""
FORMAT_FAULTS: Final = frozenset(
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


def steps(format: WireFormat, answer: Answer) -> Steps:
    """The answer of one request, faults and slicing included."""
    script = answer.call.script
    response = _steps(format, answer)
    if script.drip_ms:
        return cut_up(response, 1, script.drip_ms / 1000)
    return cut_up(response, script.split, SPLIT_PAUSE_S) if script.split else response


def _steps(format: WireFormat, answer: Answer) -> Steps:
    fault = answer.call.script.fault
    if fault in SHARED_FAULTS:
        return FAULTS[fault](answer.call)
    if fault == "status":
        return _refused(format, answer)
    if fault == "error200" or (fault == "errorfirst" and not answer.call.request.stream):
        return _error200(format, answer)
    return _stream(format, answer) if answer.call.request.stream else _whole(format, answer)


def _refused(format: WireFormat, answer: Answer) -> Steps:
    script = answer.call.script
    more = [("retry-after", script.retry_after)] if script.retry_after is not None else []
    body = HTML if script.html else format.envelope(script.status, code=script.code)
    kind = "text/html" if script.html else JSON
    yield from wait(script.slowheaders_ms / 1000)
    yield Send(whole(script.status, body, kind=kind, more=[*more, *format.headers(script.status, script.code)]))


def _error200(format: WireFormat, answer: Answer) -> Steps:
    script = answer.call.script
    yield from wait(answer.call.start_s)
    yield Send(whole(200, format.envelope(script.status, code=script.code)))


# -- JSON --------------------------------------------------------------------------------------------------------------


def _whole(format: WireFormat, answer: Answer) -> Steps:
    call, script = answer.call, answer.call.script
    if script.fault == "comments" or script.fault == "roleonly":
        yield Send(_chunked_head(JSON))
        yield from _repeat(script.every_ms, b"\n") if script.fault == "comments" else iter([Hang()])
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
    body = encode(format.body(answer))
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


def _stream(format: WireFormat, answer: Answer) -> Steps:
    call, script = answer.call, answer.call.script
    if (script.fault == "stall" and not script.at) or (script.fault == "comments" and not format.keepalive):
        yield Hang()
    yield from wait(script.slowheaders_ms / 1000)
    yield Send(_chunked_head(format.stream_kind, close=script.close))
    if script.fault == "comments":
        yield from _repeat(script.every_ms, format.keepalive)
    elif script.fault == "errorfirst":
        yield from wait(call.start_s)
        yield Send(chunk(format.error_event(script.status, script.code)))
    elif script.fault != "emptybody":
        ended = yield from _frames(format, answer)
        if ended:
            return
    yield Send(LAST_CHUNK)


def _frames(format: WireFormat, answer: Answer) -> Generator[Step, None, bool]:
    """The frames until the fault, or all of them. Returns True when nothing may follow."""
    call, script, sent = answer.call, answer.call.script, 0
    fault_is_due = script.fault in ("cut", "stall", "erroratn", "garbage", "roleonly")
    for frame in format.frames(answer):
        if fault_is_due and (frame.tokens or frame.usage) and sent >= script.at:
            if (yield from _broken(format, answer, frame)):
                return True
            fault_is_due = False
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
    if fault_is_due:
        return (yield from _broken(format, answer, Frame(b"")))
    return False


def _broken(format: WireFormat, answer: Answer, following: Frame) -> Generator[Step, None, bool]:
    """The midstream fault, before the frame ``following``. After garbage the answer goes on; all others end it."""
    script = answer.call.script
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


def _repeat(every_ms: float, data: bytes) -> Steps:
    for number in count(1):
        yield Wait(number * every_ms / 1000)
        yield Send(chunk(data))
