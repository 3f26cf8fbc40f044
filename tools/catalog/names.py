"""One model under many names: what sellers call a model → a key that all spellings of it share, and its ``author/slug``.

A key keeps what makes a model another model (generation, size, thinking, code, vision, a snapshot that is sold apart) and
drops what is the seller's business (organisation, folder, letter case, dots for dashes, quantisation, "instruct").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ROUTES = re.compile(
    r"^(accounts/[^/]+/(models|routers)/|@[ch]f/[^/]+/|publishers/[^/]+/models/|(global|us|eu)\.(?=[a-z0-9]+\.)|databricks-|"
    r"hf:|tee/|system\.ai\.|in\.(?=moonshotai)|fw-(?=[a-z])|workers-ai/|arcee-(?=trinity)|aion-labs-|olafangensan-)"
)
VENDOR_DOT = re.compile(
    r"^(amazon|anthropic|ai21|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|writer|zai|xai)\."
)
BEDROCK_VERSION = re.compile(r"(-v\d+)?:\d+k?$|(?<=[a-z0-9])-v\d+$(?<!-v3)(?<!-v2)")
SNAPSHOT = re.compile(r"[-@](20\d{6}|20\d\d-\d\d-\d\d|default|001|latest)$")
OWN_NAME = re.compile(r"^(meta-(?=llama)|nvidia-(?=nemotron|llama)|mistral-ai-|mistralai-|zai-(?=glm)|zai-org-|openai-(?=gpt)|"
                      r"deepseek-ai-|minimaxai-|google-(?=gemma|gemini)|anthropic-(?=claude)|alibaba-|xiaomi-(?=mimo)|"
                      r"moonshotai-|moonshot-(?=kimi)|hermes-(?=llama)|qwen-qwen(?=\d))")  # fmt: skip
QUANTISED = re.compile(
    r"-(fp8|fp4|fp16|bf16|nvfp4|mxfp4|int4|int8|awq|gptq|gguf|w4a16|w8a8|q\d[a-z0-9_]*)(-dynamic|-block)?(?=-|$)"
)
VARIANT = re.compile(r"-(turbo|fast|lightning|highspeed|ultraspeed|ultra|us|tput)$")
CHATTING = re.compile(r"-(instruct|it|hf|maas|free|original|distilled|(?<!gpt-\d-)(?<!gpt-\d\.\d-)chat|preview)(?=-|$)")
KEEPS_ITS_WORDS = re.compile(r"^(gpt-3\.5-turbo-instruct|o1-preview|qwq-32b-preview|grok-\d-mini-beta)")
SNAPSHOTS_SOLD_APART = re.compile(r"^(gpt-4o-20|claude-3[.-]5-sonnet-20240620|qwen-plus-2025-07-28|qwen3\.5-plus-20)")
VERSIONED = re.compile(
    r"^((?:claude-)?(?:claude|opus|sonnet|haiku|fable|mythos)|gpt|glm|kimi-k|deepseek-v|minimax-m|qwen|gemini|gemma|grok|"
    r"llama|mimo-v|mistral-medium|mistral-small|mistral-large|phi|nova|step|hermes|nemotron|devstral|mercury|command-r|"
    r"jamba|solar-pro|granite|olmo|palmyra-x|ernie|seed|ling|ring|magistral-small)-?(\d)-(\d{1,2})(?=-|$|v$)"
)
CLAUDE_OLD = re.compile(r"^claude-(\d(?:\.\d)?)-(sonnet|opus|haiku|fable)(?=-|$)")
MOE_LLAMA = re.compile(r"-17b(-\d+e)?(?=-|$)")
QUANTISATION_WORD = {"fp8": "fp8", "fp4": "fp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "bf16": "bf16", "fp16": "fp16",
                     "int4": "int4", "int8": "int8", "awq": "int4", "w4a16": "int4", "w8a8": "int8"}  # fmt: skip


class Name(NamedTuple):
    """A seller's id taken apart."""

    key: str
    stem: str = ""
    """The key without the word for a way of serving it, if there is such a word."""
    variant: str = ""
    """That word: turbo, fast... Part of a model's own name just as often: the list of slugs decides."""
    quantization: str | None = None
    dated: bool = False
    """The id names a snapshot or says "latest"."""


