"""Models, endpoints and providers, with every field that the official SDKs require."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from gateway.api.management.schema.base import Shape


class Architecture(Shape):
    input_modalities: list[str]
    output_modalities: list[str]
    modality: str | None
    tokenizer: str
    instruct_type: str | None


class Pricing(Shape):
    """USD per token (per request, per image) as decimal strings; a kind without its own price is absent."""

    prompt: str
    completion: str


class TopProvider(Shape):
    is_moderated: bool
    context_length: int | None = None
    max_completion_tokens: int | None = None


class Links(Shape):
    details: str


class AliasTarget(Shape):
    slug: str
    name: str


class Model(Shape):
    """`object` and `owned_by` are what OpenAI's SDK expects; what the catalogue does not know of a model is absent."""

    id: str
    object: str
    owned_by: str
    canonical_slug: str
    name: str
    created: int
    description: str = ""
    context_length: int
    architecture: Architecture
    pricing: Pricing
    top_provider: TopProvider
    per_request_limits: None
    supported_parameters: list[str]
    default_parameters: dict[str, Any] | None
    supported_voices: None
    hugging_face_id: str | None = None
    knowledge_cutoff: str | None = None
    expiration_date: str | None = None
    reasoning: dict[str, Any] | None = None
    alias_target: AliasTarget | None = None
    links: Links


class NextLink(Shape):
    next: str | None


class ModelList(Shape):
    object: str
    data: list[Model]
    links: NextLink
    total_count: int


class ImageArchitecture(Shape):
    input_modalities: list[str]
    output_modalities: list[str]


class ImageModel(Shape):
    id: str
    name: str
    created: int
    description: str
    architecture: ImageArchitecture
    supported_parameters: dict[str, dict[str, Any]]
    supports_streaming: bool
    endpoints: str


class ImageModelList(Shape):
    data: list[ImageModel]


class ImagePrice(Shape):
    billable: str
    unit: str
    cost_usd: float


class ImageEndpoint(Shape):
    provider_name: str
    provider_slug: str
    provider_tag: str | None
    supported_parameters: dict[str, dict[str, Any]]
    allowed_passthrough_parameters: list[str]
    supports_streaming: bool
    pricing: list[ImagePrice]


class ImageEndpoints(Shape):
    id: str
    endpoints: list[ImageEndpoint]


class ModelAnswer(Shape):
    data: Model


class Count(Shape):
    count: int


class CountAnswer(Shape):
    data: Count


class Percentiles(Shape):
    p50: float
    p75: float
    p90: float
    p99: float


class ToolChoice(Shape):
    auto: bool
    none: bool
    required: bool
    function: bool


class Endpoint(Shape):
    """`latency_last_30m` is the time to the first content in milliseconds, `throughput_last_30m` tokens a second.

    `status`: 0 normal, -1 degraded, -2 below 80 % uptime, -5 its breaker is open, -10 no credential is configured.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    name: str
    model_id: str
    model_name: str
    provider_name: str
    tag: str
    context_length: int
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    pricing: Pricing
    quantization: str | None
    supported_parameters: list[str]
    supports_implicit_caching: bool
    supports_diarization: bool
    supports_tool_choice: ToolChoice
    native_tools: dict[str, dict[str, str]]
    service_tier: str | None
    uptime_last_5m: float | None
    uptime_last_30m: float | None
    uptime_last_1d: float | None
    latency_last_30m: Percentiles | None
    throughput_last_30m: Percentiles | None
    status: int


class ModelEndpoints(Shape):
    id: str
    name: str
    created: int
    description: str
    architecture: Architecture
    endpoints: list[Endpoint]


class ModelEndpointsAnswer(Shape):
    data: ModelEndpoints


class EndpointList(Shape):
    data: list[Endpoint]


class Provider(Shape):
    name: str
    slug: str
    privacy_policy_url: str | None
    terms_of_service_url: str | None = None
    status_page_url: str | None = None
    headquarters: str | None = None
    datacenters: list[str] | None = None


class ProviderList(Shape):
    data: list[Provider]
