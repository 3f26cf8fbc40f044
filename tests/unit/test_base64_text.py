"""Base64 in pieces is what it is in one."""

from __future__ import annotations

import base64
import binascii
from functools import partial

import pytest

from providers.media import base64_text
from providers.media.base64_text import PIECE

SIZES = [0, 1, 2, 3, PIECE // 4 * 3 - 1, PIECE // 4 * 3, PIECE // 4 * 3 + 1, PIECE * 2]


@pytest.mark.parametrize("size", SIZES)
def test_both_ways(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    text = base64_text.encoded(content)
    assert text == base64.b64encode(content).decode()
    assert base64_text.decoded(text) == content
    spaced = text[:PIECE] + " \r\n\t" + text[PIECE:]
    assert base64_text.without_blanks(f"?{spaced}", 1) == text


@pytest.mark.parametrize(
    "text", ["A", "A===", "AA=A", "A" * (PIECE - 2) + "==" + "AAAA", "AA\nAA", "é" * 4, "=" * PIECE * 2]
)
def test_what_is_none(text: str) -> None:
    for decoded in (base64_text.decoded, partial(binascii.a2b_base64, strict_mode=True)):
        with pytest.raises(ValueError, match=r"padding|character|base64|ASCII"):
            decoded(text)
