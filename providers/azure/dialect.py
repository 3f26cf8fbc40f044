"""Azure OpenAI and Foundry models: OpenAI's operations at Azure's addresses, with Azure's two ways to be let in.

Without ``api_version`` the v1 API is spoken, ``{base_url}/openai/v1/...`` with the deployment's name as ``model``
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

Filters: a refused prompt is a 400 with the code ``content_filter``. What filters found is kept in whole answers; in a stream,
where it comes with every chunk, only what was filtered is (learn.microsoft.com/azure/ai-foundry/openai/concepts/
content-streaming, 2026-11: with asynchronous filters findings come behind the text, some even behind the finish reason).
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from providers.auth.cloud import CHAIN
from providers.auth.entra import ClientSecret, DefaultIdentity, EntraTokens
from providers.base import Dialect
from providers.openai import response
from providers.openai.dialect import OpenAI
from providers.transport.client import Upstream
from providers.types import Clocks, Event, HttpRequest, Json, Target

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
V1_VERSIONS = frozenset({"v1", "preview", "latest"})
_NEEDED = ("tenant_id", "client_id", "client_secret")
_FINDINGS = ("content_filter_results", "content_filter_result", "content_filter_offsets", "prompt_filter_results")


class AzureWay(Dialect):
    """Before a class of one of OpenAI's operations, it makes that operation Azure's:

    ``class AzureEmbeddings(AzureWay, OpenAIEmbeddings): name = "azure"``

    That class need only put its path behind ``target.base_url`` and the key behind ``authorization: Bearer``.
    """

    def __init__(self, tokens: EntraTokens | None = None) -> None:
        super().__init__()
        self._tokens = tokens or EntraTokens()

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        there = replace(target, base_url=_base(target), options=_options(target))
        request: HttpRequest = super().request(there, body, stream=stream)  # type: ignore[safe-super]  # the next class's
        query = _query(target)
        url = f"{request.url}{'&' if '?' in request.url else '?'}{query}" if query else request.url
        return replace(request, url=url, headers=tuple(_own(target, header) for header in request.headers))

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


class Azure(AzureWay, OpenAI):
    """Chat completions."""

    name: ClassVar[str] = "azure"

    def decoder(self) -> Decoder:
        return Decoder()


class Decoder(response.Decoder):
    """OpenAI's, without what filters let pass."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        event = super()._event(name, data)
        if event is not None:
            _tidy(event.chunk)
        return event


def _tidy(chunk: Any) -> None:
    """Drop findings that found nothing, and choices that held nothing else."""
    _drop_findings(chunk)
    choices = []
    for choice in chunk["choices"]:
        annotation = any(name in choice for name in _FINDINGS)
        _drop_findings(choice)
        bare = choice["finish_reason"] is None and not any(choice["delta"].values()) and not choice.get("logprobs")
        if not (annotation and bare and not any(name in choice for name in _FINDINGS)):
            choices.append(choice)
    chunk["choices"] = choices


def _drop_findings(owner: Json) -> None:
    for name in _FINDINGS:
        if name in owner and not _filtered(owner[name]):
            del owner[name]


def _filtered(findings: Any, depth: int = 0) -> bool:
    """Something in it says that it was filtered, or detected. Looks as deep as Azure's findings go."""
    if depth > 6:
        return False
    if isinstance(findings, list):
        return any(_filtered(one, depth + 1) for one in findings)
    if not isinstance(findings, dict):
        return False
    return any(
        value is True if name in ("filtered", "detected") else _filtered(value, depth + 1)
        for name, value in findings.items()
    )


def _client(target: Target) -> ClientSecret | None:
    values = [target.credentials.get(name) for name in _NEEDED]
    tenant, client, secret = values
    if not tenant or not client or not secret:
        return None
    authority = str(target.options.get("authority", AUTHORITY)).rstrip("/")
    return ClientSecret(authority, tenant, client, secret, _scope(target))


def _scope(target: Target) -> str:
    return str(target.options.get("scope", SCOPE))


def _dated(target: Target) -> bool:
    version = target.options.get("api_version")
    return bool(version) and version not in V1_VERSIONS


def _base(target: Target) -> str:
    resource = target.base_url.removesuffix("/v1").removesuffix("/openai")
    if _dated(target):
        return f"{resource}/openai/deployments/{quote(target.upstream_id, safe='')}"
    return f"{resource}/openai/v1"


def _options(target: Target) -> dict[str, Any]:
    options = dict(target.options)
    options.pop("api_key_header", None)  # the key is put where it belongs below
    if not _dated(target):
        options.setdefault("max_tokens_field", "max_completion_tokens")
    return options


def _query(target: Target) -> str:
    version = target.options.get("api_version")
    return urlencode({"api-version": version}) if version and version != "v1" else ""


def _own(target: Target, header: tuple[str, str]) -> tuple[str, str]:
    """The key in Azure's header; a token stays behind ``Bearer``."""
    has_token = CHAIN in target.credentials or _client(target) is not None
    if header[0] == "authorization" and header[1] == f"Bearer {target.api_key}" and not has_token:
        return "api-key", header[1].removeprefix("Bearer ")
    return header
