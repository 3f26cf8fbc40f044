"""The Anthropic Messages dialect: api.anthropic.com, and other vendors' endpoints that are compatible with it.

Sources: platform.claude.com/docs/en/api (2026-11), the types of the vendor's SDK (``anthropic`` 2.12, 2026-11).

``Target.options`` (all optional):

- ``auth``: ``bearer`` sends the key as ``authorization: Bearer`` instead of ``x-api-key``.
- ``version``: of ``anthropic-version`` (default 2023-06-01). ``path``: instead of ``/messages``.
- ``beta``: list of names for ``anthropic-beta``, joined with the caller's and with what the request itself needs.
- ``default_max_tokens``, ``max_completion_tokens``: see ``request``.
- ``thinking``: ``budget`` (default), ``adaptive`` (newer models: an effort instead of a budget) or ``none``.
- ``thinking_display``: the ``display`` of adaptive thinking (default ``summarized``; null: not sent).
- ``effort``: true for a model that takes ``output_config.effort`` beside budgets (``verbosity`` is sent in it); always true
  with ``adaptive``. ``efforts``: those that the model knows (default low, medium, high, max).
- ``sampling``: ``one`` of temperature and top_p (default), ``both``, or ``none`` for models that refuse them.
- ``structured_outputs``: ``native`` for a model that has ``output_config.format`` and strict tools; else a forced tool.
- ``mid_system``: true for a model that takes system messages between turns. ``prefill``: false for a model that refuses a
  trailing assistant message.
- ``web_search_tool``: type of the vendor's search tool, for ``web_search_options`` (default web_search_20250305).
- ``drop_parameters``: fields of the vendor's body to leave out. ``extra_body``: fields merged over it (``null`` removes one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from providers.anthropic.errors import error_from_response
from providers.anthropic.messages import CALL_ID, call_id, without_system_turns
from providers.anthropic.request import max_tokens, messages_body
from providers.anthropic.response import completion
from providers.anthropic.stream import Decoder
from providers.anthropic.tools import TOOL_NAME, is_own_tool
from providers.base import Dialect
from providers.chat.tool_rules import ToolRules
from providers.errors import ProviderError, failed
from providers.transport.json_body import json_body
from providers.types import Completion, HttpRequest, HttpResponse, Json, NativeRequest, Target

OURS = frozenset(
    {
        "models", "fallbacks", "provider", "plugins", "session_id", "trace", "user", "stop_server_tools_when",
        "safeguards", "transforms", "route", "preset", "debug",
    }
)  # fmt: skip
"""Fields that the gateway's contract adds to the Messages API; the vendor refuses fields that it does not know. Names that
begin with ``_`` are private to some client: they are left out too."""
_DROPPABLE = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "reasoning": "thinking"}
"""Parameters of the inner language that some models of this vendor refuse, and their own names; for the rest a model that cannot
use them has no objection."""
_TOOL_BETAS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "code_execution_20250522": "code-execution-2025-05-22",
    "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": "mcp-client-2025-11-20",
}
_FIELD_BETAS = {"context_management": "context-management-2025-06-27", "mcp_servers": "mcp-client-2025-11-20"}
"""Tools and fields that the vendor takes only with a beta header (``AnthropicBetaParam`` of the SDK, 2026-11)."""


class Anthropic(Dialect):
    """``POST {base_url}/messages``."""

    name: ClassVar[str] = "anthropic"
    api_format: ClassVar[str | None] = "messages"
    decides: ClassVar[frozenset[str]] = frozenset({"parallel_tool_calls", "verbosity", "web_search_options"})
    path: ClassVar[str] = "/messages"
    tools: ClassVar[ToolRules] = ToolRules(TOOL_NAME, CALL_ID, call_id, unique=True)

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        return is_own_tool(tool)

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        return self.http_request(target, self.vendor_body(target, body), (), stream=stream)

    def passthrough(self, target: Target, native: NativeRequest, body: Json, *, stream: bool) -> HttpRequest:
        sent = {name: value for name, value in native.body.items() if name not in OURS and not name.startswith("_")}
        if not target.options.get("mid_system"):
            turns = without_system_turns(sent.get("messages") or [])
            if turns is None:
                return self.http_request(target, self.vendor_body(target, body), native.betas, stream=stream)
            sent["messages"] = turns
        sent["model"] = target.upstream_id
        sent["max_tokens"] = max_tokens(target.options, body)  # the vendor requires one, our callers need not send one
        for inner, own in _DROPPABLE.items():
            if inner not in body:
                sent.pop(own, None)
        thinking = sent.get("thinking")
        if isinstance(thinking, dict) and thinking.get("type") == "enabled":
            budget = (body.get("reasoning") or {}).get("max_tokens") or 0
            if budget < thinking.get("budget_tokens", 0):  # lowered with the limit
                sent["thinking"] = {**thinking, "budget_tokens": budget}
        sent.pop("stream", None)
        given = sent.pop("metadata", None)
        metadata = {**(given if isinstance(given, dict) else {}), "user_id": body.get("user")}
        metadata = {name: value for name, value in metadata.items() if value is not None}
        if metadata:
            sent["metadata"] = metadata
        return self.http_request(target, self.accepted_fields(sent), native.betas, stream=stream)

    def vendor_body(self, target: Target, body: Json) -> Json:
        """The vendor's body for ``body``, without ``stream``. Raises ``ProviderError`` (unsupported)."""
        options = target.options
        try:
            sent = messages_body(options, target.upstream_id, self.tools.fitted(body))
        except RecursionError:
            raise failed("unsupported", "the request is nested too deeply") from None
        if options.get("prefill") is False and sent["messages"] and sent["messages"][-1]["role"] == "assistant":
            raise failed("unsupported", "messages: this model cannot continue a trailing assistant message (prefill)")
        for name in options.get("drop_parameters", ()):
            sent.pop(name, None)
        sent.update(options.get("extra_body", {}))
        return self.accepted_fields({name: value for name, value in sent.items() if value is not None})

    def accepted_fields(self, sent: Json) -> Json:
        """The fields of the vendor's body that this operation accepts."""
        return sent

    def http_request(self, target: Target, sent: Json, betas: Iterable[str], *, stream: bool) -> HttpRequest:
        """The HTTP request for ``sent``; ``betas`` are those that the caller named."""
        options = target.options
        if stream:
            sent["stream"] = True
        headers = [
            ("content-type", "application/json"),
            ("accept", "text/event-stream" if stream else "application/json"),
            ("anthropic-version", options.get("version", "2023-06-01")),
        ]
        names = betas_of(options, sent, betas)
        if names:
            headers.append(("anthropic-beta", ",".join(names)))
        if target.api_key is not None:
            bearer = options.get("auth") == "bearer"
            headers.append(("authorization", f"Bearer {target.api_key}") if bearer else ("x-api-key", target.api_key))
        url = target.base_url + options.get("path", self.path)
        return HttpRequest(url, (*headers, *target.headers), json_body(sent))

    def completion(self, raw: bytes) -> Completion:
        return completion(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def betas_of(options: Mapping[str, Any], sent: Json, betas: Iterable[str]) -> list[str]:
    """The operator's, the caller's (``betas``), and those without which the vendor would refuse ``sent``; each once.

    A name from the caller that could break out of a header is left out.
    """
    named = [name for name in betas if name.isascii() and name.replace("-", "").replace("_", "").isalnum()]
    return list(dict.fromkeys([*options.get("beta", ()), *named, *_needed_betas(sent)]))


def _needed_betas(sent: Json) -> list[str]:
    tools = sent.get("tools")
    kinds = [tool.get("type") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    needed = [_TOOL_BETAS[kind] for kind in kinds if isinstance(kind, str) and kind in _TOOL_BETAS]
    needed += [beta for name, beta in _FIELD_BETAS.items() if name in sent]
    if sent.get("speed") == "fast":
        needed.append("fast-mode-2026-02-01")
    return needed
