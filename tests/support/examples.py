"""How many examples a property is tried with: a quarter where every change waits for it, all of them in the long run."""

from __future__ import annotations

import os

from hypothesis import settings

LONG = "SOAK" in os.environ
"""Set by ``make soak``, which runs every property beside the storms."""
FEWEST = 25


def examples(most: int) -> settings:
    """``@examples(200)``: 200 in ``make soak``, 50 in ``make test``. No deadline: machines are busy."""
    return settings(max_examples=most if LONG else max(FEWEST, most // 4), deadline=None)
