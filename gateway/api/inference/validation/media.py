"""Pictures, videos, files and sounds whose content fits the declared type, and URLs that lead into the public network. Pure.

A URL is opened by a vendor or by this gateway, so one that leads into a private network would reach what the caller cannot.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.validation import error_location
from gateway.errors import BadRequest
from providers.media import kinds, locations
from providers.transport import addresses

Json = dict[str, Any]
MEDIA_MAX = 500
"""Pictures, videos and files of one request, as data or by URL (OpenAI's bound, the highest; its guide of 2026-11)."""


class BadMedia(BadRequest):
    """A picture or file that cannot be one, with the ``error_type`` that the contract has for it."""

    def __init__(self, field: str, problem: str, error_type: str) -> None:
        super().__init__(f"{field}: {problem}.", field=field)
        self.error_type = error_type


def check(body: Json, original: Json) -> None:
    """Raises BadMedia for a URL into a private network and for a data URL whose content is missing, is not base64 or is of
    the wrong type; BadRequest for too many media and for sound that is not base64.
    """
    found = list(locations.media_urls(body))
    if len(found) > MEDIA_MAX:
        field = locations.field_name(found[MEDIA_MAX][0])
        raise error_location.refused(field, f"at most {MEDIA_MAX} pictures and files in one request")
    for path, part_type, url in found:
        problem, error_type = _problem(part_type, url)
        if problem:
            field = error_location.of_value(original, url, locations.field_name(path))
            raise BadMedia(field, problem, error_type)
    recordings = 0
    for index, message in enumerate(body.get("messages") or ()):
        content = message.get("content")
        for position, part in enumerate(content if type(content) is list else ()):
            if part.get("type") != "input_audio":
                continue
            recordings += 1
            inner = f"messages[{index}].content[{position}].input_audio.data"
            if len(found) + recordings > MEDIA_MAX:
                raise error_location.refused(
                    inner, f"at most {MEDIA_MAX} pictures, recordings and files in one request"
                )
            if not kinds.is_base64(part["input_audio"]["data"]):
                field = error_location.of_value(original, part["input_audio"]["data"], inner)
                raise error_location.refused(field, "is not base64 (plain, without a data: prefix)")


def _problem(part_type: str, url: str) -> tuple[str, str]:
    """What is wrong with the URL of a part, and the ``error_type`` for it; "" when nothing is."""
    if not url:
        return "is empty", "invalid_image"
    if url[:5].lower() == "data:":
        bad = kinds.data_url_error(part_type, url)
        return ("", "") if bad is None else (bad.why, bad.error_type)
    return private_address(url), "invalid_image"


def private_address(url: str) -> str:
    """Why a URL does not lead to the public network; "" when it does, or leads to a store of the vendor's own (``gs:``)."""
    if locations.is_network_url(url):
        try:
            addresses.place(url, schemes=("https", "http"))
        except addresses.NotPublic as error:
            return f"the URL {url[:200]} {error}"
    return ""
