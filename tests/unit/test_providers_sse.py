"""The SSE parser: however the bytes are cut, the events are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ProviderError
from providers.transport.sse import LINE_MAX, SseParser
from tests.support.examples import examples

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "",
                "",
                "",
                ": comment",
                ":",
                "event: error",
                "event:ping",
                "id: 7",
                "retry: 10",
                "data",
                "data:",
                "junk",
                "{}",
            ]
        ),
        st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]), max_size=12).map(
            "data: {}".format
        ),
        st.text(st.characters(exclude_characters="\r\n\ufeff", exclude_categories=["Cs"]), max_size=5).map(
            "data:{}".format
        ),
    ),
    max_size=30,
)


def reference(lines: list[str]) -> list[tuple[str, bytes]]:
    """The specification, implemented literally: line by line, character by character where it matters."""
    events, data, event = [], [], ""
    for line in lines:
        if line == "":
            if "\n".join(data):
                events.append((event, "\n".join(data).encode()))
            data, event = [], ""
            continue
        if line.startswith(":"):
            continue
        name, colon, value = line.partition(":")
        value = value[1:] if colon and value.startswith(" ") else value
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
    return events


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(raw) + 1) for place in places})
    return [raw[a:b] for a, b in zip([0, *marks], [*marks, len(raw)], strict=True)]


@examples(400)
@given(
    LINES,
    st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=31, max_size=31),
    st.lists(st.integers(0, 10**6)),
    st.booleans(),
)
def test_any_chunking_gives_the_specified_events(
    lines: list[str], ends: list[str], places: list[int], bom: bool
) -> None:
    """For all lines, line ends and cuts the events are those of the specification."""
    text = ("\ufeff" if bom else "") + "".join(line + end for line, end in zip([*lines, ""], ends, strict=False))
    expected_lines = (
        ("".join(line + end for line, end in zip([*lines, ""], ends, strict=False)))
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    parser, events = SseParser(), []
    for piece in cut(text.encode(), places):
        events += parser.feed(piece)
    assert events == reference(expected_lines.split("\n")[:-1])


@examples(200)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_junk_never_raises(raw: bytes, places: list[int]) -> None:
    """Any bytes are parsed or ignored, and the cuts do not matter."""
    whole, pieces = SseParser(), SseParser()
    expected = whole.feed(raw) + whole.close()
    events = [event for piece in cut(raw, places) for event in pieces.feed(piece)] + pieces.close()
    assert events == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_given_as_soon_as_its_blank_line_is_there(end: bytes) -> None:
    """Nothing is held back, not even behind a lone CR whose LF may follow."""
    parser = SseParser()
    assert parser.feed(b"data: 1" + end) == []
    assert parser.feed(end) == [("", b"1")]
    assert parser.feed(b"data: 2" + end + end) == [("", b"2")]
    assert parser.feed(b"data: 3" + end + end + b"event: x" + end + b"data: 4" + end + end) == [("", b"3"), ("x", b"4")]


def test_comments_are_not_events() -> None:
    """Keep-alive comments are skipped, and are not kept as stray lines."""
    parser = SseParser()
    assert parser.feed(b": OPENROUTER PROCESSING\n\n:\n\ndata: 1\n\n") == [("", b"1")]
    assert parser.stray == b""


def test_data_lines_join() -> None:
    """Several data lines are one event, joined with LF."""
    assert SseParser().feed(b"data: a\ndata:b\ndata\ndata:  c\n\n") == [("", b"a\nb\n\n c")]


def test_end_without_blank_line() -> None:
    """At the end of the body complete lines count; a half line does not, but an unended [DONE] does."""
    parser = SseParser()
    assert parser.feed(b'data: {"a":1}\n') == []
    assert parser.close() == [("", b'{"a":1}')]
    for tail, expected in ((b"data: [DONE]", [("", b"[DONE]")]), (b"data: [DON", []), (b'data: {"a"', [])):
        parser = SseParser()
        parser.feed(tail)
        assert parser.close() == expected


def test_stray_lines_are_kept() -> None:
    """A bare JSON error, and llama.cpp's old ``error:`` line, can be read afterwards."""
    parser = SseParser()
    parser.feed(b'{"error":{"message":"x"}}\n')
    assert parser.stray == b'{"error":{"message":"x"}}'
    parser = SseParser()
    parser.feed(b'error: {"code":500}\n\n')
    assert parser.stray == b'{"code":500}'
    parser = SseParser()
    parser.feed(b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\n")
    assert len(parser.stray) <= 8192


def feed_all(parser: SseParser, pieces: list[bytes]) -> None:
    for piece in pieces:
        parser.feed(piece)


def test_a_line_of_16_mb_is_the_most() -> None:
    """Neither an endless line nor endless data lines of one event are collected beyond 16 MB."""
    piece = b"x" * 2**20
    parser = SseParser()
    with pytest.raises(ProviderError, match="16 MB"):
        feed_all(parser, [piece] * (LINE_MAX // len(piece) + 2))
    parser = SseParser()
    with pytest.raises(ProviderError, match="16 MB"):
        feed_all(parser, [b"data: " + piece + b"\n"] * (LINE_MAX // len(piece) + 2))
    parser = SseParser()
    assert parser.feed(b"data: " + b"x" * (LINE_MAX - 10) + b"\n\n")[0][1][:1] == b"x"
