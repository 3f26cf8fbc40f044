"""Chat requests of the inner language as bodies of OpenAI's Responses API, but for the conversation and the tools. Pure.

Facts, from the types of the openai SDK 3.54 (2026-11) unless another source is named:

- ``include: reasoning.encrypted_content`` is refused for models that do not reason, so it is only sent when the caller
  asks for reasoning.
- It has no stop sequences, no seed, no penalties and only one answer. Fields that planning has not dropped already and whose
  loss would change the answer or its price are refused (unsupported); the others are left out.
- OpenAI refuses less than 16 ``max_output_tokens``. The number is never raised: it goes out as it is, or is refused here where
  ``options["min_output_tokens"]`` demands more, and then another endpoint may take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.openai.request import GATEWAY_FIELDS as OPENAI_GATEWAY_FIELDS
from providers.responses.messages import conversation, unsupported
from providers.responses.replay import replayable
from providers.responses.tools import is_openrouter_type, response_tool, response_tool_choice, response_tools
from providers.types import InnerRequest, Json

GATEWAY_FIELDS: Final = (OPENAI_GATEWAY_FIELDS - {"max_tool_calls"}) | {"cache_control"}
"""Fields of the gateway's contract that no vendor of the Responses API knows."""
CHAT_ONLY_FIELDS: Final = frozenset(
    {
        "seed", "logit_bias", "frequency_penalty", "presence_penalty", "repetition_penalty", "min_p", "top_a", "top_k",
        "n", "prediction", "modalities", "audio", "stop", "functions", "function_call",
    }
)  # fmt: skip
"""Fields of chat that the Responses API lacks; ``options["keep_parameters"]`` names those that a vendor takes nevertheless."""
_TRANSLATED_FIELDS: Final = frozenset(
    {
        "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort",
        "response_format", "verbosity", "tools", "tool_choice", "logprobs", "web_search_options", "user", "model", "store",
    }
)  # fmt: skip
_ENCRYPTED: Final = "reasoning.encrypted_content"
_OPENROUTER_REASONING: Final = frozenset({"max_tokens", "enabled", "exclude"})
"""Fields of ``reasoning`` that only OpenRouter's contract has."""


def responses_body(body: InnerRequest, options: Mapping[str, Any], formats: frozenset[str]) -> Json:
    """The vendor's body, without model, stream flag and end user. Raises ``ProviderError`` (unsupported).

    ``formats``: those of the reasoning details that this vendor takes back.
    """
    kept = frozenset(options.get("keep_parameters", ()))
    _refuse(body, kept)
    left_out = (_TRANSLATED_FIELDS | GATEWAY_FIELDS | CHAT_ONLY_FIELDS) - kept
    sent: Json = {name: value for name, value in body.items() if name not in left_out and value is not None}
    sent["input"] = conversation(body.get("messages") or (), formats, plain=bool(options.get("plain_reasoning")))
    sent["store"] = False
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None:
        if limit < options.get("min_output_tokens", 0):
            raise unsupported("max_tokens", f"this vendor demands at least {options['min_output_tokens']}")
        sent["max_output_tokens"] = limit
    include = list(sent.get("include") or ())
    if _set_reasoning(body, options, sent, limit):
        include.append(_ENCRYPTED)
    if body.get("logprobs"):
        include.append("message.output_text.logprobs")
    else:
        sent.pop("top_logprobs", None)
    if include:
        sent["include"] = list(dict.fromkeys(include))
    _set_text(body, sent)
    tools = response_tools(body)
    if tools:
        sent["tools"] = tools
    choice = body.get("tool_choice")
    if choice is not None:
        sent["tool_choice"] = response_tool_choice(choice)
    return sent


