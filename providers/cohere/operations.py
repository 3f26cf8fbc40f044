"""Cohere's embeddings (``POST {base_url}/embed``) and rerank (``POST {base_url}/rerank``), version 2, in the inner language.

Sources: docs.cohere.com/reference/embed and /rerank, types of the vendor's SDK (``cohere`` 7.3); 2026-11.

- ``input_type`` is demanded: what the caller says, else ``Target.options["input_type"]``, else ``search_document``.
  ``embedding_types`` is always ``float``. At most 96 inputs a call. Tokens are refused: the vendor takes text and pictures.
- Billed are ``meta.billed_units``: ``text_tokens`` and ``image_tokens`` where they are told apart, else ``input_tokens``;
  ``search_units`` for rerank, whose tokens cost nothing. A bill by picture (``images``, Embed 3) has no unit here.
- Rerank takes plain texts. ``max_tokens_per_doc`` and ``priority`` pass.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from providers.chat.messages import data_of, inner, unsupported, url_of
from providers.cohere.dialect import posted
from providers.cohere.response import fault, opened, refused
from providers.errors import ProviderError, failed
from providers.openai.embeddings import Embeddings
from providers.openai.errors import malformed
from providers.openai.rerank import Rerank
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target, Usage
from providers.usage import Counts

INPUTS_MAX: Final = 96
_KINDS: Final = {
    "query": "search_query",
    "document": "search_document",
    "passage": "search_document",
}
"""What other vendors call their input types."""
_RERANK: Final = ("query", "documents", "top_n", "max_tokens_per_doc", "relevant_spans", "priority")


class _ByType(msgspec.Struct, rename={"floats": "float"}):
    """Typed, so that thousands of numbers are checked while they are read."""

    floats: list[list[float]] | None = None


class _Embedded(msgspec.Struct):
    embeddings: _ByType | list[list[float]]
    id: Any = None
    meta: Any = None


_read = msgspec.json.Decoder(_Embedded).decode


class CohereEmbeddings(Embeddings):
    """The inner request is OpenAI's; so is the answer, always in numbers."""

    name: ClassVar[str] = "cohere"
    inlines_media: ClassVar[bool] = True

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise unsupported("stream", "embeddings are not streamed")
        kind = body.get("input_type") or target.options.get("input_type", "search_document")
        sent: Json = {"model": target.upstream_id, "input_type": _KINDS.get(kind, kind), "embedding_types": ["float"]}
        sent.update(_inputs(body.get("input")))
        if body.get("dimensions") is not None:
            sent["output_dimension"] = body["dimensions"]
        sent.update({name: body[name] for name in ("truncate", "max_tokens", "priority") if body.get(name) is not None})
        return posted(target, target.options.get("embeddings_path", "/embed"), sent)

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read(raw)
        except (ValueError, RecursionError) as error:
            body = opened(raw)
            if "message" in body:
                raise fault(body, 500) from error
            raise malformed(f"not an answer with embeddings: {error}", raw) from error
        told = answer.embeddings
        vectors = told if isinstance(told, list) else told.floats
        if not vectors or not all(vectors):
            raise malformed("the answer has no embeddings, or an empty one", raw)
        rows = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        body = {"object": "list", "data": rows, "model": None}
        if isinstance(answer.id, str):
            body["id"] = answer.id
        return Completion(body, _usage(answer.meta))

    def failure(self, response: HttpResponse) -> ProviderError:
        return refused(response)


def _inputs(given: Any) -> Json:
    """``texts``, or ``inputs`` where there are pictures."""
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise unsupported("input", "neither text nor a list")
    if len(items) > INPUTS_MAX:
        raise unsupported("input", f"this provider takes {INPUTS_MAX} inputs a call")
    if all(isinstance(item, str) for item in items):
        return {"texts": items}
    if not all(isinstance(item, str | dict) for item in items):
        raise unsupported("input", "this provider embeds text and pictures, not tokens")
    return {"inputs": [{"content": _content(item)} for item in items]}


def _content(item: Any) -> list[Json]:
    if isinstance(item, str):
        return [{"type": "text", "text": item}]
    parts = item.get("content")
    found: list[Json] = []
    for part in parts if isinstance(parts, list) else [{"type": "text", "text": parts}]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            found.append({"type": "text", "text": part["text"]})
        elif kind == "image_url":
            url = url_of(part, "image_url")
            data_of(url, "input.image_url")
            found.append({"type": "image_url", "image_url": {"url": inner(part, "image_url")["url"]}})
        else:
            raise unsupported("input", f"this provider embeds no part of type {str(kind)[:80]!r}")
    return found


def _usage(meta: Any) -> Usage | None:
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    if not isinstance(billed, dict):
        return None
    counts = Counts()
    pictures = counts.take(billed, "image_tokens")
    text = counts.take(billed, "text_tokens", "input_tokens")
    return Usage(prompt=text, image_prompt=pictures, suspect=counts.suspect)


class CohereRerank(Rerank):
    """Results are those of every vendor with ``/rerank``; the request holds only what this one knows."""

    name: ClassVar[str] = "cohere"

    def completion(self, raw: bytes) -> Completion:
        body = opened(raw)
        if "results" not in body and "message" in body:
            raise fault(body, 500)
        completion = super().completion(raw)
        if completion.usage is not None:
            completion.usage = replace(completion.usage, prompt=0, completion=0)
        return completion

    def failure(self, response: HttpResponse) -> ProviderError:
        return refused(response)

    def _vendor_body(self, target: Target, body: Json) -> Json:
        if not isinstance(body.get("query"), str):
            raise failed("unsupported", "query: this provider ranks by a text")
        return {"model": target.upstream_id, **{name: body[name] for name in _RERANK if body.get(name) is not None}}
