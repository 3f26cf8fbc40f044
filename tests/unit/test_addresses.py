"""Which URLs lead to the public network: hundreds of forms that do not, by their text and by what a resolver says."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.media.locations import is_network_url
from providers.transport import addresses
from providers.transport.addresses import NotPublic, Place
from tests.support.private_urls import ADDRESSES, PRIVATE, PUBLIC

WHERE = Place("https://pictures.example.com/x", "pictures.example.com", 443)


@pytest.mark.parametrize("url", PRIVATE.values(), ids=PRIVATE)
def test_private_forms_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No form passes, with either scheme allowed, and nothing is looked up; and every one of them is taken for a network URL."""

    def looked_up(*_: object, **__: object) -> object:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    for schemes in (("https",), ("https", "http")):
        with pytest.raises(NotPublic):
            addresses.place(url, schemes=schemes)
    assert is_network_url(url)


def test_there_are_three_hundred_forms() -> None:
    """The table is as long as it claims to be."""
    assert len(set(PRIVATE.values())) >= 300


@pytest.mark.parametrize(("url", "place"), PUBLIC.items())
def test_public_places_pass(url: str, place: tuple[str, str, int]) -> None:
    """Host, port and the form in which it is asked for: ASCII, no fragment, no default port, no trailing dot."""
    assert addresses.place(url) == place
    assert addresses.place(place[0]) == place


def test_plain_http_is_only_for_vendors_that_open_urls() -> None:
    """http is refused by default; where it is allowed its port is 80."""
    with pytest.raises(NotPublic, match="must begin with https://"):
        addresses.place("http://example.com/")
    assert addresses.place("http://example.com/a", schemes=("https", "http")).port == 80


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_address_of_a_resolver_is_checked(address: str) -> None:
    """One private address among public ones, first or last, refuses the name."""
    for answer in ([address], ["8.8.8.8", address], [address, "2606:4700::1"]):

        async def lookup(host: str, port: int, answer: Sequence[str] = tuple(answer)) -> Sequence[str]:
            assert (host, port) == ("pictures.example.com", 443)
            return answer

        with pytest.raises(NotPublic, match="not on the public network"):
            await addresses.resolve(WHERE, lookup)


async def test_public_answers_are_given_in_their_order() -> None:
    """All of them, each once."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["2606:4700::1", "8.8.8.8", "2606:4700::1"]

    assert await addresses.resolve(WHERE, lookup) == ("2606:4700::1", "8.8.8.8")


@pytest.mark.parametrize(
    "fault", [socket.gaierror("no such name"), UnicodeError("label too long"), TimeoutError(), None]
)
async def test_a_name_without_addresses_leads_nowhere(fault: Exception | None) -> None:
    """Whatever the resolver says instead of an address."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        if fault is not None:
            raise fault
        return []

    with pytest.raises(NotPublic, match="has no address"):
        await addresses.resolve(WHERE, lookup)


@given(st.ip_addresses())
def test_what_is_public_is_global_for_the_library_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The judge is never more generous than the standard library, whose registry is complete but for the known holes."""
    if addresses.public(str(address)):
        inside = getattr(address, "ipv4_mapped", None) or address
        assert inside.is_global
        assert not inside.is_multicast


@given(st.ip_addresses(v=4))
def test_wrapped_ipv4_addresses_are_checked(address: ipaddress.IPv4Address) -> None:
    """Mapped and NAT64 are as public as their address; every other wrapping of it is refused."""
    number = int(address)
    words = f"{number >> 16:x}:{number & 0xFFFF:x}"
    for form in (f"::ffff:{words}", f"64:ff9b::{words}"):
        assert addresses.public(form) == addresses.public(str(address))
    for form in (f"::{words}", f"2002:{words}::1", f"::ffff:0:{words}", f"64:ff9b:1::{words}", f"2001:0:{words}::1"):
        assert not addresses.public(form)


@given(st.text(max_size=40), st.sampled_from(["https://", "http://", "https:", "", "//", "https://["]))
def test_no_text_breaks_it(text: str, start: str) -> None:
    """Whatever comes in: a place in ASCII, which is its own place, or NotPublic."""
    try:
        place = addresses.place(start + text, schemes=("https", "http"))
    except NotPublic:
        return
    assert place.url.isascii()
    assert not any(character.isspace() for character in place.url)
    assert addresses.place(place.url, schemes=("https", "http")) == place


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,AAAA", "gs://bucket/x.png", "s3://bucket/x", "iVBORw0KGgo=", "", "x", "//a/b"]
)
def test_other_schemes_are_left_to_the_dialects(url: str) -> None:
    """Data, a vendor's own store, bare base64."""
    assert not is_network_url(url)
