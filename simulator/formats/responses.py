"""OpenAI's Responses API: ``POST /v1/responses``, stateless: nothing is stored, whatever ``store`` says.

Items, events and their order: platform.openai.com/docs/api-reference/responses-streaming and openai 3.57 (2026-11). A summary of
the reasoning is given when ``reasoning.summary`` asks for it, the sealed reasoning when ``include`` names
``reasoning.encrypted_content``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulator.bodies import error_body
from simulator.call import ChatRequest, Part
from simulator.formats.responses_shape import (
    ITEMS,
    REQUEST,
    ActionOutput,
    Item,
    Message,
    Output,
    ResponsesRequest,
    Thought,
    Tools,
    check,
)
from simulator.formats.signed import seal, unseal
from simulator.formats.wire_format import (
    Answer,
    Frame,
    Json,
    ParsedRequest,
    Refusal,
    Route,
    ValidationProblem,
    WireFormat,
    arguments_of,
    as_reported,
    counts,
    function,
    reasons,
    sse,
)
from simulator.http import Request
from simulator.steps import encode

SEALED: Final = "reasoning.encrypted_content"
ECHOED: Final = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "temperature",
    "top_p",
    "text",
    "truncation",
    "user",
    "store",
)


class Responses(WireFormat):
    """``/v1/responses``."""

    name = "responses"

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        return Route() if path == "/v1/responses" else None

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Items become messages; returned reasoning is attached to the item after it."""
        body = self.decode(REQUEST, request.body)
        items_given = body.input if isinstance(body.input, list) else [{"role": "user", "content": body.input}]
        items = [self._item(item, at) for at, item in enumerate(items_given)]
        check(body, items, reasons(body.model))
        messages: list[Json] = [{"role": "system", "content": body.instructions}] if body.instructions else []
        messages += [_plain(item) for item in items]
        offered = list(_offered(body, items))
        tools = [function(_key(tool, namespace), _parameters(tool)) for tool, namespace in offered]
        chat = ChatRequest(body.model, messages, body.stream, max_tokens=body.max_output_tokens, tools=tools or None)
        options = _answer_options(body) | {
            "tools": {_key(tool, namespace): (tool, namespace) for tool, namespace in offered}
        }
        return ParsedRequest(chat, body.user or body.safety_identifier, memo=options)

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """A response."""
        output = [_item_of(answer, at, part, text) for at, (part, text) in enumerate(answer.texts(sent))]
        return _response(answer, output, ended=True)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """Every event carries its sequence number."""
        number = 0
        for name, data, tokens in _events(answer):
            if not name:  # thought, but not shown
                yield Frame(b"", tokens)
                continue
            frame = sse({"type": name, "sequence_number": number} | data, name)
            yield Frame(frame, tokens, usage=name in ("response.completed", "response.incomplete"))
            number += 1

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """OpenAI's."""
        if message is None:
            return error_body(status, code=more.get("code"))
        kind = "invalid_request_error" if status < 500 else "server_error"
        return encode(
            {"error": {"message": message, "type": kind, "param": more.get("param"), "code": more.get("code")}}
        )

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """An ``error`` event, flat as documented."""
        known = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
        data = {
            "type": "error",
            "code": code or known.get(status, "server_error"),
            "param": None,
            "sequence_number": 9_999,
        }
        return sse(data | {"message": "The server had an error while processing your request"}, "error")

    def frame_bytes(self, data: bytes) -> bytes:
        """As a piece of text."""
        return sse(data, "response.output_text.delta")

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """In OpenAI's words."""
        place = problem.place
        if problem.unknown:
            return Refusal(400, f"Unknown parameter: '{place}'.", param=place, code="unknown_parameter")
        if problem.missing:
            return Refusal(
                400, f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter"
            )
        return Refusal(400, f"Invalid type for '{place}': {problem.text}", param=place or None, code="invalid_type")

    def _item(self, item: Json, at: int) -> Item:
        kind: type[Item] | None = ITEMS.get(item.get("type", "message"))
        if kind is None:
            place = f"input[{at}]"
            raise Refusal(400, f"Invalid value: '{item.get('type')}'.", param=place, code="invalid_value")
        return self.convert(item, kind, f"input[{at}]")


def _answer_options(body: ResponsesRequest) -> Json:
    echo = {name: getattr(body, name) for name in ECHOED}
    echo["parallel_tool_calls"] = body.parallel_tool_calls is not False
    echo["tools"], echo["tool_choice"] = body.tools or [], body.tool_choice or "auto"
    summary = body.reasoning is not None and (body.reasoning.summary or body.reasoning.generate_summary)
    echo["reasoning"] = {"effort": body.reasoning.effort if body.reasoning else None, "summary": summary or None}
    return {"echo": echo, "summary": bool(summary), "sealed": SEALED in (body.include or ())}


def _offered(body: ResponsesRequest, items: list[Item]) -> Iterator[tuple[Json, str | None]]:
    """Each function and custom tool with its namespace, in order."""
    given = [*(body.tools or ()), *(tool for item in items if isinstance(item, Tools) for tool in item.tools)]
    for tool in given:
        if tool.get("type") == "namespace":
            yield from ((one, tool["name"]) for one in tool.get("tools") or ())
        elif tool.get("type") in ("function", "custom"):
            yield tool, None


def _key(tool: Json, namespace: str | None) -> str:
    return tool["name"] if namespace is None else f"{namespace}.{tool['name']}"


def _parameters(tool: Json) -> Json | None:
    return {"properties": {"input": {"type": "string"}}} if tool.get("type") == "custom" else tool.get("parameters")


