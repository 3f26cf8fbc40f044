"""Answers that are compressed although none was asked for: both clients send ``accept-encoding: identity``.

gzip and deflate are inflated piece by piece, within a bound, because a few kilobytes of them can hold gigabytes. Other encodings
(br, zstd) would need a library each and are refused by name: whoever sends them to us breaks RFC 9110, 12.5.3.
"""

from __future__ import annotations

import zlib
from typing import Final

from providers.errors import ProviderError, failed

PIECE_MAX: Final = 16 * 1024 * 1024
"""Bytes that one piece of a whole answer, of at most 256 kB, may grow to: real text shrinks by a factor of 20."""
STREAMED_MAX: Final = 2 * 1024 * 1024
"""The same of a stream, whose events are read in the event loop, where 2 MB of small ones take a tenth of a second."""
FREE: Final = 1024 * 1024
"""Bytes that a body may have however few of them have arrived."""
GROWS_MAX: Final = 100
"""How often its size a body may grow to beyond that. Nothing but repetition grows more."""
MEMBERS_MAX: Final = 64
"""gzip members in one piece: each begins with what is left of the piece, so thousands of tiny ones would cost seconds."""
_PLAIN: Final = frozenset({"", "identity", "none", "utf-8", "utf8"})
"""What servers write that means no encoding at all."""
_KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})


class Inflater:
    """``feed`` it the pieces of a compressed body; call ``close`` at its end.

    When it is not ``strict``, as for a refusal, whose status says enough, what cannot be read is left out.
    """

    __slots__ = ("_arrived", "_broken", "_deflate", "_grown", "_head", "_piece_max", "_strict", "_zlib")

    def __init__(self, encoding: str, *, strict: bool, piece_max: int = PIECE_MAX) -> None:
        self._strict, self._piece_max = strict, piece_max
        self._arrived = self._grown = 0
        self._broken = encoding not in _KNOWN
        self._deflate = encoding == "deflate"
        self._zlib = None if self._deflate else zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._head = b""
        """Of deflate: what has arrived before its two forms can be told apart."""

    def feed(self, data: bytes) -> bytes:
        """The plain bytes. Raises ``ProviderError`` (malformed): not such data, or more than the bounds."""
        if self._broken:
            return b""
        try:
            return self._inflate(data)
        except zlib.error as error:
            broken = failed("malformed", f"the answer's compression is broken: {error}")
        except ProviderError as error:
            broken = error
        self._broken = True
        if self._strict:
            raise broken
        return b""

    def close(self) -> None:
        """Raises ``ProviderError`` (malformed) when the compressed data have not ended with the body."""
        if self._strict and (self._zlib is None or not self._zlib.eof):
            raise failed("malformed", "the compressed answer is incomplete")

    def _inflate(self, data: bytes) -> bytes:
        self._arrived += len(data)
        most = min(self._piece_max, FREE + GROWS_MAX * self._arrived - self._grown)
        if self._zlib is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            self._zlib = zlib.decompressobj(_window_bits(data))
        parts = [self._zlib.decompress(data, most)]
        size = len(parts[0])
        while not self._deflate and self._zlib.unused_data and size < most:
            if len(parts) > MEMBERS_MAX:
                raise failed("malformed", f"a piece of the compressed answer has more than {MEMBERS_MAX} members")
            data = self._zlib.unused_data  # gzip may consist of several members (RFC 1952, 2.2)
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
            parts.append(self._zlib.decompress(data, most - size))
            size += len(parts[-1])
        if size >= most:
            raise failed("malformed", f"a piece of the compressed answer grows to more than {most} bytes")
        self._grown += size
        return b"".join(parts)


def inflater(header: str, *, strict: bool, piece_max: int = PIECE_MAX) -> Inflater | None:
    """What reads a body with this ``content-encoding``; None when it is plain. ``piece_max``: bytes that one piece may grow to.

    Raises ``ProviderError`` (malformed) for an encoding that cannot be read, if ``strict``.
    """
    encodings = [name for name in (part.strip().lower() for part in header.split(",")) if name not in _PLAIN]
    if not encodings:
        return None
    encoding = ", ".join(encodings)
    if strict and encoding not in _KNOWN:
        raise failed(
            "malformed", f"the answer is compressed with {encoding[:40]}, although no compression was asked for"
        )
    return Inflater(encoding, strict=strict, piece_max=piece_max)


def _window_bits(head: bytes) -> int:
    """For ``deflate``, which is zlib's format (RFC 9110, 8.4.1.2); some servers send the bare deflate data."""
    is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
