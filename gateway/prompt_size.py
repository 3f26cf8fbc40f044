"""How large the prompt of a chat request is, before it is sent, and what its checks have to look at. Pure.

A request is walked once, by ``survey``; ``measure`` and the checks go on with what it found. It must not know: prices, endpoints,
the formats of API surfaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from providers.media import picture_tokens, token_count
from providers.media.picture_size import Size
from providers.transport.json_body import json_body

BYTES_PER_TOKEN = 4
"""Estimate for text without a tokenizer: 1 token ≈ 4 bytes of English, OpenAI's rule of thumb."""
MESSAGE_OVERHEAD = 4
PRIMER_OVERHEAD = 3
IMAGE_TOKENS = 1_600
"""Estimate of a large image (Anthropic: ~1,600 up to Claude 4.6; OpenAI high detail: 765–1,445), 2026-11."""

BOUND_MESSAGE_OVERHEAD = 16
"""What a chat template writes around a message: role, marks of its begin and end."""
BOUND_PART_OVERHEAD = 4
BOUND_TEMPLATE, BOUND_TOOLS = 256, 768
"""What a chat template, or the vendor, writes into any prompt, and into one with tools. SmolLM3's own system prompt has 200 tokens,
gpt-oss's 100; Anthropic's for tools 159 to 530 (docs.anthropic.com/en/docs/tool-use-pricing-and-tokens), 2026-11."""
BOUND_VENDOR = {"x-ai/": 1_024}
"""Author of a model → tokens of a hidden prompt that its vendor bills."""
GROWN = 3
"""Tokens, at most, of one byte that is not ASCII, when the vendor's tokenizer normalises (NFC: four bytes become twelve) or its
template escapes (two bytes become ``\\u00e9``)."""
NORMALIZED_MAX = 1 << 18
"""Characters of one request whose normal form is looked at: ten milliseconds at most. The others are taken for not normalised."""
SPACED, INDENTED = 1, 6
"""Tokens, at most, that a template adds to two bytes of tools and schemas when it prints the JSON anew: a blank behind each comma
and colon, which every second byte may be (Qwen); or a line end and an indent at each bracket as well (Llama 3.1 to 3.3)."""
UNINDENTED = re.compile(
    r"(anthropic|openai|google|x-ai|mistralai|qwen|deepseek|moonshotai|z-ai|minimax|amazon|cohere)/"
)
"""Models whose vendors or published templates print JSON in one line."""
_ASCII = bytes(range(128))
TEXT_ONLY = frozenset({"text"})
_NO_FILES = token_count.Tokens(0, 0, 0)
_PART_MODALITY = {
    "image_url": "image",
    "input_audio": "audio",
    "file": "file",
    "video_url": "video",
    "input_video": "video",
}


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """How large a prompt is, measured without a tokenizer."""

    tokens: int
    """Best estimate; what is billed when a vendor reports no usage."""
    tokens_least: int
    """The least that any vendor would count: sound, films and documents at the lowest rate in use."""
    plain_bound: int
    """The part of the upper bound that is no picture and not due to how JSON is printed."""
    images: int
    modalities: frozenset[str]
    units: Mapping[str, int] | None = None
    """Units other than tokens that are known before the call, by price kind: ``character``, ``audio_ms``, ``image_output``,
    ``search_unit``. They are held, and billed when the vendor reports nothing."""
    units_most: Mapping[str, int] | None = None
    """The most of those units, of which a file says something itself that nobody has to believe; None: ``units`` is the most.
    This is held, and what a vendor reports is billed up to it."""
    pictures: tuple[Size, ...] = ()
    calls: bytes = b""
    """The tool calls as JSON."""
    schemas: bytes = b""
    """Tools and the schema of the answer as JSON."""

    @property
    def tokens_bound(self) -> int:
        """Upper bound: no vendor counts more, whatever its tokenizer, template and formula for pictures."""
        bound = self._plain_bound() + max(BOUND_VENDOR.values()) + len(self.schemas) * INDENTED // 2
        return bound + sum(map(picture_tokens.anywhere, self.pictures))

    def bounds(self, where: Iterable[tuple[str, int | None]]) -> list[int]:
        """Upper bounds for models (``author/slug``, context length), which get no more than fits into their context.

        Pictures are added to that, because some models bill more for them than they fill (gpt-4o-mini).
        """
        plain, found = self._plain_bound(), []
        json_bytes = len(self.schemas)
        for model, context_length in where:
            bound = plain + BOUND_VENDOR.get(model[: model.find("/") + 1], 0)
            if json_bytes:
                bound += json_bytes * (SPACED if UNINDENTED.match(model) else INDENTED) // 2
            if context_length is not None and bound > context_length:
                bound = context_length
            if self.pictures:
                bound += sum([picture_tokens.most(model, size) for size in self.pictures])
            found.append(bound)
        return found

    def _plain_bound(self) -> int:
        """Without pictures and what depends on the model. Results repeat the ids of their calls, so these count twice."""
        bound = self.plain_bound + len(self.calls)
        for part in (self.calls, self.schemas):
            if not part.isascii():
                bound += 2 * (GROWN - 1) * len(part.translate(None, _ASCII))
        return bound


