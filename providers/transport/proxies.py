"""Through which proxy a URL is reached: a provider's own setting, else the environment's. Pure; the environment is an argument.

The variables are those of curl: ``HTTP_PROXY`` for http:// URLs, ``HTTPS_PROXY`` for https:// URLs, ``ALL_PROXY`` for both, and
``NO_PROXY``; each may be written in lower case, which wins. A proxy's URL may hold credentials: no message here repeats any of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

DIRECT: Final = "direct"
"""A provider's setting: use no proxy, whatever the environment says."""
SCHEMES: Final = ("http", "https", "socks5", "socks5h")
"""``socks5`` and ``socks5h`` are the same: the proxy resolves the host's name."""


def check(proxy: str) -> str:
    """A provider's ``proxy`` setting: a URL, or ``direct``, also written ``none``. Raises ``ValueError``."""
    if proxy in (DIRECT, "none"):
        return DIRECT
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no number as the port, brackets that do not match
        usable = False
    if not usable or not proxy.isprintable() or " " in proxy or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be a proxy's URL such as http://proxy.example:3128 (or https://, socks5://), or direct")
    return proxy


def from_environment(url: str, env: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for a URL; None: there is none, or ``NO_PROXY`` or a loopback host exempts it.

    Raises ``ValueError`` that begins with the variable's name when its value is not a proxy's URL.
    """
    parts = urlsplit(url)
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        variable = name if name in env else name.upper()  # an empty one in small letters switches the other one off
        value = env.get(variable, "").strip()
        if value and not _exempt((parts.hostname or "").rstrip("."), parts.port, env):
            try:
                return check(value if "://" in value else f"http://{value}")
            except ValueError as error:
                raise ValueError(f"{variable} {error}") from None
    return None


def _exempt(host: str, port: int | None, env: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback):
        return True  # a proxy would connect to its own machine
    for entry in env.get("no_proxy", env.get("NO_PROXY", "")).replace(",", " ").lower().split():
        pattern, _, port_text = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if port_text and (not port_text.isdecimal() or int(port_text) != port):
            continue
        if pattern == "*" or (address is not None and _contains(pattern, address)):
            return True
        name = pattern.removeprefix("*").removeprefix(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _contains(pattern: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        network = ipaddress.ip_network(pattern.strip("[]"), strict=False)
    except ValueError:
        return False
    return network.version == address.version and address in network


def shown(proxy: str) -> str:
    """A proxy for a person to read: scheme, host and port, without credentials."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
