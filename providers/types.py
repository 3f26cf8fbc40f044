"""The types that dialects and their users share: requests, answers and events as plain values. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Required, TypedDict

import msgspec

Json = dict[str, Any]
"""A decoded JSON object without a type of its own: a vendor's document, or the body of an operation beside chat."""


# -- the inner language ------------------------------------------------------------------------------------------------
# OpenAI's chat completions with OpenRouter's additions (platform.openai.com/docs/api-reference/chat and
# openrouter.ai/docs/api-reference, read 2026-11), as plain dicts. Every API surface translates into it and every chat dialect out
# of it. The types below name the fields that code reads or writes; unknown fields are allowed everywhere and pass on. An optional
# field may also be null. ``type`` and ``role`` say which of the other fields an object has.


class ContentPart(TypedDict, total=False):
    """One piece of a message's content. The field named by ``type`` holds it; the others are absent."""

    type: Required[str]
    """``text``, ``refusal``, ``image_url``, ``input_audio``, ``file``, ``video_url``, ``input_video``."""
    text: str
    refusal: str
    image_url: Json
    """``url`` (``https:`` or a ``data:`` URL) and ``detail``: ``auto``, ``low``, ``high``, ``original``."""
    input_audio: Json
    """``data`` (base64) and ``format`` (``wav``, ``mp3`` ...)."""
    file: Json
    """``file_data`` (a ``data:`` URL or an ``https:`` URL) or ``file_id``, and ``filename``."""
    video_url: Json
    """``url``."""
    input_video: Json
    """``url``: OpenRouter's older spelling of ``video_url``."""
    cache_control: Json
    """Anthropic's cache breakpoint: ``type`` (``ephemeral``) and ``ttl`` (``5m``, ``1h``)."""


class FunctionCall(TypedDict, total=False):
    """The call itself. In deltas both fields may be missing, and ``arguments`` is the next fragment."""

    name: str
    arguments: str
    """JSON text as the model wrote it; it need not be valid."""


class ToolCall(TypedDict, total=False):
    """A tool call of an assistant. In deltas ``index`` joins the fragments, and only the first one has ``id`` and ``name``."""

    index: int
    id: str
    type: str
    """``function``, or ``custom`` with the fields ``name`` and ``input`` under ``custom``."""
    function: FunctionCall
    custom: Json


class ReasoningDetail(TypedDict, total=False):
    """One piece of a model's reasoning, to be sent back unchanged and in order with the message it belongs to."""

    type: Required[str]
    """``reasoning.text`` (``text``, ``signature``), ``reasoning.summary`` (``summary``) or ``reasoning.encrypted`` (``data``)."""
    text: str
    signature: str | None
    """The vendor's proof that it wrote the text itself."""
    summary: str
    data: str
    """Opaque: only the vendor that made it can read it."""
    format: str | None
    """Which vendor's API can take it back, e.g. ``anthropic-claude-v1``, ``openai-responses-v1``; ``unknown``."""
    id: str | None
    index: int
    """Position among the details of the message; fragments of a stream with the same index are one detail."""


class Message(TypedDict, total=False):
    """One message of a conversation, or the message of a whole answer."""

    role: Required[str]
    """``system``, ``developer``, ``user``, ``assistant`` or ``tool``."""
    content: str | list[ContentPart] | None
    """A string is the same as one text part. Null only in an assistant's message."""
    name: str
    """The participant's name; of a tool message: the tool's name."""
    tool_calls: list[ToolCall]
    """Assistant only."""
    tool_call_id: str
    """Tool only: the ``id`` of the call that this is the result of."""
    is_error: bool
    """Tool only: the tool failed (from Anthropic's Messages API)."""
    refusal: str | None
    """Assistant only: why the model refused, in place of ``content``."""
    reasoning: str | None
    """Assistant only: the readable reasoning as one text."""
    reasoning_details: list[ReasoningDetail]
    """Assistant only: the same reasoning in pieces, with what the vendor needs to take it back."""
    images: list[ContentPart]
    """Assistant only: pictures that the model made, as ``image_url`` parts with ``data:`` URLs."""
    annotations: list[Json]
    """Assistant only: citations, ``{"type": "url_citation", "url_citation": {"url", "title", "start_index", "end_index"}}``.
    Vendors may add ``content``. The indexes count characters of ``content``."""
    audio: Json | None
    """Assistant only: a spoken answer."""
    phase: str
    """Assistant only: ``commentary`` or ``final_answer`` (OpenAI's Responses API)."""
    cache_control: Json


class FunctionTool(TypedDict, total=False):
    """What the model may know of a function."""

    name: Required[str]
    description: str
    parameters: Json
    """JSON Schema of the arguments; missing: the function has none."""
    strict: bool
    """Whether the arguments must follow the schema exactly; default false."""


