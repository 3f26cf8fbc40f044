"""OpenRouter's rerank: documents may be objects."""

from __future__ import annotations

from typing import Any, ClassVar

from providers.openai.rerank import Rerank
from providers.openrouter.dialect import OpenRouterOperation


class OpenRouterRerank(OpenRouterOperation, Rerank):
    """``POST {base_url}/rerank``; options as of ``openai.rerank``."""

    defaults: ClassVar[dict[str, Any]] = {"rerank_objects": True}
