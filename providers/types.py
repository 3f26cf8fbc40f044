"""The vocabulary that dialects and their users share. Plain values: no I/O, no identity, equal when their contents are equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

Json = dict[str, Any]
"""A decoded JSON object in the inner language: OpenAI chat completions, unknown fields kept."""


class Target(msgspec.Struct, frozen=True):
    """Where one endpoint is reached: everything a dialect needs beside the request itself."""

    provider: str
    """Slug of the vendor; for messages only."""
    base_url: str
    """Without a trailing slash, e.g. ``https://api.openai.com/v1``."""
    upstream_id: str
    """The vendor's own name of the model."""
    api_key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Quirks of a compatible vendor as data; each dialect documents the keys it reads."""
    credentials: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Secrets beside the one key, by name (AWS: ``access_key_id``, ``secret_access_key``, ``session_token``)."""
    proxy: str | None = None
    """URL of the proxy through which the vendor is reached, perhaps with credentials; ``direct``: none on any account."""
    http2: bool = False
    """Offer the vendor HTTP/2."""
    authorized: bool = False
    """``Dialect.authorize`` has been called already."""

    def __repr__(self) -> str:
        return f"Target({self.provider!r}, {self.base_url!r}, {self.upstream_id!r})"  # never the key


class Call(msgspec.Struct, frozen=True):
    """What is asked of a vendor."""

    body: Json
    """In the inner language of the operation."""
    native: Json | None = None
    """The same request as the caller wrote it, when the dialect's ``shape`` is the caller's: then it is what goes out."""


class Clocks(msgspec.Struct, frozen=True):
    """The four deadlines of one attempt, in seconds. The error says which one fell."""

    connect_s: float = 5.0
    first_content_s: float = 60.0
    """From sending the request to the first content (streams) or to the whole answer's headers (JSON: see ``total_s``)."""
    gap_s: float = 60.0
    """Between two events of a stream; comments do not count as events."""
    total_s: float = 600.0
    """From sending the request to the end of the answer."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer, split into **disjoint** kinds, so that a sum of products is the bill."""

    prompt: int = 0
    """Text tokens of the prompt that were neither read from nor written to a cache."""
    cache_read: int = 0
    cache_write: int = 0
    """Written to a cache that lives minutes (Anthropic: 5 m), or whose life the vendor does not say."""
    completion: int = 0
    """Text tokens of the answer without reasoning."""
    reasoning: int = 0
    cache_write_1h: int = 0
    """Written to a cache that lives an hour."""
    audio_prompt: int = 0
    """Audio tokens of the prompt, where the vendor tells them apart; not in ``prompt``."""
    audio_cache_read: int = 0
    """Audio tokens of the prompt that came from a cache; not in ``cache_read``."""
    image_prompt: int = 0
    """Image tokens of the prompt, where the vendor tells them apart **and** prices them apart; else they are in ``prompt``."""
    audio_completion: int = 0
    image_completion: int = 0
    units: Mapping[str, int] | None = None
    """What is not tokens: ``web_search`` (searches made), ``search_unit`` (rerank), ``character`` (speech),
    ``audio_ms`` (milliseconds transcribed), ``image_output`` (pictures made)."""
    cost_usd: Decimal | None = None
    """What the vendor itself says the call cost, if it says so."""
    estimated: bool = False
    """True when the vendor reported nothing and the counts are ours."""
    suspect: bool = False
    """True when the vendor's report held nonsense (negative, fractional, beyond reason, more cached than sent)."""

    @property
    def prompt_total(self) -> int:
        cached = self.cache_read + self.cache_write + self.cache_write_1h + self.audio_cache_read
        return self.prompt + cached + self.audio_prompt + self.image_prompt

    @property
    def completion_total(self) -> int:
        return self.completion + self.reasoning + self.audio_completion + self.image_completion


@dataclass(slots=True)
class Completion:
    """A whole answer in the inner language (for chat an OpenAI ``chat.completion`` object)."""

    body: Json
    usage: Usage | None
    native: Json | None = None
    """The vendor's own document, unchanged: set by a dialect with a ``shape``, for the surface that speaks the same."""
    content: bytes = b""
    """An answer that is not JSON: speech."""
    content_type: str = ""


class Event(msgspec.Struct):
    """One streamed event in the inner language (an OpenAI ``chat.completion.chunk`` object)."""

    chunk: Json
    content: bool = False
    """True when it carries something a caller could show: text, reasoning, a refusal, a tool call, an image, audio."""
    finish: str | None = None
    """The normalised finish reason, on the event that ends the choice."""
    usage: Usage | None = None
    native: tuple[str, Json] | None = None
    """The vendor's own event (name, data), unchanged: set by a dialect with a ``shape``. Every event of the vendor appears in
    exactly one ``Event``, in order; what says nothing in the inner language comes with ``choices: []``."""


class HttpRequest(msgspec.Struct, frozen=True):
    """One request to a vendor, ready to send."""

    url: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    method: str = "POST"
    address: str | None = None
    """Connect to this address and do not resolve the URL's host, which names and proves itself as ever."""


class HttpResponse(msgspec.Struct, frozen=True):
    """A whole response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
