"""So many requests a minute of each caller, for what callers without credit may ask. Of this process; its memory is bounded."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

CALLERS_MAX = 10_000
"""Callers that are remembered, about 200 bytes each; of more, those that were not seen for longest are forgotten."""
WINDOW_S = 60.0


class CallerLimit:
    """``most`` at once, and one more each time a ``most``-th of a minute is over. ``clock``: seconds, monotonic."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = WINDOW_S / most, clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()
        """Caller → when all of its requests so far will have been spread evenly."""

    def wait_s(self, caller: str) -> float:
        """0: the request may go on, and is counted. Otherwise the seconds until one may."""
        now = self._clock()
        paid = max(self._paid_until.get(caller, now), now) + self._every_s
        wait_s = paid - now - WINDOW_S
        if wait_s > 1e-6:
            return wait_s
        self._paid_until[caller] = paid
        self._paid_until.move_to_end(caller)
        while len(self._paid_until) > CALLERS_MAX:
            self._paid_until.popitem(last=False)
        return 0.0


def of_address(host: str | None) -> str:
    """The caller that an address stands for: itself, or of IPv6 its network of 64 bits, which is what one customer gets."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False).network_address)
