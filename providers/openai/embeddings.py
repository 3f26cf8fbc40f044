"""Embeddings at OpenAI-compatible vendors: ``POST /embeddings``.

``Target.options`` beside those of every operation (see ``operation``):

- ``embeddings_base64: true``: the vendor knows ``encoding_format: base64``. OpenAI does, many others refuse or ignore it; the
  caller gets the format it requested in any case.
- ``embeddings_input_type: true``: the vendor knows ``input_type``.
- ``embeddings_parts: true``: the vendor takes multimodal ``input``.

Source: ``openai`` 3.54 (types of requests and answers), 2026-11.
"""

from __future__ import annotations

import binascii
import math
from array import array
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from providers.errors import failed
from providers.openai.errors import malformed
from providers.openai.operation import Operation
from providers.openai.response import json_object
from providers.transport.client import Upstream
from providers.types import Call, Clocks, Completion, HttpRequest, Json, Target, Usage
from providers.usage import Counts, normalise


class _Datum(msgspec.Struct):
    embedding: msgspec.Raw
    index: Any = None


class _Vectors(msgspec.Struct):
    data: list[_Datum]
    model: Any = None
    usage: Any = None
    id: Any = None


_read_vectors = msgspec.json.Decoder(_Vectors).decode
_read_vector = msgspec.json.Decoder(list[float] | str).decode
"""Typed, so that thousands of numbers are checked while they are decoded; one vector at a time: no other thread runs meanwhile."""


class Embeddings(Operation):
    """``POST /embeddings``. An answer's ``embedding`` is a list of numbers, or base64 text of little-endian float32."""

    operation: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "/embeddings"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options, sent = target.options, dict(body)
        if not (options.get("embeddings_base64") and sent.get("encoding_format") == "base64"):
            sent.pop("encoding_format", None)
        if not options.get("embeddings_input_type"):
            sent.pop("input_type", None)
        if not options.get("embeddings_parts") and multimodal(sent.get("input")):
            raise failed("unsupported", "input: this provider embeds text and tokens only")
        return super().request(target, sent, stream=stream)

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        completion = await super().complete(upstream, target, call, clocks)
        expected, received = count_of(call.body.get("input")), len(completion.body["data"])
        if received != expected:
            raise failed("malformed", f"{expected} inputs were sent, {received} embeddings came back", status=200)
        return completion

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read_vectors(raw)
            data = _in_order(answer.data)
            vectors: list[list[float] | str] = [_read_vector(datum.embedding) for datum in data]
        except (ValueError, RecursionError) as error:
            json_object(raw)  # raises the error that the document carries, if it does
            raise malformed(f"not an answer with embeddings: {error}", raw) from error
        if not vectors:
            json_object(raw)
            raise failed("empty", "the answer has no embeddings", status=200)
        if not all(map(_is_valid, vectors)):
            raise malformed("an embedding is empty, not base64 of float32, or not finite", raw)
        rows: list[Json] = [
            {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
        ]
        body: Json = {"object": "list", "data": rows, "model": answer.model}
        if isinstance(answer.id, str):
            body["id"] = answer.id
        return Completion(body, _embedding_usage(answer.usage) if isinstance(answer.usage, dict) else None)


def multimodal(value: Any) -> bool:
    """Whether an ``input`` is a list of objects with ``content`` parts."""
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def count_of(value: Any) -> int:
    """How many embeddings an ``input`` requests: a text and a list of token ids each stand for one."""
    if not isinstance(value, list) or (value and isinstance(value[0], int)):
        return 1
    return len(value)


def _is_valid(vector: list[float] | str) -> bool:
    if isinstance(vector, list):
        return bool(vector)
    try:
        packed = binascii.a2b_base64(vector, strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return False
    return bool(packed) and len(packed) % 4 == 0 and math.isfinite(sum(array("f", packed)))


def _in_order(data: Sequence[_Datum]) -> list[_Datum]:
    """In the order of ``index`` if every index is there once; else in the vendor's order."""
    by_index = {datum.index: datum for datum in data if type(datum.index) is int}
    if by_index.keys() == set(range(len(data))):
        return [by_index[index] for index in range(len(data))]
    return list(data)


def _embedding_usage(raw: Json) -> Usage:
    """``prompt_tokens``; Jina and Voyage send ``total_tokens`` only. An embedding has no completion, whatever a vendor reports."""
    usage = normalise(raw)
    total = Counts().take(raw, "total_tokens")
    prompt = usage.prompt if usage.prompt_total else total
    return msgspec.structs.replace(usage, prompt=prompt, completion=0, reasoning=0)
