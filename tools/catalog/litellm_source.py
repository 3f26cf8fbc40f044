"""LiteLLM's price list (MIT): prices per token as floats, capabilities as flags. The newest of our sources."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

from tools.catalog.price_rows import PER_MILLION, Offer, Rates, exact

LIST = "litellm/model_prices_and_context_window_backup.json"
TOKEN_FIELDS = {
    "input_cost_per_token": "prompt",
    "output_cost_per_token": "completion",
    "cache_read_input_token_cost": "input_cache_read",
    "input_cost_per_token_cache_hit": "input_cache_read",
    "cache_creation_input_token_cost": "input_cache_write",
    "cache_creation_input_token_cost_above_1hr": "input_cache_write_1h",
    "output_cost_per_reasoning_token": "internal_reasoning",
    "input_cost_per_audio_token": "audio",
    "output_cost_per_audio_token": "audio_output",
    "cache_read_input_audio_token_cost": "input_audio_cache",
    "input_cost_per_image_token": "image_token",
    "output_cost_per_image_token": "image_output_token",
}
"""Dollars per token → kind of the price row."""
TIER = re.compile(r"(?P<field>.+)_above_(?P<thousands>\d+)k_tokens")
FLAGS = {
    "supports_function_calling": "tools",
    "supports_tool_choice": "tool_choice",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_response_schema": "structured",
    "supports_reasoning": "reasoning",
    "supports_sampling_params": "sampling",
    "supports_web_search": "web_search",
    "supports_adaptive_thinking": "adaptive_thinking",
    "supports_native_structured_output": "native_structured",
    "supports_assistant_prefill": "prefill",
    "supports_mid_conversation_system": "mid_system",
}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MODALITIES = {"pdf": "file", "document": "file"}
"""Their word → ours, where they differ."""
KNOWN_MODALITIES = ("text", "image", "file", "audio", "video")
MAX_SOURCE = 200
FEMTO = Decimal("1e-9")
"""Prices are kept to the femto-dollar a token."""


def fetch() -> tuple[bytes, str]:
    """The list of the newest release, and that release's number. Raises CalledProcessError when pip cannot get it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "litellm"]
        subprocess.run([*command, "--dest", folder], check=True)  # noqa: S603 - a fixed command
        wheel = next(Path(folder).glob("litellm-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(LIST), wheel.name.split("-")[1]


def offers(document: bytes, day: str, sellers: Mapping[str, str]) -> Iterator[Offer]:
    """Every row whose ``litellm_provider`` is a key of ``sellers`` (value: our provider's slug).

    Rows that are no longer sold on ``day`` are included; the caller decides by their ``retires``.
    """
    for key, row in json.loads(document).items():
        seller = sellers.get(row.get("litellm_provider", ""))
        if seller is not None and key != "sample_spec":
            yield _offer(_upstream(key, row["litellm_provider"]), row, day, seller)


PREFIXES = {
    "bedrock_converse": (), "bedrock": (), "openai": ("openai/",), "vertex_ai": ("vertex_ai/",),
    "vertex_ai-language-models": ("vertex_ai/",), "dashscope": ("dashscope/",), "cohere_chat": ("cohere/", "cohere_chat/"),
}  # fmt: skip


def _upstream(key: str, provider: str) -> str:
    """Their key without the name of their adapter: ``together_ai/Qwen/Qwen3.5-9B`` → ``Qwen/Qwen3.5-9B``."""
    prefixes = PREFIXES.get(
        provider, (provider + "/", provider.partition("-")[0] + "/", provider.replace("_", "-") + "/")
    )
    for prefix in prefixes:
        if key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def _offer(upstream_id: str, row: Mapping[str, Any], day: str, seller: str) -> Offer:
    mode = row.get("mode") or "chat"
    endpoints = row.get("supported_endpoints") or ()
    if mode == "chat" and endpoints and "/v1/chat/completions" not in endpoints and "/v1/responses" in endpoints:
        mode = "responses"
    return Offer(
        source="litellm",
        day=day,
        seller=seller,
        upstream_id=upstream_id,
        mode=mode,
        rates=_rates(row, mode, day),
        retires=str(row.get("deprecation_date") or ""),
        context=_context(row),
        max_output=_tokens(row.get("max_output_tokens")),
        inputs=_modalities(row, "supported_modalities", _INPUT_FLAGS),
        outputs=tuple(MODALITIES.get(word, word) for word in row.get("supported_output_modalities") or ()),
        traits={ours: bool(row[theirs]) for theirs, ours in FLAGS.items() if row.get(theirs) is not None},
        efforts=_efforts(row),
        always_thinks=row.get("thinking_always_on") is True,
    )


_INPUT_FLAGS = {
    "supports_vision": "image", "supports_pdf_input": "file", "supports_audio_input": "audio", "supports_video_input": "video",
}  # fmt: skip


def _modalities(row: Mapping[str, Any], listed: str, flags: Mapping[str, str]) -> tuple[str, ...]:
    words = {MODALITIES.get(word, word) for word in row.get(listed) or ()} | {"text"}
    words |= {word for flag, word in flags.items() if row.get(flag) is True}
    return tuple(word for word in KNOWN_MODALITIES if word in words)


def _tokens(value: object) -> int | None:
    number = exact(value)
    return int(number) if number is not None and 1 <= number <= 10**9 else None


def _context(row: Mapping[str, Any]) -> int | None:
    return _tokens(row.get("max_input_tokens"))


def _efforts(row: Mapping[str, Any]) -> tuple[str, ...]:
    levels = row.get("reasoning_effort_levels")
    if isinstance(levels, list) and levels:
        return tuple(effort for effort in EFFORTS if effort in levels)
    named = {
        word: row[f"supports_{word}_reasoning_effort"] for word in EFFORTS if f"supports_{word}_reasoning_effort" in row
    }
    if not named:
        return ()
    return tuple(word for word in EFFORTS if named.get(word, word in ("low", "medium", "high")))


def _rates(row: Mapping[str, Any], mode: str, day: str) -> Rates:
    mtok: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for theirs, value in row.items():
        number = exact(value)
        tier = TIER.fullmatch(theirs)
        kind = TOKEN_FIELDS.get(tier["field"] if tier else theirs)
        if number is None or kind is None or (kind == "input_cache_write" and not number):
            continue
        if tier:
            tiers.setdefault(int(tier["thousands"]) * 1000, {})[kind] = _per_million(number)
        else:
            mtok.setdefault(kind, _per_million(number))
    _read_ranges(row.get("tiered_pricing"), mtok, tiers)
    source = str(row.get("source") or "")
    if not source.startswith("https://") or len(source) > MAX_SOURCE or " " in source:
        source = ""
    mtok, units = _once(mtok, _units(row, mode), mode)
    return Rates(
        mtok=_complete(mtok, mode),
        units=units,
        tiers=tuple((above, tiers[above]) for above in sorted(tiers)),
        source=source,
        day=day,
    )


def _per_million(per_token: Decimal) -> Decimal:
    """Their floats are products of other floats: what lies beyond twelve digits is noise, not price."""
    return +(per_token * PER_MILLION).normalize(Context(prec=12)).quantize(FEMTO)


def _read_ranges(ranges: Any, mtok: dict[str, Decimal], tiers: dict[int, dict[str, Decimal]]) -> None:
    """``tiered_pricing``: a list of prices, each for the prompts of a ``range`` of tokens."""
    for one in ranges if isinstance(ranges, list) else ():
        bounds = one.get("range")
        if not isinstance(bounds, list) or exact(bounds[0]) is None:
            continue
        prices = {
            kind: _per_million(number) for theirs, kind in TOKEN_FIELDS.items() if (number := exact(one.get(theirs)))
        }
        if int(bounds[0]) == 0:
            for kind, number in prices.items():
                mtok.setdefault(kind, number)
        else:
            tiers[int(bounds[0])] = prices


def _complete(mtok: dict[str, Decimal], mode: str) -> dict[str, Decimal]:
    """A price needs both sides: what only reads or only makes something costs nothing on the other."""
    if mode in ("chat", "responses"):
        return mtok
    if mode == "audio_speech" and "audio_output" in mtok:
        mtok["completion"] = Decimal(0)  # the text side of a speech model's output is never billed
    return {"prompt": Decimal(0), "completion": Decimal(0), **mtok} if mtok else mtok


def _once(
    mtok: dict[str, Decimal], units: dict[str, Decimal], mode: str
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Where one charge of a vendor is listed both by tokens and by unit, only one of the two, or it would be billed twice.

    Characters and searches are what such vendors count; pictures and recordings are counted in tokens where they can be.
    """
    if mode in ("audio_speech", "rerank") and units:
        return {}, units
    if mode == "audio_transcription" and any(mtok.values()):
        return mtok, {}
    return mtok, units


def _units(row: Mapping[str, Any], mode: str) -> dict[str, Decimal]:
    def value(name: str) -> Decimal | None:
        number = exact(row.get(name))
        return number if number else None

    units: dict[str, Decimal | None] = {"usd_per_request": value("input_cost_per_request")}
    if mode == "rerank":
        units["usd_per_search_unit"] = value("input_cost_per_query")
    elif mode == "image_generation":
        if value("output_cost_per_image_token") is None:  # else the same picture would be billed twice
            units["usd_per_image_output"] = value("output_cost_per_image") or value("input_cost_per_image")
    elif mode == "audio_transcription":
        per_second = value("input_cost_per_second") or value("output_cost_per_second")
        units["usd_per_minute"] = per_second * 60 if per_second else None
    elif mode == "audio_speech":
        per_character = value("input_cost_per_character")
        units["usd_per_mchar"] = per_character * PER_MILLION if per_character else None
    else:
        units["usd_per_image"] = value("input_cost_per_image")
        searches = row.get("search_context_cost_per_query")
        if isinstance(searches, dict):
            units["usd_per_web_search"] = exact(searches.get("search_context_size_medium")) or None
    return {name: number for name, number in units.items() if number}