class Tool(TypedDict, total=False):
    """A tool that the model may call. Types other than ``function`` are a vendor's own and keep the vendor's fields."""

    type: Required[str]
    function: FunctionTool
    custom: Json
    cache_control: Json


class InnerRequest(TypedDict, total=False):
    """A chat request, checked by the API surface that took it. ``messages`` is always there; ``model`` is the gateway's name of
    the model, and each dialect replaces it by ``Target.upstream_id``."""

    messages: Required[list[Message]]
    model: str
    models: list[str]
    """Further models to try, in order."""
    provider: Json
    """Routing preferences; ``provider.options.<slug>`` holds fields for one provider."""
    stream: bool
    stream_options: Json
    max_tokens: int
    """Limit of the output in tokens, reasoning included. ``max_completion_tokens`` is the newer name and wins."""
    max_completion_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    top_a: float
    frequency_penalty: float
    presence_penalty: float
    repetition_penalty: float
    seed: int
    stop: str | list[str]
    logit_bias: dict[str, float]
    logprobs: bool
    top_logprobs: int
    n: int
    """Number of choices; the gateway's own surfaces allow 1."""
    tools: list[Tool]
    tool_choice: str | Json
    """``auto``, ``none``, ``required``, or an object that names one function or the allowed tools: see ``chat.tool_choice``."""
    parallel_tool_calls: bool
    response_format: Json
    """``type``: ``text``, ``json_object`` or ``json_schema`` (with ``json_schema``: ``name``, ``schema``, ``strict``)."""
    structured_outputs: bool
    reasoning: Json
    """``effort`` or ``max_tokens`` (a budget), ``enabled``, ``exclude`` (leave it out of the answer), ``summary``."""
    reasoning_effort: str
    """``none``, ``minimal``, ``low``, ``medium``, ``high``, ``xhigh`` or ``max``; ``reasoning.effort`` wins."""
    include_reasoning: bool
    verbosity: str
    modalities: list[str]
    """Of the answer: ``text``, ``image``, ``audio``."""
    audio: Json
    prediction: Json
    web_search_options: Json
    service_tier: str
    user: str
    """The end user's id; the gateway hashes it before it leaves."""
    safety_identifier: str
    """The same for the vendor's own checks of misuse (OpenAI); hashed, too."""
    session_id: str
    """Kept in the record; no dialect sends it."""
    metadata: dict[str, str]
    prompt_cache_key: str
    """Sent by dialects whose vendor has the field: OpenAI and compatible ones, Responses, Azure, Mistral, OpenRouter."""
    cache_control: Json
    usage: Json
    """Accepted and without effect: usage is always reported. ``openrouter`` writes its own."""
    transforms: list[str]
    """Sent by ``openrouter`` alone, as are ``plugins``."""
    plugins: list[Json]


class Delta(TypedDict, total=False):
    """What one event adds to the message of its choice. Texts are appended; the fields are those of ``Message``."""

    role: str
    content: str | None
    refusal: str | None
    reasoning: str | None
    reasoning_details: list[ReasoningDetail]
    tool_calls: list[ToolCall]
    images: list[ContentPart]
    annotations: list[Json]
    audio: Json | None
    phase: str


class Choice(TypedDict, total=False):
    """One of the alternative answers: with ``message`` in a whole answer, with ``delta`` in a chunk."""

    index: int
    message: Message
    delta: Delta
    finish_reason: str | None
    """``stop``, ``length``, ``tool_calls``, ``content_filter`` or ``error``; null until the choice ends."""
    native_finish_reason: str | None
    """The vendor's own word for it."""
    logprobs: Json | None


class ChatCompletion(TypedDict, total=False):
    """A whole answer. The gateway replaces ``id``, ``created`` and ``model`` and writes ``usage`` from ``Completion.usage``."""

    id: str
    object: str
    """``chat.completion``."""
    created: int
    """Unix seconds."""
    model: str
    choices: Required[list[Choice]]
    usage: Json | None
    service_tier: str | None
    system_fingerprint: str | None


class Chunk(TypedDict, total=False):
    """One streamed event. ``choices`` is empty where the event says nothing in the inner language."""

    id: str
    object: str
    """``chat.completion.chunk``."""
    created: int
    model: str
    choices: Required[list[Choice]]
    usage: Json | None
    service_tier: str | None
    system_fingerprint: str | None


class Target(msgspec.Struct, frozen=True):
    """Where and how one endpoint is reached: everything that a dialect needs beside the request itself."""

    provider: str
    """Slug of the vendor, for messages and for ``provider.options.<slug>``."""
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


class NativeRequest(msgspec.Struct, frozen=True):
    """A request in the format of the API surface that received it, as the caller wrote it."""

    api_format: str
    body: Json
    betas: tuple[str, ...] = ()
    """Names from the caller's ``anthropic-beta`` headers."""
    only: str | None = None
    """Why the request cannot be translated, so that only a vendor of the same format can take it; None if it can."""


