"""``POST /embeddings``: OpenAI's format with OpenRouter's routing fields. Vectors are numbers unless the request says base64.

OpenAI's SDK requests base64 by itself, the Vercel provider requests nothing and needs numbers, and many vendors know only one of
the two, so each vector is converted into the encoding that was requested.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from typing import Any, ClassVar

from gateway.api.inference import operations_schema as schema
from gateway.api.inference import response_fields
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.pipeline.generation import Generation


class Embeddings(JsonSurface):
    name: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "/embeddings"
    summary: ClassVar[str] = "Embeddings"
    operation: ClassVar[str] = "embeddings"
    request_type: ClassVar[Any] = schema.EmbeddingsRequest

    def accept(self, original: Json) -> Json:
        schema.check_embeddings(original)
        return schema.inner(original)

    def answer(self, generation: Generation) -> Json:
        convert = to_base64 if generation.request.body.get("encoding_format") == "base64" else to_numbers
        rows = [{**row, "embedding": convert(row["embedding"])} for row in completion_of(generation).body["data"]]
        usage = response_fields.usage_view(generation)
        identity = response_fields.identity(generation)
        answer: Json = {
            "id": identity["id"],
            "object": "list",
            "model": identity["model"],
            "provider": identity["provider"],
            "data": rows,
            "usage": {
                name: usage[name] for name in ("prompt_tokens", "total_tokens", "cost", "is_byok", "cost_details")
            },
        }
        if generation.request.explain:
            answer["openrouter_metadata"] = response_fields.explain(generation)
        return answer


def to_base64(vector: list[float] | str) -> str:
    """A vector as base64 of little-endian float32."""
    if isinstance(vector, str):
        return vector
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return binascii.b2a_base64(values.tobytes(), newline=False).decode()


def to_numbers(vector: list[float] | str) -> list[float]:
    """A vector as numbers; base64 holds little-endian float32."""
    if isinstance(vector, list):
        return vector
    values = array("f", binascii.a2b_base64(vector))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()
