"""Gemini on Vertex AI: Gemini's bodies at the addresses and with the credentials of Google Cloud.

Base URL: ``https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}/publishers/google``. The two
names in braces are filled by ``authorize``: ``{project}`` from ``Target.credentials["project"]`` or the service account,
``{region}`` from ``Target.credentials["region"]`` or ``Target.options["region"]``, else ``global`` (whose host has no prefix;
docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations, read 2026-11; ``us`` and ``eu`` are hosts of their own,
``AnthropicVertex`` of ``anthropic`` 2.12).

The key: a service account's JSON (``Target.credentials["service_account"]`` or the key itself), an OAuth access token, or an
API key of Vertex's express mode (``AIza``, ``AQ.``); without one, and with ``Target.credentials["chain"]``, Application Default
Credentials. Vertex fetches media by itself (gs:// and http), so URLs go out as they are.
"""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec.structs import replace

from providers.auth.cloud import CHAIN
from providers.auth.google import GoogleTokens, service_account
from providers.errors import failed
from providers.gemini.dialect import Gemini
from providers.gemini.embeddings import GeminiEmbeddings
from providers.gemini.images import GeminiImages
from providers.transport.client import Upstream
from providers.types import Clocks, Target

_NAME = re.compile(r"[a-z0-9][a-z0-9.:-]{0,62}")


async def authorized(tokens: GoogleTokens, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
    """The target with an access token for its key and a base URL without braces. Raises ``ProviderError``."""
    base = target.base_url
    if CHAIN in target.credentials:
        found = await tokens.default_credentials()
        payer = () if found.quota_project is None else (("x-goog-user-project", found.quota_project),)
        base = _filled(base, target) if "{" in base else base
        return replace(target, api_key=found.token, base_url=base, headers=(*target.headers, *payer))
    token = await tokens.access_token(upstream, target, clocks)
    if "{" in base:
        base = _filled(base, target)
    if token is None and base is target.base_url:
        return target
    return replace(target, api_key=target.api_key if token is None else token, base_url=base)


def _filled(base: str, target: Target) -> str:
    project = target.credentials.get("project", "")
    if not project and "{project}" in base:
        account = service_account(target)
        project = account.project_id if account is not None else ""
    region = target.credentials.get("region") or str(target.options.get("region", "global"))
    for name, value in (("project", project), ("region", region)):
        # They become part of a host and a path: nothing but a name may stand there.
        if f"{{{name}}}" in base and not _NAME.fullmatch(value):
            raise failed("credential", f"no {name} of Google Cloud is known for this endpoint")
    if region == "global":
        base = base.replace("{region}-aiplatform", "aiplatform")
    elif region in ("us", "eu"):  # several regions behind one address
        base = base.replace("{region}-aiplatform", f"aiplatform.{region}.rep")
    return base.replace("{project}", project).replace("{region}", region)


class _VertexOperation:
    """Turns an operation of AI Studio into the same operation on Vertex."""

    name: ClassVar[str] = "vertex"
    inlines_media: ClassVar[bool] = False

    def __init__(self, tokens: GoogleTokens | None = None) -> None:
        self._tokens = tokens or GoogleTokens()

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        return await authorized(self._tokens, upstream, target, clocks)


class Vertex(_VertexOperation, Gemini):
    """Chat with Gemini on Vertex AI."""


class VertexEmbeddings(_VertexOperation, GeminiEmbeddings):
    """Embeddings on Vertex AI."""


class VertexImages(_VertexOperation, GeminiImages):
    """Images on Vertex AI."""
