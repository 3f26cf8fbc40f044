"""Checks for requests that no vendor accepts, made after the translation into the inner language: the same for every API surface.

    check -> turns      each tool call has its result, each result its call, unless the survey has seen it
          -> media      pictures, videos, files and sounds whose content fits the declared type, and URLs into the public network
          -> tools      names, the choice among the tools, the format of the answer
               -> json_schema

The surface has checked the types of the fields before. The parts are called once each, in this order, and know nothing of each
other; ``error_location`` is used only to refuse. It must not know: vendors, HTTP, which surface a request came from.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.validation import media, tools, turns
from gateway.prompt_size import Survey

Json = dict[str, Any]


def check(body: Json, original: Json, found: Survey) -> None:
    """``body`` in the inner language, ``original`` as the caller wrote it, ``found`` in the body.

    Raises BadRequest, which names the field in the caller's own format as well as it can be found there. Under a microsecond for
    a plain chat.
    """
    if "messages" not in body:  # an operation other than chat, whose fields may have the same names as chat's
        media.check(body, original)
        return
    if not found.paired:
        turns.check(body["messages"], original)
    if found.has_media:
        media.check(body, original)
    if "tools" in body or "tool_choice" in body or "response_format" in body:
        tools.check(body, original, found.tools)
