"""Ollama's embeddings: ``POST {base_url}/api/embed`` (docs.ollama.com/api/embed, 2026-11). ``Target.options`` as of chat."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from providers.chat.messages import unsupported
from providers.errors import ProviderError
from providers.ollama.dialect import post
from providers.ollama.errors import error_from_body, error_from_response
from providers.ollama.request import runtime_options
from providers.ollama.response import usage_of
from providers.openai.embeddings import Embeddings
from providers.openai.errors import malformed
from providers.openai.response import json_object
from providers.transport.sse import decode
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target


class _Embedded(msgspec.Struct):
    """Typed, so that msgspec checks the numbers while it reads them."""

    embeddings: list[list[float]]
    model: Any = None
    prompt_eval_count: Any = None


_read = msgspec.json.Decoder(_Embedded).decode


class OllamaEmbeddings(Embeddings):
    """``POST {base_url}/api/embed``: texts only. A text that is too long is refused, not truncated."""

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
        sent.update(runtime_options(options, {}))
        return post(target, "/api/embed", sent)

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read(raw)
        except (ValueError, RecursionError) as error:
            body = json_object(raw) if not raw.strip() else decode(raw)
            if body.get("error"):
                raise error_from_body(body) from error
            raise malformed(f"the answer has no readable embeddings: {error}", raw) from error
        if not answer.embeddings or not all(answer.embeddings):
            raise malformed("the answer has no embeddings, or an empty one", raw)
        rows = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(answer.embeddings)
        ]
        usage = usage_of({"prompt_eval_count": answer.prompt_eval_count})
        return Completion({"object": "list", "data": rows, "model": answer.model}, usage)

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)
