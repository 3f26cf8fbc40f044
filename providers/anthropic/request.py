"""A chat request of the inner language as the body of ``POST /v1/messages``. Pure.

Sources: platform.claude.com/docs (api/messages, extended-thinking, adaptive-thinking, effort, structured-outputs,
prompt-caching; 2026-11) and the types of the vendor's SDK (``anthropic`` 2.12, 2026-11). The rules applied here:

- ``max_tokens`` is mandatory. Without one from the caller: ``default_max_tokens``, else ``max_completion_tokens`` of the
  options, else 4096; never above ``max_completion_tokens``.
- Thinking needs a budget of at least 1,024 tokens and less than ``max_tokens``; a request that leaves no room for it is
  ``unsupported``. The vendor refuses thinking together with a forced tool (then thinking is switched off), together with a
  trailing assistant message (``unsupported``), and in the middle of a tool loop that began without it (switched off; adaptive
  thinking is allowed).
- With thinking, the vendor refuses ``temperature`` and ``top_k`` and takes ``top_p`` only from 0.95 up: the rest is left out.
  Models since Claude 4.1 take ``temperature`` or ``top_p``, not both; the newest take neither.
- At most four cache breakpoints: the last four are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.anthropic.messages import cache_of, conversation
from providers.anthropic.tools import add_format, add_tools
from providers.chat import effort
from providers.errors import failed
from providers.types import Json

MAX_TOKENS_DEFAULT = 4096
BUDGET_MIN, BUDGET_MAX = 1024, 128_000
BREAKPOINTS_MAX = 4
EFFORTS = ("low", "medium", "high", "max")
"""The efforts of a model with ``output_config.effort``, unless the options list others."""
_NATIVE = ("container", "context_management", "inference_geo", "mcp_servers", "output_config", "speed", "thinking")
"""The vendor's own fields that a caller may send; all other unknown fields are dropped, because the vendor refuses them."""
_TIERS = {"auto": "auto", "priority": "auto", "fast": "auto", "default": "standard_only"}


