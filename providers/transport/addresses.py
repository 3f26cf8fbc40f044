"""Is an address a public one? For URLs that callers write and that this process, or a vendor in its network, would open.

``ipaddress.is_global`` alone is not enough (measured on Python 3.11): it calls ``64:ff9b::a9fe:a9fe`` (NAT64 of 169.254.169.254),
``2002:7f00:1::`` (6to4 of 127.0.0.1), ``::127.0.0.1``, ``192.0.0.192`` (a cloud's metadata service) and multicast global. And
the text of a host says nothing: a resolver takes ``2130706433``, ``0x7f.1``, ``0177.0.0.1``, ``127.1`` and even full-width
digits for 127.0.0.1. So the check always looks at the address that would be connected to.

Programs also read one URL differently (RFC 3986, the WHATWG standard, libcurl). A text whose host is not the same for all of
them is refused: backslashes, users, percent signs in the host, control characters, numbers that are no address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that has ever been assigned to anyone: what lies outside is private, or wraps another address."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
DENIED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "168.63.129.16/32", "161.26.0.0/16"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)
"""Not the public network, whatever the standard library says. IPv4: shared address space, protocol assignments (with Oracle's
metadata service), old 6to4 relays, benchmarks, Azure's host, IBM's private services. IPv6: protocol assignments with Teredo,
documentation, 6to4 and AS112; no public server needs such a tunnel, and each can lead to any IPv4 address."""
ISATAP = (0x00005EFE, 0x02005EFE)
"""RFC 5214: the interface identifier that wraps an IPv4 address."""
NAMES = frozenset({"metadata.google.internal", "instance-data.ec2.internal", "kubernetes.default.svc"})
SUFFIXES = (
    *(".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".in-addr.arpa", ".ip6.arpa", ".svc"),
    *(".intranet", ".lan", ".corp", ".home", ".private", ".onion", ".test", ".invalid"),
)
"""Names that the public DNS does not have, or must not (RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN's reserved ones)."""

URL_MAX = 8192
"""Characters of a URL."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@%\\\[\]<>^`{|}\"]+)(?::([0-9]{0,5}))?")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_KEPT = "!$%&'()*+,/:;=?@[]|~"
"""Characters, beside letters and digits, that a path and a query keep; all others are percent-encoded."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses as text. Raises ``OSError`` or ``UnicodeError`` for a name without addresses."""


class NotPublic(ValueError):
    """The URL leads, or could lead, into a private network; the text says why."""


class Place(NamedTuple):
    """A URL as every program reads it."""

    url: str
    """ASCII, without a fragment: the form in which it is sent."""
    host: str
    port: int


def public(address: str) -> bool:
    """Whether an address, in its canonical text, is public, also when it is wrapped in another (IPv4 in IPv6)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        inside = found.ipv4_mapped or (_low(found) if found in NAT64 else None)
        if inside is None:
            isatap = int(found) >> 32 & 0xFFFFFFFF in ISATAP
            return found in GLOBAL_UNICAST and _plain(found) and not (isatap and not _plain(_low(found)))
        found = inside
    return _plain(found)


def _plain(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address.version == net.version and address in net for net in DENIED)


def _low(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def place(url: str, *, schemes: tuple[str, ...] = ("https",)) -> Place:
    """Where a URL leads, as far as its text shows; names are not looked up. Raises NotPublic."""
    if len(url) > URL_MAX:
        raise NotPublic(f"is longer than {URL_MAX} characters")
    parts = _URL.fullmatch(url)
    if parts is None or _UNSEEN.search(url):
        raise NotPublic("is not a URL")
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
    if scheme not in schemes:
        raise NotPublic(f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    split = _AUTHORITY.fullmatch(authority)
    if split is None:
        raise NotPublic("must name a host, perhaps a port, and nothing else before the path")
    default = 443 if scheme == "https" else 80
    port = int(split[2] or default)
    if not 0 < port < 65536:
        raise NotPublic("has no port that exists")
    host = _host(split[1])
    netloc = (f"[{host}]" if ":" in host else host) + ("" if port == default else f":{port}")
    path = quote(rest if rest.startswith("/") else f"/{rest}", safe=_KEPT)
    return Place(f"{scheme}://{netloc}{path}", host, port)


def _host(text: str) -> str:
    """A host in the one form that resolvers, certificates and other programs agree on. Raises NotPublic."""
    if text.startswith("["):
        try:
            literal: IPv4Address | IPv6Address = IPv6Address(text[1:-1])
        except ValueError:
            raise NotPublic("is not a URL: its host is no IPv6 address") from None
        return _literal(literal)
    try:
        name = text.encode("idna").decode("ascii").lower()  # also turns full-width digits and dots into plain ones
    except UnicodeError:
        name = ""
    name = name.removesuffix(".")
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise NotPublic("does not name a host")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):  # as the WHATWG decides: then it must be an IPv4 address
        try:
            return _literal(IPv4Address(socket.inet_aton(name)))
        except OSError:
            raise NotPublic("does not name a host: its number is no address") from None
    if "." not in name or name in NAMES or name.endswith(SUFFIXES):
        raise NotPublic(f"leads to {name[:100]}, which is not on the public network")
    return name


def _literal(address: IPv4Address | IPv6Address) -> str:
    if not public(str(address)):
        raise NotPublic(f"leads to {address}, which is not on the public network")
    return str(address)


async def resolve(place: Place, lookup: Lookup) -> tuple[str, ...]:
    """The addresses to connect to, in the resolver's order. The name is looked up once, and all its addresses must be public.

    Raises NotPublic, also for a name that has no address at all.
    """
    try:
        found = await lookup(place.host, place.port)
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise NotPublic(f"{place.host[:100]} has no address")
    for address in found:
        if not public(address):
            raise NotPublic(f"{place.host[:100]} leads to {address[:60]}, which is not on the public network")
    return tuple(dict.fromkeys(found))
