"""``POST /embeddings``: OpenAI's shape with OpenRouter's routing fields. Numbers unless base64 is asked for.

OpenAI's SDK asks for base64 by itself, the Vercel provider asks for nothing and demands numbers, and many vendors know only one
of the two; so what comes is converted into what was asked for.
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

    def accept(self, body: Json) -> Json:
        schema.check_embeddings(body)
        return schema.inner(body)

    def answer(self, generation: Generation) -> Json:
        found = completion_of(generation).body
        convert = packed if generation.request.body.get("encoding_format") == "base64" else numbers
        rows = [{**row, "embedding": convert(row["embedding"])} for row in found["data"]]
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


def packed(vector: list[float] | str) -> str:
    """Base64 of little-endian float32."""
    if isinstance(vector, str):
        return vector
    values = array("f", vector)
    if sys.byteorder == "big":
        values.byteswap()
    return binascii.b2a_base64(values.tobytes(), newline=False).decode()


def numbers(vector: list[float] | str) -> list[float]:
    """The numbers of base64 of little-endian float32."""
    if isinstance(vector, list):
        return vector
    values = array("f", binascii.a2b_base64(vector))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()
