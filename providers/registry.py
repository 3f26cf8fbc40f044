"""The table of dialects: the names that a catalogue writes after ``dialect:``, and the class of each of their operations.

A dialect is imported when it is first used: all of them together cost a third of a second at every start, most of it for the
signing of tokens, and few gateways need more than three. ``ready`` imports them ahead of the first request.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from providers.base import Dialect

_CLASSES: Final[dict[str, dict[str, str]]] = {
    "anthropic": {"chat": "anthropic.dialect.Anthropic", "count_tokens": "anthropic.count_tokens.AnthropicCount"},
    "azure": {
        "chat": "azure.dialect.Azure",
        "embeddings": "azure.embeddings.AzureEmbeddings",
        "images": "azure.images.AzureImages",
        "speech": "azure.speech.AzureSpeech",
        "transcription": "azure.transcription.AzureTranscription",
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
        "embeddings": "mistral.embeddings.MistralEmbeddings",
        "transcription": "mistral.transcription.MistralTranscription",
    },
    "ollama": {"chat": "ollama.dialect.Ollama", "embeddings": "ollama.embeddings.OllamaEmbeddings"},
    "openai": {
        "chat": "openai.dialect.OpenAI",
        "embeddings": "openai.embeddings.Embeddings",
        "images": "openai.images.Images",
        "rerank": "openai.rerank.Rerank",
        "speech": "openai.speech.Speech",
        "transcription": "openai.transcription.Transcription",
    },
    "openrouter": {
        "chat": "openrouter.dialect.OpenRouter",
        "embeddings": "openrouter.embeddings.OpenRouterEmbeddings",
        "rerank": "openrouter.rerank.OpenRouterRerank",
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
_OPERATIONS: Final = {name: frozenset(classes) for name, classes in _CLASSES.items()}
_made: Final[dict[tuple[str, str], Dialect]] = {}


def dialect(name: str, operation: str = "chat") -> Dialect:
    """The one instance of a dialect. Raises ``KeyError`` whose text lists the known names."""
    found = _made.get((name, operation))
    return found if found is not None else _make(name, operation)


def ready(dialects: Iterable[tuple[str, str]]) -> None:
    """Import these (name, operation), so that no request has to wait for it. Raises ``KeyError``."""
    for name, operation in dialects:
        dialect(name, operation)


def operations(name: str) -> frozenset[str]:
    """The operations of a dialect; empty for an unknown one."""
    return _OPERATIONS.get(name, frozenset())


def cloud_of(name: str) -> str | None:
    """The cloud whose credential chain a dialect can use, see ``auth.cloud``; None when it needs a key of its own."""
    return _CLOUDS.get(name)


def names() -> list[str]:
    """Every known dialect."""
    return sorted(_CLASSES)


def _make(name: str, operation: str) -> Dialect:
    path = _CLASSES.get(name, {}).get(operation)
    if path is None:
        raise KeyError(f"unknown dialect {name!r} of {operation}; known are: {', '.join(names())}")
    shared = _CREDENTIALS.get(name)
    made: Dialect = _class(path)(_shared(shared)) if shared is not None else _class(path)()
    return _made.setdefault((name, operation), made)


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"providers.{module}"), name)


@lru_cache
def _shared(path: str) -> Any:
    """One instance for all dialects that use the class, so that they share its tokens."""
    return _class(path)()
