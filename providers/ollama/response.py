"""Whole answers of Ollama's chat in the inner language, and the parts that streams share. Pure.

Sources: docs.ollama.com/api (chat), ``api/types.go`` of the server, types of its SDK (``ollama`` 0.6.3);
2026-11.

- A tool call comes whole, with an object of arguments; older servers give it no id. Ours is a hash of the answer's time, the
  call's position and its content: the same however the bytes are split, another in every answer.
- ``eval_count`` includes thinking. A missing or zero ``prompt_eval_count`` (a cached prompt on older servers) means that the
  usage is unknown.
- ``done_reason`` ``load`` and ``unload``: the model was loaded or unloaded, without an answer.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from providers.chat.messages import reasoning_detail
from providers.errors import failed
from providers.ollama.errors import error_from_body, malformed
from providers.ollama.messages import THOUGHT
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts

FINISH: Final = {"stop": "stop", "length": "length"}


def completion(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: the error it carries, empty, or malformed."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    reader = Reader()
    delta = reader.read(body)
    for call in delta.get("tool_calls", ()):
        del call["index"]
    message: Json = {"role": "assistant", "content": None, "refusal": None, **delta}
    if message["content"] is None and not reader.calls:
        message["content"] = ""
    choice: Any = {"index": 0, "message": message, **reader.finish(body)}
    if "logprobs" in body:
        choice["logprobs"] = logprobs(body)
    answer = {
        "id": "",
        "object": "chat.completion",
        "created": 0,
        "model": text_of(body.get("model")),
        "choices": [choice],
    }
    return Completion(answer, usage_of(body))


class Reader:
    """Translates the messages of one answer and numbers its tool calls."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def read(self, body: Json) -> Json:
        """The delta of one document. Raises ``ProviderError``: its error, or malformed."""
        if body.get("error"):
            raise error_from_body(body)
        message = body.get("message")
        if message is None and body.get("done") is True:
            message = {}
        if not isinstance(message, dict):
            raise malformed("no message", body)
        delta: Json = {}
        content, thinking = message.get("content"), message.get("thinking")
        if not isinstance(content, str | None) or not isinstance(thinking, str | None):
            raise malformed("content or thinking is not a text", body)
        if content:
            delta["content"] = content
        if thinking:
            delta["reasoning"], delta["reasoning_details"] = thinking, [reasoning_detail(THOUGHT, 0, thinking)]
        calls = message.get("tool_calls")
        if calls:
            if not isinstance(calls, list):
                raise malformed("tool_calls is not a list", body)
            delta["tool_calls"] = [self._call(call, body) for call in calls]
        return delta

    def _call(self, call: Any, body: Json) -> Json:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise malformed("a tool call without the name of a function", body)
        arguments = function.get("arguments")
        if not isinstance(arguments, dict | str | None):
            raise malformed("arguments are not an object", body)
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
        id, number = call.get("id"), self.calls
        self.calls += 1
        if not isinstance(id, str) or not id:
            seed = f"{body.get('created_at')}\0{number}\0{function['name']}\0{text}"
            id = "call_" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
        return {
            "index": number,
            "id": id,
            "type": "function",
            "function": {"name": function["name"], "arguments": text or "{}"},
        }

    def finish(self, body: Json) -> Json:
        """``finish_reason`` and ``native_finish_reason`` of the last document. Raises ``ProviderError``: empty or cut."""
        native = body.get("done_reason")
        native = native if isinstance(native, str) else None
        if native in ("load", "unload"):
            raise failed("empty", f"the model gave no answer ({native})", status=200)
        if body.get("done") is not True:
            raise failed("cut", "the answer ended before done", status=200)
        ours = FINISH.get(native or "stop", "stop")
        return {
            "finish_reason": "tool_calls" if self.calls and ours == "stop" else ours,
            "native_finish_reason": native,
        }


def text_of(value: Any) -> str:
    """``value`` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def logprobs(body: Json) -> Json:
    """``logprobs`` of a choice."""
    items = body.get("logprobs")
    found = []
    for item in items if isinstance(items, list) else ():
        token = _token(item)
        if token is not None:
            others = item.get("top_logprobs")
            tops = [_token(other) for other in others] if isinstance(others, list) else []
            found.append({**token, "top_logprobs": [top for top in tops if top is not None]})
    return {"content": found, "refusal": None}


def _token(item: Any) -> Json | None:
    if not isinstance(item, dict) or not isinstance(item.get("token"), str):
        return None
    if type(item.get("logprob")) not in (int, float):
        return None
    return {"token": item["token"], "logprob": item["logprob"], "bytes": list(item["token"].encode("utf-8", "replace"))}


def usage_of(body: Json) -> Usage | None:
    """The counts of the last document; None when it has none."""
    counts = Counts()
    prompt, completion = counts.take(body, "prompt_eval_count"), counts.take(body, "eval_count")
    if not prompt and not counts.suspect:
        return None
    return Usage(prompt=prompt, completion=completion, suspect=counts.suspect)
