"""Compressed answers are inflated within bounds, whatever they are made of."""

from __future__ import annotations

import gzip
import random
import zlib
from contextlib import nullcontext

import pytest

from providers.errors import ProviderError
from providers.transport.content_encoding import FREE, GROWS_MAX, MEMBERS_MAX, PIECE_MAX, STREAMED_MAX, inflater


def test_a_few_members_are_one_answer() -> None:
    """gzip may consist of several members."""
    found = inflater("gzip", strict=True)
    assert found is not None
    assert found.feed(b"".join(gzip.compress(part) for part in (b"a", b"b", b"c"))) == b"abc"
    found.close()


@pytest.mark.parametrize("content", [b"", b"x" * 1_500])
def test_thousands_of_members_are_refused(content: bytes) -> None:
    """Each begins with a copy of what is left of the piece, so that many of them would stop the event loop."""
    found = inflater("gzip", strict=True)
    assert found is not None
    with pytest.raises(ProviderError, match="members") as caught:
        found.feed(gzip.compress(content) * (MEMBERS_MAX * 100))
    assert caught.value.failure.kind == "malformed"


MB = 2**20
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"%06d"}}]}\n\n'
REPEATED, NUMBERED = b": \n\n" * (MB // 2), b"".join(EVENT % number for number in range(14_000))
NOISE = random.Random(1).randbytes(MB)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    ("plain", "times", "piece_max", "is_read"),
    [
        (REPEATED, 1, STREAMED_MAX, False),
        (REPEATED[: FREE // 2], 1, STREAMED_MAX, True),
        (REPEATED[: FREE // 2], 3, STREAMED_MAX, False),
        (REPEATED, 1, PIECE_MAX, False),
        (NUMBERED, 20, STREAMED_MAX, True),
        (NUMBERED * 3, 1, STREAMED_MAX, False),
        (NUMBERED * 3, 5, PIECE_MAX, True),
        (NOISE, 20, STREAMED_MAX, True),
    ],
)
def test_what_a_body_may_grow_to(encoding: str, plain: bytes, times: int, piece_max: int, is_read: bool) -> None:
    """In one piece and in all: real text passes, repetition without an end does not, however slowly it comes."""
    found = inflater(encoding, strict=True, piece_max=piece_max)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    assert found is not None
    arrived = grown = 0
    with nullcontext() if is_read else pytest.raises(ProviderError, match="grows to more than"):
        for _ in range(times):
            piece = packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH)
            arrived += len(piece)
            read = found.feed(piece)
            assert read == plain
            grown += len(read)
    assert grown <= FREE + GROWS_MAX * arrived
