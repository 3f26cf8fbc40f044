"""Cohere's embeddings, version 2: ``POST {base_url}/embed``.

Sources: docs.cohere.com/reference/embed, types of the vendor's SDK (``cohere`` 7.3); 2026-11.

- ``input_type`` is mandatory: the caller's, else ``Target.options["input_type"]``, else ``search_document``.
  ``embedding_types`` is always ``float``. At most 96 inputs a call: texts and pictures; token ids are refused.
- Billed are ``meta.billed_units``: ``text_tokens`` and ``image_tokens`` where both are given, else ``input_tokens``. Billing by
  picture (``images``, Embed 3) has no unit here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from providers.chat.messages import data_of, nested_object, unsupported, url_of
from providers.cohere.dialect import post
from providers.cohere.errors import error_from_body, error_from_response
from providers.cohere.response import document
from providers.errors import ProviderError
from providers.openai.embeddings import Embeddings
from providers.openai.errors import malformed
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target, Usage
from providers.usage import Counts

INPUTS_MAX: Final = 96
_KINDS: Final = {
    "query": "search_query",
    "document": "search_document",
    "passage": "search_document",
}
"""The input types of other vendors as this vendor's."""


class _ByType(msgspec.Struct, rename={"floats": "float"}):
    """Typed, so that msgspec checks the numbers while it reads them."""

    floats: list[list[float]] | None = None


class _Embedded(msgspec.Struct):
    embeddings: _ByType | list[list[float]]
    id: Any = None
    meta: Any = None


_read = msgspec.json.Decoder(_Embedded).decode


class CohereEmbeddings(Embeddings):
    """The inner request and the answer are OpenAI's; vectors are always lists of numbers."""

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
        return post(target, target.options.get("embeddings_path", "/embed"), sent)

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read(raw)
        except (ValueError, RecursionError) as error:
            body = document(raw)
            if "message" in body:
                raise error_from_body(body, 500) from error
            raise malformed(f"the answer has no readable embeddings: {error}", raw) from error
        vectors = answer.embeddings if isinstance(answer.embeddings, list) else answer.embeddings.floats
        if not vectors or not all(vectors):
            raise malformed("the answer has no embeddings, or an empty one", raw)
        rows = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        body = {"object": "list", "data": rows, "model": None}
        if isinstance(answer.id, str):
            body["id"] = answer.id
        return Completion(body, _usage(answer.meta))

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def _inputs(given: Any) -> Json:
    """``texts``, or ``inputs`` when there are pictures."""
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise unsupported("input", "must be a text or a list")
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
            found.append({"type": "image_url", "image_url": {"url": nested_object(part, "image_url")["url"]}})
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