def read(upstream_id: str) -> Name:
    """``accounts/fireworks/models/deepseek-v3p1`` and ``deepseek-ai/DeepSeek-V3.1`` → ``Name("deepseekv3.1")``."""
    text = upstream_id.lower()
    for _ in range(2):
        text = ROUTES.sub("", text)
    text = VENDOR_DOT.sub("", text.rpartition("/")[2] or text)
    text = re.sub(r"(?<=\d)p(?=\d)", ".", text) if "accounts/" in upstream_id else text
    text = re.sub(r"(?<=\d)_(?=\d)", ".", text).replace("_", "-")
    text = BEDROCK_VERSION.sub("", text)
    shorter = text if SNAPSHOTS_SOLD_APART.match(text) else SNAPSHOT.sub("", text)
    dated, text = shorter != text, shorter
    for _ in range(2):
        text = OWN_NAME.sub("", text)
    quantised = QUANTISED.search(text)
    text = QUANTISED.sub("", text)
    text = text.removesuffix("-tee")
    variant = VARIANT.search(text)
    quantization = QUANTISATION_WORD.get(quantised[1]) if quantised else None
    return Name(
        _key(text), _key(VARIANT.sub("", text)) if variant else "", variant[1] if variant else "", quantization, dated
    )


def _key(text: str) -> str:
    text = VERSIONED.sub(r"\1-\2.\3", text)
    text = re.sub(r"^(claude-[a-z]+)-(\d)-(\d{1,2})(?=-|$)", r"\1-\2.\3", text)
    text = CLAUDE_OLD.sub(r"claude-\2-\1", text)
    text = MOE_LLAMA.sub("", text) if text.startswith("llama-4") or text.startswith("llama4") else text
    text = text if KEEPS_ITS_WORDS.match(text) else CHATTING.sub("", text)
    text = re.sub(r"\.0(?=-|$)", "", text)
    return re.sub(r"(?<=[a-z])-(?=[a-z0-9])|(?<=\d)-(?=[a-z])", "", text).strip("-")


class Slugs:
    """Keys → slugs: what is written by hand, else what OpenRouter lists, else author by family and the seller's own word."""

    def __init__(self, anchors: Iterable[str], aliases: Mapping[str, str], authors: Iterable[tuple[str, str]]) -> None:
        self._authors = [(re.compile(pattern), author) for pattern, author in authors]
        self._aliases = {_spelled(alias): slug for alias, slug in aliases.items()}
        self._anchors: dict[str, str] = {}
        anchors = list(anchors)
        self._listed = {*anchors, *aliases.values()} - {"-"}
        for slug in sorted(anchors, key=lambda slug: (len(slug), slug)):
            self._anchors.setdefault(read(slug).key, slug)
        for slug in aliases.values():
            if slug != "-":
                self._anchors[read(slug).key] = slug

    def listed(self, slug: str) -> bool:
        """It is one of the anchors, or named by hand."""
        return slug in self._listed

    def of(self, seller: str, upstream_id: str) -> tuple[str, str] | None:
        """(slug, variant); None when nothing says who made the model, or the hand-kept list leaves it out (``-``)."""
        name = read(upstream_id)
        for spelling in (f"{seller}:{upstream_id}", upstream_id, name.key):
            slug = self._aliases.get(_spelled(spelling))
            if slug is not None:
                return None if slug == "-" else (slug, "")
        if name.key in self._anchors:
            return self._anchors[name.key], ""
        served = self._aliases.get(name.stem) or self._anchors.get(name.stem)
        if served and served != "-":
            return served, name.variant
        word = _own_word(upstream_id)
        author = next((author for pattern, author in self._authors if pattern.search(word)), None)
        return (f"{author}/{word}", "") if author else None


def _spelled(text: str) -> str:
    return text.lower()


def _own_word(upstream_id: str) -> str:
    """The seller's name for it, as a slug: ``Qwen/Qwen3.9-Max-FP8`` → ``qwen3.9-max``."""
    text = upstream_id.lower()
    for _ in range(2):
        text = ROUTES.sub("", text)
    text = VENDOR_DOT.sub("", text.rpartition("/")[2] or text)
    text = re.sub(r"(?<=\d)p(?=\d)", ".", text) if "accounts/" in upstream_id else text
    text = re.sub(r"(?<=\d)_(?=\d)", ".", text).replace("_", "-").replace("@", "-")
    text = SNAPSHOT.sub("", BEDROCK_VERSION.sub("", text))
    text = QUANTISED.sub("", OWN_NAME.sub("", text))
    text = VERSIONED.sub(r"\1-\2.\3", text)
    return re.sub(r"[^a-z0-9._-]", "-", text).strip("-._")
