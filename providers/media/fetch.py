"""Pictures and files by URL, for vendors that accept no URLs: fetched here and put into the request as data URLs.

A caller may write any URL, so: https only, the name is resolved once, every address it has must be public, and the connection goes
to the very address that was checked (there is no second look-up that could answer otherwise). No redirects, no proxies, no
compression. The limits are 10 MB and 10 s for each, 20 of them and 20 MB for a request; and the content must be of the kind that
its part of the request says: a picture, a video or a file.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence

from providers.errors import ProviderError, failed
from providers.media.kinds import media_type_of
from providers.media.locations import Path, field_name, is_network_url, media_urls, replaced
from providers.media.names import Names
from providers.transport import addresses
from providers.transport.addresses import Lookup, Place
from providers.transport.client import HttpStream, Upstream
from providers.types import Call, Clocks, HttpRequest

MEDIA_MAX = 10 * 1024 * 1024
"""Bytes of one picture or file."""
MEDIA_ALL_MAX = 20 * 1024 * 1024
"""Bytes of all pictures and files of one request."""
MEDIA_S = 10.0
"""Seconds for one, from the look-up of its name to its last byte."""
CONNECT_S = 3.0
ADDRESSES_TRIED = 3
MEDIA_MOST = 20
"""Pictures and files of one request."""
NAMES_S = 3.0
"""Seconds for looking up the names of all URLs of a request that its vendor opens itself."""
NAMES_MOST = 20
"""Different names among them."""
_HEADERS = (("accept", "*/*"), ("connection", "close"))


class Media:
    """One per process. ``upstream`` must connect to ``HttpRequest.address`` without a proxy."""

    def __init__(self, upstream: Upstream, *, lookup: Lookup | None = None) -> None:
        self._upstream = upstream
        self._names = Names(lookup)

    async def checked(self, urls: Sequence[tuple[str, str]], tenant: str, *, private: bool) -> None:
        """Look at where URLs lead that a vendor will open itself; ``urls``: field and URL of each. ``private``: the vendor is
        in the operator's network, so a name without an address is refused; another vendor may know a name that we do not.

        Raises ``ProviderError`` (media_refused) naming the field.
        """
        places: dict[str, tuple[str, Place]] = {}
        for field, url in urls:
            try:
                place = addresses.place(url, schemes=("https", "http"))
            except addresses.NotPublic as refused:
                raise failed("media_refused", f"{field}: {url[:200]} {refused}") from None
            places.setdefault(place.host, (field, place))
        if len(places) > NAMES_MOST:
            raise failed("media_refused", f"{field}: URLs of at most {NAMES_MOST} different hosts in one request")
        found = await self._names.all([place for _, place in places.values()], tenant, NAMES_S)
        for host, (field, _) in places.items():
            leads = found[host]
            bad = next((address for address in leads if not addresses.public(address)), None)
            if bad is not None:
                raise failed(
                    "media_refused", f"{field}: {host[:100]} leads to {bad[:60]}, which is not on the public network"
                )
            if private and not leads:
                raise failed("media_refused", f"{field}: {host[:100]} has no address")

    async def inlined(self, call: Call, opens: Callable[[str], bool], tenant: str = "") -> Call:
        """The call with every http(s) URL of a picture or file that the vendor does not open itself replaced by its content.

        Raises ``ProviderError``: media_refused, media_failed, media_too_large, media_unsupported; the first failure ends the
        other fetches. Nothing of the caller's request is changed in place.
        """
        to_fetch: dict[str, tuple[str, Path]] = {}
        paths: dict[Path, str] = {}
        for path, kind, url in media_urls(call.body):
            if is_network_url(url) and not opens(url):
                paths[path] = url
                to_fetch.setdefault(url, (kind, path))
        if not to_fetch:
            return call
        if len(to_fetch) > MEDIA_MOST:
            raise failed("media_refused", f"at most {MEDIA_MOST} pictures and files by URL in one request")
        fetch = _Fetch(self._upstream, self._names.lookup(tenant))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {url: group.create_task(fetch.one(url, *about)) for url, about in to_fetch.items()}
        except (
            BaseExceptionGroup
        ) as group_error:  # not except*, which wraps what it raises in a group before Python 3.11.4
            failures = group_error.subgroup(ProviderError)
            if failures is None:
                raise
            raise _first(failures) from None
        return Call(replaced(call.body, {path: tasks[url].result() for path, url in paths.items()}))


def _first(errors: BaseExceptionGroup[ProviderError]) -> ProviderError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ProviderError)
    return error


class _Fetch:
    """The fetches of one request, which share a limit."""

    def __init__(self, upstream: Upstream, lookup: Lookup) -> None:
        self._upstream, self._lookup = upstream, lookup
        self._size = 0
        """Bytes that have arrived for all of them."""

    async def one(self, url: str, kind: str, path: Path) -> str:
        """The data URL of what a URL leads to. Raises ``ProviderError``."""
        name = f"{field_name(path)}: {url[:200]}"
        try:
            async with asyncio.timeout(MEDIA_S):
                place = addresses.place(url)
                found = await addresses.resolve(place, self._lookup)
                content, content_type = await self._content(place, found, name)
        except addresses.NotPublic as refused:
            raise failed("media_refused", f"{name} {refused}") from None
        except TimeoutError:
            raise failed("media_failed", f"{name} did not arrive within {MEDIA_S:g} s") from None
        mime = media_type_of(kind, content_type, content)
        if mime is None:
            message = f"{name} is not what {kind} accepts; its server calls it {content_type[:80]!r}"
            raise failed("media_unsupported", message)
        return f"data:{mime};base64,{base64.b64encode(content).decode()}"

    async def _content(self, place: Place, found: Sequence[str], name: str) -> tuple[bytes, str]:
        """The bytes, and their content type as the server states it."""
        http = await self._open(place, found, name)
        try:
            if http.status != 200:
                raise failed("media_failed", f"{name} answered with status {http.status}")
            if http.headers.get("content-encoding", "").lower() not in ("", "identity"):
                raise failed("media_failed", f"{name} is compressed, although no compression was asked for")
            pieces, size = [], 0
            declared = int(_digits(http.headers.get("content-length", "")))
            _limit(declared, self._size + declared, name)
            while data := await http.read():
                pieces.append(data)
                size += len(data)
                self._size += len(data)
                _limit(size, self._size, name)
        except ProviderError as error:
            raise _renamed(error, name) from error
        finally:
            await http.aclose()
        return b"".join(pieces), http.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def _open(self, place: Place, found: Sequence[str], name: str) -> HttpStream:
        """The answer of the first address that takes the connection."""
        clocks = Clocks(connect_s=CONNECT_S, first_content_s=MEDIA_S, total_s=MEDIA_S)
        tried = found[:ADDRESSES_TRIED]
        for address in tried:
            request = HttpRequest(place.url, _HEADERS, b"", method="GET", address=address)
            try:
                return await self._upstream.open(request, clocks)
            except ProviderError as error:
                if address == tried[-1] or error.failure.kind not in ("connect_refused", "connect_timeout"):
                    raise _renamed(error, name) from error
        raise AssertionError("a name without addresses was refused before")


def _limit(size: int, size_of_all: int, name: str) -> None:
    """Raises ``ProviderError`` (media_too_large)."""
    if size > MEDIA_MAX:
        raise failed("media_too_large", f"{name} is larger than {MEDIA_MAX // 2**20} MB")
    if size_of_all > MEDIA_ALL_MAX:
        raise failed("media_too_large", f"{name}: all of them together are larger than {MEDIA_ALL_MAX // 2**20} MB")


def _renamed(error: ProviderError, name: str) -> ProviderError:
    """A failure of the connection as one of the media, without anything that the server wrote."""
    kind = error.failure.kind
    return error if kind.startswith("media_") else failed("media_failed", f"{name} could not be fetched ({kind})")


def _digits(text: str) -> str:
    return text[:16] if text.isdecimal() else "0"
