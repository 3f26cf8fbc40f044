"""Is an address a public one? For URLs that strangers write and this process, or a vendor in its network, would open.

``ipaddress.is_global`` alone is not enough (measured on Python 3.11): it calls ``64:ff9b::a9fe:a9fe`` (NAT64 of 169.254.169.254),
``2002:7f00:1::`` (6to4 of 127.0.0.1), ``::127.0.0.1``, ``192.0.0.192`` (a cloud's metadata service) and multicast global. And
the text of a host says nothing: a resolver takes ``2130706433``, ``0x7f.1``, ``0177.0.0.1``, ``127.1`` and even full-width
digits for 127.0.0.1. So what is judged is always the address that would be connected to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
COMPATIBLE = ipaddress.ip_network("::/96")
SIXTOFOUR = ipaddress.ip_network("2002::/16")
DENIED = tuple(
    ipaddress.ip_network(text)
    for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "168.63.129.16/32", "fec0::/10")
)
"""Shared address space, protocol assignments, old 6to4 relays, benchmarks, Azure's host, site-local: not the public network."""
NAMES = ("localhost", "metadata", "metadata.google.internal", "instance-data")
SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".intranet", ".lan")


class NotPublic(ValueError):
    """The URL leads, or could lead, into a private network; the text says why."""


def public(address: str) -> bool:
    """Whether an address in its canonical text belongs to the public network, whatever it is wrapped in."""
    return all(_plain(each) for each in _unwrapped(ipaddress.ip_address(address.partition("%")[0])))


def _plain(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address.version == net.version and address in net for net in DENIED)


def _unwrapped(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address itself, or the IPv4 addresses inside it."""
    if isinstance(address, IPv4Address):
        return [address]
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.teredo is not None:
        return [*address.teredo]
    if address in SIXTOFOUR:
        return [IPv4Address(int(address) >> 80 & 0xFFFFFFFF)]
    if address in COMPATIBLE or address in NAT64[0]:
        return [low]
    if address in NAT64[1]:  # a site's own translation prefix: nobody outside knows what is behind it
        return [IPv4Address("0.0.0.0")]  # noqa: S104 - an address that is never public, not one to listen on
    return [address]


def split(url: str, *, schemes: tuple[str, ...] = ("https",)) -> tuple[str, int]:
    """Host and port of a URL of a public place, as far as its text can tell. Raises NotPublic."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        raise NotPublic("is not a URL") from None
    if parts.scheme not in schemes:
        raise NotPublic(f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    if not host or parts.username is not None or parts.password is not None:
        raise NotPublic("must name a host, and no user")
    name = host.rstrip(".").lower()
    if name in NAMES or name.endswith(SUFFIXES):
        raise NotPublic(f"leads to {name[:100]}, which is not on the public network")
    for address in _numeric(host, port):
        if not public(address):
            raise NotPublic(f"leads to {address}, which is not on the public network")
    return host, port


def _numeric(host: str, port: int) -> list[str]:
    """The addresses that a host *is*, in any of the notations a resolver takes; none when it is a name. No DNS."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


async def resolve(url: str) -> str:
    """The address to connect to for a URL: resolved once, and every address that the name has is public.

    Raises NotPublic, also for a name that has no address at all.
    """
    host, port = split(url)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise NotPublic(f"{host[:100]} has no address") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not public(address):
            raise NotPublic(f"{host[:100]} leads to {address}, which is not on the public network")
    return addresses[0]