def _plain(item: Item) -> Json:
    if isinstance(item, Message):
        return {"role": item.role, "content": item.content}
    if isinstance(item, Output):
        return {"role": "tool", "content": item.output}
    if isinstance(item, ActionOutput) or (isinstance(item, Tools) and item.call_id is not None):
        return {"role": "tool", "content": ""}
    if not isinstance(item, Thought):
        return {"role": "assistant", "content": ""}
    _, thought = unseal(item.encrypted_content or "") or ("", "")  # ``check`` has read it
    return {"role": "assistant", "content": "", "reasoning_content": thought}


def _item_of(answer: Answer, at: int, part: Part, text: str, status: str = "completed") -> Json:
    number, options = answer.number, answer.request.memo
    if part.kind == "reasoning_content":
        item: Json = {"id": f"rs_sim{number}", "type": "reasoning", "summary": []}
        if options["summary"] and text:
            item["summary"] = [{"type": "summary_text", "text": text}]
        if options["sealed"] and status == "completed":
            item["encrypted_content"] = seal(f"rs_sim{number}", "".join(part.pieces))
        return item
    if part.kind == "arguments":
        return _call_of(options["tools"].get(part.tool), part.tool, f"sim{number}x{at}", text) | {"status": status}
    item = {"id": f"msg_sim{number}", "type": "message", "status": status, "role": "assistant", "content": []}
    if status == "completed":
        item["content"] = [_text(text)]
    return item


def _call_of(offered: tuple[Json, str | None] | None, name: str, id: str, arguments: str) -> Json:
    tool, namespace = offered or ({"type": "function", "name": name}, None)
    item: Json = {"call_id": f"call_{id}", "name": tool["name"]} | ({"namespace": namespace} if namespace else {})
    if tool["type"] == "custom":
        text = arguments_of(arguments)["input"] if arguments.endswith("}") else ""  # else cut off
        return {"id": f"ctc_{id}", "type": "custom_tool_call", **item, "input": text}
    return {"id": f"fc_{id}", "type": "function_call", **item, "arguments": arguments}


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(answer: Answer, output: list[Json], *, ended: bool) -> Json:
    limited = ended and answer.call.finish == "length"
    status = "incomplete" if limited else "completed" if ended else "in_progress"
    found: Json = {
        "id": f"resp_sim{answer.number}",
        "object": "response",
        "created_at": answer.call.created,
        "status": status,
    }
    found |= {"error": None, "incomplete_details": {"reason": "max_output_tokens"} if limited else None}
    found |= answer.request.memo["echo"] | {"model": answer.call.request.model, "output": output}
    return found | {"previous_response_id": None, "usage": _usage(answer) if ended else None}


def _usage(answer: Answer) -> Json | None:
    report = counts(answer.call)
    if report is None:
        return None
    found: Json = {
        "input_tokens": report.prompt,
        "input_tokens_details": {"cached_tokens": report.cached, "cache_write_tokens": 0},
        "output_tokens": report.completion,
        "output_tokens_details": {"reasoning_tokens": report.reasoning},
        "total_tokens": report.prompt + report.completion,
    }
    return as_reported(answer.call, found)


def _events(answer: Answer) -> Iterator[tuple[str, Json, int]]:
    yield "response.created", {"response": _response(answer, [], ended=False)}, 0
    yield "response.in_progress", {"response": _response(answer, [], ended=False)}, 0
    output: list[Json] = []
    for at, (part, text) in enumerate(answer.texts()):
        opened, done = _item_of(answer, at, part, "", "in_progress"), _item_of(answer, at, part, text)
        yield "response.output_item.added", {"output_index": at, "item": opened}, 0
        yield from _inside(answer, part, {"item_id": done["id"], "output_index": at}, done)
        yield "response.output_item.done", {"output_index": at, "item": done}, 0
        output.append(done)
    end = "response.incomplete" if answer.call.finish == "length" else "response.completed"
    yield end, {"response": _response(answer, output, ended=True)}, 0


def _inside(answer: Answer, part: Part, where: Json, item: Json) -> Iterator[tuple[str, Json, int]]:
    """The events between an item's beginning and its end."""
    whole = "".join(part.pieces)
    if item["type"] == "custom_tool_call":
        text = item["input"]
        yield "response.custom_tool_call_input.delta", where | {"delta": text}, len(part.pieces)
        yield "response.custom_tool_call_input.done", where | {"input": text}, 0
        return
    if part.kind == "arguments":
        for text, amount in answer.runs(part):
            yield "response.function_call_arguments.delta", where | {"delta": text}, amount
        yield "response.function_call_arguments.done", where | {"name": item["name"], "arguments": whole}, 0
        return
    if part.kind == "reasoning_content":
        yield from _summary(answer, part, where | {"summary_index": 0}, whole)
        return
    where = where | {"content_index": 0}
    yield "response.content_part.added", where | {"part": _text("")}, 0
    for text, amount in answer.runs(part):
        yield "response.output_text.delta", where | {"delta": text, "logprobs": []}, amount
    yield "response.output_text.done", where | {"text": whole, "logprobs": []}, 0
    yield "response.content_part.done", where | {"part": _text(whole)}, 0


def _summary(answer: Answer, part: Part, where: Json, whole: str) -> Iterator[tuple[str, Json, int]]:
    if not answer.request.memo["summary"]:
        yield "", {}, len(part.pieces)
        return
    empty: Json = {"type": "summary_text", "text": ""}
    yield "response.reasoning_summary_part.added", where | {"part": empty}, 0
    for text, amount in answer.runs(part):
        yield "response.reasoning_summary_text.delta", where | {"delta": text}, amount
    yield "response.reasoning_summary_text.done", where | {"text": whole}, 0
    yield "response.reasoning_summary_part.done", where | {"part": empty | {"text": whole}}, 0
