"""The documented fields of the legacy ``POST /completions`` as types: one source for validation and for the OpenAPI page.

Several prompts, prompts of tokens and the best of several completions need a completion model; a request for them is refused,
because only chat models are served. Sources: OpenAI's and OpenRouter's API references, read 2026-11-21.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.api.inference.chat.schema import (
    Effort,
    Name,
    Penalty,
    Reasoning,
    ResponseFormat,
    Share,
    StreamOptions,
    Tokens,
)
from gateway.api.inference.field_types import convert, require_model
from gateway.errors import BadRequest

Json = dict[str, Any]
One = Annotated[int, Meta(ge=1, le=1)]


class CompletionsRequest(msgspec.Struct):
    """An OpenAI completion request with OpenRouter's routing fields."""

    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=1)]
    model: Name | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    provider: Json | None = None
    route: str | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: One | None = None
    n: One | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    usage: Json | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: Share | None = None
    top_a: Share | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    user: Annotated[str, Meta(max_length=512)] | None = None
    session_id: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    transforms: list[str] | None = None
    plugins: list[Json] | None = None


def check(body: Json) -> None:
    """Raises BadRequest naming the field, what was expected and what came."""
    if body.get("prompt") is None and body.get("messages") is not None:
        raise BadRequest("prompt: is missing; for messages use /api/v1/chat/completions.", field="prompt")
    for name in ("messages", "tools", "functions"):
        if body.get(name) is not None:
            raise BadRequest(
                f"{name}: text completions do not have this field; use /api/v1/chat/completions.", field=name
            )
    _check_prompt(body.get("prompt"))
    convert(body, CompletionsRequest)
    require_model(body)


def _check_prompt(prompt: Any) -> None:
    if not isinstance(prompt, list):
        return
    if any(not isinstance(one, str) for one in prompt):
        raise BadRequest("prompt: must be a text, not token ids.", field="prompt")
    if len(prompt) != 1:
        raise BadRequest(f"prompt: must be one prompt, not {len(prompt)}; send one request for each.", field="prompt")
