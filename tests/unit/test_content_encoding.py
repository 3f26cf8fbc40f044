"""Compressed answers are inflated within bounds, whatever they are made of."""

from __future__ import annotations

import gzip

import pytest

from providers.errors import ProviderError
from providers.transport.content_encoding import MEMBERS_MAX, inflater


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