def native_body(native: Json, options: Mapping[str, Any]) -> Json:
    """A caller's own Responses body as a vendor knows it: what only OpenRouter's contract has is dropped or translated, and what
    this vendor cannot take back of earlier turns is left out (``replay``).

    The rest is the caller's, unchanged. Raises ``ProviderError`` (unsupported).
    """
    kept = frozenset(options.get("keep_parameters", ()))
    _refuse(native, kept)
    left_out = (GATEWAY_FIELDS | CHAT_ONLY_FIELDS) - kept
    sent = {name: value for name, value in native.items() if name not in left_out}
    sent["store"] = False
    _ask_for_encrypted_reasoning(sent, options)
    requested = sent.get("reasoning")
    if isinstance(requested, dict) and not requested.keys().isdisjoint(_OPENROUTER_REASONING):
        level = requested.get("effort") or _effort(native, native.get("max_output_tokens"))
        own = {name: value for name, value in requested.items() if name not in _OPENROUTER_REASONING}
        sent["reasoning"] = own | ({"effort": level} if level is not None else {})
    if isinstance(sent.get("tools"), list):
        sent["tools"] = [
            response_tool(tool, f"tools[{index}]") if is_openrouter_type(tool) else tool
            for index, tool in enumerate(sent["tools"])
        ]
    if is_openrouter_type(sent.get("tool_choice")):
        sent["tool_choice"] = response_tool_choice(sent["tool_choice"])
    if isinstance(sent.get("input"), list):
        for index, item in enumerate(sent["input"]):
            if is_openrouter_type(item):
                raise unsupported(f"input[{index}]", f"{item['type']} is not an item of the vendor's")
        sent["input"] = replayable(sent["input"], plain=bool(options.get("plain_reasoning")))
    return sent


def _ask_for_encrypted_reasoning(sent: Json, options: Mapping[str, Any]) -> None:
    """Add it to ``include`` although the caller did not: without it the next turn could not take the reasoning back."""
    always, requested = options.get("encrypted_reasoning"), sent.get("reasoning")
    asked = isinstance(requested, dict) and requested.get("effort") != "none" and requested.get("enabled") is not False
    if always is False or not (always or asked):
        return
    include = sent.get("include") or []
    if _ENCRYPTED not in include:
        sent["include"] = [*include, _ENCRYPTED]


def _refuse(body: Mapping[str, Any], kept: frozenset[str]) -> None:
    """Refuse fields whose loss would change the answer or its price; planning has dropped the rest of ``CHAT_ONLY_FIELDS``."""
    if body.get("stop") and "stop" not in kept:
        raise unsupported("stop", "it has no stop sequences")
    if (body.get("n") or 1) != 1 and "n" not in kept:
        raise unsupported("n", "it gives only one answer")
    modalities = body.get("modalities") or ()
    if "audio" in modalities and "modalities" not in kept:
        raise unsupported("modalities", "it has no audio output")
    pictures = any(
        isinstance(tool, dict) and tool.get("type") == "image_generation" for tool in body.get("tools") or ()
    )
    if "image" in modalities and not pictures and "modalities" not in kept:
        raise unsupported("modalities", "pictures come from the tool image_generation")


def _set_reasoning(body: Mapping[str, Any], options: Mapping[str, Any], sent: Json, limit: int | None) -> bool:
    """Write ``reasoning`` into ``sent``. Returns whether the encrypted reasoning is to be included."""
    always, level = options.get("encrypted_reasoning"), _effort(body, limit)
    requested = body.get("reasoning")
    if not isinstance(requested, dict):
        if body.get("include_reasoning") is None and level is None:
            return bool(always)
        requested = {"exclude": True} if body.get("include_reasoning") is False else {}
    reasoning = {name: requested[name] for name in ("context", "mode") if requested.get(name) is not None}
    hidden = requested.get("exclude") is True
    if level is not None:
        reasoning["effort"] = effort.nearest(level, options.get("efforts"))
    if level != "none":
        summary = requested.get("summary") or (None if hidden else options.get("reasoning_summary", "auto"))
        if summary:
            reasoning["summary"] = summary
    if reasoning:
        sent["reasoning"] = reasoning
    return always is not False and (bool(always) or not (hidden or level == "none"))


def _effort(body: Mapping[str, Any], limit: int | None) -> str | None:
    """The requested effort, a budget as the nearest one; None if the request has neither."""
    level, budget = effort.requested_effort(body)
    return level if budget is None else effort.from_budget(budget, limit)


def _set_text(body: Mapping[str, Any], sent: Json) -> None:
    """Write ``response_format`` and ``verbosity`` as ``text`` into ``sent``."""
    text: Json = {}
    format = body.get("response_format")
    if isinstance(format, dict) and format.get("type") != "text":
        if format.get("type") == "json_schema":
            schema = format.get("json_schema") or {}
            text["format"] = {"type": "json_schema", "schema": {}} | {k: v for k, v in schema.items() if v is not None}
        elif format.get("type") == "json_object":
            text["format"] = {"type": "json_object"}
        else:
            raise unsupported("response_format", f"the type {format.get('type')!r} is unknown to it")
    verbosity = body.get("verbosity")
    if verbosity is not None:
        text["verbosity"] = "high" if verbosity in ("xhigh", "max") else verbosity
    if text:
        sent["text"] = text
