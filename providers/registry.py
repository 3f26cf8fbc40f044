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
    "anthropic": {"chat": "anthropic.dialect.Anthropic", "count_tokens": "anthropic.count_tokens.AnthropicCount"},
    "azure": {
        "chat": "azure.dialect.Azure",
        "embeddings": "azure.operations.AzureEmbeddings",
        "images": "azure.operations.AzureImages",
        "speech": "azure.operations.AzureSpeech",
        "transcription": "azure.operations.AzureTranscription",
    },
    "bedrock": {"chat": "bedrock.dialect.Bedrock", "embeddings": "bedrock.embeddings.BedrockEmbeddings"},
    "cohere": {
        "chat": "cohere.dialect.Cohere",
        "embeddings": "cohere.embeddings.CohereEmbeddings",
        "rerank": "cohere.rerank.CohereRerank",
    },
    "gemini": {
        "chat": "gemini.dialect.Gemini",
        "embeddings": "gemini.embeddings.GeminiEmbeddings",
        "images": "gemini.images.GeminiImages",
    },
    "mistral": {
        "chat": "mistral.dialect.Mistral",
        "embeddings": "mistral.dialect.MistralEmbeddings",
        "transcription": "mistral.dialect.MistralTranscription",
    },
    "ollama": {"chat": "ollama.dialect.Ollama", "embeddings": "ollama.embeddings.OllamaEmbeddings"},
    "openai": {
        "chat": "openai.dialect.OpenAI",
        "embeddings": "openai.operations.Embeddings",
        "images": "openai.images.Images",
        "rerank": "openai.operations.Rerank",
        "speech": "openai.audio.Speech",
        "transcription": "openai.audio.Transcription",
    },
    "openrouter": {
        "chat": "openrouter.dialect.OpenRouter",
        "embeddings": "openrouter.dialect.OpenRouterEmbeddings",
        "rerank": "openrouter.dialect.OpenRouterRerank",
    },
    "responses": {"chat": "responses.dialect.Responses"},
    "vertex": {
        "chat": "vertex.dialect.Vertex",
        "embeddings": "vertex.dialect.VertexEmbeddings",
        "images": "vertex.dialect.VertexImages",
    },
    "vertex-anthropic": {
        "chat": "vertex.anthropic.VertexAnthropic",
        "count_tokens": "vertex.anthropic.VertexAnthropicCount",
    },
}
"""Dialect → operation → its class."""
_CREDENTIALS: Final = {
    "azure": "auth.entra.EntraTokens",
    "bedrock": "auth.aws.AwsKeys",
    "vertex": "auth.google.GoogleTokens",
    "vertex-anthropic": "auth.google.GoogleTokens",
}
"""Dialects whose operations share a cache of access tokens or temporary keys."""
_CLOUDS: Final = {"azure": "azure", "bedrock": "aws", "vertex": "google", "vertex-anthropic": "google"}
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


def cloud_of(name: str) -> str | None:
    """The cloud whose credential chain a dialect can use, see ``auth.cloud``; None when it needs a key of its own."""
    return _CLOUDS.get(name)


def names() -> list[str]:
    """Every known dialect."""
    return sorted(_WHERE)


def _make(name: str, operation: str) -> Dialect:
    where = _WHERE.get(name, {}).get(operation)
    if where is None:
        raise KeyError(f"unknown dialect {name!r} of {operation}; known are: {', '.join(names())}")
    shared = _CREDENTIALS.get(name)
    made: Dialect = _class(where)(_shared(shared)) if shared is not None else _class(where)()
    return _made.setdefault((name, operation), made)


def _class(where: str) -> Any:
    module, _, name = where.rpartition(".")
    return getattr(importlib.import_module(f"providers.{module}"), name)


@lru_cache
def _shared(where: str) -> Any:
    return _class(where)()
