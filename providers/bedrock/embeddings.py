"""Embeddings of AWS Bedrock: InvokeModel of Amazon Titan and Cohere Embed, in OpenAI's shape.

Titan takes one text a call and counts its tokens in the body (docs.aws.amazon.com/bedrock/latest/userguide/
model-parameters-titan-embed-text.html); Cohere takes 96 and does not (.../model-parameters-embed-v3.html, -v4.html). For both
the count is in the header ``x-amzn-bedrock-input-token-count``. All read 2026-11. ``Target`` and its options are those of
``bedrock.dialect``; ``input_type`` in the options is Cohere's when the caller names none (default ``search_document``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from providers.auth.aws import AwsKeys
from providers.base import Decoder, Dialect
from providers.bedrock.dialect import Signer, authorized
from providers.bedrock.errors import error_from_response
from providers.chat.messages import unsupported
from providers.errors import ProviderError, excerpt, failed
from providers.transport.client import Upstream
from providers.transport.sse import decode
from providers.types import Clocks, Completion, HttpRequest, HttpResponse, Json, Target, Usage
from providers.usage import Counts

TEXTS_MAX = 96
"""Most texts that Cohere takes in one call."""
_TOKENS = "x-amzn-bedrock-input-token-count"


class BedrockEmbeddings(Dialect):
    """``POST {base_url}/model/{id}/invoke``."""

    name: ClassVar[str] = "bedrock"
    operation: ClassVar[str] = "embeddings"

    def __init__(self, keys: AwsKeys | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys or AwsKeys()
        self._signer = Signer(clock)

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        return await authorized(self._keys, target)

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        texts = _texts(body.get("input"))
        make = _titan if "titan" in target.upstream_id.lower() else _cohere
        return self._signer.post(target, "invoke", make(target, body, texts), "application/json")

    def read(self, response: HttpResponse) -> Completion:
        """A 200; the count of tokens is in its headers."""
        completion = self.completion(response.content)
        if completion.usage is None and response.headers.get(_TOKENS, "").isdecimal():
            counts = Counts()
            tokens = counts.take({"tokens": int(response.headers[_TOKENS][:18])}, "tokens")
            completion.usage = Usage(prompt=tokens, suspect=counts.suspect)
        return completion

    def completion(self, raw: bytes) -> Completion:
        if not raw.strip():
            raise failed("empty", "a 200 without a body", status=200)
        body = decode(raw)
        vectors = body.get("embeddings")
        if isinstance(vectors, dict):  # Cohere's answer by type
            vectors = vectors.get("float")
        if vectors is None and isinstance(body.get("embedding"), list):
            vectors = [body["embedding"]]
        if not isinstance(vectors, list) or not vectors or not all(map(_is_vector, vectors)):
            raise failed("malformed", "the answer has no embeddings", status=200, raw=excerpt(raw))
        usage = None
        if "inputTextTokenCount" in body:
            counts = Counts()
            usage = Usage(prompt=counts.take(body, "inputTextTokenCount"), suspect=counts.suspect)
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        return Completion({"object": "list", "data": data}, usage)

    def decoder(self) -> Decoder:
        raise NotImplementedError("embeddings are not streamed")

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise unsupported("input", "this vendor takes texts only")
    return texts


def _titan(target: Target, body: Json, texts: list[str]) -> Json:
    if len(texts) > 1:
        raise unsupported("input", "this model takes one text a call")
    sent: Json = {"inputText": texts[0]}
    if body.get("dimensions") is not None:
        if "v1" in target.upstream_id:
            raise unsupported("dimensions", "this model has fixed dimensions")
        sent["dimensions"] = body["dimensions"]
    return sent


def _cohere(target: Target, body: Json, texts: list[str]) -> Json:
    if "cohere" not in target.upstream_id.lower() and target.options.get("family") != "cohere":
        raise unsupported("model", f"{target.upstream_id} is not a model of Titan or Cohere")
    if len(texts) > TEXTS_MAX:
        raise unsupported("input", f"this model takes {TEXTS_MAX} texts a call")
    kind = body.get("input_type") or target.options.get("input_type", "search_document")
    sent: Json = {"texts": texts, "input_type": kind, "embedding_types": ["float"]}
    if body.get("dimensions") is not None:
        if "embed-v4" not in target.upstream_id:
            raise unsupported("dimensions", "this model has fixed dimensions")
        sent["output_dimension"] = body["dimensions"]
    return sent


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) in (int, float) for one in value)