class Survey(msgspec.Struct, frozen=True):
    """What one walk over a request finds."""

    messages: int
    text_bytes: int
    """Of plain contents and of tool calls, as JSON; parts are not in it."""
    parts: Sequence[Sequence[Mapping[str, Any]]]
    """The contents that are lists of parts."""
    drawn: Sequence[Sequence[Mapping[str, Any]]]
    """Lists of pictures that the model has made; a dialect may send them back."""
    wide: Sequence[str]
    """The plain contents that are not ASCII."""
    extras: Sequence[Mapping[str, Any]]
    """The messages with further fields: names, reasoning that is sent back."""
    calls: bytes
    """The tool calls as JSON; empty without any."""
    has_media: bool
    """Some message holds parts or images."""
    paired: bool
    """Each call is known to have its result right behind it, and each result its call. False: whether that is so has to be
    looked at more closely."""
    tools: bytes
    """The tools as JSON; empty without tools."""


def survey(body: Mapping[str, Any]) -> Survey:
    """Walk a request in the OpenAI chat format.

    An agent's turn has hundreds of messages, nearly all of them plain texts, calls and results in order: those cost a quarter of a
    microsecond each, and everything else is left to those who need it.
    """
    messages: Sequence[Mapping[str, Any]] = body.get("messages") or ()
    walk = _walked(messages)
    calls = json_body(walk.turns) if walk.turns else b""
    tools = body.get("tools")
    return Survey(
        messages=len(messages),
        # the calls of each message are a list of their own
        text_bytes=walk.text_bytes + max(len(calls) - 1, 0),
        parts=walk.parts,
        drawn=walk.drawn,
        wide=walk.wide,
        extras=walk.extras,
        calls=calls,
        has_media=bool(walk.drawn or walk.parts),
        paired=walk.paired,
        tools=json_body(tools) if tools else b"",
    )


class _Walk(NamedTuple):
    """The fields of ``Survey`` that the messages show, ``text_bytes`` without the calls."""

    text_bytes: int
    paired: bool
    parts: list[Any]
    drawn: list[Any]
    wide: list[str]
    extras: list[Mapping[str, Any]]
    turns: list[Any]
    """All tool calls."""


def _walked(messages: Iterable[Mapping[str, Any]]) -> _Walk:
    text_bytes, paired = 0, True
    parts: list[Any] = []
    drawn: list[Any] = []
    turns: list[Any] = []
    wide: list[str] = []
    extras: list[Mapping[str, Any]] = []
    waiting: set[Any] = set()
    """Ids of the calls of the last turn that have no result yet."""
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            if content.isascii():
                text_bytes += len(content)
            else:
                text_bytes += len(content.encode())
                wide.append(content)
        elif content:
            parts.append(content)
        if message.get("role") == "tool":
            id = message.get("tool_call_id")
            if id in waiting:
                waiting.remove(id)
                if "name" in message:
                    extras.append(message)
            else:
                paired = False
                extras.append(message)
            continue
        if waiting:
            paired = False
        fields = len(message)
        if fields > 2 or content is None:
            calls = message.get("tool_calls")
            if calls:
                turns += calls
                text_bytes += 1
                waiting = {call.get("id") for call in calls}
                if len(waiting) < len(calls) or None in waiting or "" in waiting:
                    paired = False
            if fields > 3 or not calls or (fields > 2 and "content" not in message):
                extras.append(message)
                if "images" in message:
                    images = message["images"]
                    drawn.append(images if isinstance(images, list) else ())
    return _Walk(text_bytes, paired and not waiting, parts, drawn, wide, extras, turns)


