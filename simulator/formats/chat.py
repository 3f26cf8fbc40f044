"""OpenAI's chat completions at vendors that extend or restrict them: what they share.

The plain ``/v1/chat/completions`` of ``vendor`` takes anything; these read strictly. Messages and their order: platform.openai.com/
docs/api-reference/chat and openai 3.54 (2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from simulator import chat_completion
from simulator.bodies import error_body
from simulator.call import ChatRequest, Part, StreamOptions
from simulator.formats.wire_format import (
    Answer,
    Frame,
    Json,
    ParsedRequest,
    Refusal,
    Route,
    ValidationProblem,
    WireFormat,
    as_reported,
    counts,
    sse,
)
from simulator.http import Request
from simulator.steps import encode


class Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class ToolCall(Struct, forbid_unknown_fields=True):
    id: str
    function: Function
    type: Literal["function"] = "function"
    index: int | None = None


class Message(Struct, forbid_unknown_fields=True):
    """A message with the fields of every role; a vendor's own ones are in its subclass."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Json] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class Body(Struct):
    """The fields that every one of them has; the others by name, in ``Chat.known``."""

    messages: list[Json]
    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[Json] | None = None
    user: str | None = None


KNOWN = frozenset(
    {
        *(
            "messages",
            "model",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "tools",
            "tool_choice",
            "user",
        ),
        *(
            "parallel_tool_calls",
            "temperature",
            "top_p",
            "n",
            "stop",
            "seed",
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
        ),
        *(
            "logprobs",
            "top_logprobs",
            "response_format",
            "reasoning_effort",
            "verbosity",
            "modalities",
            "audio",
            "prediction",
        ),
        *("store", "metadata", "service_tier", "web_search_options", "prompt_cache_key", "safety_identifier"),
    }
)
"""OpenAI's own (openai 3.54, types/chat/completion_create_params.py)."""
_RAW = msgspec.json.Decoder(Json)


