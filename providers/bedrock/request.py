"""A request of the inner language as the body of Converse and ConverseStream. Pure.

Names from botocore 1.44.5's service model of bedrock-runtime (2026-11). Fields that only Claude, Nova or gpt-oss know go into
``additionalModelRequestFields``, in the format of that family:

- Claude: ``thinking`` with a budget, or adaptive (docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-
  thinking.html); with it neither ``temperature`` nor ``top_k`` nor a forced tool is allowed. ``tool_choice`` disables
  parallel calls; it needs its ``type`` exactly when there is no ``toolChoice`` (github.com/BerriAI/litellm/issues/36536).
- Nova 2: ``reasoningConfig`` (docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html); it takes no cache points
  among the tools and none of an hour (github.com/strands-agents/sdk-python/issues/449).
- OpenAI's: gpt-oss takes ``reasoning_effort``, GPT ``reasoning.effort`` (errors and answers recorded in github.com/vercel/ai,
  packages/amazon-bedrock/src/__fixtures__, read 2026-11).

As with Anthropic: thinking is switched off beside a forced tool, and with a budget in a turn whose calls came without
thinking; after a trailing assistant message (prefill) it is ``unsupported``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.bedrock.messages import Caching, Messages
from providers.bedrock.tools import specs, structured_output, tool_config
from providers.chat import effort
from providers.chat.messages import unsupported
from providers.chat.turns import instructions_first
from providers.types import Json, Target

BUDGET_MIN, BUDGET_MAX = 1024, 128_000
"""Bounds of Claude's thinking budget, in tokens."""
MAX_TOKENS_THINKING = 32_000
"""``maxTokens`` of an answer with thinking when the caller sets no limit: the budget must be less."""
CALLER_FIELDS = ("guardrailConfig", "requestMetadata")
"""Converse's own fields that a caller may set; its other fields decide what is billed."""
_CLAUDE = ("anthropic", "adaptive")
"""Values of ``options["reasoning"]`` whose signatures are sent back."""
_EFFORTS = ("low", "medium", "high")
_ADAPTIVE_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def converse_body(target: Target, body: Json) -> Json:
    """The body of the request. Raises ``ProviderError``: unsupported, naming the field."""
    return _Builder(target, body).build()


def family_of(target: Target) -> str:
    """``anthropic``, ``nova``, ``openai`` or ``""``: the family of the model, by its id or ``options["family"]``."""
    named = target.options.get("family")
    if isinstance(named, str):
        return named
    name = target.upstream_id.lower()
    if "anthropic" in name or "claude" in name:
        return "anthropic"
    return "nova" if "nova" in name else "openai" if "openai" in name or "gpt-oss" in name else ""


