"""Inner chat requests as bodies of OpenAI's Responses API, all but the conversation (``responses_input``). Pure.

Facts, from the types of the openai SDK 3.54 (2026-11) unless said otherwise:

- A function tool is strict unless it says otherwise, in chat it is the other way round: ``strict`` always goes out.
- ``include: reasoning.encrypted_content`` is refused for models that do not reason, so it is sent when reasoning is asked.
- There are no stop sequences, no seed, no penalties and one answer. What planning has not already dropped and would change
  the answer or its price is refused (unsupported); the rest is left out.
- OpenAI refuses less than 16 ``max_output_tokens``. The number is never raised behind the caller's back: it goes out as it
  is, or is refused here where ``options["min_output_tokens"]`` says so, and then another endpoint may take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.openai.dialect import OURS
from providers.responses.messages import conversation, unsupported
from providers.types import Json

GATEWAYS_OWN: Final = (OURS - {"max_tool_calls"}) | {"cache_control"}
"""Fields of the gateway's contract that no vendor of the Responses API knows."""
CHAT_ONLY: Final = frozenset(
    {
        "seed", "logit_bias", "frequency_penalty", "presence_penalty", "repetition_penalty", "min_p", "top_a", "top_k",
        "n", "prediction", "modalities", "audio", "stop", "functions", "function_call",
    }
)  # fmt: skip
"""Fields of chat that the Responses API lacks; ``options["keep_parameters"]`` names those that a vendor takes all the same."""
_TRANSLATED: Final = frozenset(
    {
        "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort",
        "response_format", "verbosity", "tools", "tool_choice", "logprobs", "web_search_options", "user", "model", "store",
    }
)  # fmt: skip
_OPENROUTERS: Final = frozenset({"max_tokens", "enabled", "exclude"})
"""Of ``reasoning``: fields of OpenRouter's contract."""
_CALLERS_TOOLS: Final = frozenset(
    {
        "computer",
        "computer_use",
        "computer_use_preview",
        "local_shell",
        "shell",
        "apply_patch",
        "tool_search",
        "namespace",
    }
)
"""Tools whose calls the caller would have to execute; chat has no words for these calls."""


def build(body: Json, options: Mapping[str, Any], formats: frozenset[str]) -> Json:
    """The vendor's body, without model, stream flag and end user. Raises ``ProviderError`` (unsupported)."""
    kept = frozenset(options.get("keep_parameters", ()))
    _refuse(body, kept)
    left_out = (_TRANSLATED | GATEWAYS_OWN | CHAT_ONLY) - kept
    sent = {name: value for name, value in body.items() if name not in left_out and value is not None}
    sent["input"] = conversation(body.get("messages") or (), formats, plain=bool(options.get("plain_reasoning")))
    sent["store"] = False
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None:
        if limit < options.get("min_output_tokens", 0):
            raise unsupported("max_tokens", f"this vendor's least is {options['min_output_tokens']}")
        sent["max_output_tokens"] = limit
    include = list(sent.get("include") or ())
    if _reason(body, options, sent, limit):
        include.append("reasoning.encrypted_content")
    if body.get("logprobs"):
        include.append("message.output_text.logprobs")
    else:
        sent.pop("top_logprobs", None)
    if include:
        sent["include"] = list(dict.fromkeys(include))
    _text(body, sent)
    tools = _tools(body)
    if tools:
        sent["tools"] = tools
    choice = body.get("tool_choice")
    if choice is not None:
        sent["tool_choice"] = _tool_choice(choice)
    return sent


def pass_on(wire: Json, options: Mapping[str, Any]) -> Json:
    """A caller's own Responses body as a vendor knows it: what only OpenRouter's contract has is dropped or translated.

    The rest is the caller's, unchanged. Raises ``ProviderError`` (unsupported).
    """
    kept = frozenset(options.get("keep_parameters", ()))
    _refuse(wire, kept)
    left_out = (GATEWAYS_OWN | CHAT_ONLY) - kept
    sent = {name: value for name, value in wire.items() if name not in left_out}
    sent["store"] = False
    wanted = sent.get("reasoning")
    if isinstance(wanted, dict) and not wanted.keys().isdisjoint(_OPENROUTERS):
        spelled = wanted.get("effort") or _effort(wire, wire.get("max_output_tokens"))
        own = {name: value for name, value in wanted.items() if name not in _OPENROUTERS}
        sent["reasoning"] = own | ({"effort": spelled} if spelled is not None else {})
    if isinstance(sent.get("tools"), list):
        sent["tools"] = [
            _tool(tool, f"tools[{index}]") if _openrouters(tool) else tool for index, tool in enumerate(sent["tools"])
        ]
    if _openrouters(sent.get("tool_choice")):
        sent["tool_choice"] = _tool_choice(sent["tool_choice"])
    if isinstance(sent.get("input"), list):
        for index, item in enumerate(sent["input"]):
            if _openrouters(item):
                raise unsupported(f"input[{index}]", f"{item['type']} is no item of the vendor's")
    return sent


def _openrouters(thing: Any) -> bool:
    return isinstance(thing, dict) and str(thing.get("type")).startswith("openrouter:")


def _refuse(body: Json, kept: frozenset[str]) -> None:
    """What would change the answer or its price if it were left out. The rest of ``CHAT_ONLY`` planning has dropped."""
    if body.get("stop") and "stop" not in kept:
        raise unsupported("stop", "it has no stop sequences")
    if (body.get("n") or 1) != 1 and "n" not in kept:
        raise unsupported("n", "it gives one answer")
    modalities = body.get("modalities") or ()
    if "audio" in modalities and "modalities" not in kept:
        raise unsupported("modalities", "it does not speak")
    pictures = any(
        isinstance(tool, dict) and tool.get("type") == "image_generation" for tool in body.get("tools") or ()
    )
    if "image" in modalities and not pictures and "modalities" not in kept:
        raise unsupported("modalities", "pictures come from the tool image_generation")


