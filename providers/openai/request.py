"""Requests of the OpenAI dialect: the body of a chat request, and what every JSON request needs on its way. Pure.

``Target.options`` that are read here (all optional):

- ``max_tokens_field``: ``max_tokens`` or ``max_completion_tokens``; whichever of the two the request has goes out under this name.
- ``reasoning``: ``effort`` (default: ``reasoning.effort`` goes out as ``reasoning_effort``), ``object`` (the vendor takes
  the ``reasoning`` object itself) or ``drop``.
- ``efforts``: the values of ``reasoning_effort`` that the vendor knows; another one becomes the nearest of them.
- ``thinking_switch``: how the vendor's reasoning is switched off, where it is not ``reasoning_effort: none``: ``type``
  (``thinking: {type: disabled}``: DeepSeek, Moonshot, Z.AI), ``enable_thinking`` (false: Alibaba, SiliconFlow), ``template`` (the
  same as an argument of the chat template: servers of open models). Sources, 2026-11: api-docs.deepseek.com/guides/thinking_mode,
  platform.kimi.ai/docs/api/models-overview, docs.z.ai (thinking mode), alibabacloud.com (deep thinking), docs.vllm.ai (reasoning
  outputs).
- ``reasoning_replay``, ``extended``, ``mid_system``: see ``messages.remove_extensions``.
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
from typing import Any, Final

from providers.chat import effort
from providers.openai.messages import remove_extensions
from providers.transport.json_body import json_body
from providers.types import HttpRequest, InnerRequest, Json, Target

GATEWAY_FIELDS: Final = frozenset(
    {
        "provider", "models", "route", "transforms", "plugins", "usage", "session_id", "trace", "debug", "preset",
        "include_reasoning", "max_tool_calls", "stop_server_tools_when", "deferred_tools", "image_config", "structured_outputs",
    }
)  # fmt: skip
"""Request fields of the gateway's own contract that no plain OpenAI vendor knows; several refuse unknown fields."""
SWITCHED_OFF: Final[Mapping[str, Json]] = {
    "type": {"thinking": {"type": "disabled"}},
    "enable_thinking": {"enable_thinking": False},
    "template": {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
}
"""The option ``thinking_switch`` → the fields that switch reasoning off."""


def chat_body(target: Target, body: InnerRequest, *, stream: bool) -> Json:
    """The vendor's body. Raises ``ProviderError`` (unsupported)."""
    options = target.options
    sent: Json = {name: value for name, value in body.items() if name not in GATEWAY_FIELDS}
    sent["model"] = target.upstream_id
    if stream:
        sent["stream"] = True
        if options.get("stream_usage", True):
            requested = sent.get("stream_options")
            sent["stream_options"] = {**(requested if isinstance(requested, dict) else {}), "include_usage": True}
    else:
        sent.pop("stream", None)
        sent.pop("stream_options", None)
    remove_extensions(sent, options)
    if "reasoning" in sent or "reasoning_effort" in sent:
        _translate_reasoning(options, sent)
    if options:
        apply_options(options, sent)
    return sent


def json_post(
    target: Target, path: str, sent: Json, *, stream: bool, extra_headers: Sequence[tuple[str, str]] = ()
) -> HttpRequest:
    """A POST of ``sent`` to ``path``, or to the option ``path``, with the key in the header that the vendor reads."""
    headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if stream else "application/json"),
        *extra_headers,
        *key_header(target),
    ]
    url = target.base_url + target.options.get("path", path)
    return HttpRequest(url, (*headers, *target.headers), json_body(sent))


def key_header(target: Target) -> list[tuple[str, str]]:
    """The header with the key; none without a key."""
    if target.api_key is None:
        return []
    name = target.options.get("api_key_header")
    return [(name, target.api_key) if name else ("authorization", f"Bearer {target.api_key}")]


def apply_options(options: Mapping[str, Any], sent: Json) -> None:
    """Apply a vendor's quirks to the body about to be sent, in place."""
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
    rename_and_extend(options.get("rename_parameters", {}), options.get("extra_body", {}), sent)


def rename_and_extend(renamed: Mapping[str, str], extra: Mapping[str, Any], sent: Json) -> None:
    """Rename top-level fields (ours to theirs), then merge ``extra`` over the body; a null in it removes the field."""
    for ours, theirs in renamed.items():
        if ours in sent:
            sent[theirs] = sent.pop(ours)
    for name, value in extra.items():
        if value is None:
            sent.pop(name, None)
        else:
            sent[name] = value


def _translate_reasoning(options: Mapping[str, Any], sent: Json) -> None:
    """Write the requested reasoning in the vendor's own field, in place."""
    style = options.get("reasoning", "effort")
    if style == "object":
        return
    own = sent.get("reasoning_effort")
    level, budget = (own, None) if own in effort.EFFORTS else effort.requested_effort(sent)
    sent.pop("reasoning", None)
    sent.pop("reasoning_effort", None)
    if style != "effort" and not (level == "none" and "thinking_switch" in options):
        return
    if budget is not None:
        level = effort.from_budget(budget, sent.get("max_completion_tokens") or sent.get("max_tokens"))
    switch = options.get("thinking_switch")
    if level == "none" and switch is not None:
        sent.update(SWITCHED_OFF[switch])
    elif level is not None:
        sent["reasoning_effort"] = effort.nearest(level, options.get("efforts"))
