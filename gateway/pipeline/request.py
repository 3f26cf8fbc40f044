"""One inference request, parsed: what the surfaces hand to the pipeline, whatever format the caller used.

It must not know: HTTP, endpoints, prices.
"""

from __future__ import annotations

import msgspec

from gateway.accounts import KeyPolicy
from gateway.prompt_size import Prompt
from providers.types import Json, NativeRequest


class Client(msgspec.Struct, frozen=True):
    """What the caller states about its application; kept in the record, never in a label."""

    referer: str | None = None
    title: str | None = None
    user_agent: str | None = None
    categories: str | None = None
    """``X-OpenRouter-Categories`` as it was sent."""


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request, in the format that the pipeline uses for every surface."""

    id: str
    """The generation's id."""
    created_at: float
    """Unix seconds."""
    started: float
    """``time.perf_counter()`` when the request came in."""
    caller: KeyPolicy
    body: Json
    prompt: Prompt
    max_tokens: int | None
    stream: bool
    surface: str
    operation: str = "chat"
    original: Json = {}
    """The request as the caller wrote it: the surface needs parts of it again for the answer."""
    native: NativeRequest | None = None
    """The part of ``original`` that may be sent to a vendor whose dialect uses the same format."""
    client: Client = Client()
    session_id: str | None = None
    """The caller's name for the conversation: ``session_id`` of the body, else the header ``x-session-id``."""
    explain: bool = False
    """The caller asked for ``openrouter_metadata``."""
