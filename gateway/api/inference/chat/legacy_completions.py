"""``POST /completions``: OpenAI's legacy text completions, said to chat models as one message of the user.

``logprobs: n`` becomes ``top_logprobs: n`` and comes back in the old columns. ``echo`` puts the prompt before the answer (without
log probabilities of its own: no chat model gives them). A ``suffix`` is told to the model in words, for want of a field.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.chat import legacy_schema
from gateway.api.inference.response_fields import conceals, explain, identity, usage_view
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
_OWN = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})


class Said(Json):
    """An inner request that remembers what must be echoed: vendors are not told, they would refuse the field."""

    __slots__ = ("echo",)

    def __init__(self, body: Json, echo: str) -> None:
        super().__init__(body)
        self.echo = echo


class Completions(Surface):
    name = "completions"
    path = "/completions"
    summary = "Text completion (legacy)"
    request_type = legacy_schema.CompletionsRequest

    def accept(self, body: Json) -> Json:
        legacy_schema.check(body)
        chat = {name: value for name, value in body.items() if value is not None and name not in _OWN}
        prompt = body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
        suffix, logprobs = body.get("suffix"), body.get("logprobs")
        said = FILL_IN.format(prompt=prompt, suffix=suffix) if suffix else prompt
        chat["messages"] = [{"role": "user", "content": said}]
        if logprobs is not None:
            chat["logprobs"] = True
            if logprobs:
                chat["top_logprobs"] = logprobs
        return Said(chat, prompt if body.get("echo") else "")

    def answer(self, generation: Generation) -> Json:
        completion = generation.attempts.completion
        assert completion is not None
        echo, hidden = _echo(generation.request), conceals(generation.request)
        choices = []
        for index, choice in enumerate(completion.body["choices"]):
            said = _choice(choice, choice.get("message") or {}, index, hidden=hidden)
            said["text"] = echo + said["text"]
            if said["logprobs"] is not None:
                said["logprobs"] = columns(choice["logprobs"], len(echo))
            choices.append(said)
        told = {**identity(generation), "object": OBJECT, "choices": choices, "usage": usage_view(generation)}
        if generation.request.explain:
            told["openrouter_metadata"] = explain(generation)
        return told

    def encoder(self, generation: Generation) -> Encoder:
        return CompletionsEncoder(generation)

    def late(self, ask: InferenceRequest, error: GatewayError) -> bytes:
        model = ask.body.get("model") or ask.body["models"][0]
        return _failed({"id": ask.id, "created": int(ask.created_at), "model": model}, error, "error") + sse.DONE


class CompletionsEncoder:
    """Inner chunks to chunks of text."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._frame = {**identity(generation), "object": OBJECT}
        self._hidden = conceals(generation.request)
        self._echo = _echo(generation.request)
        self._offset = len(self._echo)

    def events(self, events: list[Event]) -> bytes:
        frames = []
        for event in events:
            choices = []
            found: Any = event.chunk.get("choices") or ()
            for index, choice in enumerate(found):
                said = _choice(choice, choice.get("delta") or {}, index, hidden=self._hidden)
                if said["logprobs"] is not None:
                    said["logprobs"] = columns(choice["logprobs"], self._offset)
                self._offset += len(said["text"])
                if said["text"] or said["finish_reason"] or said.get("reasoning") or said["logprobs"]:
                    choices.append(said)
            if choices:
                choices[0]["text"] = self._echo + choices[0]["text"]
                self._echo = ""
                frames.append(sse.frame({**self._frame, "choices": choices}))
        return b"".join(frames)

    def finish(self) -> bytes:
        last: Json = {**self._frame, "choices": [], "usage": usage_view(self._generation)}
        if self._generation.request.explain:
            last["openrouter_metadata"] = explain(self._generation)
        return sse.frame(last) + sse.DONE

    def failure(self, error: GatewayError, finish_reason: str) -> bytes:
        usage = usage_view(self._generation) if self._generation.ended else None
        return _failed(self._frame, error, finish_reason, usage) + sse.DONE


def _echo(ask: InferenceRequest) -> str:
    return ask.body.echo if isinstance(ask.body, Said) else ""


def _failed(frame: Json, error: GatewayError, finish_reason: str, usage: Json | None = None) -> bytes:
    choice = {"text": "", "index": 0, "finish_reason": finish_reason, "native_finish_reason": None, "logprobs": None}
    chunk: Json = {**frame, "object": OBJECT, "error": error.envelope()["error"], "choices": [choice]}
    if usage is not None:
        chunk["usage"] = usage
    return sse.frame(chunk)


def _choice(choice: Json, said: Json, position: int, *, hidden: bool) -> Json:
    texts = (said.get("content"), said.get("refusal"))
    finish = choice.get("finish_reason")
    logprobs = choice.get("logprobs")
    told: Json = {
        "text": "".join(text for text in texts if isinstance(text, str)),
        "index": choice.get("index", position),
        "finish_reason": finish,
        "native_finish_reason": choice.get("native_finish_reason", finish),
        "logprobs": logprobs if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list) else None,
    }
    for name in () if hidden else ("reasoning", "reasoning_details"):
        if said.get(name):
            told[name] = said[name]
    return told


def columns(logprobs: Json, offset: int) -> Json:
    """Log probabilities of chat in the columns of old; ``offset``: characters before the first token."""
    told: Json = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in logprobs["content"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
            continue
        tops = entry.get("top_logprobs")
        told["tokens"].append(entry["token"])
        told["token_logprobs"].append(entry.get("logprob"))
        told["top_logprobs"].append(
            {
                top["token"]: top.get("logprob")
                for top in (tops if isinstance(tops, list) else ())
                if isinstance(top, dict) and isinstance(top.get("token"), str)
            }
        )
        told["text_offset"].append(offset)
        offset += len(entry["token"])
    return told
