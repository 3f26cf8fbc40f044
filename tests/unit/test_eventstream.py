"""Framing of AWS event streams: botocore's decoder and the published test messages as oracles; damage; bounds; any chunking."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from providers.transport.aws_eventstream import HEADERS_MAX, MESSAGE_MAX, EventStreamParser, Message
from tests.support.examples import examples
from tests.wire.bedrock.frames import frame

# Of the test messages that AWS publishes for implementers of this format (also in botocore's and other SDKs' tests).
VECTORS: dict[str, tuple[bytes, Message]] = {
    "empty": (bytes.fromhex("000000100000000005c248eb7d98c8ff"), Message({}, b"")),
    "int32": (
        bytes.fromhex("0000001d0000000d83e3f0e7") + b"\x07integer\x04\xff\xff\xff\xff" + bytes.fromhex("8b8e12eb"),
        Message({"integer": -1}, b""),
    ),
    "payload": (
        bytes.fromhex("0000001d00000000fd528c5a") + b"{'foo':'bar'}" + bytes.fromhex("c3653936"),
        Message({}, b"{'foo':'bar'}"),
    ),
    "one header": (
        bytes.fromhex("0000003d0000002007fd8396")
        + b"\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}"
        + bytes.fromhex("8d9c08b1"),
        Message({"content-type": "application/json"}, b"{'foo':'bar'}"),
    ),
}


def message(headers: bytes, payload: bytes = b"") -> bytes:
    """A message with right checksums around whatever headers."""
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack("!I", crc32(prelude))
    body = prelude + headers + payload
    return body + struct.pack("!I", crc32(body))


@pytest.mark.parametrize("name", list(VECTORS))
def test_published_messages(name: str) -> None:
    """The messages of AWS' own test suite are read as it says."""
    raw, expected = VECTORS[name]
    parser = EventStreamParser()
    assert parser.feed(raw) == [expected]
    assert parser.error is None
    assert not parser.pending


def test_every_type_of_header() -> None:
    """The ten types of header values."""
    headers = (
        b"\x01a\x00\x01b\x01\x01c\x02\x80\x01d\x03\x7f\xff\x01e\x04\x80\x00\x00\x00\x01f\x05\x00\x00\x00\x00\x00\x00\x00\x05"
        b"\x01g\x06\x00\x03\x00\x01\x02\x01h\x07\x00\x05gr\xc3\xbcn\x01i\x08\x00\x00\x00\x00\x00\x00\x00\x08\x01j\x090123456789abcdef"
    )
    (read,) = EventStreamParser().feed(message(headers))
    assert read.headers == {
        "a": True, "b": False, "c": -128, "d": 32767, "e": -(2**31), "f": 5, "g": b"\x00\x01\x02", "h": "grün", "i": 8,
        "j": b"0123456789abcdef",
    }  # fmt: skip
    assert (read.word("h"), read.word("g"), read.word("none")) == ("grün", "", "")


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@examples(200)
@given(
    st.lists(st.tuples(st.dictionaries(NAMES, st.text(max_size=20), max_size=4), st.binary(max_size=200)), max_size=4),
    st.lists(st.integers(0, 2000)),
)
def test_botocore_reads_the_same(messages: list[tuple[dict[str, str], bytes]], places: list[int]) -> None:
    """In any chunking, headers and payloads are what botocore makes of the same bytes."""
    raw = b"".join(frame(headers, payload) for headers, payload in messages)
    oracle = EventStreamBuffer()
    oracle.add_data(raw)
    expected = [Message(one.headers, one.payload) for one in oracle]
    marks = sorted({place % (len(raw) + 1) for place in places})
    parser, read = EventStreamParser(), []
    for a, b in zip([0, *marks], [*marks, len(raw)], strict=True):
        read += parser.feed(raw[a:b])
    assert read == expected == [Message(headers, payload) for headers, payload in messages]
    assert parser.error is None
    assert not parser.pending


@examples(300)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, flip: int) -> None:
    """A flipped byte in any of three messages: those before it are read, then the stream is damaged or short of an end."""
    whole = [frame({":message-type": "event", "n": str(n)}, b"x" * 30) for n in range(3)]
    raw = bytearray(b"".join(whole))
    raw[place % len(raw)] ^= flip
    parser = EventStreamParser()
    read = parser.feed(bytes(raw))
    assert len(read) == place % len(raw) // len(whole[0])
    assert parser.error is not None
    assert parser.error.failure.kind == "malformed"
    assert parser.feed(whole[0]) == []


@examples(300)
@given(st.binary(max_size=300))
def test_noise_is_survived(noise: bytes) -> None:
    """Bytes that are no stream set the error or wait for more; nothing is raised."""
    parser = EventStreamParser()
    parser.feed(noise)
    assert parser.error is not None or parser.pending == bool(noise)


BROKEN_HEADERS = {
    "name longer than the headers": b"\x09abc",
    "no type": b"\x01a",
    "unknown type": b"\x01a\x0a",
    "text without length": b"\x01a\x07\x00",
    "text cut": b"\x01a\x07\x00\x05ab",
    "number cut": b"\x01a\x05\x00\x00",
    "uuid cut": b"\x01a\x09\x00",
    "no UTF-8": b"\x01a\x07\x00\x01\xff",
    "name no UTF-8": b"\x01\xff\x00",
    "twice": b"\x01a\x00\x01a\x01",
}


@pytest.mark.parametrize("name", list(BROKEN_HEADERS))
def test_headers_that_cannot_be_read(name: str) -> None:
    """Rightly summed nonsense in the headers is malformed, and does not read on into the payload."""
    parser = EventStreamParser()
    assert parser.feed(message(BROKEN_HEADERS[name], b"payload" * 9)) == []
    assert parser.error is not None
    assert parser.error.failure.kind == "malformed"


@pytest.mark.parametrize(
    ("total", "headers"),
    [
        (15, 0),
        (16, 1),
        (0, 0),
        (MESSAGE_MAX + 1, 0),
        (2**32 - 1, 0),
        (2**31, 2**31),
        (HEADERS_MAX + 99, HEADERS_MAX + 1),
    ],
)
def test_sizes_are_bounded(total: int, headers: int) -> None:
    """Lengths that cannot be, or that are too much, are refused with the prelude: nothing is waited for or kept."""
    prelude = struct.pack("!II", total, headers)
    parser = EventStreamParser()
    assert parser.feed(prelude + struct.pack("!I", crc32(prelude))) == []
    assert parser.error is not None
    assert parser.error.failure.kind == "malformed"
    assert not parser.pending
