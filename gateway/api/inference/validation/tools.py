"""Tools, the choice among them, and the form of the answer, in the inner language: what cannot be, for any vendor. Pure."""

from __future__ import annotations

import re
from typing import Any

from gateway.api.inference.validation import json_schema
from gateway.api.inference.validation.error_location import place_of
from gateway.errors import BadRequest
from providers.media.locations import is_network_url
from providers.transport import addresses

Json = dict[str, Any]
_NAME = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
"""The widest rule of a vendor, Google's; OpenAI takes 64 characters without dots and colons, Anthropic 128 (SDKs of 2026-11)."""
_FORM = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME_WORDS = "1 to 128 letters, digits, underscores, dashes, dots and colons"


def check(body: Json, sent: Json) -> None:
    """``body`` in the inner language, ``sent`` as the caller wrote it. Raises BadRequest naming the place."""
    tools = body.get("tools") or ()
    names: dict[str, str] = {}
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool["type"] == "function":
            _function(tool.get("function"), where, names, sent)
        elif "server_url" in tool:
            _server(tool["server_url"], f"{where}.server_url")
    _choice(body.get("tool_choice"), tools, names)
    form = body.get("response_format")
    if form is not None and form["type"] == "json_schema":
        _form(form.get("json_schema"), sent)


def _function(function: Any, where: str, names: dict[str, str], sent: Json) -> None:
    if not isinstance(function, dict):
        raise _refused(f"{where}.function", "is missing: a tool of type function needs one")
    name, schema = function["name"], function.get("parameters")
    if not _NAME.fullmatch(name):
        raise _refused(f"{where}.function.name", f"{name[:64]!r} is not {_NAME_WORDS}")
    if name in names:
        raise _refused(f"{where}.function.name", f"{name!r} is the name of {names[name]} already")
    names[name] = where
    if schema is not None:
        _schema(schema, f"{where}.function.parameters", sent)
        root = schema.get("type")
        if root is not None and "object" not in root:
            place = place_of(sent, schema, f"{where}.function.parameters")
            raise _refused(f"{place}.type", f"arguments are an object, not {root!r}")


def _server(url: Any, where: str) -> None:
    """A server of tools is opened by the vendor, or by whoever plays the vendor in our network."""
    if isinstance(url, str) and is_network_url(url):
        try:
            addresses.place(url, schemes=("https", "http"))
        except addresses.NotPublic as refused:
            raise _refused(where, f"the URL {url[:200]} {refused}") from None


def _choice(choice: Any, tools: Any, names: dict[str, str]) -> None:
    """``auto`` and ``none`` without tools say nothing, and pass."""
    if choice in (None, "auto", "none"):
        return
    if not tools:
        raise _refused("tool_choice", "there are no tools to choose from; send tools or leave it out")
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise _refused("tool_choice.function.name", "is missing")
        if name not in names:
            raise _refused("tool_choice.function.name", f"no tool is called {name[:64]!r}")


def _form(form: Any, sent: Json) -> None:
    where = "response_format.json_schema"
    if not isinstance(form, dict):
        raise _refused(where, "is missing: give it name and schema")
    name, schema, strict = form.get("name"), form.get("schema"), form.get("strict")
    if not isinstance(name, str) or not _FORM.fullmatch(name):
        raise _refused(f"{where}.name", "must be 1 to 64 letters, digits, underscores and dashes")
    if schema is None:
        raise _refused(f"{where}.schema", "is missing")
    if not isinstance(schema, dict):
        raise _refused(f"{where}.schema", "must be an object")
    if strict is not None and not isinstance(strict, bool):
        raise _refused(f"{where}.strict", "must be true or false")
    _schema(schema, f"{where}.schema", sent)


def _schema(schema: Json, where: str, sent: Json) -> None:
    try:
        json_schema.check(schema)
    except json_schema.NotSchema as fault:
        field = place_of(sent, schema, where) + fault.inside
        raise BadRequest(f"{field}: not JSON Schema: {fault.why}.", field=field) from None


def _refused(where: str, why: str) -> BadRequest:
    return BadRequest(f"{where}: {why}.", field=where)
