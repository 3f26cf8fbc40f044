"""Mistral's chat completions: ``POST /mistral/v1/chat/completions``.

mistralai 3.7 (chatcompletionrequest.py, thinkchunk.py) and docs.mistral.ai/api (2026-11): unknown fields are refused with 422, ids
of calls are nine letters or digits, reasoning is a chunk of the content, the usage comes with the reason. Messages of refusals as
quoted in issues of github.com/mistralai/client-python and github.com/BerriAI/litellm (2024 to 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from simulator.formats.chat import Body, Chat, Message, counted
from simulator.formats.signed import sign, signed
from simulator.formats.wire_format import Answer, Frame, Json, Refusal, Route, ValidationProblem, sse
from simulator.steps import encode

CALL_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
FIELDS: Final = frozenset(
    {
        *(
            "model",
            "messages",
            "temperature",
            "top_p",
            "max_tokens",
            "stream",
            "stop",
            "random_seed",
            "metadata",
            "response_format",
        ),
        *(
            "tools",
            "tool_choice",
            "presence_penalty",
            "frequency_penalty",
            "min_tokens",
            "repetition_penalty",
            "top_k",
            "logprobs",
        ),
        *(
            "top_logprobs",
            "prompt_logprobs",
            "top_prompt_logprobs",
            "n",
            "prediction",
            "parallel_tool_calls",
            "reasoning_effort",
        ),
        *("prompt_mode", "guardrails", "prompt_cache_key", "service_tier", "safe_prompt"),
    }
)
MESSAGES: Final = {401: "Unauthorized", 429: "Requests rate limit exceeded", 503: "Service unavailable."}


class MistralMessage(Message):
    """An assistant message may be a prefix to continue."""

    prefix: bool = False


class Mistral(Chat):
    """Under a base path of its own."""

    name = "mistral"
    known = FIELDS
    message = MistralMessage
    calls_whole = True

    def route(self, path: str) -> Route | None:
        """The model is in the body."""
        return Route() if path == "/mistral/v1/chat/completions" else None

    def check(self, body: Body, messages: list[Message]) -> None:
        """Ids, counts and the order of roles."""
        waiting: list[str] = []
        before = ""
        for message in messages:
            for id in [call.id for call in message.tool_calls or ()] + (
                [message.tool_call_id] if message.tool_call_id else []
            ):
                if not CALL_ID.fullmatch(id):
                    raise Refusal(
                        400, f"Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.", code="3280"
                    )
            if message.role == "developer":
                raise self.invalid_request(
                    ValidationProblem(
                        "Input tag 'developer' found using 'role' does not match any of the expected tags",
                        "",
                        None,
                        None,
                    )
                )
            if before == "tool" and message.role == "user":
                raise Refusal(400, "Unexpected role 'user' after role 'tool'", code="3230")
            if message.role == "tool" and message.tool_call_id in waiting:
                waiting.remove(message.tool_call_id)
            elif message.role == "tool" or waiting:
                raise Refusal(400, "Not the same number of function calls and responses", code="3230")
            if message.role == "assistant" and not message.content and not message.tool_calls:
                raise Refusal(
                    400, "Assistant message must have either content or tool_calls, but not none.", code="3240"
                )
            waiting += [call.id for call in message.tool_calls or ()]
            before = message.role
        if before not in ("user", "tool") and not getattr(messages[-1] if messages else None, "prefix", False):
            text = f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {before or 'none'}"
            raise Refusal(400, text, code="3230")
        if waiting:
            raise Refusal(400, "Not the same number of function calls and responses", code="3230")

    def plain(self, message: Message, body: Body) -> Json:
        """Thinking chunks, if signed by us, must be whole."""
        found = super().plain(message, body)
        for chunk in message.content if isinstance(message.content, list) else ():
            if chunk.get("type") == "thinking":
                text = "".join(part.get("text", "") for part in chunk.get("thinking", ()))
                if chunk.get("signature") and not signed(chunk["signature"], text):
                    raise Refusal(400, "Invalid signature in thinking chunk", code="3230")
                found["reasoning_content"] = text
        return found

    def reasoned(self, answer: Answer, text: str, *, whole: bool) -> Json:
        """In a whole message the text's chunk follows, see ``message_content``."""
        chunk: Json = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
        if whole:
            chunk |= {"signature": sign(text), "closed": True}
        return {"content": [chunk]}

    def sealed(self, answer: Answer) -> Json:
        """The signature closes the chunk."""
        return {"content": [{"type": "thinking", "thinking": [], "signature": sign(answer.reasoning), "closed": True}]}

    def message_content(self, answer: Answer, text: str) -> Any:
        """A list of chunks if there is reasoning, else the text."""
        if not answer.reasoning:
            return text
        return [*self.reasoned(answer, answer.reasoning, whole=True)["content"], {"type": "text", "text": text}]

    def texted(self, text: str) -> Any:
        """Plain text."""
        return text

    def call_id(self, answer: Answer, number: int) -> str:
        """Nine digits."""
        return f"{int(answer.number):06d}{number:03d}"

    def usage(self, answer: Answer, sent: int | None = None) -> Json | None:
        """Cached tokens are in the details, as at OpenAI."""
        report = counted(answer, sent)
        cached = min(answer.call.script.cached, answer.call.prompt_tokens)
        return report | {"prompt_tokens_details": {"cached_tokens": cached}} if report and cached else report

    def closing(self, answer: Answer) -> Iterator[Frame]:
        """The usage comes with the reason, requested or not."""
        report = self.usage(answer)
        more = {"usage": report} if report else {}
        yield Frame(self._chunk(answer, {"content": ""}, finish=answer.call.finish, **more), usage=True)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """``{"object": "error", "message", "type", "param", "code"}``."""
        text = message or MESSAGES.get(status, "Internal server error" if status >= 500 else "Invalid request")
        kind = "invalid_request_error" if status < 429 else "rate_limited" if status == 429 else "internal_server_error"
        detail: Any = {"detail": [{"type": "extra_forbidden", "loc": ["body", more.get("param")], "msg": text}]}
        shown = detail if status == 422 and more.get("param") else text
        return encode({"object": "error", "message": shown, "type": kind, "param": None, "code": more.get("code")})

    def error_event(self, status: int, code: str | None = None) -> bytes:
        """The envelope inside ``error``."""
        return sse(b'{"error":%b}' % self.envelope(status, code=code))

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """422, worded as FastAPI does."""
        if problem.unknown:
            return Refusal(422, "Extra inputs are not permitted", param=problem.place)
        return Refusal(422, problem.text or f"Field required: {problem.place}", param=problem.place or "messages")