def _reason(body: Json, options: Mapping[str, Any], sent: Json, limit: int | None) -> bool:
    """Puts ``reasoning`` into ``sent``; whether the encrypted reasoning is to be included."""
    always, spelled = options.get("encrypted_reasoning"), _effort(body, limit)
    wanted = body.get("reasoning")
    if not isinstance(wanted, dict):
        if body.get("include_reasoning") is None and spelled is None:
            return bool(always)
        wanted = {"exclude": True} if body.get("include_reasoning") is False else {}
    spoken = {name: wanted[name] for name in ("context", "mode") if wanted.get(name) is not None}
    hidden = wanted.get("exclude") is True
    if spelled is not None:
        spoken["effort"] = effort.nearest(spelled, options.get("efforts"))
    if spelled != "none":
        summary = wanted.get("summary") or (None if hidden else options.get("reasoning_summary", "auto"))
        if summary:
            spoken["summary"] = summary
    if spoken:
        sent["reasoning"] = spoken
    return always is not False and (bool(always) or not (hidden or spelled == "none"))


def _effort(body: Json, limit: int | None) -> str | None:
    """The effort that is asked for, a budget as the nearest one; None: nothing is."""
    wanted, budget = effort.wanted(body)
    return wanted if budget is None else effort.of_budget(budget, limit)


def _text(body: Json, sent: Json) -> None:
    """``response_format`` and ``verbosity`` become ``text``, in place."""
    text: Json = {}
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") != "text":
        if wanted.get("type") == "json_schema":
            schema = wanted.get("json_schema") or {}
            text["format"] = {"type": "json_schema", "schema": {}} | {k: v for k, v in schema.items() if v is not None}
        elif wanted.get("type") == "json_object":
            text["format"] = {"type": "json_object"}
        else:
            raise unsupported("response_format", f"the type {wanted.get('type')!r} is unknown there")
    verbosity = body.get("verbosity")
    if verbosity is not None:
        text["verbosity"] = "high" if verbosity in ("xhigh", "max") else verbosity
    if text:
        sent["text"] = text


def _tools(body: Json) -> list[Json]:
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(body.get("tools") or ())]
    search = body.get("web_search_options")
    if isinstance(search, dict) and not any(tool["type"].startswith("web_search") for tool in tools):
        tools.append(_search(search, "web_search_options"))
    return tools


def _tool(tool: Any, where: str) -> Json:
    kind = tool.get("type") if isinstance(tool, dict) else None
    inner = tool.get(kind) if kind in ("function", "custom") else None
    if isinstance(inner, dict):
        flat = {"type": kind} | {name: value for name, value in inner.items() if value is not None}
        if kind == "function":
            flat.setdefault("parameters", {"type": "object", "properties": {}})
            flat.setdefault("strict", False)
        elif isinstance(inner.get("format"), dict) and isinstance(inner["format"].get("grammar"), dict):
            flat["format"] = {"type": "grammar", **inner["format"]["grammar"]}
        return flat
    if not isinstance(kind, str) or kind in _CALLERS_TOOLS:
        raise unsupported(where, f"a chat cannot hold the calls of a tool of type {kind!r}")
    if kind == "mcp" and tool.get("require_approval") != "never":
        raise unsupported(f"{where}.require_approval", "a chat cannot answer a question for approval")
    if kind == "openrouter:web_search":
        parameters = tool.get("parameters")
        return _search({**tool, **(parameters if isinstance(parameters, dict) else {})}, where)
    if kind.startswith("openrouter:"):
        raise unsupported(where, f"{kind} is not a tool of the vendor's")
    return {name: value for name, value in tool.items() if name != "cache_control"}


def _search(wanted: Json, where: str) -> Json:
    """The vendor's web search from OpenRouter's tool or chat's ``web_search_options``."""
    if wanted.get("engine") not in (None, "auto", "native"):
        raise unsupported(f"{where}.engine", "only the vendor's own search")
    if wanted.get("excluded_domains"):
        raise unsupported(f"{where}.excluded_domains", "domains can only be allowed")
    tool: Json = {"type": "web_search"}
    if wanted.get("search_context_size") is not None:
        tool["search_context_size"] = wanted["search_context_size"]
    place = wanted.get("user_location")
    if isinstance(place, dict):
        near = place.get("approximate")
        tool["user_location"] = {"type": "approximate", **(near if isinstance(near, dict) else place)}
    if wanted.get("allowed_domains"):
        tool["filters"] = {"allowed_domains": wanted["allowed_domains"]}
    return tool


def _tool_choice(choice: Any) -> Any:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom") and isinstance(choice.get(kind), dict):
        return {"type": kind, "name": choice[kind].get("name")}
    if kind == "allowed_tools" and isinstance(choice.get(kind), dict):
        allowed = choice[kind]
        if not isinstance(allowed.get("tools"), list):
            raise unsupported("tool_choice.allowed_tools.tools", "no list of tools")
        return {"type": kind, "mode": allowed.get("mode"), "tools": [_tool_choice(one) for one in allowed["tools"]]}
    if kind == "openrouter:web_search":  # the SDK's types force a search only by way of the allowed tools
        return {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}
    return choice
