"""The rows of the catalogue's YAML files, a public interface.

Unknown keys are refused, so a typing error never silently means the default. Money is decimal *text*: YAML would read
``0.15`` as a binary float.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.money import parse_price
from providers.transport import proxies

PROVIDER_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
MODEL_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,95}(?::[a-z][a-z0-9-]{0,31})?")
QUANTIZATIONS = ("int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown")
UNIT_FIELDS = {
    "usd_per_request": "request",
    "usd_per_image": "image",
    "usd_per_image_output": "image_output",
    "usd_per_search_unit": "search_unit",
    "usd_per_web_search": "web_search",
    "usd_per_mchar": "character",
    "usd_per_minute": "audio_ms",
}
"""Price fields beside tokens → the price kind they set (see ``Price``)."""
DECIMAL_TEXT = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}


def _slug(pattern: re.Pattern[str], allowed: str) -> Any:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value[:100]!r} is not a slug; {allowed}")
        return value

    return AfterValidator(check)


def _money(units: int) -> Any:
    def check(value: Any) -> int:
        if isinstance(value, float):
            raise ValueError(f'a price is quoted text: write "{Decimal(repr(value)):f}", not {value!r}')
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ValueError('a price is quoted text such as "0.15"')
        return parse_price(value, units=units)

    return BeforeValidator(check)


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must start with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password; secrets come from api_key_env")
    return value


def _base_url(value: str) -> str:
    if urlsplit(_url(value)).query or urlsplit(value).fragment:
        raise ValueError("must not have a query or fragment; put fixed parameters into options")
    return value.rstrip("/")


def _header(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line of printable characters")
    return value


ProviderSlug = Annotated[str, _slug(PROVIDER_SLUG, "use lower-case letters, digits and inner hyphens")]
ModelSlug = Annotated[str, _slug(MODEL_SLUG, "write author/name in lower-case letters, digits, '.', '_' and '-'")]
Day = Annotated[date, Field(strict=False)]
"""``2026-03-01``, quoted or not."""
UpstreamId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_.+-]+$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
Url = Annotated[str, AfterValidator(_url)]
PerMillion = Annotated[int, _money(10**6), WithJsonSchema(DECIMAL_TEXT)]
PerUnit = Annotated[int, _money(1), WithJsonSchema(DECIMAL_TEXT)]


def _per_minute(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError('a price is quoted text such as "0.006"')
    return -(-parse_price(value) // 60_000)


PerMinute = Annotated[int, BeforeValidator(_per_minute), WithJsonSchema(DECIMAL_TEXT)]
"""Dollars a minute of audio → femto-dollars a millisecond, rounded up: at most 10^-15 dollars too much a millisecond."""
Env = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Secret = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\??$")]
Billions = Annotated[float, Field(gt=0, le=100_000)]
Color = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
OwnerType = Literal["lab", "app", "stealth", "community"]
Tier = Literal["flagship", "mid", "mini", "nano", "lite", "flash", "fast", "embed", "rerank"]
SizeClass = Literal["small", "medium", "large"]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataPolicyRow(_Row):
    """What the provider does with prompts. A field that is not written counts as the worst: true."""

    training: bool = True
    retains_prompts: bool = True


class VariableRow(_Row):
    """The environment variable that fills a ``{name}``."""

    env: Env
    default: Text | None = None
    """Without a default the provider is listed, but not routed to, until the variable is set."""


class ProviderRow(_Row):
    """``config/providers/<slug>.yaml``: a vendor, its address, dialect and key."""

    slug: ProviderSlug
    name: Text
    disabled: bool = False
    """Nothing of this provider is for sale. Its name stays known, so a caller's ``provider.ignore`` remains valid."""
    dialect: Word
    base_url: Annotated[str, AfterValidator(_base_url)]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    """Environment variable that holds the key; null = the vendor needs none."""
    credentials_env: dict[Secret, Env] = {}
    """For vendors that need more than one secret (AWS, a service account): name → variable; a name that ends in ``?`` may be
    unset. If ``api_key_env`` is written too, either suffices."""
    credential_chain: Literal["always"] | list[Env] = []
    """Without those secrets: let the cloud's own library find credentials, when one of these variables is set, or always."""
    variables: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], VariableRow] = {}
    """``{name}`` in ``base_url``, ``proxy`` and texts of ``options``: a region, a project, a proxy's password."""
    data_policy: DataPolicyRow = DataPolicyRow()
    headquarters: Country | None = None
    datacenters: list[Country] = []
    privacy_policy_url: Url | None = None
    terms_of_service_url: Url | None = None
    status_page_url: Url | None = None
    cancel_stops_billing: bool = True
    prompt_cache_ttl_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long the vendor keeps a prompt in its cache after it was last read. The turns of a conversation stay here so long."""
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], Annotated[str, AfterValidator(_header)]] = {}
    options: dict[str, Any] = {}
    """What this vendor does differently from others of its dialect; each dialect documents its options."""
    proxy: Annotated[str, AfterValidator(proxies.check)] | None = None
    """``http://``, ``https://`` or ``socks5://``, or ``direct``; null = what the environment says. May hold ``{name}``s."""
    http2: bool = False
    """Offer HTTP/2 to the vendor; costs more CPU a request."""


