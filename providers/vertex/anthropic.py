"""Claude on Vertex AI: the bodies of ``anthropic.py`` at the addresses and with the credentials of Google Cloud.

``POST {base}/publishers/anthropic/models/{id}:rawPredict``, ``:streamRawPredict`` for streams; counting tokens is the method of
a model of its own, ``count-tokens``, and names the model in the body. The model's name stands in the address and not in the body,
``anthropic_version`` is a field of the body (``AnthropicVertex`` of the vendor's SDK, ``anthropic`` 2.12; cloud.google.com/
vertex-ai/generative-ai/docs/partner-models/claude/use-claude; both 2026-11). Betas are fields of the body too: as a header some
of them are refused (github.com/BerriAI/litellm/pull/31607, 2026-06). So are URLs of pictures and documents
(github.com/anthropics/anthropic-sdk-typescript/issues/1038, 2026-05): they become data URLs here.

``base_url`` and the key as of ``vertex.py``; what stands behind ``/publishers/`` there does not count, so that one provider's
address serves Gemini and Claude. ``Target.options``: those of ``anthropic`` but ``auth`` and ``path``; ``version`` is the body's
``anthropic_version`` (default vertex-2023-10-16).
"""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

import msgspec

from providers.anthropic.count_tokens import AnthropicCount
from providers.anthropic.dialect import Anthropic, betas_of
from providers.auth.google import GoogleTokens
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, Json, Target
from providers.vertex.dialect import authorized

VERSION = "vertex-2023-10-16"


class _OnVertex(Anthropic):
    """What makes an operation of Anthropic's one of Vertex."""

    name: ClassVar[str] = "vertex-anthropic"
    inlines_media: ClassVar[bool] = True

    def __init__(self, tokens: GoogleTokens | None = None) -> None:
        self._tokens = tokens or GoogleTokens()

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        return await authorized(self._tokens, upstream, target, clocks)

    def posted(self, target: Target, sent: Json, callers: list[str], *, stream: bool) -> HttpRequest:
        sent["anthropic_version"] = target.options.get("version", VERSION)
        betas = betas_of(target.options, sent, callers)
        if betas:
            sent["anthropic_beta"] = betas
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
        return HttpRequest(url, (*headers, *target.headers), msgspec.json.encode(sent))

    def _method(self, sent: Json, *, stream: bool) -> str:
        """The model and what is asked of it; takes the model out of the body."""
        return f"{quote(sent.pop('model'), safe='@-._~')}:{'streamRawPredict' if stream else 'rawPredict'}"


class VertexAnthropic(_OnVertex):
    """Chat with Claude on Vertex AI."""


class VertexAnthropicCount(_OnVertex, AnthropicCount):
    """Counting tokens of Claude on Vertex AI."""

    def _method(self, sent: Json, *, stream: bool) -> str:
        return "count-tokens:rawPredict"
