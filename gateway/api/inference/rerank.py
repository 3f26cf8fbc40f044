"""``POST /rerank``: documents by relevance, best first, each with the document as it was sent."""

from __future__ import annotations

from typing import Any, ClassVar

from gateway.api.inference import operations_schema as schema
from gateway.api.inference import response_fields
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.pipeline.generation import Generation


class Rerank(JsonSurface):
    name: ClassVar[str] = "rerank"
    path: ClassVar[str] = "/rerank"
    summary: ClassVar[str] = "Rerank documents"
    operation: ClassVar[str] = "rerank"
    request_type: ClassVar[Any] = schema.RerankRequest

    def accept(self, original: Json) -> Json:
        schema.check_rerank(original)
        return schema.inner(original)

    def answer(self, generation: Generation) -> Json:
        documents = generation.request.body["documents"]
        identity = response_fields.identity(generation)
        answer: Json = {
            "id": identity["id"],
            "model": identity["model"],
            "provider": identity["provider"],
            "results": [
                {
                    "index": result["index"],
                    "relevance_score": result["relevance_score"],
                    "document": _document(documents[result["index"]]),
                }
                for result in completion_of(generation).body["results"]
            ],
            "usage": _usage(generation),
        }
        if generation.request.explain:
            answer["openrouter_metadata"] = response_fields.explain(generation)
        return answer


def _document(document: str | Json) -> Json:
    if isinstance(document, str):
        return {"text": document}
    return {name: value for name, value in document.items() if value is not None}


def _usage(generation: Generation) -> Json:
    usage = generation.settlement.usage
    view: Json = {"total_tokens": usage.prompt_total, "cost": response_fields.usd(generation.charged_nano)}
    units = (usage.units or {}).get("search_unit")
    if units is not None:
        view["search_units"] = units
    return view