class EndpointRow(_Row):
    """One endpoint of a model. A field that is not written is the model's."""

    provider: ProviderSlug
    upstream_id: UpstreamId
    disabled: bool = False
    """This endpoint is not for sale."""
    context_length: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    quantization: Annotated[str, Field(json_schema_extra={"enum": list(QUANTIZATIONS)})] | None = None
    supported_parameters: list[Word] | None = None
    input_modalities: list[Word] | None = None
    output_modalities: list[Word] | None = None
    dialect: Word | None = None
    """Set where this endpoint has another dialect than the provider's other ones."""
    options: dict[str, Any] = {}
    """Options of this endpoint, over the provider's."""
    tag: Annotated[str, Field(pattern=r"^[a-z0-9-]+(/[a-z0-9._-]+)?$", max_length=100)] | None = None


class FactsRow(_Row):
    """What analytics counts a model by. A fact that is not written is derived where a rule can tell it, else unknown."""

    family: Word | None = None
    tier: Tier | None = None
    author: ProviderSlug | None = None
    owner_type: OwnerType | None = None
    lab_country: Country | None = None
    open_weights: bool | None = None
    licence: Word | None = None
    params_total_b: Billions | None = None
    params_active_b: Billions | None = None
    size_class: SizeClass | None = None
    """For models whose number of parameters is not published, and for groups of models."""
    base_model: ModelSlug | None = None
    finetune_of: ModelSlug | None = None
    supports_reasoning: bool | None = None
    reasoning_default: bool | None = None
    """It thinks unless told not to."""
    reasoning_model: bool | None = None
    """Counted among the reasoning models; default: it can reason, and does not only do so when asked."""
    supports_tools: bool | None = None
    domain: Word | None = None
    tokenizer: Text | None = None
    released: Day | None = None
    retired: Day | None = None
    free_variant: bool | None = None


class ModelFactsRow(FactsRow):
    """``attributes`` of a model's row; other keys are allowed there."""

    model_config = ConfigDict(extra="allow")


class ChangeRow(FactsRow):
    """Facts that hold from a day on, such as weights that were published later. Earlier days keep those before."""

    since: Day = Field(alias="from")


class AttributesRow(FactsRow):
    """One row of ``config/attributes/models.yaml``: facts over those of the model's own row, and models of the past."""

    slug: ModelSlug
    name: Text | None = None
    """Required for a model that the catalogue does not have."""
    aliases: list[ModelSlug] = []
    context_length: Tokens | None = None
    color: Color | None = None
    changes: list[ChangeRow] = []


class AuthorRow(_Row):
    """One row of ``config/attributes/authors.yaml``: who makes models, and under which namespaces."""

    slug: ProviderSlug
    name: Text
    aliases: list[ProviderSlug] = []
    """Other namespaces of the same author: counted as this one."""
    owner_type: OwnerType | None = None
    country: Country | None = None
    hue: Annotated[int, Field(ge=0, le=359)] | None = None
    """Degrees in OKLCH of the colours of its models; default: by a hash of the slug."""


class ReleaseRow(_Row):
    """One row of ``config/attributes/releases.yaml``: a marker on time charts."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
    label: Text
    day: Day
    model: ModelSlug | None = None
    source: Text


class ModelRow(_Row):
    """One row of ``config/models/<author>.yaml``."""

    slug: ModelSlug
    name: Text
    created: Day
    context_length: Tokens
    description: Annotated[str, Field(max_length=4000)] = ""
    input_modalities: Annotated[list[Word], Field(min_length=1)] = ["text"]
    output_modalities: Annotated[list[Word], Field(min_length=1)] = ["text"]
    supported_parameters: list[Word] = []
    aliases: list[ModelSlug] = []
    attributes: ModelFactsRow = ModelFactsRow()
    tokenizer: Text | None = None
    instruct_type: Text | None = None
    hugging_face_id: Text | None = None
    knowledge_cutoff: Day | None = None
    expiration_date: Day | None = None
    default_parameters: dict[str, Any] = {}
    reasoning: dict[str, Any] | None = None
    endpoints: list[EndpointRow]
    """Required, if only as ``[]``: most files that are cut off in the middle lack it in their last row."""


class TokenRates(_Row):
    """Dollars per million tokens, as text. A kind that is not written has the price of its kind in ``FALLBACK_KIND``."""

    prompt: PerMillion | None = None
    completion: PerMillion | None = None
    input_cache_read: PerMillion | None = None
    input_cache_write: PerMillion | None = None
    input_cache_write_1h: PerMillion | None = None
    internal_reasoning: PerMillion | None = None
    audio: PerMillion | None = None
    audio_output: PerMillion | None = None
    input_audio_cache: PerMillion | None = None
    image_token: PerMillion | None = None
    image_output_token: PerMillion | None = None


class TokenPrices(TokenRates):
    """The token prices of a row. Only a written "0" is free."""

    prompt: PerMillion
    completion: PerMillion


class TierRow(_Row):
    """Other prices for long prompts: of several tiers that apply the last one counts, kind by kind."""

    min_prompt_tokens: Tokens
    """Applies to prompts of strictly more tokens."""
    usd_per_mtok: TokenRates


class PriceRow(_Row):
    """One row of ``config/prices/<provider>.yaml``: in force until a later row of the same upstream id."""

    upstream_id: UpstreamId
    since: Day = Field(alias="from")
    usd_per_mtok: TokenPrices
    usd_per_request: PerUnit | None = None
    usd_per_image: PerUnit | None = None
    """For each picture in the prompt."""
    usd_per_image_output: PerUnit | None = None
    """For each picture generated."""
    usd_per_search_unit: PerUnit | None = None
    usd_per_web_search: PerUnit | None = None
    usd_per_mchar: PerMillion | None = None
    """For a million characters of generated speech."""
    usd_per_minute: PerMinute | None = None
    """For a minute of transcribed audio."""
    overrides: list[TierRow] = []
    source: Text