def messages_body(options: Mapping[str, Any], model: str, body: Json) -> Json:
    """The vendor's body without ``stream``. ``options`` are those of ``anthropic.dialect``; ``body`` is not changed.

    Raises ``ProviderError`` (unsupported) for what this format cannot express.
    """
    _check(body)
    system, turns = conversation(body.get("messages") or [], mid_system=bool(options.get("mid_system")))
    sent: Json = {"model": model, "max_tokens": max_tokens(options, body), "messages": turns}
    if system:
        sent["system"] = system
    for name in _NATIVE:
        if body.get(name) is not None:
            sent[name] = body[name]
    add_tools(options, body, sent)
    add_format(options, body, sent)
    _add_thinking(options, body, sent)
    _add_sampling(options, body, sent)
    stop = body.get("stop")
    if stop:
        sent["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        if not all(isinstance(one, str) and one.strip() for one in sent["stop_sequences"]):
            raise failed("unsupported", "stop: Anthropic takes no sequence of white space only")
    if isinstance(body.get("user"), str):
        sent["metadata"] = {"user_id": body["user"]}
    if body.get("service_tier") in _TIERS:
        sent["service_tier"] = _TIERS[body["service_tier"]]
    _add_breakpoints(body, sent)
    return sent


def max_tokens(options: Mapping[str, Any], body: Json) -> int:
    """The caller's limit or the endpoint's default, at most what the endpoint allows."""
    cap, limit = _integer(options.get("max_completion_tokens")), _requested_limit(body)
    if limit is None:
        limit = _integer(options.get("default_max_tokens")) or cap or MAX_TOKENS_DEFAULT
    return min(limit, cap) if cap else limit


def _requested_limit(body: Json) -> int | None:
    limit = _integer(body.get("max_completion_tokens"))
    return limit if limit is not None else _integer(body.get("max_tokens"))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _check(body: Json) -> None:
    """Refuses what would change the number or the kind of answers."""
    if (_integer(body.get("n")) or 1) > 1:
        raise failed("unsupported", "n: Anthropic returns one answer")
    modalities = body.get("modalities")
    if isinstance(modalities, list) and any(one != "text" for one in modalities):
        raise failed("unsupported", "modalities: Anthropic answers in text only")


def _add_thinking(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    style = options.get("thinking", "budget")
    requested, budget = effort.requested_effort(body)
    adaptive, known = style == "adaptive", options.get("efforts") or EFFORTS
    if adaptive and budget is not None:
        requested = effort.from_budget(budget, sent["max_tokens"], known)
    verbosity = body.get("verbosity")
    level = requested if adaptive and requested in effort.RATIOS else None
    if level is None and isinstance(verbosity, str) and verbosity in effort.RATIOS:
        level = verbosity
    if level is not None and options.get("effort", adaptive):
        more = sent.get("output_config")
        sent["output_config"] = {"effort": effort.nearest(level, known), **(more if isinstance(more, dict) else {})}
    if "thinking" in sent or style == "none" or (requested is None and budget is None):
        return
    if requested == "none":
        if adaptive:  # some of these models think by default
            sent["thinking"] = {"type": "disabled"}
        return
    if sent.get("tool_choice", {}).get("type") in ("any", "tool"):
        return
    turns = sent["messages"]
    if turns and turns[-1]["role"] == "assistant":
        raise failed("unsupported", "reasoning: Anthropic cannot reason after a trailing assistant message (prefill)")
    if adaptive:
        sent["thinking"] = {"type": "adaptive"}
        display = options.get("thinking_display", "summarized")  # without it newer models return no thinking text
        if display is not None:
            sent["thinking"]["display"] = display
    elif not _loop_without_thinking(turns):
        tokens = budget if budget is not None else effort.budget_of(requested or "medium", sent["max_tokens"])
        _add_budget(options, max(min(tokens, BUDGET_MAX), BUDGET_MIN), sent, limited=_requested_limit(body) is not None)


def _add_budget(options: Mapping[str, Any], budget: int, sent: Json, *, limited: bool) -> None:
    """``limited``: the caller set a limit, which is kept. Our own default grows by the budget."""
    limit: int = sent["max_tokens"]
    if budget >= limit and not limited:
        cap = _integer(options.get("max_completion_tokens"))
        limit = min(budget + limit, cap) if cap else budget + limit
        budget = min(budget, limit - 1)
    if budget >= limit or budget < BUDGET_MIN:
        raise failed("unsupported", f"max_tokens: must be more than the {max(budget, BUDGET_MIN)} tokens of reasoning")
    sent["max_tokens"] = limit
    sent["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _loop_without_thinking(turns: list[Json]) -> bool:
    """Whether the request continues a tool loop whose last assistant turn did not think."""
    if len(turns) < 2 or turns[-1]["content"][0]["type"] != "tool_result":
        return False
    before = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    return before is not None and before["content"][0]["type"] not in ("thinking", "redacted_thinking")


def _add_sampling(options: Mapping[str, Any], body: Json, sent: Json) -> None:
    accepted = options.get("sampling", "one")
    temperature, top_p, top_k = (
        _number(body.get("temperature")),
        _number(body.get("top_p")),
        _integer(body.get("top_k")),
    )
    thinking = sent.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        temperature, top_k = None, None
        top_p = top_p if top_p is not None and top_p >= 0.95 else None
    if accepted == "one" and temperature is not None and top_p is not None:
        if temperature >= 1:  # the default: it adds nothing to top_p
            temperature = None
        else:
            top_p = None
    if accepted == "none":
        return
    if temperature is not None:
        sent["temperature"] = min(temperature, 1)
    if top_p is not None:
        sent["top_p"] = top_p
    if top_k:
        sent["top_k"] = top_k


def _add_breakpoints(body: Json, sent: Json) -> None:
    """Sets the request's own ``cache_control`` on the last block that can carry one; keeps the last four breakpoints."""
    blocks = [*sent.get("tools", ()), *sent.get("system", ())]
    blocks += [block for turn in sent["messages"] for block in turn["content"]]
    markable = [block for block in blocks if block.get("type") not in ("thinking", "redacted_thinking")]
    cache = cache_of(body)
    if cache is not None and markable:
        markable[-1].setdefault("cache_control", cache)
    marked = [block for block in markable if block.get("cache_control") is not None]
    for block in marked[:-BREAKPOINTS_MAX]:
        del block["cache_control"]
