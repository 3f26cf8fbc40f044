"""Which price counts when the sources disagree. A whole price wins, never a prompt of one and a completion of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median

from tools.catalog.price_rows import BY_HAND, Offer, Rates, plain

TOLERANCE = Decimal("0.01")
"""Prices that differ by less are the same price, rounded otherwise."""
CAP = Decimal(1000)
"""Dollars per million tokens. A higher price is an error of the unit."""
OUTLIER = 20
"""Times the median of the other sellers, up or down, beyond which a price is not believed."""
JUDGED = ("prompt", "completion", "input_cache_read")


@dataclass(frozen=True, slots=True)
class Dispute:
    """A price on which the sources do not agree, and how it was decided."""

    provider: str
    upstream_id: str
    prices: Mapping[str, str]
    chosen: str
    """Name of a source, or ``nothing``."""
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The price that counts (None: the endpoint is not taken), and the dispute if there was one."""

    rates: Rates | None
    dispute: Dispute | None = None


def decide(
    offers: Sequence[Offer], oracle: Rates | None, choice: Mapping[str, object] | None, *, free: bool
) -> Verdict:
    """The price of one endpoint. ``offers``: one per source. ``free``: the provider charges nothing by its nature."""
    rates = {offer.source: offer.rates for offer in offers if not offer.rates.empty}
    if oracle is not None and rates:
        rates["genai-prices"] = oracle
    usable = {source: rate for source, rate in rates.items() if plausible(rate, free=free)}
    sources = [source for source in (BY_HAND, "litellm", "models.dev") if source in usable]
    if choice:
        return _by_hand(choice, offers[0], rates)
    if not sources:
        return Verdict(None)
    winner, why = _rule(sources, usable)
    chosen = _filled(winner, usable)
    agreed = all(same(usable[winner], other) for other in usable.values())
    return Verdict(chosen, None if agreed else _dispute(offers[0], usable, winner, why))


def plausible(rates: Rates, *, free: bool = False) -> bool:
    """Whether a price is plausible."""
    numbers = [
        *rates.mtok.values(),
        *rates.units.values(),
        *(number for _, tier in rates.tiers for number in tier.values()),
    ]
    if any(number < 0 or number > CAP for number in numbers):
        return False
    if rates.mtok and not {"prompt", "completion"} <= rates.mtok.keys():
        return False
    return bool(numbers) and (free or not rates.free)


def same(one: Rates, other: Rates) -> bool:
    """Equal to within ``TOLERANCE`` in what both price."""
    return all(_close(one.mtok[kind], other.mtok[kind]) for kind in JUDGED if kind in one.mtok and kind in other.mtok)


def _close(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other))


def _rule(sources: Sequence[str], usable: Mapping[str, Rates]) -> tuple[str, str]:
    oracle = usable.get("genai-prices")
    if len(sources) == 2 and not same(usable["litellm"], usable["models.dev"]):
        if oracle is not None and same(oracle, usable["models.dev"]):
            return "models.dev", "two of three agree"
        if oracle is not None and same(oracle, usable["litellm"]):
            return "litellm", "two of three agree"
        return "litellm", "the newer source"
    if (
        len(sources) == 1
        and sources[0] == "models.dev"
        and oracle is not None
        and not same(oracle, usable["models.dev"])
    ):
        return "genai-prices", "the newer source"
    if len(sources) == 2:
        return sources[0], "two of three agree"
    return sources[0], "names its page"


def _filled(winner: str, usable: Mapping[str, Rates]) -> Rates:
    """The winner's price, and kinds it does not know from sources that agree with it in the rest."""
    rates = usable[winner]
    for source, other in usable.items():
        if source != winner and same(rates, other) and other.mtok:
            missing = {kind: number for kind, number in other.mtok.items() if kind not in rates.mtok}
            rates = replace(rates, mtok={**rates.mtok, **missing}, tiers=rates.tiers or other.tiers)
    return rates


def _by_hand(choice: Mapping[str, object], offer: Offer, rates: Mapping[str, Rates]) -> Verdict:
    why = f"by hand: {choice['why']}"
    if choice.get("drop"):
        return Verdict(None, _dispute(offer, rates, "nothing", why))
    winner = str(choice["use"])
    return Verdict(rates[winner], _dispute(offer, rates, winner, why))


def _dispute(offer: Offer, rates: Mapping[str, Rates], winner: str, why: str) -> Dispute:
    shown = {source: shorthand(rate) for source, rate in rates.items()}
    return Dispute(offer.seller, offer.upstream_id, shown, winner, why)


def shorthand(rates: Rates) -> str:
    """Prompt / completion / cache read, in dollars per million tokens."""
    parts = [plain(rates.mtok[kind]) for kind in JUDGED if kind in rates.mtok]
    return " / ".join(parts) or ", ".join(f"{name} {plain(number)}" for name, number in rates.units.items())


def outliers(prices: Mapping[str, Rates]) -> dict[str, str]:
    """Sellers of one model whose price cannot be of the same thing: seller's key → why. Needs four sellers to judge."""
    found: dict[str, str] = {}
    for kind in ("prompt", "completion"):
        known = {key: rates.mtok[kind] for key, rates in prices.items() if rates.mtok.get(kind)}
        if len(known) < 4:
            continue
        middle = median(known.values())
        for key, number in known.items():
            if number > middle * OUTLIER or number * OUTLIER < middle:
                found[key] = f"{kind} {plain(number)} where the median of {len(known)} sellers is {plain(middle)}"
    return found
