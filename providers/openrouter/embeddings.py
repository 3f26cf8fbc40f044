"""OpenRouter's embeddings: it knows ``input_type``, ``encoding_format`` and multimodal input."""

from __future__ import annotations

from typing import Any, ClassVar

from providers.openai.embeddings import Embeddings
from providers.openrouter.dialect import OpenRouterOperation


class OpenRouterEmbeddings(OpenRouterOperation, Embeddings):
    """``POST {base_url}/embeddings``; options as of ``openai.embeddings``."""

    defaults: ClassVar[dict[str, Any]] = {
        "embeddings_base64": True,
        "embeddings_input_type": True,
        "embeddings_parts": True,
    }
