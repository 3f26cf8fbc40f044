"""The answer of a healthy vendor: an OpenAI chat completion, whole or as events. Pure: a call in, steps out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from simulator import tokens
from simulator.call import Call, Part
from simulator.steps import LAST_CHUNK, Send, Steps, Wait, comment, encode, event, ok, stream_head


def usage(call: Call, completion: int) -> dict[str, Any] | None:
    """The usage object for this many completion tokens, distorted by ``usage=KIND``."""
    kind, prompt = call.script.usage, call.prompt_tokens
    reasoned = sum(len(part.pieces) for part in call.parts if part.kind == "reasoning_content")
    if kind == "none":
        return None
    if kind in ("zero", "negative", "absurd"):
        factor = {"zero": 0, "negative": -1, "absurd": 1_000_000}[kind]
        prompt, completion, reasoned = prompt * factor, completion * factor, 0
    report: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if kind == "text":
        return {name: str(value) for name, value in report.items()}
    report["prompt_tokens_details"] = {"cached_tokens": max(0, min(call.script.cached, prompt))}
    report["completion_tokens_details"] = {"reasoning_tokens": min(reasoned, completion)}
    return report


def completion(call: Call, *, finish: str | None, sent: int | None = None) -> dict[str, Any]:
    """The JSON body, with the first ``sent`` tokens of the answer (default: all)."""
    parts = shown(call, sent)
    texts = {part.kind: "".join(part.pieces) for part in parts}
    message: dict[str, Any] = {"role": "assistant", "content": texts.get("content"), "refusal": None}
    if "reasoning_content" in texts:
        message["reasoning_content"] = texts["reasoning_content"]
    calls = [part for part in parts if part.kind == "arguments"]
    if calls:
        message["tool_calls"] = [
            {"id": call_id(call, number), "type": "function", "function": _function(part, "".join(part.pieces))}
            for number, part in enumerate(calls)
        ]
    body: dict[str, Any] = {
        "id": call.id,
        "object": "chat.completion",
        "created": call.created,
        "model": call.request.model,
    }
    body["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
    report = usage(call, call.planned if sent is None else sent)
    if report is not None:
        body["usage"] = report
    return body


def shown(call: Call, sent: int | None) -> list[Part]:
    """The parts with their first ``sent`` tokens together (None: all)."""
    left, parts = call.planned if sent is None else sent, []
    for part in call.parts:
        parts.append(replace(part, pieces=part.pieces[:left]))
        left = max(0, left - len(part.pieces))
    return parts


def call_id(call: Call, number: int) -> str:
    """The id of a tool call."""
    return f"call_{call.id[13:]}" + (f"_{number}" if number else "")


def _function(part: Part, arguments: str) -> dict[str, str]:
    return {"name": part.tool, "arguments": arguments}


def whole_body(call: Call) -> bytes:
    """The JSON body as bytes."""
    return encode(completion(call, finish=call.finish))


def json_steps(call: Call) -> Steps:
    """A JSON answer without faults."""
    yield from wait(call.due_s(call.planned))
    body = whole_body(call)
    if call.script.keepalives:
        body = b"\n" * 8 + body
    yield Send(ok(body, close=call.script.close), call.planned)


def wait(until_s: float) -> Steps:
    """One ``Wait``, or no step for a time that is not positive."""
    if until_s > 0:
        yield Wait(until_s)


def opening(call: Call) -> Steps:
    """Headers and the role-only first event, as OpenAI sends it."""
    yield from wait(call.script.slowheaders_ms / 1000)
    yield Send(stream_head(close=call.script.close))
    yield Send(chunk_of(call, b'{"role":"assistant","content":"","refusal":null}'))


def chunk_of(call: Call, delta: bytes, *, finish: str | None = None, sent: int | None = None) -> bytes:
    """One event. ``sent`` adds the running usage (usage=cumulative)."""
    tail = b',"logprobs":null,"finish_reason":%b}]' % encode(finish)
    if sent is not None:
        tail += b',"usage":%b' % encode(usage(call, sent))
    elif wants_usage(call):
        tail += b',"usage":null'
    return event(call.head + delta + tail + b"}", crlf=call.script.crlf)


def wants_usage(call: Call) -> bool:
    """The request asked for usage in the stream; otherwise OpenAI sends no usage (API reference, 2026-11)."""
    return call.request.stream_options is not None and call.request.stream_options.include_usage


def delta_of(kind: str, text: str, number: int = 0) -> bytes:
    """The delta that carries one run of tokens; ``number`` of the tool call."""
    if kind == "arguments":
        return encode({"tool_calls": [{"index": number, "function": {"arguments": text}}]})
    return encode({kind: text})


def runs(call: Call) -> Iterator[tuple[Part, int, list[str]]]:
    """The answer cut into events: the part, how many parts of its kind came before, and ``batch`` tokens of it.

    Endless when the script says so.
    """
    parts: Iterable[tuple[Part, Iterable[str]]] = [(part, part.pieces) for part in call.parts]
    if call.script.fault == "endless":
        parts = [(Part("content", []), tokens.numbered())]
    before: dict[str, int] = {}
    for part, source in parts:
        stream = iter(source)
        while run := list(islice(stream, call.script.batch)):
            yield part, before.get(part.kind, 0), run
        before[part.kind] = before.get(part.kind, 0) + 1


def content(call: Call, first: int = 0) -> Steps:
    """The tokens, paced, without opening and end; the first ``first`` are left out."""
    sent, opened = 0, 0
    cumulative = call.script.usage == "cumulative"
    for part, number, run in runs(call):
        if part.kind == "arguments" and number == opened:
            opened += 1
            if sent >= first:
                yield Send(_call_opening(call, part, number))
        sent += len(run)
        if sent <= first:
            continue
        yield from wait(call.due_s(sent - len(run)))
        if call.script.keepalives:
            yield Send(comment(crlf=call.script.crlf))
        data = chunk_of(call, delta_of(part.kind, "".join(run), number), sent=sent if cumulative else None)
        yield Send(data, len(run))


def _call_opening(call: Call, part: Part, number: int) -> bytes:
    """The first delta of a tool call: its id and name, no token yet."""
    opened = {"index": number, "id": call_id(call, number), "type": "function", "function": _function(part, "")}
    return chunk_of(call, encode({"tool_calls": [opened]}))


def finish_event(call: Call) -> Steps:
    """The event with the finish_reason; some vendors put the usage on it (usage=onfinish)."""
    yield Send(
        chunk_of(call, b"{}", finish=call.finish, sent=call.planned if call.script.usage == "onfinish" else None)
    )


def usage_event(call: Call) -> Steps:
    """The usage on an event of its own, with an empty list of choices."""
    report = usage(call, call.planned)
    requested = wants_usage(call) or call.script.usage not in ("normal", "none")
    if report is None or not requested or call.script.usage == "onfinish":
        return
    frame: dict[str, Any] = {"id": call.id, "object": "chat.completion.chunk", "created": call.created}
    data = event(encode({**frame, "model": call.request.model, "choices": [], "usage": report}), crlf=call.script.crlf)
    for _ in range(2 if call.script.usage == "twice" else 1):
        yield Send(data)


def closing(call: Call) -> Steps:
    """Finish event, usage, end mark."""
    yield from finish_event(call)
    if call.script.usage != "afterdone":
        yield from usage_event(call)
    yield Send(event(b"[DONE]", crlf=call.script.crlf))
    if call.script.usage == "afterdone":
        yield from usage_event(call)
    yield Send(LAST_CHUNK)


def stream_steps(call: Call) -> Steps:
    """A streamed answer without faults."""
    yield from opening(call)
    yield from content(call)
    yield from closing(call)
