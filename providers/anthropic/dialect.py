"""The Anthropic Messages dialect: api.anthropic.com, and other vendors' endpoints that are compatible with it.

Requests are made in ``anthropic_request``, answers are read in ``anthropic_answer`` and ``anthropic_stream``. Sources:
platform.claude.com/docs/en/api (2026-11), the types of the vendor's SDK (``anthropic`` 2.12, 2026-11).

``Target.options`` (all optional):

- ``auth``: ``bearer`` sends the key as ``authorization: Bearer`` instead of ``x-api-key``.
- ``version``: of ``anthropic-version`` (default 2023-06-01). ``path``: instead of ``/messages``.
- ``beta``: list of names for ``anthropic-beta``, joined with the caller's and with what the request itself needs.
- ``default_max_tokens``, ``max_completion_tokens``: see ``anthropic_request``.
- ``thinking``: ``budget`` (default), ``adaptive`` (newer models: an effort instead of a budget) or ``none``.
- ``thinking_display``: of adaptive thinking (default ``summarized``; null: not sent).
- ``effort``: true where ``output_config.effort`` is known beside budgets (``verbosity`` goes out in it); always so with
  ``adaptive``. ``efforts``: those that the model knows (default low, medium, high, max).
- ``sampling``: ``one`` of temperature and top_p (default), ``both``, or ``none`` for models that refuse them.
- ``structured_outputs``: ``native`` where the model has ``output_config.format`` and strict tools; else a forced tool.
- ``mid_system``: true where a system message may stand between turns. ``prefill``: false where an answer cannot be begun.
- ``web_search_tool``: type of the vendor's search tool, for ``web_search_options`` (default web_search_20250305).
- ``drop_parameters``, ``extra_body``: fields of the vendor's body to leave out, to merge over it (``null`` removes one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from providers.anthropic.request import max_tokens, messages_body
from providers.anthropic.response import refused, whole
from providers.anthropic.stream import Decoder
from providers.base import Dialect
from providers.errors import ProviderError, failed
from providers.types import Completion, HttpRequest, HttpResponse, Json, NativeRequest, Target

OURS = frozenset(
    {
        "models", "fallbacks", "provider", "plugins", "session_id", "trace", "user", "stop_server_tools_when",
        "safeguards", "transforms", "route", "preset", "debug",
    }
)  # fmt: skip
"""Fields that the gateway's contract adds to the Messages API; the vendor refuses fields that it does not know. Names that
begin with ``_`` are private to some client: they are left out too."""
_TOOL_BETAS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "code_execution_20250522": "code-execution-2025-05-22",
    "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": "mcp-client-2025-11-20",
}
_FIELD_BETAS = {"context_management": "context-management-2025-06-27", "mcp_servers": "mcp-client-2025-11-20"}
"""Tools and fields that are known behind a beta header only (``AnthropicBetaParam`` of the SDK, 2026-11)."""


class Anthropic(Dialect):
    """``POST {base_url}/messages``."""

    name: ClassVar[str] = "anthropic"
    api_format: ClassVar[str | None] = "messages"
    path: ClassVar[str] = "/messages"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        return self.posted(target, self.spelled(target, body), (), stream=stream)

    def passthrough(self, target: Target, native: NativeRequest, body: Json, *, stream: bool) -> HttpRequest:
        sent = {name: value for name, value in native.body.items() if name not in OURS and not name.startswith("_")}
        sent["model"] = target.upstream_id
        sent.setdefault("max_tokens", max_tokens(target.options, body))  # the vendor demands one, the contract does not
        sent.pop("stream", None)
        known = sent.pop("metadata", None)
        metadata = {**(known if isinstance(known, dict) else {}), "user_id": body.get("user")}
        told = {name: value for name, value in metadata.items() if value is not None}
        if told:
            sent["metadata"] = told
        return self.posted(target, self.taken(sent), native.betas, stream=stream)

    def spelled(self, target: Target, body: Json) -> Json:
        """The vendor's body for ``body``, without ``stream``. Raises ``ProviderError`` (unsupported)."""
        options = target.options
        try:
            sent = messages_body(options, target.upstream_id, body)
        except RecursionError:
            raise failed("unsupported", "the request is nested too deep") from None
        if options.get("prefill") is False and sent["messages"] and sent["messages"][-1]["role"] == "assistant":
            raise failed("unsupported", "messages: this model cannot go on from a trailing assistant message (prefill)")
        for name in options.get("drop_parameters", ()):
            sent.pop(name, None)
        sent.update(options.get("extra_body", {}))
        return self.taken({name: value for name, value in sent.items() if value is not None})

    def taken(self, sent: Json) -> Json:
        """The fields of the vendor's body that this operation takes."""
        return sent

    def posted(self, target: Target, sent: Json, betas: Iterable[str], *, stream: bool) -> HttpRequest:
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
        return HttpRequest(url, (*headers, *target.headers), msgspec.json.encode(sent))

    def completion(self, raw: bytes) -> Completion:
        return whole(raw)

    def decoder(self) -> Decoder:
        return Decoder()

    def failure(self, response: HttpResponse) -> ProviderError:
        return refused(response)


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
