"""Tokens × price: holds before an answer, costs after it. Pure; integers only.

It must not know: who pays, whether there is credit, which endpoint is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway import money
from gateway.catalog.model import Price
from gateway.prompt_size import BYTES_PER_TOKEN, TEXT_ONLY, Prompt, utf8_bytes
from providers.types import Usage

IMAGE_OUTPUT_TOKENS = 6_240
"""A large picture of OpenAI's gpt-image models at high quality (platform.openai.com/docs/guides/image-generation, 2026-11)."""
HOLD_MARGIN_PERCENT = 5
COST_FACTOR, COST_SLACK_FEMTO = 4, 10**14
"""A vendor's own figure is at most four times the catalogue's price of the same usage, and ten cents: it may sell through others
who are dearer, and bill searches that the catalogue does not know."""


class Bill(msgspec.Struct, frozen=True):
    """The price of one answer in nano-USD. ``total = cost + fee`` by definition, never rounded on its own."""

    cost_nano: int
    fee_nano: int
    prompt_nano: int
    """The prompt's share of the cost, for ``cost_details``."""
    disputed_nano: int = 0
    """How much dearer the vendor's own figure is, where it cannot be true and was not used."""

    @property
    def total_nano(self) -> int:
        return self.cost_nano + self.fee_nano


NOTHING = Bill(0, 0, 0)


def text_tokens(size_bytes: int, pieces: int) -> int:
    """Tokens of delivered output when the vendor reports none: at least one for each piece, and one for every four bytes."""
    return max(pieces, -(-size_bytes // BYTES_PER_TOKEN))


def text_reach(tokens: int) -> tuple[int, int]:
    """(pieces, bytes): either alone is the least that makes ``text_tokens`` reach ``tokens``."""
    return tokens, (tokens - 1) * BYTES_PER_TOKEN + 1


def output_bytes(message: Mapping[str, Any]) -> int:
    """Size of the output in a delta or a whole message: text, reasoning, refusal, tool calls. Mostly in bytes."""
    size = 0
    for name in ("content", "reasoning", "refusal"):
        text = message.get(name)
        if isinstance(text, str):
            size += utf8_bytes(text)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call.get("custom") or {}
        size += len(function.get("name") or "") + len(function.get("arguments") or function.get("input") or "")
    return size


def prompt_nano(price: Price, tokens: int) -> int:
    """Cost of the prompt of a failed attempt, which its vendor may bill."""
    return money.round_half_up(tokens * price.at(tokens).of("prompt"))


class Worst(NamedTuple):
    """The most that one endpoint may bill for a request, in tokens at its price."""

    price: Price
    prompt: int
    completion: int
    beside_femto: int = 0
    """Of calls of the vendor's own tools, in femto-dollars."""


def hold_nano(worst: Iterable[Worst], prompt: Prompt, fee_basis_points: int) -> int:
    """Credit to hold: for the dearest of the endpoints that may serve, with the fee and a 5 % margin, rounded up."""
    femto = max([_prompt_femto(each, prompt) + each.completion * _rate_out(each) for each in worst], default=0)
    return money.round_up(femto * (10_000 + fee_basis_points) * (100 + HOLD_MARGIN_PERCENT) // 1_000_000)


def covered_tokens(worst: Iterable[Worst], prompt: Prompt, held_nano: int, fee_basis_points: int) -> int | None:
    """The most output tokens that a hold covers at every one of the endpoints; None: they cost nothing. May be below 0."""
    femto = held_nano * money.FEMTO_PER_NANO * 1_000_000 // ((10_000 + fee_basis_points) * (100 + HOLD_MARGIN_PERCENT))
    return min(
        [(femto - _prompt_femto(each, prompt)) // rate for each in worst if (rate := _rate_out(each))], default=None
    )


def output_hold_nano(price: Price, tokens: int, fee_basis_points: int) -> int:
    """What to add to a hold for ``tokens`` more output tokens, at the dearest tier, as the prompt's real size is not known yet."""
    rate = max(tier.dearest("completion", "internal_reasoning") for tier in _tiers(price))
    return money.round_up(rate * tokens * (10_000 + fee_basis_points) * (100 + HOLD_MARGIN_PERCENT) // 1_000_000)


def _tiers(price: Price) -> list[Price]:
    return [price, *(dearer for _, dearer in price.tiers)]


def _rate_out(worst: Worst) -> int:
    price = worst.price.at(worst.prompt) if worst.price.tiers else worst.price
    return price.dearest("completion", "internal_reasoning", "audio_output", "image_output_token")


def _prompt_femto(worst: Worst, prompt: Prompt) -> int:
    """All of the worst case but the output tokens."""
    price = worst.price.at(worst.prompt) if worst.price.tiers else worst.price
    rate_in = price.dearest("prompt", "input_cache_write", "input_cache_write_1h")
    if prompt.modalities is not TEXT_ONLY:
        rate_in = max(rate_in, price.dearest("audio", "image_token"))
    fixed = price.of("request") + (prompt.images and price.of("image") * prompt.images)
    units = prompt.units_most or prompt.units
    if units is not None:
        fixed += sum(price.of(kind) * count for kind, count in units.items())
    return worst.prompt * rate_in + fixed + worst.beside_femto


_MEDIA_IN = (
    ("audio_prompt", "audio"),
    ("audio_cache_read", "input_audio_cache"),
    ("image_prompt", "image_token"),
)
_MEDIA_OUT = (("audio_completion", "audio_output"), ("image_completion", "image_output_token"))
"""Fields of ``Usage`` → the price kind of its tokens."""


def bill(price: Price, usage: Usage, *, images: int, fee_basis_points: int, reports_cost: bool = False) -> Bill:
    """Price an answer. With ``reports_cost`` the vendor's own figure (``usage.cost_usd``), if it can be true, replaces the
    catalogue's price.
    """
    if price.tiers:
        price = price.at(usage.prompt_total)
    of = price.of
    prompt_femto = usage.prompt * of("prompt") + of("request") + (images and images * of("image"))
    output_femto = usage.completion * of("completion")
    if usage.cache_read:
        prompt_femto += usage.cache_read * of("input_cache_read")
    if usage.cache_write:
        prompt_femto += usage.cache_write * of("input_cache_write")
    if usage.cache_write_1h:
        prompt_femto += usage.cache_write_1h * of("input_cache_write_1h")
    if usage.reasoning:
        output_femto += usage.reasoning * of("internal_reasoning")
    if usage.has_media:
        prompt_femto += sum(getattr(usage, name) * of(kind) for name, kind in _MEDIA_IN)
        output_femto += sum(getattr(usage, name) * of(kind) for name, kind in _MEDIA_OUT)
    if usage.units:
        output_femto += sum(count * of(kind) for kind, count in usage.units.items())
    cost_femto, disputed_femto = prompt_femto + output_femto, 0
    if reports_cost and usage.cost_usd is not None:
        said_femto = int(usage.cost_usd.scaleb(15))
        if said_femto > COST_FACTOR * cost_femto + COST_SLACK_FEMTO:
            disputed_femto = said_femto - cost_femto
        else:
            cost_femto, prompt_femto = said_femto, min(prompt_femto, said_femto)
    cost_nano = money.round_half_up(cost_femto)
    return Bill(
        cost_nano=cost_nano,
        fee_nano=money.fee(cost_nano, fee_basis_points),
        prompt_nano=min(money.round_half_up(prompt_femto), cost_nano),
        disputed_nano=money.round_half_up(disputed_femto) if disputed_femto else 0,
    )
