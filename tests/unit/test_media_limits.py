"""How many pictures, recordings and files one request may have: each is decoded and measured on the event loop."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api.inference.validation import media
from gateway.errors import BadRequest

SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def body(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(("sounds", "pictures"), [(media.MEDIA_MAX, 0), (0, media.MEDIA_MAX), (250, 250)])
def test_as_many_as_are_allowed(sounds: int, pictures: int) -> None:
    """All kinds count together."""
    request = body(*[SOUND] * sounds, *[PICTURE] * pictures)
    media.check(request, request)


@pytest.mark.parametrize(("sounds", "pictures"), [(media.MEDIA_MAX + 1, 0), (0, media.MEDIA_MAX + 1), (251, 250)])
def test_one_too_many(sounds: int, pictures: int) -> None:
    """Refused by name."""
    request = body(*[PICTURE] * pictures, *[SOUND] * sounds)
    with pytest.raises(BadRequest, match="at most 500") as caught:
        media.check(request, request)
    assert str(caught.value.metadata["field"]).startswith("messages[0].content[500]")
