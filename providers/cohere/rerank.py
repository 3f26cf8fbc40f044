"""Cohere's rerank, version 2: ``POST {base_url}/rerank``.

Sources: docs.cohere.com/reference/rerank, types of the vendor's SDK (``cohere`` 7.3); 2026-11. It takes plain texts only.
``max_tokens_per_doc`` and ``priority`` are passed on. Billed are ``meta.billed_units.search_units``; tokens cost nothing.
"""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec.structs import replace

from providers.cohere.errors import error_from_body, error_from_response
from providers.cohere.response import document
from providers.errors import ProviderError, failed
from providers.openai.rerank import Rerank
from providers.types import Completion, HttpResponse, Json, Target

_FIELDS: Final = ("query", "documents", "top_n", "max_tokens_per_doc", "relevant_spans", "priority")


class CohereRerank(Rerank):
    """The answer has the usual shape of ``/rerank``; the request holds only the fields that this vendor knows."""

    name: ClassVar[str] = "cohere"

    def completion(self, raw: bytes) -> Completion:
        body = document(raw)
        if "results" not in body and "message" in body:
            raise error_from_body(body, 500)
        completion = super().completion(raw)
        if completion.usage is not None:
            completion.usage = replace(completion.usage, prompt=0, completion=0)
        return completion

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)

    def _vendor_body(self, target: Target, body: Json) -> Json:
        if not isinstance(body.get("query"), str):
            raise failed("unsupported", "query: this provider takes a text only")
        return {"model": target.upstream_id, **{name: body[name] for name in _FIELDS if body.get(name) is not None}}
