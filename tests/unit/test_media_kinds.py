"""What a data URL may hold, and how base64 is recognised without decoding it."""

from __future__ import annotations

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.media.kinds import data_url_error, is_base64, media_type_of, sniff


@given(st.binary(min_size=1), st.integers(0, 80))
def test_every_base64_is_recognised(content: bytes, width: int) -> None:
    """With padding, without, and in lines."""
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[at : at + width] for at in range(0, len(text), width)) if width else text
    for form in (text, text.rstrip("="), lines, f" {text}\r\n"):
        assert is_base64(form)


@given(st.text(alphabet="AZaz09+/=-_ \n\0é*", max_size=24))
def test_nothing_else_is(text: str) -> None:
    """What passes can be decoded strictly once white space is gone and padding is there."""
    if is_base64(text):
        bare = "".join(text.split()).rstrip("=")
        assert binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)


@pytest.mark.parametrize("text", ["", " ", "=", "A", "AAA==", "AAAA=", "A=AA", "AA==AA", "AA===", "AA=", "AA-_", "é", "AAAA\0", "="*4])  # fmt: skip
def test_what_is_no_base64(text: str) -> None:
    """Nothing, one character too many, padding in the wrong place, other alphabets."""
    assert not is_base64(text)


@pytest.mark.parametrize(
    ("part", "url"),
    [
        ("image_url", "data:image/png;base64,AAAA"),
        ("image_url", "DATA:IMAGE/PNG;BASE64,AAAA"),
        ("image_url", "data:;base64,AAAA"),
        ("image_url", "data:image/svg+xml;charset=utf-8,%3Csvg/%3E"),
        ("image_url", "data:application/octet-stream;base64,AAAA"),
        ("video_url", "data:video/mp4;codecs=avc1;base64,AAAA"),
        ("file", "data:text/plain,hello"),
        ("file", "data:application/vnd.ms-excel;name=a.xls;base64,AAAA"),
    ],
)
def test_data_urls_that_are(part: str, url: str) -> None:
    """Parameters, upper case, without a type, percent-encoded."""
    assert data_url_error(part, url) is None


@given(
    st.binary(max_size=64),
    st.text(max_size=40),
    st.sampled_from(["image_url", "video_url", "input_video", "file", "x"]),
)
def test_whatever_a_server_sends(content: bytes, declared: str, part: str) -> None:
    """A media type that can stand in a data URL of this part, or None."""
    kind = media_type_of(part, declared, content)
    if kind is not None:
        assert content
        assert data_url_error(part, f"data:{kind};base64,AAAA") is None
        assert sniff(content) in (None, kind)
