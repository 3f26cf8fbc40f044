"""Mistral's embeddings: texts in, vectors out; ``dimensions`` is its ``output_dimension``."""

from __future__ import annotations

from typing import ClassVar

from providers.chat.messages import unsupported
from providers.openai.embeddings import Embeddings
from providers.types import HttpRequest, Json, Target


class MistralEmbeddings(Embeddings):
    """``POST {base_url}/embeddings``; options as of ``openai.embeddings``."""

    name: ClassVar[str] = "mistral"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        value = body.get("input")
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise unsupported("input", "this provider embeds text only")
        return super().request(target, body, stream=stream)

    def _vendor_body(self, target: Target, body: Json) -> Json:
        known: Json = {"input": body.get("input")}
        for ours, theirs in (("dimensions", "output_dimension"), ("metadata", "metadata")):
            if body.get(ours) is not None:
                known[theirs] = body[ours]
        return super()._vendor_body(target, known)
