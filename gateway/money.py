"""Money as integers: amounts in nano-USD (10^-9 $), prices in femto-USD (10^-15 $) per unit. No float anywhere.

The one rounding rule: a line is rounded half up to the nano-dollar once, after all its parts are summed; a hold is rounded up.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

NANO = 10**9
"""Nano-dollars in one dollar."""
FEMTO_PER_NANO = 10**6
MAX_NANO = 2**53 - 1
"""The largest balance one account may hold ($9,007,199.25): integers inside Redis' Lua are doubles."""


def parse_usd(value: str | int | Decimal) -> int:
    """Dollars as decimal text (``"12.5"``) → nano-dollars.

    Raises ValueError for anything that is not a finite decimal with at most nine places, or beyond ±``MAX_NANO``.
    """
    amount = _scaled(value, 9, "at most nine decimal places")
    if abs(amount) > MAX_NANO:
        raise ValueError(f"amount is beyond the limit of {format_usd(MAX_NANO)} dollars")
    return amount


def parse_price(value: str | int | Decimal, *, units: int = 1) -> int:
    """Dollars per ``units`` units (1,000,000 for a price per million tokens) → femto-dollars per unit.

    Raises ValueError when the price is negative or not exact in femto-dollars.
    """
    digits = len(str(units)) - 1
    if units != 10**digits:
        raise ValueError("units must be a power of ten")
    price = _scaled(value, 15 - digits, "exact in femto-dollars per unit")
    if price < 0:
        raise ValueError("a price cannot be negative")
    return price


def _scaled(value: str | int | Decimal, places: int, rule: str) -> int:
    if isinstance(value, float | bool):
        raise ValueError("money is decimal text, never a float")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a decimal number") from None
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise ValueError(f"{value!r} is not a finite decimal number of sensible size")
    scaled = number.scaleb(places)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value!r} must be {rule}")
    return int(scaled)


def format_usd(nano: int) -> str:
    """Nano-dollars → the shortest decimal text, ``1500000000`` → ``"1.5"``."""
    if 0 < nano < NANO:  # the usual price of a request
        return "0." + f"{nano:09d}".rstrip("0")
    if nano < 0:
        return "-" + format_usd(-nano)
    digits = f"{nano:010d}"
    part = digits[-9:].rstrip("0")
    return f"{digits[:-9]}.{part}" if part else digits[:-9]


def format_price(femto: int) -> str:
    """Femto-dollars per unit → the shortest decimal text in dollars per unit, ``150000000`` → ``"0.00000015"``."""
    whole, part = divmod(femto, 10**15)
    return f"{whole}.{part:015d}".rstrip("0") if part else str(whole)


def round_half_up(femto: int) -> int:
    """Femto-dollars of one line → nano-dollars."""
    return (femto + FEMTO_PER_NANO // 2) // FEMTO_PER_NANO


def round_up(femto: int) -> int:
    """Femto-dollars → nano-dollars, for holds."""
    return -(-femto // FEMTO_PER_NANO)


def fee(cost_nano: int, basis_points: int) -> int:
    """The platform fee on a cost, its own line, rounded half up. 5 % = 500 basis points."""
    return (cost_nano * basis_points + 5_000) // 10_000
