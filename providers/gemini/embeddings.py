"""Embeddings of AI Studio and Vertex.

Sources: google-genai 3.4 ``models.embed_content`` (read 2026-11). AI Studio has ``:batchEmbedContents``; Vertex has
``:embedContent`` and ``:batchEmbedContents`` for models with gemini in their name and ``:predict`` for the older ones, where a
text that is too long is cut silently unless ``autoTruncate`` is false: an error is better than an embedding of half a text.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from providers.base import Decoder, Dialect
from providers.errors import ProviderError, failed
from providers.gemini.dialect import post
from providers.gemini.errors import error_from_response
from providers.gemini.messages import Profile, parts_of
from providers.gemini.response import document
from providers.gemini.usage import usage_of
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target, Usage
from providers.usage import Counts

_TASKS: Final = {
    "search_query": "RETRIEVAL_QUERY", "query": "RETRIEVAL_QUERY", "search_document": "RETRIEVAL_DOCUMENT",
    "document": "RETRIEVAL_DOCUMENT", "passage": "RETRIEVAL_DOCUMENT", "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING", "semantic_similarity": "SEMANTIC_SIMILARITY", "question_answering": "QUESTION_ANSWERING",
    "fact_verification": "FACT_VERIFICATION", "code_retrieval_query": "CODE_RETRIEVAL_QUERY",
    "retrieval_query": "RETRIEVAL_QUERY", "retrieval_document": "RETRIEVAL_DOCUMENT",
}  # fmt: skip


class GeminiEmbeddings(Dialect):
    """``POST {base_url}/models/{id}:batchEmbedContents`` and its relatives."""

    name: ClassVar[str] = "gemini"
    operation: ClassVar[str] = "embeddings"
    inlines_media: ClassVar[bool] = True

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        contents = self._contents(body.get("input"))
        config: Json = {}
        if body.get("input_type") is not None:
            task = _TASKS.get(str(body["input_type"]).lower())
            if task is None:
                raise failed("unsupported", f"input_type {str(body['input_type'])[:40]!r} is unknown to Gemini")
            config["taskType"] = task
        if body.get("dimensions") is not None:
            config["outputDimensionality"] = body["dimensions"]
        if self.name == "gemini":
            model = f"models/{target.upstream_id.removeprefix('models/')}"
            requests = [{"model": model, "content": {"parts": parts}, **config} for parts in contents]
            return post(target, "batchEmbedContents", {"requests": requests}, self.name)
        if "gemini" not in target.upstream_id:
            return post(target, "predict", _predict_body(contents, config), self.name)
        config["autoTruncate"] = False
        requests = [{"content": {"parts": parts}, "embedContentConfig": config} for parts in contents]
        if len(requests) == 1:
            return post(target, "embedContent", requests[0], self.name)
        return post(target, "batchEmbedContents", {"requests": requests}, self.name)

    def _contents(self, given: Any) -> list[list[Json]]:
        """The parts of each input. Raises ``ProviderError`` (unsupported)."""
        inputs = given if isinstance(given, list) else [given]
        profile = Profile(origin=self.name, takes_urls=not self.inlines_media, gemini_3=False)
        made = []
        for index, one in enumerate(inputs):
            where = f"input[{index}]"
            if isinstance(one, int | list):
                raise failed("unsupported", f"{where} holds token ids, Gemini takes text")
            content = one.get("content") if isinstance(one, dict) else one
            if content is None:
                raise failed("unsupported", f"{where} is neither text nor content")
            made.append(parts_of(content, profile, where))
        if not made or not all(made):
            raise failed("unsupported", "input is empty")
        return made

    def completion(self, raw: bytes) -> Completion:
        if not raw.strip():
            raise failed("empty", "a 200 without a body", status=200)
        body = document(raw)
        found = body.get("embeddings") or body.get("predictions")
        if found is None and "embedding" in body:
            found = [body["embedding"]]
        if not isinstance(found, list) or not found:
            raise failed("malformed", "the answer has no embeddings", status=200)
        data = []
        counts = Counts()
        tokens = 0
        for index, one in enumerate(found):
            inner = one.get("embeddings", one) if isinstance(one, dict) else None
            inner = inner if isinstance(inner, dict) else {}
            values = inner.get("values")
            if not isinstance(values, list) or not all(type(value) in (float, int) for value in values) or not values:
                raise failed("malformed", f"embedding {index} is not a list of numbers", status=200)
            tokens += counts.take(inner.get("statistics"), "token_count", "tokenCount")
            data.append({"object": "embedding", "index": index, "embedding": values})
        usage = usage_of(body.get("usageMetadata"))
        if usage is None and (tokens or counts.suspect):
            usage = Usage(prompt=tokens, suspect=counts.suspect)
        return Completion({"object": "list", "data": data}, usage)

    def decoder(self) -> Decoder:
        raise failed("unsupported", "embeddings are not streamed")

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def _predict_body(contents: list[list[Json]], config: Json) -> Json:
    instances = []
    for index, parts in enumerate(contents):
        if any("text" not in part for part in parts):
            raise failed("unsupported", f"input[{index}] holds more than text, this model takes text only")
        one = {"content": "".join(part["text"] for part in parts)}
        if "taskType" in config:
            one["task_type"] = config["taskType"]
        instances.append(one)
    parameters = {name: value for name, value in config.items() if name == "outputDimensionality"}
    return {"instances": instances, "parameters": {"autoTruncate": False, **parameters}}
