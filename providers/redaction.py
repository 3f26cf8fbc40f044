"""Secrets and the operator's account out of what a vendor writes: a refusal may quote the key that it refuses, and name the
organisation, the project, the account or the resource that the key belongs to. Pure.

Forms of names, from refusals quoted in public issue trackers and the vendors' documentation, read 2026-11-30: OpenAI ``org-``,
``proj_``, ``user-``, ids of requests stay; Groq ``org_``; AWS account numbers and ARNs; Azure hosts of resources, subscriptions,
groups and deployments; Google ``projects/<id>``, ``project_number:<n>``, service accounts, links to the console.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, urlsplit

from providers.errors import RAW_MAX, ProviderError
from providers.types import Target

MASK: Final = "[secret]"
SHORTEST: Final = 8
"""A shorter value is no secret but a word such as ``none`` or ``ollama``, which a message may need."""
_QUOTED: Final = 12
"""Characters of a secret by which a shortened quotation (``Incorrect API key: sk-proj-Ab12...``) is recognised."""
WORDS_MAX: Final = 300
_TAGS: Final = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SHAPES: Final = re.compile(
    r"(?i:\bbearer\s+)[\w.~+/=-]{8,}"
    r"|\b(?:sk|gsk|xai|tvly|pplx)[-_][\w-]{16,}"
    r"|\barn:aws[\w-]*:[\w-]*:[\w-]*:\d*:[\w./+=@-]+"
    r"|\bAIza[\w-]{30,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\bya29\.[\w-]+"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|[\w.-]{0,64}\*{4,}[\w.*-]*"
    r"|\b(?:sk|gsk|xai|pplx)[-_][\w-]{0,64}(?:\.{2,}|\u2026)[\w-]{0,64}"
    r"|\b(?:org|proj|user|acct|wrkspc|workspace|team)[-_](?=[\w-]{0,64}\d)[\w-]{8,}"
    r"|\b[\w-]{1,63}\.(?:openai\.azure|cognitiveservices\.azure|services\.ai\.azure|inference\.ml\.azure|azure-api)\.(?:com|us|cn|net)"
    r"|(?i:/subscriptions/)[\w-]+(?i:(?:/(?:resource-?groups|providers|workspaces|accounts|deployments)(?:/[\w.-]+)+)*)"
    r"|\b[\w-]{1,63}@[\w-]{1,63}(?:\.iam)?\.gserviceaccount\.com"
)
"""What keys and tokens of the large vendors look like, also half masked by them: some are fetched while a request is being sent,
and are in no configuration."""


_ACCOUNT: Final = re.compile(
    r"(?i)((?:\bprojects|\baccounts|\bdeployments|\borganizations|\bworkspaces|\bsubscriptions|\btenants)[/:]"
    r"|[?&](?:project|organization|organizationid|account|tenant|key|resource)="
    r"|\bproject[_ ]number[:= ]{1,2})['\"`]?([\w.:-]+)"
)
"""Paths and queries that name an account: the first group stays, the second goes."""
_NAMED: Final = re.compile(
    r"(?i)\b((?:organi[sz]ation|project|account|tenant|subscription|workspace|deployment|resource group|team|customer)"
    r"(?: (?:id|name|number|named))?[ ]?[:=]?[ ]?)(['\"`(]{0,2})"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{6,}|(?=[\w-]{0,64}\d)(?=\w{0,64}-)[\w-]{6,}|(?<=['\"`])[\w.-]+)"
)
"""Words that an account's name or number follows: a UUID, a number, a name with digits and dashes, or any in quotation marks."""


def redact(error: ProviderError, target: Target) -> None:
    """Take the target's secrets out of everything that an error says."""
    secrets = secrets_of(target)
    error.message, error.raw = redacted(error.message[:RAW_MAX], secrets), redacted(error.raw[:RAW_MAX], secrets)
    if error.provider_code is not None:
        error.provider_code = redacted(error.provider_code, secrets)
    error.args = (f"{error.failure.kind}: {error.message}",)


def words(error: ProviderError) -> str:
    """What the vendor said, in one line: its message, or the beginning of a body that is none of its own, such as a page."""
    said = error.message
    if error.raw and said.startswith("the vendor answered"):
        said = f"{said}: {_TAGS.sub(' ', error.raw)}"
    said = " ".join(said.split())
    return said if len(said) <= WORDS_MAX else f"{said[: WORDS_MAX - 3]}..."


def redacted(text: str, secrets: Iterable[str]) -> str:
    """``text`` without the secrets, in plain, URL-encoded and JSON-escaped form, and without anything that is shaped like a key."""
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("/", "\\/")}:
            text = text.replace(form, MASK)
        if len(secret) >= 2 * _QUOTED and secret[:_QUOTED] in text:
            text = re.sub(re.escape(secret[:_QUOTED]) + r"[\w.~+/=*-]*", MASK, text)
    text = _SHAPES.sub(MASK, text)
    text = _ACCOUNT.sub(_without_name, text)
    return _NAMED.sub(rf"\1\2{MASK}", text)


def _without_name(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}"


def secrets_of(target: Target) -> list[str]:
    """Every configured value of a target that nobody else may see: its key, credentials, own headers, its proxy's password,
    and its address, which may name an account."""
    values = [target.api_key, *target.credentials.values(), target.base_url]
    for _, value in target.headers:
        values += [value, value.rpartition(" ")[2]]
    if target.proxy is not None:
        values.append(_password(target.proxy))
    return sorted({value for value in values if value is not None and len(value) >= SHORTEST}, key=len, reverse=True)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