class Chat(WireFormat):
    """What a vendor overrides: ``route``, ``known``, ``message``, how reasoning is written and read."""

    known: ClassVar[frozenset[str]] = KNOWN
    message: ClassVar[type[Message]] = Message
    calls_whole: ClassVar[bool] = False
    """A call comes in one event, arguments and all."""

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Reads the body; the deployment in the path is the model."""
        raw = self.decode(_RAW, request.body)
        for name in raw.keys() - self.known:
            raise self.invalid_request(ValidationProblem("", "", name, None))
        if route.model is not None:
            raw["model"] = route.model
        body = self.convert(raw, Body, "")
        messages = [self.convert(one, self.message, f"messages[{at}]") for at, one in enumerate(body.messages)]
        self.check(body, messages)
        for tool in body.tools or ():
            if tool.get("type") == "function" and not isinstance((tool.get("function") or {}).get("name"), str):
                raise self.invalid_request(ValidationProblem("", "tools[0].function", None, "name"))
        plain = [self.plain(message, body) for message in messages]
        more = {
            name: getattr(body, name) for name in ("stream", "stream_options", "max_tokens", "max_completion_tokens")
        }
        chat = ChatRequest(body.model, plain, tools=body.tools or None, **more)
        return ParsedRequest(chat, body.user, may_reason=self.thinks(raw), memo=raw)

    def check(self, body: Body, messages: list[Message]) -> None:
        """Every tool call has its result, every result its call. Raises ``Refusal``."""
        waiting: list[str] = []
        for at, message in enumerate(messages):
            if message.role == "tool":
                if message.tool_call_id not in waiting:
                    text = (
                        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    )
                    text += "'tool_calls'."
                    raise Refusal(400, text, param=f"messages.[{at}].role")
                waiting.remove(message.tool_call_id)
                continue
            if waiting:
                text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                text += "'tool_call_id'. "
                text += f"The following tool_call_ids did not have response messages: {', '.join(waiting)}"
                raise Refusal(400, text, param=f"messages.[{at}].role")
            waiting = [call.id for call in message.tool_calls or ()]
            if message.content is None and not message.tool_calls:
                raise Refusal(
                    400, "Invalid value for 'content': expected a string, got null.", param=f"messages.[{at}].content"
                )

    def thinks(self, raw: Json) -> bool:
        """The request lets the model reason."""
        return raw.get("reasoning_effort") != "none"

    def plain(self, message: Message, body: Body) -> Json:
        """The message for ``call.prepare``, with its reasoning where it is ours and whole. Raises ``Refusal``."""
        return {"role": message.role, "content": message.content}

    def reasoned(self, answer: Answer, text: str, *, whole: bool) -> Json:
        """Fields of a message (``whole``) or of a delta that carry reasoning; empty when reasoning is not shown."""
        return {}

    def texted(self, text: str) -> Any:
        """A piece of text as a delta's content."""
        return text

    def call_id(self, answer: Answer, number: int) -> str:
        """The id of a call."""
        return chat_completion.call_id(answer.call, number)

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """A chat completion."""
        message: Json = {"role": "assistant", "content": None}
        calls: list[Json] = []
        for part, text in answer.texts(sent):
            if part.kind == "reasoning_content":
                message |= self.reasoned(answer, text, whole=True)
            elif part.kind == "content":
                message["content"] = self.message_content(answer, text)
            else:
                calls.append(self._call(answer, len(calls), part, text))
        if calls:
            message["tool_calls"] = calls
        choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.call.finish}
        report = self.usage(answer, sent)
        return self.frame(answer, "chat.completion") | {"choices": [choice]} | ({"usage": report} if report else {})

    def message_content(self, answer: Answer, text: str) -> Any:
        """The text of a whole message."""
        return text

    def frame(self, answer: Answer, kind: str) -> Json:
        """The fields of every answer and every chunk."""
        call = answer.call
        return {"id": call.id, "object": kind, "created": call.created, "model": call.request.model}

    def usage(self, answer: Answer, sent: int | None = None) -> Json | None:
        """The report."""
        found = chat_completion.usage(answer.call, answer.call.planned if sent is None else sent)
        return None if counts(answer.call) is None else found

    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The role, the tokens, the reason, the counts, the end mark."""
        yield from self.opening(answer)
        number = -1
        for part in answer.call.parts:
            if part.kind == "arguments":
                number += 1
            if part.kind == "arguments" and self.calls_whole:
                call = self._call(answer, number, part, "".join(part.pieces))
                yield Frame(self._chunk(answer, {"tool_calls": [{"index": number} | call]}), len(part.pieces))
                continue
            if part.kind == "arguments":
                yield Frame(
                    self._chunk(answer, {"tool_calls": [{"index": number} | self._call(answer, number, part, "")]})
                )
            for text, amount in answer.runs(part):
                if part.kind == "arguments":
                    delta: Json = {"tool_calls": [{"index": number, "function": {"arguments": text}}]}
                elif part.kind == "content":
                    delta = {"content": self.texted(text)}
                else:
                    delta = self.reasoned(answer, text, whole=False)
                yield Frame(self._chunk(answer, delta) if delta else b"", amount)
            if part.kind == "reasoning_content" and (sealed := self.sealed(answer)):
                yield Frame(self._chunk(answer, sealed))
        yield from self.closing(answer)
        yield Frame(sse(b"[DONE]"))

    def sealed(self, answer: Answer) -> Json:
        """A delta after the reasoning: its signature."""
        return {}

    def opening(self, answer: Answer) -> Iterator[Frame]:
        """Before the first token."""
        yield Frame(self._chunk(answer, {"role": "assistant", "content": ""}))

    def closing(self, answer: Answer) -> Iterator[Frame]:
        """The finish reason, then the usage if it was requested."""
        yield Frame(self._chunk(answer, {}, finish=answer.call.finish))
        report = self.usage(answer)
        if report and chat_completion.wants_usage(answer.call):
            yield Frame(sse(self.frame(answer, "chat.completion.chunk") | {"choices": [], "usage": report}), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """OpenAI's."""
        if message is None:
            return error_body(status, code=more.get("code"))
        error = {
            "message": message,
            "type": "invalid_request_error",
            "param": more.get("param"),
            "code": more.get("code"),
        }
        return encode({"error": error})

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The envelope as an event."""
        return sse(self.envelope(status, code=code))

    def frame_bytes(self, data: bytes) -> bytes:
        """Events have no names."""
        return sse(data)

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """Worded as OpenAI's chat completions do."""
        if problem.unknown and not problem.path:
            return Refusal(400, f"Unrecognized request argument supplied: {problem.unknown}")
        if problem.unknown:
            return Refusal(400, f"Unknown parameter: '{problem.place}'.", param=problem.place, code="unknown_parameter")
        if problem.missing:
            text = f"Missing required parameter: '{problem.place}'."
            return Refusal(400, text, param=problem.place, code="missing_required_parameter")
        return Refusal(
            400, f"Invalid type for '{problem.place}': {problem.text}", param=problem.place, code="invalid_type"
        )

    def _call(self, answer: Answer, number: int, part: Part, arguments: str) -> Json:
        function = {"name": part.tool, "arguments": arguments}
        return {"id": self.call_id(answer, number), "type": "function", "function": function}

    def _chunk(self, answer: Answer, delta: Json, finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(self.frame(answer, "chat.completion.chunk") | {"choices": [choice]} | more)


def counted(answer: Answer, sent: int | None = None) -> Json | None:
    """The plain three numbers."""
    report = counts(answer.call, sent)
    if report is None:
        return None
    found: Json = {"prompt_tokens": report.prompt, "completion_tokens": report.completion}
    return as_reported(answer.call, found | {"total_tokens": report.prompt + report.completion})
