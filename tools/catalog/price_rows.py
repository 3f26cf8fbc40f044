"""What one price list says of one model at one seller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

EMPTY: Mapping[str, Decimal] = MappingProxyType({})
CHAT_MODES = ("chat", "responses")
BY_HAND = "by hand"
"""The source of offers that ``providers.yaml`` itself makes."""
PER_MILLION = Decimal(10**6)


def plain(number: Decimal) -> str:
    """The shortest decimal text without an exponent: ``Decimal("1E+1")`` → ``"10"``."""
    text = f"{number.normalize():f}"
    return "0" if text == "-0" else text


def exact(value: object) -> Decimal | None:
    """A number of a price list as the decimal its author wrote; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


@dataclass(frozen=True, slots=True)
class Rates:
    """A price in dollars: ``mtok`` per million tokens by kind, ``units`` by field of the price row.

    ``tiers``: (more prompt tokens than, dollars per million tokens by kind), ascending.
    """

    mtok: Mapping[str, Decimal]
    units: Mapping[str, Decimal] = field(default_factory=dict)
    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...] = ()
    source: str = ""
    day: str = ""

    @property
    def empty(self) -> bool:
        """Nothing is priced."""
        return not self.mtok and not self.units

    @property
    def free(self) -> bool:
        """Everything that is priced costs nothing."""
        return not self.empty and not any(self.mtok.values()) and not any(self.units.values())


@dataclass(frozen=True, slots=True)
class Offer:
    """One row of a source. None and empty mean: the source does not say."""

    source: str
    """``litellm`` or ``models.dev``."""
    day: str
    """Release day of the source, ``2026-11-12``."""
    seller: str
    """Slug of our provider."""
    upstream_id: str
    mode: str
    """chat, responses, embedding, rerank, image_generation, audio_speech, audio_transcription."""
    rates: Rates
    name: str = ""
    family: str = ""
    created: str = ""
    knowledge: str = ""
    retires: str = ""
    context: int | None = None
    max_output: int | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    open_weights: bool | None = None
    traits: Mapping[str, bool] = field(default_factory=dict)
    """tools, tool_choice, parallel_tools, structured, reasoning, sampling, web_search, adaptive_thinking, native_structured."""
    efforts: tuple[str, ...] = ()
    """Reasoning efforts that the source names."""
    always_thinks: bool = False
