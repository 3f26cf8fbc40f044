"""Rerank as Jina, Together, Voyage, SiliconFlow, Novita and vLLM have it: ``POST /rerank``.

``Target.options`` beside those of every operation (see ``operation``):

- ``rerank_objects: true``: documents may be objects; else they go out as plain text, and pictures are refused.

Sources: api.jina.ai/redoc, docs.voyageai.com/reference/reranker-api, docs.together.ai/reference/rerank, docs.siliconflow.cn
(``meta.tokens``, ``meta.billed_units``), novita.ai/docs; 2026-11.
"""

from __future__ import annotations

from typing import Any, ClassVar

from providers.errors import failed
from providers.openai.errors import malformed
from providers.openai.operation import Operation
from providers.openai.response import json_object
from providers.transport.client import Upstream
from providers.types import Call, Clocks, Completion, HttpRequest, Json, Target, Usage
from providers.usage import Counts, normalise


class Rerank(Operation):
    """``POST /rerank`` as Jina, Together, Voyage, SiliconFlow, Novita and vLLM have it; results are sorted, the best first."""

    operation: ClassVar[str] = "rerank"
    path: ClassVar[str] = "/rerank"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = dict(body)
        if not target.options.get("rerank_objects"):
            sent["documents"] = [_document_text(index, one) for index, one in enumerate(body.get("documents", ()))]
        return super().request(target, sent, stream=stream)

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        completion = await super().complete(upstream, target, call, clocks)
        results, documents = completion.body["results"], call.body.get("documents", ())
        if any(result["index"] >= len(documents) for result in results):
            raise failed("malformed", "a result names a document that was not sent", status=200)
        completion.body["results"] = results[: call.body.get("top_n") or len(results)]
        return completion

    def completion(self, raw: bytes) -> Completion:
        body = json_object(raw)
        rows = body.get("results")
        if rows is None:
            rows = body.get("data")  # Voyage
        if not isinstance(rows, list):
            raise malformed("the answer has no results", raw)
        if not rows:
            raise failed("empty", "the answer has no results", status=200)
        results = [_result(row) for row in rows]
        if None in results or len({result["index"] for result in results if result}) != len(rows):
            raise malformed("a result has no index or no score, or an index comes twice", raw)
        ranked = sorted((result for result in results if result), key=lambda result: -result["relevance_score"])
        answer: Json = {"results": ranked}
        if isinstance(body.get("id"), str):
            answer["id"] = body["id"]
        return Completion(answer, _rerank_usage(body))


def _document_text(index: int, document: Any) -> str:
    if isinstance(document, str):
        return document
    if document.get("image") is not None or document.get("text") is None:
        raise failed("unsupported", f"documents[{index}].image: this provider ranks text only")
    return str(document["text"])


def _result(row: Any) -> Json | None:
    """One result, or None for a row without an index or a score."""
    if not isinstance(row, dict):
        return None
    index, score, document = row.get("index"), row.get("relevance_score", row.get("score")), row.get("document")
    if type(index) is not int or index < 0 or type(score) not in (int, float):
        return None
    result: Json = {"index": index, "relevance_score": score}
    if isinstance(document, str):
        result["document"] = {"text": document}
    elif isinstance(document, dict):
        kept = {name: document[name] for name in ("text", "image") if isinstance(document.get(name), str)}
        if kept:
            result["document"] = kept
    return result


def _rerank_usage(body: Json) -> Usage | None:
    """Tokens (``usage``; SiliconFlow: ``meta.tokens``) and search units (as Cohere reports them: ``meta.billed_units``)."""
    meta = body.get("meta")
    billed, tokens = (meta.get("billed_units"), meta.get("tokens")) if isinstance(meta, dict) else (None, None)
    sources = [one for one in (body.get("usage"), tokens, body.get("tokens"), billed) if isinstance(one, dict)]
    if not sources:
        return None
    counts = Counts()
    prompt = next((n for one in sources if (n := counts.take(one, "prompt_tokens", "input_tokens", "total_tokens"))), 0)
    units = next((n for one in sources if (n := counts.take(one, "search_units"))), 0)
    return Usage(
        prompt=prompt,
        units={"search_unit": units} if units else None,
        cost_usd=normalise(sources[0]).cost_usd,
        suspect=counts.suspect,
    )
