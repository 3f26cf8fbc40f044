"""Figures as people read them: tokens, dollars, shares, times. Pure; nothing here is calculated with afterwards."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

UNITS = ((10**15, "Q"), (10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
FEMTO_PER_MTOK_DOLLAR = 10**9
"""A price of one dollar per million tokens, in femto-dollars per token."""


def short(value: int | float) -> str:
    """1234 → ``1.2K``, 7.9e12 → ``7.9T``; whole numbers below a thousand as they are."""
    size = abs(value)
    for factor, letter in UNITS:
        if size >= factor * Decimal("0.9995"):
            return f"{_three(Decimal(str(value)) / factor)}{letter}"
    return str(value) if isinstance(value, int) else _three(Decimal(str(value)))


def exact(value: int) -> str:
    """1234567 → ``1,234,567``."""
    return f"{value:,}"


def percent(value: float) -> str:
    """99.95 → ``99.95 %``, 100 → ``100 %``: never rounded up to a perfect figure."""
    text = f"{Decimal(str(value)).quantize(Decimal('0.01'), rounding='ROUND_DOWN'):f}"
    return f"{text.rstrip('0').rstrip('.')}\u202f%"


def signed(change: float) -> str:
    """0.1234 → ``+12.3 %``, -0.5 → ``−50 %``, 11.2 → ``×12``: how a figure differs from the one before."""
    if change >= 9:
        return f"×{change + 1:.0f}"
    return f"{'+' if change >= 0 else '−'}{percent(round(abs(change) * 100, 1))}"


def points(change: float) -> str:
    """1.26 → ``+1.3 pp``: a difference of two percentages."""
    return f"{'+' if change >= 0 else '−'}{abs(change):.1f}\u202fpp"


def dollars_per_mtok(femto: int) -> str:
    """Femto-dollars per token → ``$0.15``: two decimals, more where a price has them."""
    return dollars(Decimal(femto) / FEMTO_PER_MTOK_DOLLAR)


def dollars(amount: Decimal) -> str:
    """0.075 → ``$0.075``, 15 → ``$15.00``. Small amounts keep three significant digits."""
    if amount == 0:
        return "$0"
    places = 2 if amount >= 1 else max(2, 2 - amount.adjusted())
    text = f"{amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN):,f}"
    whole, _, fraction = text.partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def usd(value: float) -> str:
    """0.07512 → ``$0.0751``, 3.4 → ``$3.40``."""
    return dollars(Decimal(str(value)))


def milliseconds(value: float) -> str:
    """412.3 → ``412 ms``, 2300 → ``2.3 s``."""
    return f"{value:.0f}\u202fms" if value < 999.5 else f"{value / 1000:.1f}\u202fs"


def _three(value: Decimal) -> str:
    places = 0 if abs(value) >= 100 else 1
    text = f"{value:.{places}f}"
    return text.removesuffix(".0")
