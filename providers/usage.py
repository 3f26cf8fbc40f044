"""Token counts as OpenAI-compatible vendors report them, converted to the disjoint counts of ``Usage``. Pure.

What the vendors' numbers mean:

- OpenAI: ``prompt_tokens`` includes ``prompt_tokens_details.cached_tokens``, and ``completion_tokens`` includes
  ``completion_tokens_details.reasoning_tokens`` (platform.openai.com/docs/api-reference/chat/object, 2026-11).
- Gemini's picture models behind OpenAI's format: ``completion_tokens`` also includes ``completion_tokens_details.image_tokens``
  (1,337 = 217 reasoning + 1,120 image in github.com/BerriAI/litellm/issues/18182, 2025-12; OpenRouter has the field, too).
- OpenRouter adds ``prompt_tokens_details.cache_write_tokens`` and ``cost`` in USD (openrouter.ai/docs, 2026-11).
- DeepSeek: ``prompt_tokens = prompt_cache_hit_tokens + prompt_cache_miss_tokens`` (api-docs.deepseek.com, 2026-11).
- xAI counts reasoning outside ``completion_tokens`` and inside ``total_tokens`` (docs.x.ai/docs/key-information/
  consumption-and-rate-limits as quoted in github.com/vercel/ai/pull/12425, 2026-02; measured 1 + 386 + 12 = 399), and gives
  its price as ``cost_in_usd_ticks``, 10^10 to the dollar (github.com/Wei-Shaw/sub2api/issues/5771, 2026-08).
- Moonshot and some others: ``cached_tokens`` directly in ``usage``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from providers.types import Json, Usage

COUNT_MAX = 100_000_000
"""No answer has more tokens; a larger count is the vendor's error."""

COST_MAX_USD = 10_000
"""No answer costs more; a larger figure is the vendor's error."""

COMMON = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
"""What most reports consist of, the details often being null."""

PROMPT_KINDS = (
    "prompt",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_prompt",
    "audio_cache_read",
    "image_prompt",
)


class Counts:
    """Reads counts leniently and remembers whether one of them was impossible. For every dialect."""

    def __init__(self) -> None:
        self.suspect = False

    def take(self, source: Any, *names: str) -> int:
        """The first of ``names`` that ``source`` has. Missing and null are 0; an impossible count is 0 and sets ``suspect``."""
        if not isinstance(source, dict):
            return 0
        for name in names:
            value = source.get(name)
            if type(value) is int and 0 <= value <= COUNT_MAX:
                return value
            if value is None:
                continue
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
                self.suspect = True
                return 0
            return value
        return 0


def normalise(raw: Json, *, interim: bool = False) -> Usage:
    """The usage that a vendor's ``usage`` object reports. Never raises: an impossible count is 0 and sets ``suspect``.

    ``interim``: the report came before the end of its answer.
    """
    prompt, completion, total = raw.get("prompt_tokens"), raw.get("completion_tokens"), raw.get("total_tokens", 0)
    if type(prompt) is type(completion) is type(total) is int and raw.keys() <= COMMON:
        usual = 0 <= prompt <= COUNT_MAX and 0 <= completion <= COUNT_MAX and 0 <= total <= COUNT_MAX
        if usual and not raw.get("prompt_tokens_details") and not raw.get("completion_tokens_details"):
            return Usage(prompt, completion=completion, interim=interim)
    counts = Counts()
    take = counts.take
    prompt, completion = take(raw, "prompt_tokens", "input_tokens"), take(raw, "completion_tokens", "output_tokens")
    total = take(raw, "total_tokens")
    cache_read = cache_write = audio_prompt = image_prompt = audio_completion = image_completion = reasoning = 0
    if details := raw.get("prompt_tokens_details"):
        cache_read, audio_prompt = take(details, "cached_tokens"), take(details, "audio_tokens")
        image_prompt = take(details, "image_tokens")
        cache_write = take(details, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
    if details := raw.get("completion_tokens_details"):
        reasoning, audio_completion = take(details, "reasoning_tokens"), take(details, "audio_tokens")
        image_completion = take(details, "image_tokens")
    cache_read = cache_read or take(raw, "prompt_cache_hit_tokens", "cached_tokens")
    reasoning = reasoning or take(raw, "reasoning_tokens")
    searches = take(raw, "num_search_queries")
    reasoning_is_extra = reasoning > completion or (reasoning > 0 and total == prompt + completion + reasoning)
    if cache_read + cache_write > prompt:
        counts.suspect = True
        cache_read = min(cache_read, prompt)
        cache_write = min(cache_write, prompt - cache_read)
    answer = completion if reasoning_is_extra else completion - reasoning
    audio_prompt = min(audio_prompt, prompt - cache_read - cache_write)
    image_prompt = min(image_prompt, prompt - cache_read - cache_write - audio_prompt)
    audio_completion = min(audio_completion, answer)
    image_completion = min(image_completion, answer - audio_completion)
    return Usage(
        prompt=prompt - cache_read - cache_write - audio_prompt - image_prompt,
        cache_read=cache_read,
        cache_write=cache_write,
        completion=answer - audio_completion - image_completion,
        reasoning=reasoning,
        audio_prompt=audio_prompt,
        image_prompt=image_prompt,
        audio_completion=audio_completion,
        image_completion=image_completion,
        units={"web_search": searches} if searches else None,
        cost_usd=_cost(raw),
        suspect=counts.suspect,
        interim=interim,
    )


def later(before: Usage | None, now: Usage) -> Usage:
    """Of two reports in one stream the later one, unless it takes tokens back: some vendors count up, some end with zeros.

    A final report makes an interim one final only if it counts the answer at least as high.
    """
    if before is None:
        return now
    if now.prompt_total >= before.prompt_total and now.completion_total >= before.completion_total:
        kept: dict[str, Any] = {} if now.cost_usd is not None else {"cost_usd": before.cost_usd}
        if now.units is None and before.units is not None:
            kept["units"] = before.units
        return replace(now, **kept) if kept else now
    most = now if now.completion_total > before.completion_total else before
    prompt = now if now.prompt_total > before.prompt_total else before
    interim = before.interim and (now.interim or now.completion_total < before.completion_total)
    return replace(most, interim=interim, **{name: getattr(prompt, name) for name in PROMPT_KINDS})


def _cost(raw: Json) -> Decimal | None:
    if "cost" not in raw and "cost_in_usd_ticks" not in raw:
        return None
    value, unit = raw.get("cost"), Decimal(1)
    if isinstance(value, dict):  # Perplexity
        value = value.get("total_cost")
    if value is None:
        value, unit = raw.get("cost_in_usd_ticks"), Decimal("1e-10")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        cost = Decimal(str(value)) * unit
    except ArithmeticError:
        return None
    return cost if cost.is_finite() and 0 <= cost <= COST_MAX_USD else None
