"""Ollama's native API: chat (``POST {base_url}/api/chat``) and embeddings (``/api/embed``), ``base_url`` without ``/v1``.

Its OpenAI-compatible endpoint has neither ``num_ctx`` nor a word when it cuts a prompt; that is what this dialect is for.
Requests are made in ``ollama_request``, answers are read in ``ollama_answer``.

``Target.options`` (all optional):

- ``num_ctx``: tokens of context to load the model with; the server's own default is a few thousand.
- ``options``: further options of the runner (``num_gpu``, ``mirostat``, ...); the request's own sampling wins.
- ``keep_alive``: how long the model stays loaded, ``"10m"`` or seconds.
- ``truncate``: ``true`` lets the server cut a prompt that is too long, silently, instead of refusing it.
- ``drop_parameters``, ``extra_body``: fields of the vendor's body to leave out, to merge over it (``null`` removes one).
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from providers.base import Dialect
from providers.chat.messages import unsupported
from providers.errors import ProviderError
from providers.ollama.request import chat_body
from providers.ollama.response import Decoder, fault, refused, usage, whole
from providers.openai.embeddings import Embeddings
from providers.openai.errors import malformed
from providers.openai.response import json_object
from providers.transport.event_json import decode
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


class Ollama(Dialect):
    """``POST {base_url}/api/chat``."""

    name: ClassVar[str] = "ollama"
    inlines_media: ClassVar[bool] = True

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = {**chat_body(target.options, target.upstream_id, body), "stream": stream}
        return _posted(target, "/api/chat", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return whole(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return refused(response)


def _posted(target: Target, path: str, sent: Json, *, stream: bool = False) -> HttpRequest:
    options = target.options
    for name in options.get("drop_parameters", ()):
        sent.pop(name, None)
    sent.update(options.get("extra_body", {}))
    sent = {name: value for name, value in sent.items() if value is not None}
    headers = [
        ("content-type", "application/json"),
        ("accept", "application/x-ndjson" if stream else "application/json"),
    ]
    if target.api_key is not None:
        headers.append(("authorization", f"Bearer {target.api_key}"))
    return HttpRequest(target.base_url + path, (*headers, *target.headers), msgspec.json.encode(sent))


class _Embedded(msgspec.Struct):
    """Typed, so that thousands of numbers are checked while they are read."""

    embeddings: list[list[float]]
    model: Any = None
    prompt_eval_count: Any = None


_read = msgspec.json.Decoder(_Embedded).decode


class OllamaEmbeddings(Embeddings):
    """``POST {base_url}/api/embed``: texts in, numbers out. A text that is too long is refused, not cut."""

    name: ClassVar[str] = "ollama"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise unsupported("stream", "embeddings are not streamed")
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise unsupported("input", "this provider embeds text only")
        options = target.options
        sent: Json = {"model": target.upstream_id, "input": texts, "truncate": bool(options.get("truncate"))}
        if body.get("dimensions") is not None:
            sent["dimensions"] = body["dimensions"]
        runtime = dict(options.get("options", {}))
        if options.get("num_ctx") is not None:
            runtime["num_ctx"] = options["num_ctx"]
        if runtime:
            sent["options"] = runtime
        if options.get("keep_alive") is not None:
            sent["keep_alive"] = options["keep_alive"]
        return _posted(target, "/api/embed", sent)

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read(raw)
        except (ValueError, RecursionError) as error:
            body = json_object(raw) if not raw.strip() else decode(raw)
            if body.get("error"):
                raise fault(body) from error
            raise malformed(f"not an answer with embeddings: {error}", raw) from error
        if not answer.embeddings or not all(answer.embeddings):
            raise malformed("the answer has no embeddings, or an empty one", raw)
        rows = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(answer.embeddings)
        ]
        counted = usage({"prompt_eval_count": answer.prompt_eval_count})
        return Completion({"object": "list", "data": rows, "model": answer.model}, counted)

    def failure(self, response: HttpResponse) -> ProviderError:
        return refused(response)