def measure(body: Mapping[str, Any], found: Survey | None = None) -> Prompt:
    """Measure the prompt of a request in the OpenAI chat format. ``found``: its survey, if there is one."""
    if found is None:
        found = survey(body)
    text_bytes, modalities = found.text_bytes + len(found.tools), TEXT_ONLY
    files: list[Any] = []
    pictures: list[Size] = []
    wide = list(found.wide)
    for part in chain.from_iterable(found.parts):
        kind = part.get("type")
        if kind in _TEXTS:
            text = part.get(kind) or ""
            text_bytes += utf8_bytes(text)
            wide.append(text)
            continue
        modalities = modalities | {_PART_MODALITY.get(kind, "file")}  # type: ignore[arg-type]
        if kind == "image_url" and not _is_pdf(part):
            pictures.append(token_count.picture(_url(part)))
        else:
            files.append(part)
    schemas = found.tools
    for extra in ("response_format", "prompt"):
        value = body.get(extra)
        if value:
            encoded = json_body(value)
            text_bytes += len(encoded)
            schemas += encoded
    drawn = [token_count.picture(_url(part)) for part in chain.from_iterable(found.drawn) if isinstance(part, dict)]
    media = token_count.of(files) if files else _NO_FILES
    text = -(-text_bytes // BYTES_PER_TOKEN) + MESSAGE_OVERHEAD * found.messages + PRIMER_OVERHEAD
    likely = len(pictures) * IMAGE_TOKENS
    beside = json_body([_beside(message) for message in found.extras]) if found.extras else b""
    bound = text_bytes + _unseen(found, wide, len(schemas) - len(found.tools)) + _grown(beside) + media.most
    if not _FIELDS.issuperset(body):
        bound += _grown(json_body({name: value for name, value in body.items() if name not in _FIELDS}))
    return Prompt(
        # A vendor that is sent earlier reasoning counts it, so it is part of what is billed where none is reported.
        tokens=text + likely + media.likely + len(drawn) * IMAGE_TOKENS + len(beside) // BYTES_PER_TOKEN,
        tokens_least=text + likely + media.least,
        plain_bound=bound,
        images=len(pictures),
        modalities=modalities,
        pictures=(*pictures, *drawn),
        calls=found.calls,
        schemas=schemas,
    )


def text_bound(*texts: str) -> int:
    """The most tokens that any vendor makes of these texts, without what is around them: one for each byte, as every tokenizer in
    use falls back to bytes, and more for what may be normalised first."""
    return sum(map(utf8_bytes, texts)) + _growth(texts)


def _unseen(found: Survey, wide: Sequence[str], schema_bytes: int) -> int:
    """What the bound needs beyond the bytes that are counted: templates, the schema of the answer again (a vendor may repeat it),
    and what grows."""
    bound = BOUND_TEMPLATE + BOUND_MESSAGE_OVERHEAD * (found.messages + 1) + schema_bytes
    if found.parts:
        bound += BOUND_PART_OVERHEAD * sum(map(len, found.parts))
    if found.tools:
        bound += BOUND_TOOLS
    return bound + _growth(wide) if wide else bound


def _grown(encoded: bytes) -> int:
    """The most tokens of what is not looked at closely."""
    return len(encoded) if encoded.isascii() else len(encoded) + (GROWN - 1) * len(encoded.translate(None, _ASCII))


def _beside(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message that are counted nowhere else."""
    return {name: value for name, value in message.items() if name not in _COUNTED}


_FIELDS = frozenset(
    {
        # counted already
        "messages", "tools", "response_format", "prompt",
        # nothing of these is written into the prompt, or a few words
        "model", "models", "route", "stream", "stream_options", "usage", "max_tokens", "max_completion_tokens", "temperature",
        "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "stop",
        "logit_bias", "logprobs", "top_logprobs", "n", "tool_choice", "parallel_tool_calls", "structured_outputs", "reasoning",
        "reasoning_effort", "include_reasoning", "verbosity", "modalities", "user", "session_id", "metadata",
        "prompt_cache_key", "cache_control", "service_tier", "transforms", "plugins", "prediction", "web_search_options",
    }
)  # fmt: skip
"""Of any other field a vendor may write all into the prompt: ``documents`` of Cohere and vLLM, what ``provider.options`` adds."""
_TEXTS = frozenset({"text", "refusal"})
_COUNTED = frozenset({"role", "content", "tool_calls", "images"})


def _growth(texts: Iterable[str]) -> int:
    """Tokens that texts may have beyond one for each byte, as a tokenizer may bring them into normal form first (Qwen's).

    Of 92 characters this is longer, so text that is in its normal form does not grow. Nothing is normalised here: that takes
    minutes for a letter with thousands of accents.
    """
    left, more = NORMALIZED_MAX, 0
    for text in texts:
        if text.isascii():
            continue
        left -= len(text)
        if left < 0 or not unicodedata.is_normalized("NFC", text):
            more += GROWN * (utf8_bytes(text) - len(text))
    return more


def _url(part: Mapping[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else image


def _is_pdf(part: Mapping[str, Any]) -> bool:
    """Whether a picture is a document: some clients send PDFs as ``image_url``, which Gemini accepts."""
    url = _url(part)
    return isinstance(url, str) and url[:20].lower() == "data:application/pdf"


def utf8_bytes(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
