"""The OpenAI chat-completions dialect, spoken by OpenAI and by most other vendors.

The inner language is this dialect, so translation is little: the model's name, the fields that are ours and not the
vendor's, and on the way back the differences between "compatible" vendors. Unknown fields pass in both directions.

``Target.options`` (quirks of a vendor as data, all optional):

- ``max_tokens_field``: ``max_tokens`` or ``max_completion_tokens``; whichever of the two came goes out under this name.
- ``reasoning``: ``effort`` (default: ``reasoning.effort`` goes out as ``reasoning_effort``), ``object`` (the vendor takes
  the ``reasoning`` object itself) or ``drop``.
- ``efforts``: the words of ``reasoning_effort`` that the vendor knows; others become the nearest of them.
- ``reasoning_replay``, ``extended``: see ``openai_messages.plain``.
- ``drop_parameters``: list of top-level fields that this vendor refuses.
- ``drop_message_fields``: list of fields of messages that this vendor refuses.
- ``rename_parameters``: mapping of top-level field names, ours to theirs.
- ``extra_body``: mapping merged over the body (``null`` removes a field).
- ``stream_usage``: ``false`` for vendors that refuse ``stream_options``.
- ``path``: instead of ``/chat/completions``.
- ``api_key_header``: header for the bare key instead of ``authorization: Bearer`` (Azure: ``api-key``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from providers.base import Dialect
from providers.chat import effort
from providers.errors import ProviderError, excerpt, failed, failure_for, retry_after_s
from providers.openai.messages import plain
from providers.openai.response import Decoder, read_choice, said, vendor_error
from providers.transport.sse import decode
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target
from providers.usage import normalise

OURS = frozenset(
    {
        "provider", "models", "route", "transforms", "plugins", "usage", "session_id", "trace", "debug", "preset",
        "include_reasoning", "max_tool_calls", "stop_server_tools_when", "deferred_tools", "image_config", "structured_outputs",
    }
)  # fmt: skip
"""Request fields of the gateway's own contract that no plain OpenAI vendor knows; several refuse unknown fields."""


class OpenAI(Dialect):
    """``POST {base_url}/chat/completions``."""

    name: ClassVar[str] = "openai"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options = target.options
        sent = {name: value for name, value in body.items() if name not in OURS}
        sent["model"] = target.upstream_id
        if stream:
            sent["stream"] = True
            if options.get("stream_usage", True):
                asked = sent.get("stream_options")
                sent["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
        else:
            sent.pop("stream", None)
            sent.pop("stream_options", None)
        plain(sent, options)
        if "reasoning" in sent or "reasoning_effort" in sent:
            _spell_reasoning(options, sent)
        if options:
            apply_options(options, sent)
        return posted(target, "/chat/completions", sent, stream=stream)

    def completion(self, raw: bytes) -> Completion:
        if not raw or raw.isspace():
            raise failed("empty", "a 200 without a body", status=200)
        body = decode(raw)
        error = vendor_error(body)
        if error is not None:
            raise error
        choices = body.get("choices")
        if not isinstance(choices, list):
            raise failed("malformed", "the answer has no choices", status=200, raw=excerpt(raw))
        if not choices:
            raise failed("empty", "the answer has no choices", status=200)
        for index, choice in enumerate(choices):
            read_choice(choice, index, "message")
        body["object"] = "chat.completion"
        usage = body.get("usage")
        return Completion(body, normalise(usage) if isinstance(usage, dict) else None)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        code, type_, message = _read_refusal(response.content)
        retry_s = retry_after_s(response.headers)
        raw = excerpt(response.content)
        return failure_for(response.status, message, raw=raw, words=(code, type_), retry_s=retry_s)


def _read_refusal(content: bytes) -> tuple[Any, Any, str]:
    try:
        return said(msgspec.json.decode(content))
    except (ValueError, RecursionError):
        return None, None, ""  # an HTML page of some balancer: the status alone speaks


def posted(target: Target, path: str, sent: Json, *, stream: bool, more: Sequence[tuple[str, str]] = ()) -> HttpRequest:
    """``sent`` on its way to ``path`` or the one of the options, with the key where the vendor wants it."""
    options = target.options
    headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if stream else "application/json"),
        *more,
    ]
    if target.api_key is not None:
        own = options.get("api_key_header")
        headers.append((own, target.api_key) if own else ("authorization", f"Bearer {target.api_key}"))
    url = target.base_url + options.get("path", path)
    return HttpRequest(url, (*headers, *target.headers), msgspec.json.encode(sent))


def apply_options(options: Mapping[str, Any], sent: Json) -> None:
    """A vendor's quirks on the body about to be sent, in place."""
    field = options.get("max_tokens_field")
    if field is not None:
        values = [sent.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
        value = next((value for value in values if value is not None), None)
        if value is not None:
            sent[field] = value
    for name in options.get("drop_parameters", ()):
        sent.pop(name, None)
    fields = frozenset(options.get("drop_message_fields", ()))
    if fields:
        sent["messages"] = [{k: v for k, v in one.items() if k not in fields} for one in sent.get("messages", ())]
    for ours, theirs in options.get("rename_parameters", {}).items():
        if ours in sent:
            sent[theirs] = sent.pop(ours)
    for name, value in options.get("extra_body", {}).items():
        if value is None:
            sent.pop(name, None)
        else:
            sent[name] = value


def _spell_reasoning(options: Mapping[str, Any], sent: Json) -> None:
    """The wish to reason in the vendor's spelling, in place."""
    style = options.get("reasoning", "effort")
    if style == "object":
        return
    own = sent.get("reasoning_effort")
    level, budget = (own, None) if own in effort.EFFORTS else effort.wanted(sent)
    sent.pop("reasoning", None)
    sent.pop("reasoning_effort", None)
    if style != "effort":
        return
    if budget is not None:
        level = effort.of_budget(budget, sent.get("max_completion_tokens") or sent.get("max_tokens"))
    if level is not None:
        sent["reasoning_effort"] = effort.nearest(level, options.get("efforts"))
