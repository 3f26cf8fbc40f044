"""A chat request of the inner language as the body of Ollama's native ``/api/chat``. Pure.

Facts about the server, from its API page (docs.ollama.com/api), ``api/types.go`` of its sources (both read 2026-11) and the
types of its SDK (``ollama`` 0.6.3):

- There is no ``tool_choice``: ``none`` is expressed by sending no tools, forcing a call is not possible.
- By default the server silently cuts the beginning off a prompt that is too long, and drops old turns while it generates;
  ``truncate: false`` and ``shift: false`` (since 0.12.6) make that an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.chat.messages import (
    functions_of,
    messages_of,
    output_limit,
    schema_of,
    stops_of,
    unsupported,
)
from providers.chat.tool_choice import parse_tool_choice
from providers.ollama.messages import conversation
from providers.types import Json

_SAMPLING: Final = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p", "seed": "seed",
    "repetition_penalty": "repeat_penalty", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}  # fmt: skip
_LEVELS: Final = ("low", "medium", "high")


def chat_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The server's body without ``stream``. Raises ``ProviderError`` (unsupported)."""
    if body.get("n") not in (None, 1):
        raise unsupported("n", "this provider returns one choice")
    sent: Json = {"model": model, "messages": conversation(messages_of(body))}
    _tools(body, sent)
    _format(body, sent)
    enabled = effort.requested(body)
    if enabled is not None:
        level, _ = effort.requested_effort(body, default=None)  # most models only know on and off
        sent["think"] = effort.nearest(level, _LEVELS) if enabled and level is not None else enabled
    for name in ("logprobs", "top_logprobs"):
        if body.get(name) is not None:
            sent[name] = body[name]
    sent.update(runtime_options(options, _sampling(body)))
    if not options.get("truncate"):
        sent["truncate"] = sent["shift"] = False
    return sent


def runtime_options(options: Mapping[str, Any], sampling: Json) -> Json:
    """``options`` and ``keep_alive``: how the server runs the model, by the endpoint's options and the request's sampling."""
    runtime = {**options.get("options", {}), **sampling}
    if options.get("num_ctx") is not None:
        runtime["num_ctx"] = options["num_ctx"]
    found: Json = {"options": runtime} if runtime else {}
    if options.get("keep_alive") is not None:
        found["keep_alive"] = options["keep_alive"]
    return found


def _sampling(body: Json) -> Json:
    found = {vendor_name: body[ours] for ours, vendor_name in _SAMPLING.items() if body.get(ours) is not None}
    stops = stops_of(body)
    if stops:
        found["stop"] = stops
    limit = output_limit(body)
    if limit is not None:
        found["num_predict"] = limit
    return found


def _tools(body: Json, sent: Json) -> None:
    choice = parse_tool_choice(body.get("tool_choice")).functions_only()
    functions = functions_of(body, choice.names)
    if not functions or choice.mode == "none":
        return
    if choice.mode == "required":
        raise unsupported("tool_choice", "this provider cannot force a tool call")
    sent["tools"] = [
        {
            "type": "function",
            "function": {
                "name": function.get("name"),
                "description": function.get("description") or "",
                "parameters": schema_of(function),
            },
        }
        for function in functions
    ]


def _format(body: Json, sent: Json) -> None:
    requested = body.get("response_format")
    kind = requested.get("type") if isinstance(requested, dict) else None
    if not isinstance(requested, dict) or kind in (None, "text"):
        return
    if kind not in ("json_object", "json_schema"):
        raise unsupported("response_format", f"this provider has no format {str(kind)[:80]!r}")
    described = requested.get("json_schema") if kind == "json_schema" else None
    schema = described.get("schema") if isinstance(described, dict) else None
    sent["format"] = schema if isinstance(schema, dict) and schema else "json"