class Call(msgspec.Struct, frozen=True):
    """One request to a vendor, before a dialect translates it."""

    body: Any
    """For chat an ``InnerRequest``, else the JSON object of the operation."""
    native: NativeRequest | None = None
    """The same request as the caller wrote it, when the dialect's ``api_format`` is the caller's: then it is what goes out."""


class Clocks(msgspec.Struct, frozen=True):
    """The four deadlines of one attempt, in seconds. The error's ``clock`` says which one ran out.

    A vendor shows a *sign of life* with the headers, a comment, a ping or an event without content. Each begins the clock
    ``first_content_s`` or ``gap_s`` anew, until ``thinking_s`` is over.
    """

    connect_s: float = 5.0
    first_content_s: float = 60.0
    """Silence before the first content of a stream. JSON: from sending the request to the headers of the answer."""
    gap_s: float = 60.0
    """Silence after the first content of a stream. JSON: after the first byte of the answer's body that is no blank."""
    total_s: float = 600.0
    """From sending the request to the end of the answer."""
    thinking_s: float = 300.0
    """Signs of life in place of content: from sending the request to the first content, and from one event to the next."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer, split into **disjoint** kinds, so that a sum of products is the bill."""

    prompt: int = 0
    """Text tokens of the prompt that were neither read from nor written to a cache."""
    cache_read: int = 0
    cache_write: int = 0
    """Written to a cache that lives for minutes (Anthropic: 5 m), or whose lifetime the vendor does not report."""
    completion: int = 0
    """Text tokens of the answer without reasoning."""
    reasoning: int = 0
    cache_write_1h: int = 0
    """Written to a cache that lives for an hour."""
    audio_prompt: int = 0
    """Audio tokens of the prompt, where the vendor reports them separately; not in ``prompt``."""
    audio_cache_read: int = 0
    """Audio tokens of the prompt that came from a cache; not in ``cache_read``."""
    image_prompt: int = 0
    """Image tokens of the prompt, where the vendor reports **and** prices them separately; else they are in ``prompt``."""
    audio_completion: int = 0
    image_completion: int = 0
    units: Mapping[str, int] | None = None
    """Counts of other things than tokens: ``web_search`` (searches made), ``search_unit`` (rerank), ``character`` (speech),
    ``audio_ms`` (milliseconds transcribed), ``image_output`` (pictures made)."""
    cost_usd: Decimal | None = None
    """The cost of the call as the vendor reports it, if it does."""
    estimated: bool = False
    """True when the vendor reported nothing and the counts are ours."""
    suspect: bool = False
    """True when the vendor's report held impossible counts (negative, fractional, too large, more cached than sent)."""
    interim: bool = False
    """True when the vendor reported this before the end of its answer: it counts the answer in part, or not at all."""

    @property
    def prompt_total(self) -> int:
        cached = self.cache_read + self.cache_write + self.cache_write_1h + self.audio_cache_read
        return self.prompt + cached + self.audio_prompt + self.image_prompt

    @property
    def completion_total(self) -> int:
        return self.completion + self.reasoning + self.audio_completion + self.image_completion

    @property
    def has_media(self) -> bool:
        """Whether it counts sound or pictures."""
        heard = self.audio_prompt or self.audio_cache_read or self.audio_completion
        return bool(heard or self.image_prompt or self.image_completion)


@dataclass(slots=True)
class Completion:
    """A whole answer in the inner language."""

    body: Any
    """For chat a ``ChatCompletion``, else the JSON object of the operation."""
    usage: Usage | None
    native: Json | None = None
    """The vendor's own document, unchanged: set by a dialect with an ``api_format``, for the API surface of the same format."""
    content: bytes = b""
    """An answer that is not JSON: speech."""
    content_type: str = ""


class Event(msgspec.Struct):
    """One streamed event of a chat in the inner language."""

    chunk: Chunk
    content: bool = False
    """True when it carries something that a caller could show: text, reasoning, a refusal, a tool call, an image, audio."""
    finish: str | None = None
    """The normalised finish reason, on the event that ends the choice."""
    usage: Usage | None = None
    native: tuple[str, Json] | None = None
    """The vendor's own event (name, data), unchanged: set by a dialect with an ``api_format``. Every event of the vendor appears in
    exactly one ``Event``, in order; an event that has no meaning in the inner language comes with ``choices: []``."""


class HttpRequest(msgspec.Struct, frozen=True):
    """One request to a vendor, ready to send."""

    url: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    method: str = "POST"
    address: str | None = None
    """Connect to this IP address instead of resolving the URL's host; ``Host`` and TLS still use the host's name."""


SUCCESS = range(200, 300)
"""Statuses whose body is read as an answer: some vendors, and proxies before them, say 201, 202 or 206 with a whole completion."""


class HttpResponse(msgspec.Struct, frozen=True):
    """A whole response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
