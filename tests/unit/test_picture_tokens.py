"""Pictures are bounded by their size, as vendors count them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import prompt_size
from providers.media import picture_size, picture_tokens, token_count
from providers.media.picture_size import Size
from tests.support.examples import examples


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(9)


def jpeg(width: int, height: int, *, exif: int = 0, marker: int = 0xC0) -> bytes:
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", 60_002) + b"\xff\xc0" * 30_000 for _ in range(exif))
    frame = b"\xff" + bytes([marker]) + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + bytes(9) + segments + b"\xff" + frame


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def picture(data: bytes, kind: str = "png") -> Any:
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64," + base64.b64encode(data).decode()}}


FILES = {
    "png": png(1000, 700),
    "gif": gif(1000, 700),
    "jpeg": jpeg(1000, 700),
    "a progressive jpeg": jpeg(1000, 700, marker=0xC2),
    "a jpeg behind a preview": jpeg(1000, 700, exif=2),
    "webp, lossy": lossy(1000, 700),
    "webp, lossless": lossless(1000, 700),
    "webp, extended": extended(1000, 700),
}


@pytest.mark.parametrize("name", FILES)
def test_sizes_are_read(name: str) -> None:
    assert picture_size.read(FILES[name] + bytes(100)) == (1000, 700)
    url = picture(FILES[name] + bytes(100))["image_url"]["url"]
    assert token_count.picture(url) == (1000, 700)
    assert token_count.picture(url.replace("data:", "DATA:")) == (1000, 700)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "data:image/png;base64,",
        "data:image/png,%89PNG",
        "data:image/avif;base64,AAAA",
        None,
        7,
        picture(jpeg(10, 10, exif=5))["image_url"]["url"],
        picture(png(0, 9))["image_url"]["url"],
    ],
)
def test_what_does_not_show_its_size_is_of_any(url: Any) -> None:
    assert token_count.picture(url) == picture_tokens.UNKNOWN


PUBLISHED = [
    ("openai/gpt-4o", 1024, 1024, 765),
    ("openai/gpt-4o", 2048, 4096, 1_105),
    ("openai/gpt-4o-mini", 1024, 1024, 25_501),
    ("openai/gpt-4o-mini", 2048, 4096, 36_835),
    ("openai/gpt-4.1-mini", 1024, 1024, 1_659),
    ("openai/gpt-4.1-nano", 1024, 1024, 2_520),
    ("openai/gpt-5.4", 1600, 1600, 3_000),
    ("openai/gpt-5-mini", 704, 640, 527),
    ("anthropic/claude-sonnet-4.6", 1000, 1000, 1_296),
    ("anthropic/claude-opus-4.8", 2576, 1449, 4_784),
    ("anthropic/claude-haiku-4.5", 4000, 4000, 1_568),
    ("google/gemini-2.5-pro", 960, 540, 1_548),
    ("google/gemini-2.5-pro", 384, 384, 258),
    ("google/gemini-3.8-flash", 4000, 3000, 2_240),
    ("amazon/nova-pro-v1", 900, 900, 1_300),
    ("amazon/nova-pro-v1", 1300, 1300, 2_600),
    ("mistralai/pixtral-12b", 1024, 1024, 4_160),
    ("qwen/qwen2.5-vl-72b-instruct", 1092, 1092, 1_521),
    ("qwen/qwen3-vl-plus", 9000, 9000, 16_384),
    ("x-ai/grok-4.7", 2000, 2000, 1_792),
]
"""Model, size, and tokens as its vendor says or was measured to count."""


@pytest.mark.parametrize(("model", "width", "height", "tokens"), PUBLISHED)
def test_published_counts_are_covered(model: str, width: int, height: int, tokens: int) -> None:
    """By the model's own formula, not by much, and by what holds for a picture whose size is not known."""
    prompt = prompt_size.measure({"messages": [{"role": "user", "content": [picture(png(width, height))]}]})
    empty = prompt_size.measure({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]})
    bound = prompt.bounds([(model, 1_000_000)])[0] - empty.bounds([(model, 1_000_000)])[0]
    assert tokens <= bound <= 2.6 * tokens + picture_tokens.WRAPPING + 1_000
    assert bound <= picture_tokens.most(model, picture_tokens.UNKNOWN)
    assert prompt.tokens_bound >= prompt.bounds([(model, None)])[0]


@examples(200)
@given(
    model=st.sampled_from([row[0] for row in PUBLISHED]) | st.just("acme/vision"),
    size=st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
)
def test_a_known_size_is_never_more_than_an_unknown_one(model: str, size: tuple[int, int]) -> None:
    """And never less than nothing; on its side it is as large, but for rows."""
    tokens = picture_tokens.most(model, Size(*size))
    assert 0 < tokens <= picture_tokens.most(model, picture_tokens.UNKNOWN)
    assert tokens <= picture_tokens.anywhere(Size(*size))
