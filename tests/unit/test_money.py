"""Money: exact text in and out, one rounding a line, and the sum of the lines is the total."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import money, pricing, prompt_size
from gateway.catalog.model import Price
from providers.types import Usage

NANOS = st.integers(-money.MAX_NANO, money.MAX_NANO)
TOKENS = st.integers(0, 2_000_000)
RATES = st.integers(0, 200 * 10**9)
"""Femto-dollars a token: up to $200 a million."""


@given(NANOS)
def test_dollars_come_back(nano: int) -> None:
    """format → parse is the identity, and the text is what Decimal says."""
    text = money.format_usd(nano)
    assert money.parse_usd(text) == nano
    assert Decimal(text) == Decimal(nano).scaleb(-9)
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0"), (1, "0.000000001"), (10**9, "1"), (1_500_000_000, "1.5"), (-1, "-0.000000001")]
)
def test_dollars_as_text(nano: int, text: str) -> None:
    """The shortest decimal text."""
    assert money.format_usd(nano) == text


@pytest.mark.parametrize("wrong", ["", "x", "1e400", "NaN", "Infinity", "0.0000000001", "9007199.254740992", "1,5"])
def test_dollars_refused(wrong: str) -> None:
    """What is no finite amount of at most nine places is refused."""
    with pytest.raises(ValueError, match=r"."):
        money.parse_usd(wrong)


@pytest.mark.parametrize("wrong", [0.1, True])
def test_no_float_is_money(wrong: object) -> None:
    """A float or a truth value is refused, not converted."""
    with pytest.raises(ValueError, match=r"."):
        money.parse_usd(wrong)  # type: ignore[arg-type]


@given(RATES)
def test_prices_come_back(femto: int) -> None:
    """Per token and per million tokens say the same."""
    assert money.parse_price(money.format_price(femto)) == femto
    assert money.parse_price(str(Decimal(femto).scaleb(-9)), units=10**6) == femto


def test_inexact_and_negative_prices_are_refused() -> None:
    """A price that femto-dollars cannot hold, or below zero, is refused."""
    for wrong in ("0.0000000001", "-1"):
        with pytest.raises(ValueError, match=r"."):
            money.parse_price(wrong, units=10**6)


@given(st.integers(0, 10**24), st.integers(0, 10_000))
def test_rounding(femto: int, basis_points: int) -> None:
    """Half up for lines, up for holds, half up for the fee: compared with fractions."""
    exact = Fraction(femto, money.FEMTO_PER_NANO)
    nano = money.round_half_up(femto)
    assert nano == int(exact + Fraction(1, 2))
    assert money.round_up(femto) - exact < 1
    assert money.round_up(femto) >= exact
    assert money.fee(nano, basis_points) == int(Fraction(nano * basis_points, 10_000) + Fraction(1, 2))


def test_a_fee_of_nothing_is_nothing() -> None:
    """No cost, no fee; no percentage, no fee."""
    assert money.fee(0, 500) == money.fee(10**9, 0) == 0


def price(prompt: int, completion: int, **more: int) -> Price:
    return Price(date(2026, 1, 1), {"prompt": prompt, "completion": completion, **more})


@given(RATES, RATES, RATES, TOKENS, TOKENS, TOKENS, TOKENS)
def test_a_bill_is_exact(p: int, c: int, r: int, prompt: int, cached: int, completion: int, reasoning: int) -> None:
    """Cost = the rounded sum of tokens x prices; total = cost + fee; the shares of the split add up."""
    usage = Usage(prompt=prompt, cache_read=cached, completion=completion, reasoning=reasoning)
    bill = pricing.bill(price(p, c, input_cache_read=r), usage, images=0, fee_basis_points=500)
    exact = Fraction(prompt * p + cached * r + (completion + reasoning) * c, money.FEMTO_PER_NANO)
    assert bill.cost_nano == int(exact + Fraction(1, 2))
    assert bill.total_nano == bill.cost_nano + bill.fee_nano
    assert 0 <= bill.prompt_nano <= bill.cost_nano


@given(RATES, RATES, TOKENS, TOKENS, st.integers(0, 1000), st.integers(0, 1000))
def test_more_tokens_never_cost_less(p: int, c: int, prompt: int, completion: int, more_in: int, more_out: int) -> None:
    """Cost is monotone in tokens."""
    less = pricing.bill(price(p, c), Usage(prompt=prompt, completion=completion), images=0, fee_basis_points=500)
    more = pricing.bill(
        price(p, c), Usage(prompt=prompt + more_in, completion=completion + more_out), images=0, fee_basis_points=500
    )
    assert more.cost_nano >= less.cost_nano
    assert more.total_nano >= less.total_nano


def test_a_hundred_thousand_bills_sum_to_their_lines() -> None:
    """Over many random usages: sum of totals = sum of costs + sum of fees, and splitting a usage moves at most 1 n$ a part."""
    rng = random.Random(7)
    costs = fees = totals = 0
    for _ in range(100_000):
        one = price(rng.randrange(10**11), rng.randrange(10**11))
        usage = Usage(prompt=rng.randrange(10**5), completion=rng.randrange(10**4))
        bill = pricing.bill(one, usage, images=0, fee_basis_points=500)
        halves = [
            pricing.bill(one, part, images=0, fee_basis_points=500).cost_nano
            for part in (Usage(prompt=usage.prompt), Usage(completion=usage.completion))
        ]
        assert abs(sum(halves) - bill.cost_nano) <= 1
        costs, fees, totals = costs + bill.cost_nano, fees + bill.fee_nano, totals + bill.total_nano
    assert totals == costs + fees


@given(RATES, RATES, st.integers(0, 5_000), st.integers(1, 5_000), st.integers(0, 1_000))
def test_a_hold_covers_its_request(p: int, c: int, size: int, max_tokens: int, basis_points: int) -> None:
    """Whatever the model answers within max_tokens, and if each byte of the prompt is a token, the hold is enough; and what it is said
    to cover is never more than it does.
    """
    prompt = prompt_size.measure({"messages": [{"role": "user", "content": "ab" * size}]})
    worst = [pricing.Worst(price(p, c), prompt.tokens_bound, max_tokens)]
    held = pricing.hold_nano(worst, prompt, basis_points)
    bill = pricing.bill(
        price(p, c), Usage(prompt=prompt.tokens_bound, completion=max_tokens), images=0, fee_basis_points=basis_points
    )
    assert held >= bill.total_nano
    covered = pricing.covered_tokens(worst, prompt, held, basis_points)
    assert covered is None if c == 0 else covered is not None and covered >= max_tokens
    if covered is not None:
        again = [pricing.Worst(price(p, c), prompt.tokens_bound, covered)]
        assert pricing.hold_nano(again, prompt, basis_points) <= held


def test_a_vendors_own_cost_counts_only_where_it_may() -> None:
    """``usage.cost`` replaces the catalogue's price only for providers that report what we owe."""
    usage = Usage(prompt=1000, completion=0, cost_usd=Decimal("0.0015"))
    assert pricing.bill(price(10**9, 0), usage, images=0, fee_basis_points=500).cost_nano == 1_000_000
    theirs = pricing.bill(price(10**9, 0), usage, images=0, fee_basis_points=500, reports_cost=True)
    assert (theirs.cost_nano, theirs.disputed_nano) == (1_500_000, 0)


def test_measuring_a_prompt() -> None:
    """Bytes over four for the estimate, each one for the bound, plus what surrounds messages; images and modalities are seen."""
    plain = prompt_size.measure({"messages": [{"role": "user", "content": "x" * 400}]})
    assert (plain.tokens, plain.bounds([("acme/m", 8_000), ("acme/m", 500)])) == (107, [688, 500])
    assert prompt_size.measure({"messages": [{"role": "user", "content": "é" * 4}]}).tokens == 9
    mixed = prompt_size.measure(
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hi"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}},
                    ],
                }
            ]
        }
    )
    assert (mixed.images, mixed.modalities) == (1, {"text", "image"})
    assert mixed.tokens < 2_000
