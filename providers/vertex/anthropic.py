"""Claude on Vertex AI: Anthropic's bodies at the addresses and with the credentials of Google Cloud.

``POST {base}/publishers/anthropic/models/{id}:rawPredict``, ``:streamRawPredict`` for streams. The model's name is in the URL
and not in the body; only counting tokens, a model of its own (``count-tokens``), names the model in the body.
``anthropic_version`` is a field of the body (``AnthropicVertex`` of the vendor's SDK, ``anthropic`` 2.12; cloud.google.com/
vertex-ai/generative-ai/docs/partner-models/claude/use-claude; both 2026-11). Betas are a field of the body too: as a header some
of them are refused (github.com/BerriAI/litellm/pull/31607, 2026-06). So are URLs of pictures and documents
(github.com/anthropics/anthropic-sdk-typescript/issues/1038, 2026-05): they become data URLs here.

``base_url`` and the key are those of ``vertex.dialect``; whatever follows ``/publishers/`` is ignored, so that one provider's
address serves Gemini and Claude. ``Target.options``: those of ``anthropic`` except ``auth`` and ``path``; ``version`` is the
body's ``anthropic_version`` (default vertex-2023-10-16).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import quote

from providers.anthropic.count_tokens import AnthropicCount
from providers.anthropic.dialect import Anthropic, betas_of
from providers.auth.google import GoogleTokens
from providers.transport.client import Upstream
from providers.transport.json_body import json_body
from providers.types import Clocks, HttpRequest, Json, Target
from providers.vertex.dialect import authorized

VERSION = "vertex-2023-10-16"


class _VertexOperation(Anthropic):
    """Turns an operation of Anthropic's into the same operation on Vertex."""

    name: ClassVar[str] = "vertex-anthropic"
    inlines_media: ClassVar[bool] = True

    def __init__(self, tokens: GoogleTokens | None = None) -> None:
        self._tokens = tokens or GoogleTokens()

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        return await authorized(self._tokens, upstream, target, clocks)

    def http_request(self, target: Target, sent: Json, betas: Iterable[str], *, stream: bool) -> HttpRequest:
        sent["anthropic_version"] = target.options.get("version", VERSION)
        names = betas_of(target.options, sent, betas)
        if names:
            sent["anthropic_beta"] = names
        if stream:
            sent["stream"] = True
        headers = [
            ("content-type", "application/json"),
            ("accept", "text/event-stream" if stream else "application/json"),
        ]
        if target.api_key is not None:
            headers.append(("authorization", f"Bearer {target.api_key}"))
        base = target.base_url.partition("/publishers/")[0]
        url = f"{base}/publishers/anthropic/models/{self._method(sent, stream=stream)}"
        return HttpRequest(url, (*headers, *target.headers), json_body(sent))

    def _method(self, sent: Json, *, stream: bool) -> str:
        """Model and method as in the URL; takes the model out of the body."""
        return f"{quote(sent.pop('model'), safe='@-._~')}:{'streamRawPredict' if stream else 'rawPredict'}"


class VertexAnthropic(_VertexOperation):
    """Chat with Claude on Vertex AI."""


class VertexAnthropicCount(_VertexOperation, AnthropicCount):
    """Counting tokens of Claude on Vertex AI."""

    def _method(self, sent: Json, *, stream: bool) -> str:
        return "count-tokens:rawPredict"
