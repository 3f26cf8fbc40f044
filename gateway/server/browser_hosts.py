"""Under which names a browser may reach the gateway.

A page of any site can lead its own name to an address of the reader's network (DNS rebinding); the browser then takes the gateway
for a part of that site, and lets the page read what needs no key. The ``Host`` header betrays it. Programs are not asked: they have
a key, or could say whatever they like.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.responses import JSONResponse

ANY = "*"
_OF_BROWSERS = frozenset({b"origin", b"sec-fetch-site"})
"""Headers that browsers send and pages cannot remove."""


class BrowserHosts:
    """``names``: lower case; ``*`` allows all. ``host``: the address that the gateway listens on."""

    def __init__(self, names: Iterable[str], host: str) -> None:
        self._names = frozenset(names)
        self._any = ANY in self._names or not (self._names or _is_loopback(host))

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> JSONResponse | None:
        """The answer to a browser that was led here by another name; None for everybody else."""
        if self._any:
            return None
        host, browser = b"", False
        for name, value in headers:
            if name == b"host":
                host = value
            elif name in _OF_BROWSERS:
                browser = True
        if not browser or self._allows(host.decode("latin-1")):
            return None
        message = (
            "Host: a browser may not reach this gateway under that name. Use localhost or its address; if the gateway is yours and "
            "the name is right, add it to GATEWAY_ALLOWED_HOSTS."
        )
        return JSONResponse({"error": {"code": 403, "message": message, "metadata": {"error_type": "forbidden"}}}, 403)

    def _allows(self, host: str) -> bool:
        name = _without_port(host).lower().rstrip(".")
        return name in self._names or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
