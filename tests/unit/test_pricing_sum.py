"""Any usage at any price: the bill is the sum of count × price, computed a second time in decimals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import pricing
from gateway.catalog import resolve
from gateway.catalog.model import Price
from gateway.catalog.rows import PriceRow
from providers.types import Usage
from tests.support.examples import examples

PROMPTS = {
    "prompt": "prompt",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "cache_write_1h": "input_cache_write_1h",
    "audio_prompt": "audio",
    "image_prompt": "image_token",
}
ANSWERS = {
    "completion": "completion",
    "reasoning": "internal_reasoning",
    "audio_completion": "audio_output",
    "image_completion": "image_output_token",
}
KINDS = {**PROMPTS, **ANSWERS}
"""Kind of token → what its price is called."""
UNITS = {
    "web_search": "usd_per_web_search",
    "search_unit": "usd_per_search_unit",
    "image_output": "usd_per_image_output",
}

usd_per_mtok = st.decimals(0, 1000, places=4).map(lambda usd: format(usd, "f"))
usd_per_unit = st.decimals(0, 10, places=6).map(lambda usd: format(usd, "f"))
optional = {kind: usd_per_mtok for kind in KINDS.values() if kind not in ("prompt", "completion")}
rates = st.fixed_dictionaries({"prompt": usd_per_mtok, "completion": usd_per_mtok}, optional=optional)
tiers = st.lists(st.tuples(st.integers(1, 2_000_000), rates), max_size=3, unique_by=lambda tier: tier[0])
counts = st.fixed_dictionaries({kind: st.integers(0, 3_000_000) for kind in KINDS})
sold = st.dictionaries(st.sampled_from(sorted(UNITS)), st.tuples(st.integers(0, 50), usd_per_unit))


def price(usd_per_mtok: dict[str, str], steps: list[tuple[int, dict[str, str]]], **units: str) -> Price:
    row: dict[str, Any] = {"upstream_id": "m", "from": "2026-01-01", "source": "s", "usd_per_mtok": usd_per_mtok}
    row["overrides"] = [{"min_prompt_tokens": above, "usd_per_mtok": dearer} for above, dearer in steps]
    return resolve.price(PriceRow.model_validate(row | units))


def half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def own(of: dict[str, str], kind: str) -> Decimal:
    """Dollars per million tokens of a kind: as written, or those of the kind it belongs to."""
    if kind == "input_cache_write_1h" and kind not in of:
        kind = "input_cache_write"
    if kind not in of:
        kind = "prompt" if kind in PROMPTS.values() else "completion"
    return Decimal(of[kind])


@examples(400)
@given(
    counts=counts,
    base=rates,
    steps=tiers,
    sold=sold,
    images=st.integers(0, 5),
    usd_per_image=usd_per_unit,
    usd_per_request=usd_per_unit,
    fee_basis_points=st.integers(0, 2000),
)
def test_a_bill_is_the_sum_of_products(
    *,
    counts: dict[str, int],
    base: dict[str, str],
    steps: list[tuple[int, dict[str, str]]],
    sold: dict[str, tuple[int, str]],
    images: int,
    usd_per_image: str,
    usd_per_request: str,
    fee_basis_points: int,
) -> None:
    """Every count × its price, summed, rounded once; then the fee of that, rounded once; the total is exactly both."""
    usage = Usage(**counts, units={unit: n for unit, (n, _) in sold.items()} or None)
    in_force = dict(base)
    for above, dearer in sorted(steps, key=lambda step: step[0]):
        if sum(counts[kind] for kind in PROMPTS) > above:
            in_force |= dearer
    usd = sum((n * own(in_force, KINDS[kind]) / 10**6 for kind, n in counts.items()), Decimal(0))
    usd += sum((n * Decimal(each) for n, each in sold.values()), Decimal(0))
    usd += images * Decimal(usd_per_image) + Decimal(usd_per_request)
    units = {UNITS[unit]: each for unit, (_, each) in sold.items()}
    paid = pricing.bill(
        price(base, steps, usd_per_image=usd_per_image, usd_per_request=usd_per_request, **units),
        usage,
        images=images,
        fee_basis_points=fee_basis_points,
    )
    assert paid.cost_nano == half_up(usd * 10**9)
    assert paid.fee_nano == half_up(Decimal(paid.cost_nano) * fee_basis_points / 10_000)
    assert paid.total_nano == paid.cost_nano + paid.fee_nano
    assert 0 <= paid.prompt_nano <= paid.cost_nano


@examples(100)
@given(st.integers(1, 2_000_000), st.sampled_from(sorted(PROMPTS)))
def test_a_tier_begins_above_its_bound(bound: int, kind: str) -> None:
    """At the bound the price is the lower one, one token above it the dearer one, whatever kind of prompt token it is."""
    stepped = price({"prompt": "1", "completion": "1"}, [(bound, {"prompt": "2"})])
    costs = [
        pricing.bill(stepped, Usage(**{kind: bound + more}), images=0, fee_basis_points=0).cost_nano for more in (0, 1)
    ]
    assert costs == [bound * 1000, (bound + 1) * 2000]


@examples(100)
@given(counts, rates, st.decimals(0, 100, places=12))
def test_the_vendors_own_figure_wins_with_reports_cost(
    counts: dict[str, int], base: dict[str, str], usd: Decimal
) -> None:
    """With ``reports_cost`` the bill is the reported dollars, rounded once, unless they cannot be true; then it is the price, and what
    is beyond it is disputed. Without, they change nothing.
    """
    reported, unreported = Usage(**counts, cost_usd=usd), Usage(**counts)
    priced = price(base, [])
    paid = pricing.bill(priced, reported, images=0, fee_basis_points=500, reports_cost=True)
    plain = pricing.bill(priced, unreported, images=0, fee_basis_points=500)
    if paid.disputed_nano:
        assert usd * 10**9 > 4 * (plain.cost_nano - 1) + 10**8
        assert paid.cost_nano == plain.cost_nano
    else:
        assert paid.cost_nano == half_up(usd * 10**9)
    assert paid.prompt_nano <= paid.cost_nano
    assert pricing.bill(priced, reported, images=0, fee_basis_points=500) == plain
