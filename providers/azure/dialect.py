"""Azure OpenAI and Foundry models: OpenAI's operations at Azure's addresses, with Azure's ways to authenticate.

Without ``api_version`` requests go to the v1 API, ``{base_url}/openai/v1/...`` with the deployment's name as ``model``
(learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle, 2026-11); with one, ``{base_url}/openai/deployments/
{deployment}/...?api-version=...``, as openai 3.54's ``AzureOpenAI`` does. ``base_url`` is ``https://<resource>.openai.azure.
com``; ``upstream_id`` is the deployment's name. The key goes into the header ``api-key``; or ``Target.credentials``
(``tenant_id``, ``client_id``, ``client_secret``; or ``chain``, for the identity that Azure gives to the machine) get a token of
Entra ID, which goes behind ``Bearer``.

``Target.options``: those of the ``openai`` dialect, and

- ``api_version``: e.g. ``2024-10-21``; ``preview`` and ``latest`` are versions of the v1 API.
- ``authority``: of Entra ID, default ``https://login.microsoftonline.com``; sovereign clouds have their own.
- ``scope``: of the token, default ``https://cognitiveservices.azure.com/.default``.

On the v1 API ``max_tokens`` goes out as ``max_completion_tokens`` unless ``max_tokens_field`` says otherwise.

A prompt that Azure's content filters refuse is answered with status 400 and the code ``content_filter``.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from providers.auth.cloud import CHAIN
from providers.auth.entra import ClientSecret, DefaultIdentity, EntraTokens
from providers.azure.stream import Decoder
from providers.base import Dialect
from providers.openai.dialect import OpenAI
from providers.transport.client import Upstream
from providers.types import Clocks, HttpRequest, Target

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
V1_VERSIONS = frozenset({"v1", "preview", "latest"})
_CREDENTIALS = ("tenant_id", "client_id", "client_secret")


class AzureOperation(Dialect):
    """Turns one of OpenAI's operations into Azure's, as a base class before it:

    ``class AzureEmbeddings(AzureOperation, Embeddings)``

    The other class has to put its path behind ``target.base_url`` and the key into ``authorization: Bearer``.
    """

    name: ClassVar[str] = "azure"

    def __init__(self, tokens: EntraTokens | None = None) -> None:
        super().__init__()
        self._tokens = tokens or EntraTokens()

    def request(self, target: Target, body: Any, *, stream: bool) -> HttpRequest:
        azure_target = replace(target, base_url=_base(target), options=_options(target))
        request: HttpRequest = super().request(azure_target, body, stream=stream)  # type: ignore[safe-super]  # that of the other class
        query = _query(target)
        url = f"{request.url}{'&' if '?' in request.url else '?'}{query}" if query else request.url
        return replace(request, url=url, headers=tuple(_azure_header(target, header) for header in request.headers))

    authorizes: ClassVar[bool] = True

    async def authorize(self, upstream: Upstream, target: Target, clocks: Clocks) -> Target:
        """The target with a token of Entra ID as its key, when it has credentials for one. Raises ``ProviderError``."""
        client = _client(target)
        if client is not None:
            return replace(target, api_key=await self._tokens.access_token(upstream, client, clocks))
        if CHAIN not in target.credentials:
            return target
        authority = target.options.get("authority")
        identity = DefaultIdentity(None if authority is None else str(authority), _scope(target))
        return replace(target, api_key=await self._tokens.default_token(identity))


class Azure(AzureOperation, OpenAI):
    """Chat completions."""

    def decoder(self) -> Decoder:
        return Decoder()


def _client(target: Target) -> ClientSecret | None:
    values = [target.credentials.get(name) for name in _CREDENTIALS]
    tenant, client, secret = values
    if not tenant or not client or not secret:
        return None
    authority = str(target.options.get("authority", AUTHORITY)).rstrip("/")
    return ClientSecret(authority, tenant, client, secret, _scope(target))


def _scope(target: Target) -> str:
    return str(target.options.get("scope", SCOPE))


def _has_dated_api(target: Target) -> bool:
    version = target.options.get("api_version")
    return bool(version) and version not in V1_VERSIONS


def _base(target: Target) -> str:
    resource = target.base_url.removesuffix("/v1").removesuffix("/openai")
    if _has_dated_api(target):
        return f"{resource}/openai/deployments/{quote(target.upstream_id, safe='')}"
    return f"{resource}/openai/v1"


def _options(target: Target) -> dict[str, Any]:
    options = dict(target.options)
    options.pop("api_key_header", None)  # the key goes out as a bearer token first: see _azure_header
    if not _has_dated_api(target):
        options.setdefault("max_tokens_field", "max_completion_tokens")
    return options


def _query(target: Target) -> str:
    version = target.options.get("api_version")
    return urlencode({"api-version": version}) if version and version != "v1" else ""


def _azure_header(target: Target, header: tuple[str, str]) -> tuple[str, str]:
    """The header with a key becomes Azure's own; a token of Entra ID stays a bearer token."""
    has_token = CHAIN in target.credentials or _client(target) is not None
    if header[0] == "authorization" and header[1] == f"Bearer {target.api_key}" and not has_token:
        return "api-key", header[1].removeprefix("Bearer ")
    return header