class _Builder:
    """Builds the body of one request."""

    def __init__(self, target: Target, body: Json) -> None:
        self.options = target.options
        self.body = body
        self.family = family_of(target)
        self.style = _style(target, self.family)
        caches = bool(self.options.get("prompt_caching", self.family in ("anthropic", "nova")))
        self.messages = Messages(Caching(on=caches, nova=self.family == "nova"), signed=self.style in _CLAUDE)
        self.config: Json = {}
        self.extra: Json = {}
        self.output: Json = {}
        self.thinking = False

    def build(self) -> Json:
        self._check()
        native = self.options.get("structured_outputs") == "native"
        output = structured_output(self.body.get("response_format"), native=native)
        tools = self._tools(strict=native)
        for index, message in enumerate(instructions_first(self.body.get("messages") or [])):
            self.messages.add(message, f"messages[{index}]")
        if self.body.get("cache_control"):
            self.messages.cache_end(self.body["cache_control"])
        sent: Json = {"messages": self.messages.done()}
        tooling = tool_config(tools, self.messages.tools_used, self.body.get("tool_choice"), output.tool)
        choice = (tooling or {}).get("toolChoice", {})
        self._limits()
        if tooling and self.family == "anthropic" and self.body.get("parallel_tool_calls") is False:
            self.extra["tool_choice"] = {**({} if choice else {"type": "auto"}), "disable_parallel_tool_use": True}
        self._reason(forced=bool(choice.keys() & {"any", "tool"}), prefill=sent["messages"][-1]["role"] == "assistant")
        self._sample()
        if output.native is not None:
            self.output["textFormat"] = output.native
        for name, value in (
            ("system", [*self.messages.system, *output.system]),
            ("inferenceConfig", self.config),
            ("toolConfig", tooling),
            ("outputConfig", self.output),
            ("additionalModelRequestFields", self.extra),
            *((name, self.body.get(name)) for name in CALLER_FIELDS if isinstance(self.body.get(name), dict)),
        ):
            if value:
                sent[name] = value
        _extend(sent, self.options.get("extra_body", {}))
        return sent

    def _check(self) -> None:
        """Refuses parameters that change the answer and that Converse cannot express."""
        if self.body.get("n") not in (None, 1):
            raise unsupported("n", "this vendor returns one choice")
        if self.body.get("logprobs"):
            raise unsupported("logprobs", "this vendor returns none")
        if self.body.get("web_search_options") is not None:
            raise unsupported("web_search_options", "this vendor does not search")
        if any(kind != "text" for kind in self.body.get("modalities") or ()):
            raise unsupported("modalities", "this vendor answers in text")

    def _number(self, name: str) -> Any:
        value = self.body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise unsupported(name, "is not a number")
        return value

    def _limits(self) -> None:
        most = self._number("max_completion_tokens") or self._number("max_tokens")
        if most is not None:
            self.config["maxTokens"] = most
        stop = self.body.get("stop")
        stops = [stop] if isinstance(stop, str) else stop
        if stops:
            self.config["stopSequences"] = list(stops)

    def _sample(self) -> None:
        temperature, top_p, top_k = self._number("temperature"), self._number("top_p"), self._number("top_k")
        if self.thinking and self.family == "anthropic":
            temperature = top_k = None
            top_p = top_p if top_p is not None and top_p >= 0.95 else None
        if temperature is not None:
            self.config["temperature"] = min(temperature, 1)  # OpenAI's range ends at 2, Converse's at 1
        if top_p is not None:
            self.config["topP"] = top_p
        if top_k is not None and self.family == "anthropic":
            self.extra["top_k"] = top_k
        elif top_k is not None and self.family == "nova":
            self.extra["inferenceConfig"] = {"topK": top_k}

    def _reason(self, *, forced: bool, prefill: bool) -> None:
        requested, budget = effort.requested_effort(self.body)
        if self.style in _CLAUDE and forced:
            requested = budget = None
        if self.style == "anthropic" and self.messages.replays_unsigned_tools():
            requested = budget = None
        if requested not in (None, "none") or budget is not None:
            if self.style in _CLAUDE and prefill:
                raise unsupported("reasoning", "this model cannot reason after a trailing assistant message (prefill)")
            self._think(requested, budget)
        elif requested == "none" and self.style == "adaptive":  # some of these models think by default
            self.extra["thinking"] = {"type": "disabled"}
        verbosity = self.body.get("verbosity")
        if isinstance(verbosity, str) and self.style in _CLAUDE:
            self.output.setdefault("effort", verbosity)

    def _think(self, requested: str | None, budget: int | None) -> None:
        level = requested or effort.from_budget(budget or 0, self.config.get("maxTokens", MAX_TOKENS_THINKING))
        match self.style:
            case "anthropic":
                self.extra["thinking"] = {"type": "enabled", "budget_tokens": self._budget(requested, budget)}
            case "adaptive":
                # Without ``display`` newer models return no thinking text.
                self.extra["thinking"] = {"type": "adaptive", "display": "summarized"}
                self.output["effort"] = effort.nearest(level, _ADAPTIVE_EFFORTS)
            case "openai":
                self.extra["reasoning_effort"] = effort.nearest(level, _EFFORTS)
            case "openai-responses":
                self.extra["reasoning"] = {"effort": level}
            case "nova":
                level = effort.nearest(level, _EFFORTS)
                # High refuses a limit of the answer. A limit is never dropped: it decides what is held and billed.
                level = "medium" if level == "high" and "maxTokens" in self.config else level
                self.extra["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": level}
            case _:
                return
        self.thinking = True

    def _budget(self, requested: str | None, budget: int | None) -> int:
        """The thinking budget in tokens; sets ``maxTokens`` when the caller did not."""
        if "maxTokens" not in self.config:
            most = self.options.get("max_tokens_thinking", MAX_TOKENS_THINKING)
            self.config["maxTokens"] = max(most, (budget or 0) + BUDGET_MIN)
        most = self.config["maxTokens"]
        tokens = budget if budget is not None else effort.budget_of(requested or "medium", most)
        tokens = max(min(tokens, BUDGET_MAX), BUDGET_MIN)
        if tokens >= most:
            raise unsupported("max_tokens", f"must be more than the {tokens} tokens of reasoning")
        return tokens

    def _tools(self, *, strict: bool) -> list[Json]:
        tools: list[Json] = []
        for tool, control in specs(self.body.get("tools"), strict=strict):
            tools += [tool] if self.family == "nova" else [tool, *self.messages.caching.point(control)]
        return tools


def _style(target: Target, family: str) -> str:
    """The ``reasoning`` option of this model; see ``bedrock.dialect``."""
    named = target.options.get("reasoning")
    if isinstance(named, str):
        return named
    return "openai-responses" if family == "openai" and "gpt-oss" not in target.upstream_id.lower() else family


def _extend(sent: Json, more: Mapping[str, Any]) -> None:
    """The operator's own fields over the request: null removes one, an object is merged with the one that is there."""
    for name, value in more.items():
        if value is None:
            sent.pop(name, None)
        elif isinstance(value, dict) and isinstance(sent.get(name), dict):
            sent[name] = {**sent[name], **value}
        else:
            sent[name] = value
