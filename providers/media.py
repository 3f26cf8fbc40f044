"""Pictures and files by URL, for vendors that take none: fetched here and put into the request as data URLs.

The URL is a stranger's, so: https only, the name is resolved once, every address it has must be public, and the connection goes to
the very address that was checked (no second look-up that could answer otherwise). No redirects, no proxies, 10 MB, 10 s.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

from providers import addresses
from providers._http import Upstream
from providers.errors import ProviderError, failed
from providers.types import Call, Clocks, HttpRequest, Json

MEDIA_MAX = 10 * 1024 * 1024
"""Bytes of one picture or file."""
MEDIA_S = 10.0
"""Seconds for one, from look-up to last byte."""
MEDIA_MOST = 20
"""Pictures and files of one request."""
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
"""How a file begins, whatever its sender calls it."""
Resolve = Callable[[str], Awaitable[str]]


class Media:
    """One per process."""

    def __init__(self, upstream: Upstream, *, resolve: Resolve = addresses.resolve) -> None:
        self._upstream, self._resolve = upstream, resolve

    async def inlined(self, call: Call, opens: Callable[[str], bool]) -> Call:
        """The call with every http(s) URL of a picture or file that the vendor does not open itself replaced by its content.

        Raises ``ProviderError``: media_refused, media_failed. Nothing of the caller's request is changed in place.
        """
        messages = call.body.get("messages")
        if not isinstance(messages, list) or not any(_linked(message) for message in messages):
            return call
        wanted = list(dict.fromkeys(url for message in messages for _, url in links(message) if not opens(url)))
        if len(wanted) > MEDIA_MOST:
            raise failed("media_refused", f"at most {MEDIA_MOST} pictures and files by URL in one request")
        async with asyncio.TaskGroup() as group:
            tasks = {url: group.create_task(self._quietly(url)) for url in wanted}
        found: dict[str, str] = {}
        for url, task in tasks.items():
            outcome = task.result()
            if isinstance(outcome, ProviderError):
                raise outcome
            found[url] = outcome
        return Call({**call.body, "messages": [_replaced(message, found) for message in messages]})

    async def _quietly(self, url: str) -> str | ProviderError:
        try:
            return await self._fetched(url)
        except ProviderError as error:
            return error

    async def _fetched(self, url: str) -> str:
        try:
            async with asyncio.timeout(MEDIA_S):
                address = await self._resolve(url)
                content, named = await self._content(url, address)
        except addresses.NotPublic as refused:
            raise failed("media_refused", f"{url[:200]}: {refused}") from None
        except TimeoutError:
            raise failed("media_failed", f"{url[:200]}: not there within {MEDIA_S:g} s") from None
        kind = _kind(content) or named
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    async def _content(self, url: str, address: str) -> tuple[bytes, str]:
        """The bytes, and what their sender calls them."""
        request = HttpRequest(url, (("accept", "*/*"),), b"", method="GET", address=address)
        clocks = Clocks(connect_s=5.0, first_content_s=MEDIA_S, total_s=MEDIA_S)
        try:
            http = await self._upstream.open(request, clocks)
        except ProviderError as error:
            raise failed("media_failed", f"{url[:200]}: {error.message}") from error
        try:
            if http.status != 200:
                raise failed("media_failed", f"{url[:200]}: answered with status {http.status}")
            pieces, size = [], 0
            while data := await http.read():
                pieces.append(data)
                size += len(data)
                if size > MEDIA_MAX:
                    raise failed("media_refused", f"{url[:200]}: is larger than {MEDIA_MAX // 2**20} MB")
            content_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
            return b"".join(pieces), content_type or "application/octet-stream"
        finally:
            await http.aclose()


def _kind(content: bytes) -> str | None:
    for magic, kind in MAGIC:
        if content.startswith(magic):
            return kind
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


PLACES: dict[Any, str] = {"image_url": "url", "file": "file_data", "video_url": "url"}
"""Part type → where its URL stands in the object of the same name."""


def links(message: Any) -> list[tuple[Json, str]]:
    """(part, URL) of every part that names a place in the network."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return []
    found = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in PLACES:
            continue
        inner = part.get(kind)
        url = inner.get(PLACES[kind]) if isinstance(inner, dict) else None
        if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
            found.append((part, url))
    return found


def _linked(message: Any) -> bool:
    return bool(links(message))


def _replaced(message: Json, found: dict[str, str]) -> Json:
    linked = {id(part): url for part, url in links(message) if url in found}
    if not linked:
        return message
    parts = []
    for part in message["content"]:
        url = linked.get(id(part))
        if url is not None:
            kind: str = part["type"]
            part = {**part, kind: {**part[kind], PLACES[kind]: found[url]}}
        parts.append(part)
    return {**message, "content": parts}
