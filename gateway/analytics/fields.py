"""How the counters of a row lie in its hash: those that change together are one field, a JSON array.

    table           field           value
    e               =               ``ENDPOINT``
    a               =               ``APP``
                    <model> =       the first two of ``APP``
    k               <endpoint> =    ``KEY``
    x               <size> =        the first two of ``APP``
    c, g, i, j      <label> =       ``weights.Weighed``
    others          as it is named  one number

Who reads knows each number by a name of its own: ``rq``, ``<endpoint> p``, ``1K t``. Up to November 2026 these were the fields of
the hash, too. A row of then keeps them as they are, what is counted from then on comes beside them, and both are added up when they
are read; a number that is added at the end of a tuple is 0 in the rows that lack it. JSON, because it takes a tenth of the time of
``split`` and ``join``, for integers of any size. It must not know: the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import zip_longest
from operator import add

import msgspec

from gateway.analytics.weights import TABLES, Weighed

ENDPOINT = (
    *("rq", "ok", "cx", "pt", "ct", "rt", "cr", "cw", "ni", "no", "up", "fe", "us"),
    *("tc", "tt", "to", "tw", "st", "es", "fr", "ft", "wt", "wn", "ae", "al", "kn", "kb", "jn", "jb", "rf", "im", "au"),
)
"""Counters of an endpoint.

rq requests · ok · cx caller left · pt prompt, ct completion, rt reasoning, cr cache read, cw cache written, ni, no normalised
tokens · up cost, fe fee, us charged, in nano-USD · tc, tt requests and tokens that ended with a call of tools · to, tw of those
that offered tools · st streams · es estimated · fr, ft requests and tokens of free models · wt, wn ms to the first content and
their number · ae, al attempts that failed or were refused for load · kn, kb requests whose calls of tools were looked at, and that
had a bad one · jn, jb the same of output that had to be JSON · rf requests that nobody served because of themselves · im pictures
made, au ms of sound transcribed
"""
APP = ("r", "t", "u")
"""Requests, tokens, nano-USD charged."""
KEY = ("r", "p", "c", "g", "h", "u")
"""Requests, prompt, completion, reasoning, cache read, nano-USD charged."""

OWN = "="
"""The field of the row's own counters."""
_OWN: dict[str, tuple[str, ...]] = {"e": ENDPOINT, "a": APP}
_NAMED: dict[str, tuple[str, ...]] = {"a": APP[:2], "x": APP[:2], "k": KEY} | dict.fromkeys(
    TABLES.values(), Weighed._fields
)
"""Letter of a table → the names of the numbers of its fields, of the row's own and of others."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, ...]).decode

Value = int | tuple[int, ...]
"""The number or the numbers of a field."""


@lru_cache(maxsize=8192)
def packed(name: str) -> str:
    """The field of the counters of an endpoint, a model, a label ... in a row of something else."""
    return f"{name} ="


def plus(one: Value, other: Value) -> Value:
    """The sum of two values of a field."""
    if isinstance(one, int) or isinstance(other, int):
        return one + other  # type: ignore[operator]
    if len(one) == len(other):
        return tuple(map(add, one, other))
    return tuple(map(sum, zip_longest(one, other, fillvalue=0)))


def stored(value: Value) -> int | bytes:
    """A value as it lies in the store."""
    return value if isinstance(value, int) else _encode(value)


def loaded(raw: bytes) -> Value:
    """The reverse. Raises ValueError."""
    return _decode(raw) if raw[:1] == b"[" else int(raw)


def numbers(raw: bytes | None) -> tuple[int, ...]:
    """The numbers of a field, which a row may lack."""
    return _decode(raw) if raw else ()


def place_of(letter: str, name: str) -> tuple[str, int] | None:
    """(field, place in it) of a number of a table; None where it is a field by itself. ``letter``: the table without its grain."""
    own = _OWN.get(letter, ())
    if name in own:
        return OWN, own.index(name)
    of, _, number = name.rpartition(" ")
    named = _NAMED.get(letter, ())
    return (packed(of), named.index(number)) if number in named else None


def by_name(letter: str, row: Mapping[str, Value]) -> dict[str, int]:
    """The numbers of a row by their names, without those that are 0, as they would be if each were a field by itself."""
    found: dict[str, int] = {}
    for field, value in row.items():
        if isinstance(value, int):
            found[field] = found.get(field, 0) + value
            continue
        own = field == OWN
        for name, number in zip((_OWN if own else _NAMED)[letter], value, strict=False):
            if number:
                full = name if own else f"{field[:-1]}{name}"
                found[full] = found.get(full, 0) + number
    return found
