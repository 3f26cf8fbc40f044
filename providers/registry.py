"""Names to dialects: what a catalogue writes after ``dialect:``, and for each operation its translator."""

from __future__ import annotations

from typing import Final

from providers._entra import Tokens as EntraTokens
from providers.anthropic import Anthropic
from providers.anthropic_count import AnthropicCount
from providers.azure import Azure
from providers.azure_operations import AzureEmbeddings, AzureImages, AzureSpeech, AzureTranscription
from providers.base import Dialect
from providers.bedrock import Bedrock
from providers.bedrock_embeddings import BedrockEmbeddings
from providers.cohere import Cohere
from providers.cohere_operations import CohereEmbeddings, CohereRerank
from providers.gemini import Gemini
from providers.gemini_embeddings import GeminiEmbeddings
from providers.gemini_images import GeminiImages
from providers.google_auth import Tokens as GoogleTokens
from providers.mistral import Mistral, MistralEmbeddings, MistralTranscription
from providers.ollama import Ollama, OllamaEmbeddings
from providers.openai import OpenAI
from providers.openai_audio import Speech, Transcription
from providers.openai_images import Images
from providers.openai_operations import Embeddings, Rerank
from providers.openrouter import OpenRouter, OpenRouterEmbeddings, OpenRouterRerank
from providers.responses import Responses
from providers.vertex import Vertex, VertexEmbeddings, VertexImages
from providers.vertex_anthropic import VertexAnthropic, VertexAnthropicCount

_GOOGLE, _ENTRA = GoogleTokens(), EntraTokens()
"""Access tokens of service accounts and applications, kept until shortly before they expire."""
_ALL: Final[tuple[Dialect, ...]] = (
    *(OpenAI(), Embeddings(), Rerank(), Images(), Speech(), Transcription()),
    *(Responses(), Anthropic(), AnthropicCount()),
    *(Bedrock(), BedrockEmbeddings()),
    *(Azure(_ENTRA), AzureEmbeddings(_ENTRA), AzureImages(_ENTRA), AzureSpeech(_ENTRA), AzureTranscription(_ENTRA)),
    *(Cohere(), CohereEmbeddings(), CohereRerank()),
    *(Mistral(), MistralEmbeddings(), MistralTranscription()),
    *(Ollama(), OllamaEmbeddings()),
    *(OpenRouter(), OpenRouterEmbeddings(), OpenRouterRerank()),
    *(Gemini(), GeminiEmbeddings(), GeminiImages()),
    *(Vertex(_GOOGLE), VertexEmbeddings(_GOOGLE), VertexImages(_GOOGLE)),
    *(VertexAnthropic(_GOOGLE), VertexAnthropicCount(_GOOGLE)),
)
_DIALECTS: Final[dict[tuple[str, str], Dialect]] = {(one.name, one.operation): one for one in _ALL}
_OPERATIONS: Final[dict[str, frozenset[str]]] = {
    name: frozenset(operation for known, operation in _DIALECTS if known == name) for name, _ in _DIALECTS
}


def dialect(name: str, operation: str = "chat") -> Dialect:
    """The one instance of a dialect. Raises ``KeyError`` whose text lists the known names."""
    try:
        return _DIALECTS[name, operation]
    except KeyError:
        raise KeyError(f"unknown dialect {name!r} of {operation}; known are: {', '.join(names())}") from None


def operations(name: str) -> frozenset[str]:
    """What a dialect can be asked for; empty for an unknown one."""
    return _OPERATIONS.get(name, frozenset())


def names() -> list[str]:
    """Every known dialect."""
    return sorted(_OPERATIONS)
