"""One inference request, parsed: what the surfaces hand to the pipeline, whatever format the caller used.

It must not know: HTTP, endpoints, prices.
"""

from __future__ import annotations

import msgspec

from gateway.accounts import KeyPolicy
from gateway.pricing import Prompt
from providers.types import Json, NativeRequest


class Client(msgspec.Struct, frozen=True):
    """What the caller says about itself; kept in the record, never in a label."""

    referer: str | None = None
    title: str | None = None
    user_agent: str | None = None


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request in the inner language."""

    id: str
    """Of the generation."""
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
    """The request as the caller wrote it: for what only the surface needs again when it answers."""
    native: NativeRequest | None = None
    """What of ``original`` may go on to a vendor, where a dialect may speak the same format."""
    client: Client = Client()
    explain: bool = False
    """The caller asked for ``openrouter_metadata``."""
