"""Faults in the middle of an answer, JSON or SSE: ``at`` tokens of the good answer come first."""

from __future__ import annotations

from simulator.bodies import GARBAGE, error_body
from simulator.call import Call
from simulator.chat_completion import closing, completion, content, finish_event, opening, wait, whole_body
from simulator.steps import LAST_CHUNK, Hang, Send, Shut, Steps, chunk, encode, event, head, whole


def cutusage(call: Call) -> Steps:
    """``cutusage``; JSON: the body ends before its last 20 bytes."""
    if call.request.stream:
        yield from opening(call)
        yield from content(call)
        yield from finish_event(call)
    else:
        yield from _part_of_body(call, whole_body(call)[:-20])
    yield Shut()


def _part_of_body(call: Call, part: bytes) -> Steps:
    """Headers that promise the whole body, and a part of it."""
    yield from wait(call.due_s(min(call.script.at, call.planned)))
    length = str(len(whole_body(call)))
    yield Send(head(200, [("content-type", "application/json"), ("content-length", length)]) + part)


def _until(call: Call) -> Steps:
    """The good answer's first ``at`` tokens."""
    yield from opening(call)
    sent = 0
    for step in content(call) if call.script.at else iter(()):
        yield step
        sent += step.tokens if isinstance(step, Send) else 0
        if sent >= call.script.at:
            return


def stall(call: Call) -> Steps:
    """``stall@N``."""
    if call.script.at:
        yield from _until(call) if call.request.stream else _part_of_body(call, whole_body(call)[:40])
    yield Hang()


def cut(call: Call) -> Steps:
    """``cut@N``, at the place that the modifiers name."""
    script = call.script
    torn = b"caf\xc3" if script.midutf8 else b"caf" if script.midline else b""
    if call.request.stream:
        yield from _until(call)
        if torn:
            part = b"data: " + call.head + b'{"content":"' + torn
            yield Send(b"%x\r\n" % (len(part) + 40) + part if not script.clean else chunk(part))
        if script.clean:
            yield Send(LAST_CHUNK)
            return
    else:
        before, mark, _ = whole_body(call).partition(b'"content":"')
        part = before + mark + (torn or b"000 ") if script.at or torn else b""
        if script.clean:
            yield Send(whole(200, part))
            return
        yield from _part_of_body(call, part)
    yield Shut(rst=script.rst)


def garbage(call: Call) -> Steps:
    """``garbage@N+mutation=K``: the bad event, then the rest of the answer."""
    bad = GARBAGE[call.script.mutation % len(GARBAGE)]
    if not call.request.stream:
        yield from wait(call.due_s(call.planned))
        yield Send(whole(200, bad))
        return
    yield from _until(call)
    yield Send(event(bad, crlf=call.script.crlf))
    yield from content(call, first=call.script.at)
    yield from closing(call)


def erroratn(call: Call) -> Steps:
    """``erroratn@N``; JSON: the first N tokens, finish_reason error, and the error beside it."""
    script = call.script
    envelope = error_body(script.status, code=script.code)
    if call.request.stream:
        yield from _until(call)
        yield Send(event(envelope, crlf=script.crlf))
        yield Send(LAST_CHUNK)
        return
    sent = min(script.at, call.planned)
    yield from wait(call.due_s(sent))
    body = completion(call, finish="error", sent=sent)
    part = encode(body)[:-1] + b"," + envelope[1:]
    yield Send(whole(200, part), sent)
