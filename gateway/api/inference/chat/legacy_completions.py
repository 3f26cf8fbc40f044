"""``POST /completions``: OpenAI's legacy text completions, sent to chat models as one message of the user.

``logprobs: n`` becomes ``top_logprobs: n``, and the answer has the old format's columns. ``echo`` puts the prompt before the
answer, without log probabilities of its own: no chat model gives them. A ``suffix`` becomes part of the message, because chat has
no field for it.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.chat import legacy_schema
from gateway.api.inference.response_fields import explain, hides_reasoning, identity, usage_view
from gateway.api.inference.surface import Encoder, Surface
from gateway.errors import GatewayError
from gateway.pipeline.generation import Generation
from gateway.pipeline.request import InferenceRequest
from gateway.server import sse
from providers.types import Event

Json = dict[str, Any]
OBJECT = "text_completion"
FILL_IN = (
    "Write the text that belongs between the prefix and the suffix. Answer with that text alone.\n"
    "<prefix>{prompt}</prefix>\n<suffix>{suffix}</suffix>"
)
_NOT_CHAT = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})
"""Fields that chat does not have, or with another meaning."""


class Completions(Surface):
    name = "completions"
    path = "/completions"
    summary = "Text completion (legacy)"
    request_type = legacy_schema.CompletionsRequest

    def accept(self, original: Json) -> Json:
        legacy_schema.check(original)
        chat = {name: value for name, value in original.items() if value is not None and name not in _NOT_CHAT}
        prompt, suffix, logprobs = _prompt(original), original.get("suffix"), original.get("logprobs")
        text = FILL_IN.format(prompt=prompt, suffix=suffix) if suffix else prompt
        chat["messages"] = [{"role": "user", "content": text}]
        if logprobs is not None:
            chat["logprobs"] = True
            if logprobs:
                chat["top_logprobs"] = logprobs
        return chat

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        echo, hidden = _echo(generation.request), hides_reasoning(generation.request)
        choices = []
        for index, choice in enumerate(completion.body["choices"]):
            view = _choice(choice, choice.get("message") or {}, index, hidden=hidden)
            view["text"] = echo + view["text"]
            if view["logprobs"] is not None:
                view["logprobs"] = columns(choice["logprobs"], len(echo))
            choices.append(view)
        answer = {**identity(generation), "object": OBJECT, "choices": choices, "usage": usage_view(generation)}
        if generation.request.explain:
            answer["openrouter_metadata"] = explain(generation)
        return answer

    def encoder(self, generation: Generation) -> Encoder:
        return CompletionsEncoder(generation)

    def late_failure(self, request: InferenceRequest, error: GatewayError) -> bytes:
        model = request.body.get("model") or request.body["models"][0]
        identity = {"id": request.id, "created": int(request.created_at), "model": model}
        return _failed(identity, error, "error") + sse.DONE


class CompletionsEncoder:
    """Inner chunks → chunks of text."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._identity = {**identity(generation), "object": OBJECT}
        self._hidden = hides_reasoning(generation.request)
        self._echo = _echo(generation.request)
        """What must still be put before the text."""
        self._offset = len(self._echo)
        """Characters sent so far, the echo included."""

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            choices = []
            inner: Any = event.chunk.get("choices") or ()
            for index, choice in enumerate(inner):
                view = _choice(choice, choice.get("delta") or {}, index, hidden=self._hidden)
                if view["logprobs"] is not None:
                    view["logprobs"] = columns(choice["logprobs"], self._offset)
                self._offset += len(view["text"])
                if view["text"] or view["finish_reason"] or view.get("reasoning") or view["logprobs"]:
                    choices.append(view)
            if choices:
                choices[0]["text"] = self._echo + choices[0]["text"]
                self._echo = ""
                frames.append(sse.frame({**self._identity, "choices": choices}))
        return b"".join(frames)

    def finish(self) -> bytes:
        last: Json = {**self._identity, "choices": [], "usage": usage_view(self._generation)}
        if self._generation.request.explain:
            last["openrouter_metadata"] = explain(self._generation)
        return sse.frame(last) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        usage = usage_view(self._generation) if self._generation.ended else None
        return _failed(self._identity, error, finish_reason, usage) + sse.DONE


def _prompt(original: Json) -> str:
    prompt: str | list[str] = original["prompt"]
    return prompt if isinstance(prompt, str) else prompt[0]


def _echo(request: InferenceRequest) -> str:
    return _prompt(request.original) if request.original.get("echo") else ""


def _failed(identity: Json, error: GatewayError, finish_reason: str, usage: Json | None = None) -> bytes:
    choice = {"text": "", "index": 0, "finish_reason": finish_reason, "native_finish_reason": None, "logprobs": None}
    chunk: Json = {**identity, "object": OBJECT, "error": error.envelope()["error"], "choices": [choice]}
    if usage is not None:
        chunk["usage"] = usage
    return sse.frame(chunk)


def _choice(choice: Json, message: Json, position: int, *, hidden: bool) -> Json:
    """A choice of a text completion, out of a choice of chat and its message or delta."""
    texts = (message.get("content"), message.get("refusal"))
    finish = choice.get("finish_reason")
    logprobs = choice.get("logprobs")
    view: Json = {
        "text": "".join(text for text in texts if isinstance(text, str)),
        "index": choice.get("index", position),
        "finish_reason": finish,
        "native_finish_reason": choice.get("native_finish_reason", finish),
        "logprobs": logprobs if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list) else None,
    }
    for name in () if hidden else ("reasoning", "reasoning_details"):
        if message.get(name):
            view[name] = message[name]
    return view


def columns(logprobs: Json, offset: int) -> Json:
    """Chat's log probabilities in the legacy format: a list per column. ``offset``: characters before the first token."""
    found: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in logprobs["content"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
            continue
        tops = entry.get("top_logprobs")
        found["tokens"].append(entry["token"])
        found["token_logprobs"].append(entry.get("logprob"))
        found["top_logprobs"].append(
            {
                top["token"]: top.get("logprob")
                for top in (tops if isinstance(tops, list) else ())
                if isinstance(top, dict) and isinstance(top.get("token"), str)
            }
        )
        found["text_offset"].append(offset)
        offset += len(entry["token"])
    return found
