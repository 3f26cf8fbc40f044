"""What a sampled event adds to the counters of its labels: it stands for 1/p events, when it was chosen with the chance p.

Amounts are integers, so that the same events in any order and in any portions give the same sums. A weight is kept in millionths,
which is exact within 5·10⁻⁷ for p down to one in a million; p itself is a whole number of millionths. It must not know: the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.analytics.event import Event

MILLION = 1_000_000
TABLES = {"category": "c", "task": "g", "language": "i", "programming": "j"}
"""Kind of label → the letter of its table."""
UNCLASSIFIED = "-"
"""The label of events that were chosen, but of which nothing is known: no words, no room, or no clear label."""


class Weighed(NamedTuple):
    """Sums over the events of one label; the names of the fields in the store are those of this tuple."""

    n: int = 0
    """Events, as they are."""
    w: int = 0
    """Σ 1/p, in millionths: estimated requests."""
    x: int = 0
    """Σ 1/p², in millionths: Σ w² of the effective sample size, and with ``w`` the variance of requests."""
    t: int = 0
    """Σ tokens/p, in millionths of a token."""
    v: int = 0
    """Σ tokens²·(1−p)/p²: the variance of the tokens under Poisson sampling."""
    u: int = 0
    """Σ nano-USD/p, rounded for each event."""

    def plus(self, other: Weighed) -> Weighed:
        """The sums of both."""
        return Weighed(*(a + b for a, b in zip(self, other, strict=True)))


def weighed(event: Event) -> Weighed:
    """What one event adds. An event that was not sampled has a declared label: it is certain, and stands for itself."""
    tokens, ppm = event.prompt + event.completion, event.sampled_ppm or MILLION
    weight = _rounded(MILLION * MILLION, ppm)
    return Weighed(
        n=1,
        w=weight,
        x=_rounded(MILLION**3, ppm * ppm),
        t=tokens * weight,
        v=_rounded(tokens * tokens * (MILLION - ppm) * MILLION, ppm * ppm),
        u=_rounded(event.charged_nano * MILLION, ppm),
    )


def labels_of(event: Event) -> tuple[tuple[str, str], ...]:
    """(letter of the table, label) of what the event counts as: labels that are known, or ``UNCLASSIFIED`` when it was sampled."""
    unknown = UNCLASSIFIED if event.sampled_ppm else ""
    found = (
        (TABLES["category"], event.category or unknown),
        (TABLES["task"], event.task or unknown),
        (TABLES["language"], event.language or unknown),
        (TABLES["programming"], event.programming or unknown),
    )
    return tuple([each for each in found if each[1]])


@lru_cache(maxsize=1024)
def label_fields(label: str) -> tuple[str, ...]:
    """The fields of a label in a row, in the order of ``Weighed``."""
    return tuple([f"{label} {field}" for field in Weighed._fields])


def read_row(row: Mapping[str, int]) -> dict[str, Weighed]:
    """The reverse: the fields of a row → label → its sums."""
    labels = dict.fromkeys(field.rpartition(" ")[0] for field in row)
    return {label: Weighed(*(row.get(field, 0) for field in label_fields(label))) for label in labels}


def _rounded(numerator: int, denominator: int) -> int:
    return (numerator + denominator // 2) // denominator
