"""AWS Bedrock: Converse and ConverseStream, the same for every model that Bedrock sells.

``POST {base_url}/model/{id}/converse`` and ``/converse-stream``; ``base_url`` is ``https://bedrock-runtime.<region>.
amazonaws.com``. The id is that of a model, an inference profile or its ARN. Requests are signed with
``Target.credentials`` (``access_key_id``, ``secret_access_key``, ``session_token``; or ``chain``, for the keys that botocore
finds), or carry a Bedrock API key (``api_key``; docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html, 2026-11).

``Target.options`` (all optional but ``region``):

- ``region``: of the signature; not needed when the host names it, nor with an API key.
- ``family``: ``anthropic``, ``nova``, ``openai`` or empty: the family whose additional fields the model takes. Default: by its
  id; needed for profiles whose ARN does not name the model.
- ``reasoning``: ``anthropic`` (a budget), ``adaptive`` (Claude 4.6 and later), ``openai`` (gpt-oss), ``openai-responses``
  (GPT), ``nova`` (Nova 2) or ``none``; default: the family's.
- ``max_tokens_thinking``: ``maxTokens`` of an answer with a thinking budget when the caller sets no limit; default 32,000.
- ``structured_outputs``: ``native`` for models that constrain their output: ``outputConfig.textFormat`` and strict tools;
  default: a forced tool.
- ``prompt_caching``: whether the model takes cache points; default: Claude and Nova do.
- ``extra_body``: mapping merged over the body, objects one level deep (``null`` removes a field): guardrails, tiers.

Callers may send ``guardrailConfig`` and ``requestMetadata`` by ``provider.options``; an operator's ``extra_body`` wins.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from providers.auth.aws import AwsKeys
from providers.auth.cloud import CHAIN
from providers.auth.sigv4 import access_keys, signed
from providers.base import Dialect
from providers.bedrock.errors import error_from_response
from providers.bedrock.messages import TOOL_ID, tool_id
from providers.bedrock.request import converse_body
from providers.bedrock.response import completion
from providers.bedrock.stream import Decoder
from providers.chat.tool_rules import NAME_64, ToolRules
from providers.errors import ProviderError, failed
from providers.transport.client import Upstream
from providers.transport.json_body import json_body
from providers.types import Clocks, Completion, HttpRequest, HttpResponse, Json, Target

_HOST = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


class Signer:
    """Makes authenticated requests to Bedrock. ``clock`` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def post(self, target: Target, path: str, body: Json, accept: str) -> HttpRequest:
        """``body`` to ``/model/{id}/{path}``. Raises ``ProviderError``: credential, when the target has no credentials."""
        url = f"{target.base_url}/model/{quote(target.upstream_id, safe='')}/{path}"
        headers = (("content-type", "application/json"), ("accept", accept), *target.headers)
        request = HttpRequest(url, headers, json_body(body))
        keys = access_keys(target.credentials)
        if keys is not None:
            return signed(request, keys, region=_region(target), service="bedrock", now=self._clock())
        if target.api_key is None:
            raise failed("credential", "neither an access key nor an API key is configured for this provider")
        return HttpRequest(url, (*headers, ("authorization", f"Bearer {target.api_key}")), request.content)


async def authorized(keys: AwsKeys, target: Target) -> Target:
    """The target with the access keys that botocore finds, when it says ``chain``. Raises ``ProviderError``."""
    if CHAIN not in target.credentials:
        return target
    found = await keys.default_keys()
    return replace(target, credentials={name: value for name, value in found._asdict().items() if value is not None})


def _region(target: Target) -> str:
    region = target.options.get("region")
    if isinstance(region, str) and region:
        return region
    match = _HOST.search(urlsplit(target.base_url).hostname or "")
    if match is None:
        raise failed("credential", "options.region is not configured for this provider")
    return match[1]


class Bedrock(Dialect):
    """Converse and ConverseStream."""

    name: ClassVar[str] = "bedrock"
    decides: ClassVar[frozenset[str]] = frozenset({"parallel_tool_calls", "verbosity"})
    tools: ClassVar[ToolRules] = ToolRules(NAME_64, TOOL_ID, tool_id, unique=True)
    inlines_media: ClassVar[bool] = True
    stream_type: ClassVar[str] = "application/vnd.amazon.eventstream"

    def __init__(self, keys: AwsKeys | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys or AwsKeys()
        self._signer = Signer(clock)

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        return await authorized(self._keys, target)

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        path, accept = (
            ("converse-stream", "application/vnd.amazon.eventstream") if stream else ("converse", "application/json")
        )
        return self._signer.post(target, path, converse_body(target, self.tools.fitted(body)), accept)

    def completion(self, raw: bytes) -> Completion:
        return completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)
