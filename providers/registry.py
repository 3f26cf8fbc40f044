"""Names to dialects: what a catalogue writes after ``dialect:``, and for each operation its translator.

A dialect is imported when it is first asked for: all of them together cost a third of a second at every start, the signing of
tokens most of it, and few gateways speak more than three. ``ready`` does it ahead of the first request.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from providers.base import Dialect

_WHERE: Final[dict[str, dict[str, str]]] = {
    "anthropic": {"chat": "anthropic.Anthropic", "count_tokens": "anthropic_count.AnthropicCount"},
    "azure": {
        "chat": "azure.Azure",
        "embeddings": "azure_operations.AzureEmbeddings",
        "images": "azure_operations.AzureImages",
        "speech": "azure_operations.AzureSpeech",
        "transcription": "azure_operations.AzureTranscription",
    },
    "bedrock": {"chat": "bedrock.Bedrock", "embeddings": "bedrock_embeddings.BedrockEmbeddings"},
    "cohere": {
        "chat": "cohere.Cohere",
        "embeddings": "cohere_operations.CohereEmbeddings",
        "rerank": "cohere_operations.CohereRerank",
    },
    "gemini": {
        "chat": "gemini.Gemini",
        "embeddings": "gemini_embeddings.GeminiEmbeddings",
        "images": "gemini_images.GeminiImages",
    },
    "mistral": {
        "chat": "mistral.Mistral",
        "embeddings": "mistral.MistralEmbeddings",
        "transcription": "mistral.MistralTranscription",
    },
    "ollama": {"chat": "ollama.Ollama", "embeddings": "ollama.OllamaEmbeddings"},
    "openai": {
        "chat": "openai.OpenAI",
        "embeddings": "openai_operations.Embeddings",
        "images": "openai_images.Images",
        "rerank": "openai_operations.Rerank",
        "speech": "openai_audio.Speech",
        "transcription": "openai_audio.Transcription",
    },
    "openrouter": {
        "chat": "openrouter.OpenRouter",
        "embeddings": "openrouter.OpenRouterEmbeddings",
        "rerank": "openrouter.OpenRouterRerank",
    },
    "responses": {"chat": "responses.Responses"},
    "vertex": {
        "chat": "vertex.Vertex",
        "embeddings": "vertex.VertexEmbeddings",
        "images": "vertex.VertexImages",
    },
    "vertex-anthropic": {
        "chat": "vertex_anthropic.VertexAnthropic",
        "count_tokens": "vertex_anthropic.VertexAnthropicCount",
    },
}
"""Dialect → operation → its class."""
_TOKENS: Final = {"azure": "_entra.Tokens", "vertex": "google_auth.Tokens", "vertex-anthropic": "google_auth.Tokens"}
"""Dialects that ask with access tokens of service accounts or applications, kept until shortly before they expire."""
_OPERATIONS: Final = {name: frozenset(classes) for name, classes in _WHERE.items()}
_made: Final[dict[tuple[str, str], Dialect]] = {}


def dialect(name: str, operation: str = "chat") -> Dialect:
    """The one instance of a dialect. Raises ``KeyError`` whose text lists the known names."""
    found = _made.get((name, operation))
    return found if found is not None else _make(name, operation)


def ready(dialects: Iterable[tuple[str, str]]) -> None:
    """Import these (name, operation), so that no request waits for it."""
    for name, operation in dialects:
        dialect(name, operation)


def operations(name: str) -> frozenset[str]:
    """What a dialect can be asked for; empty for an unknown one."""
    return _OPERATIONS.get(name, frozenset())


def names() -> list[str]:
    """Every known dialect."""
    return sorted(_WHERE)


def _make(name: str, operation: str) -> Dialect:
    where = _WHERE.get(name, {}).get(operation)
    if where is None:
        raise KeyError(f"unknown dialect {name!r} of {operation}; known are: {', '.join(names())}")
    shared = _TOKENS.get(name)
    made: Dialect = _class(where)(_shared(shared)) if shared is not None else _class(where)()
    return _made.setdefault((name, operation), made)


def _class(where: str) -> Any:
    module, _, name = where.partition(".")
    return getattr(importlib.import_module(f"providers.{module}"), name)


@lru_cache
def _shared(where: str) -> Any:
    return _class(where)()
