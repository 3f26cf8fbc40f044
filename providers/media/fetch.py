"""Pictures and files by URL, for vendors that take none: fetched here and put into the request as data URLs.

The URL is a stranger's, so: https only, the name is resolved once, every address it has must be public, and the connection goes to
the very address that was checked (no second look-up that could answer otherwise). No redirects, no proxies, nothing compressed.
10 MB and 10 s each, 20 of them and 20 MB a request, and what comes must be what it was asked for: a picture, a film, or a file.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from providers.errors import ProviderError, failed
from providers.media.kinds import media_type_of
from providers.media.locations import Path, field_name, is_network_url, media_urls, replaced
from providers.transport import addresses
from providers.transport.addresses import Lookup, Place
from providers.transport.client import HttpStream, Upstream
from providers.types import Call, Clocks, HttpRequest

MEDIA_MAX = 10 * 1024 * 1024
"""Bytes of one picture or file."""
MEDIA_ALL_MAX = 20 * 1024 * 1024
"""Bytes of all of one request."""
MEDIA_S = 10.0
"""Seconds for one, from look-up to last byte."""
CONNECT_S = 3.0
ADDRESSES_TRIED = 3
MEDIA_MOST = 20
"""Pictures and files of one request."""
LOOKUPS = 4
"""Names looked up at once. In threads of their own: whoever runs a slow name server must not hold up the look-ups for vendors."""
_HEADERS = (("accept", "*/*"), ("connection", "close"))


class Media:
    """One per process."""

    def __init__(self, upstream: Upstream, *, lookup: Lookup | None = None) -> None:
        self._upstream = upstream
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="media-names")
        self._lookup = lookup or self._ask_resolver

    async def inlined(self, call: Call, opens: Callable[[str], bool]) -> Call:
        """The call with every http(s) URL of a picture or file that the vendor does not open itself replaced by its content.

        Raises ``ProviderError``: media_refused, media_failed, media_too_large, media_unsupported; the first failure ends the
        other fetches. Nothing of the caller's request is changed in place.
        """
        wanted: dict[str, tuple[str, Path]] = {}
        paths: dict[Path, str] = {}
        for path, kind, url in media_urls(call.body):
            if is_network_url(url) and not opens(url):
                paths[path] = url
                wanted.setdefault(url, (kind, path))
        if not wanted:
            return call
        if len(wanted) > MEDIA_MOST:
            raise failed("media_refused", f"at most {MEDIA_MOST} pictures and files by URL in one request")
        fetch = _Fetch(self._upstream, self._lookup)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {url: group.create_task(fetch.one(url, *about)) for url, about in wanted.items()}
        except (
            BaseExceptionGroup
        ) as several:  # not except*: before Python 3.11.4 what it raises comes out in a group again
            refused = several.subgroup(ProviderError)
            if refused is None:
                raise
            raise _first(refused) from None
        return Call(replaced(call.body, {path: tasks[url].result() for path, url in paths.items()}))

    async def _ask_resolver(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _resolved, host, port)


def _resolved(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _first(errors: BaseExceptionGroup[ProviderError]) -> ProviderError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ProviderError)
    return error


class _Fetch:
    """What one request fetches."""

    def __init__(self, upstream: Upstream, lookup: Lookup) -> None:
        self._upstream, self._lookup = upstream, lookup
        self._size = 0

    async def one(self, url: str, kind: str, path: Path) -> str:
        """The data URL of what a URL leads to. Raises ``ProviderError``."""
        name = f"{field_name(path)}: {url[:200]}"
        try:
            async with asyncio.timeout(MEDIA_S):
                where = addresses.place(url)
                found = await addresses.resolve(where, self._lookup)
                content, called = await self._content(where, found, name)
        except addresses.NotPublic as refused:
            raise failed("media_refused", f"{name} {refused}") from None
        except TimeoutError:
            raise failed("media_failed", f"{name} was not there within {MEDIA_S:g} s") from None
        mime = media_type_of(kind, called, content)
        if mime is None:
            raise failed("media_unsupported", f"{name} is not what {kind} takes; its server calls it {called[:80]!r}")
        return f"data:{mime};base64,{base64.b64encode(content).decode()}"

    async def _content(self, where: Place, found: Sequence[str], name: str) -> tuple[bytes, str]:
        """The bytes, and what their sender calls them."""
        http = await self._opened(where, found, name)
        try:
            if http.status != 200:
                raise failed("media_failed", f"{name} answered with status {http.status}")
            pieces, size = [], 0
            self._measure(int(_digits(http.headers.get("content-length", ""))), name)
            while data := await http.read():
                pieces.append(data)
                size += len(data)
                self._measure(size, name)
        except ProviderError as error:
            raise _renamed(error, name) from error
        finally:
            await http.aclose()
        self._size += size
        return b"".join(pieces), http.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def _opened(self, where: Place, found: Sequence[str], name: str) -> HttpStream:
        """The answer of the first address that takes the connection."""
        clocks = Clocks(connect_s=CONNECT_S, first_content_s=MEDIA_S, total_s=MEDIA_S)
        tried = found[:ADDRESSES_TRIED]
        for address in tried:
            request = HttpRequest(where.url, _HEADERS, b"", method="GET", address=address)
            try:
                return await self._upstream.open(request, clocks)
            except ProviderError as error:
                if address == tried[-1] or error.failure.kind not in ("connect_refused", "connect_timeout"):
                    raise _renamed(error, name) from error
        raise AssertionError("a name without addresses was refused before")

    def _measure(self, size: int, name: str) -> None:
        if size > MEDIA_MAX:
            raise failed("media_too_large", f"{name} is larger than {MEDIA_MAX // 2**20} MB")
        if self._size + size > MEDIA_ALL_MAX:
            raise failed("media_too_large", f"{name}: all of them together are larger than {MEDIA_ALL_MAX // 2**20} MB")


def _renamed(error: ProviderError, name: str) -> ProviderError:
    """What happened between us and a place, in words about the place and without what its server wrote."""
    kind = error.failure.kind
    return error if kind.startswith("media_") else failed("media_failed", f"{name} could not be fetched ({kind})")


def _digits(text: str) -> str:
    return text[:16] if text.isdecimal() else "0"
