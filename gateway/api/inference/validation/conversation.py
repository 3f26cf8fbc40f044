"""What no vendor could take, in a request that has been translated into the inner language: one check for every surface. Pure.

Types have been checked by the surface (``chat_schema`` and its kin); here it is about what belongs together: calls and their
results, tools and the choice among them, schemas, media that are media, and URLs that do not lead into a private network, where a
vendor or this gateway would open them. A refusal names the place in the caller's own shape as well as it can be found there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.api.inference.validation import tools
from gateway.api.inference.validation.error_location import place_of
from gateway.errors import BadRequest
from providers.media.kinds import data_url_error, is_base64
from providers.media.locations import field_name, is_network_url, media_urls
from providers.transport import addresses

Json = dict[str, Any]
MEDIA_MOST = 500
"""Pictures, films and files of one request, given as they are or by URL (OpenAI's bound, the highest; its guide of 2026-11)."""
_OFFERS = ("tools", "tool_choice", "response_format")


class BadMedia(BadRequest):
    """A picture or file that cannot be one, with the wire contract's word for it."""

    def __init__(self, message: str, *, field: str, error_type: str) -> None:
        super().__init__(message, field=field)
        self.error_type = error_type


def check(body: Json, sent: Json) -> None:
    """``body`` in the inner language, ``sent`` as the caller wrote it. Raises BadRequest. Under a microsecond for a plain chat."""
    messages = body.get("messages")
    if messages is None:  # no chat: another operation, whose fields may have the same names
        _media(body, sent)
        return
    if _turns(messages):
        _media(body, sent)
    for name in _OFFERS:
        if name in body:
            tools.check(body, sent)
            break


def _turns(messages: list[Json]) -> bool:
    """Every call has its results right behind its turn, every result its call. Raises BadRequest.

    Neighbouring assistant messages are one turn, instructions in between part nothing. Returns whether any message has parts.
    """
    open_calls: dict[str, str] | None = None
    """Id → where, of the turn that is being made or answered; None outside of one."""
    answered: set[str] = set()
    parts = False
    for index, message in enumerate(messages):
        role = message["role"]
        if type(message.get("content")) is list or "images" in message:
            parts = True
        if role == "tool":
            if open_calls is None:
                raise _refused(
                    f"messages[{index}]", "a tool message stands only behind the assistant message that called"
                )
            _answer(open_calls, answered, message["tool_call_id"], f"messages[{index}].tool_call_id")
        elif role == "assistant":
            if answered or open_calls is None:
                if open_calls:
                    _complete(open_calls)
                open_calls, answered = {}, set()
            for position, call in enumerate(message.get("tool_calls") or ()):
                _call(open_calls, call["id"], f"messages[{index}].tool_calls[{position}]")
        elif role == "user":
            if open_calls:
                _complete(open_calls)
            open_calls = None
            if answered:
                answered = set()
    if open_calls:
        _complete(open_calls)
    return parts


def _call(calls: dict[str, str], id: str, where: str) -> None:
    if id in calls:
        raise _refused(f"{where}.id", f"{id[:64]!r} is the id of {calls[id]} already; ids are unique within a turn")
    calls[id] = where


def _answer(calls: dict[str, str], answered: set[str], id: str, where: str) -> None:
    if id in answered:
        raise _refused(where, f"{id[:64]!r} has a result already")
    if calls.pop(id, None) is None:
        known = ", ".join(repr(one[:64]) for one in list(calls)[:8]) or "none is open"
        raise _refused(where, f"{id[:64]!r} is no call of the assistant's turn before it ({known})")
    answered.add(id)


def _complete(calls: dict[str, str]) -> None:
    for id, where in calls.items():
        raise _refused(where, f"the call {id[:64]!r} has no tool message right behind its turn; send one for each call")


def _refused(where: str, why: str) -> BadRequest:
    return BadRequest(f"{where}: {why}.", field=where)


# -- media ---------------------------------------------------------------------------------------------------------------


def _media(body: Json, sent: Json) -> None:
    """Raises BadMedia for a URL into a private network and for data URLs that hold nothing, or something else."""
    for count, (path, kind, url) in enumerate(media_urls(body)):
        if count >= MEDIA_MOST:
            raise _refused(field_name(path), f"at most {MEDIA_MOST} pictures and files in one request")
        if is_network_url(url):
            try:
                addresses.place(url, schemes=("https", "http"))
            except addresses.NotPublic as refused:
                where = place_of(sent, url, field_name(path))
                message = f"{where}: the URL {url[:200]} {refused}."
                raise BadMedia(message, field=where, error_type="invalid_image") from None
        elif url[:5].lower() == "data:":
            bad = data_url_error(kind, url)
            if bad is not None:
                where = place_of(sent, url, field_name(path))
                raise BadMedia(f"{where}: {bad.why}.", field=where, error_type=bad.error_type)
        elif not url:
            raise BadMedia(f"{field_name(path)}: is empty.", field=field_name(path), error_type="invalid_image")
    for where, data in _sounds(body):
        if not is_base64(data):
            raise _refused(place_of(sent, data, where), "is not base64 (plain, without a data: prefix)")


def _sounds(body: Json) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(body.get("messages") or ()):
        content = message.get("content")
        for position, part in enumerate(content if type(content) is list else ()):
            if part.get("type") == "input_audio":
                yield f"messages[{index}].content[{position}].input_audio.data", part["input_audio"]["data"]
