"""What a request may not do with the operator's money, account and network: fields, tools and references that do not pass. Pure.

A vendor takes a request for the operator's own. A field in it can choose another address or account, order more than is held, or
read what the operator has stored there. Such fields are listed here and refused by name; every other unknown field passes, so that
a vendor's new parameter works at once. A catalogue row opens one with ``options.allows`` (names of ``RIGHTS`` and types of tools),
and closes everything unknown with ``options.unknown_fields: refuse``.

The spelling of a field does not count, because several servers read JSON without regard to case (Go's ``encoding/json``, .NET), and
Google's take both ``cached_content`` and ``cachedContent``: names are compared without case, dashes and underscores.

Sources, read 2026-11-30 unless another day is named: types of the SDKs ``openai`` 3.57, ``anthropic`` 2.12, ``google-genai`` 3.4,
``mistralai`` 3.7, ``botocore`` 1.44.5 (Converse); learn.microsoft.com (Azure OpenAI, ``data_sources``); docs.litellm.ai/docs/proxy
(fields that its server reads from a body); docs.x.ai/developers/pricing.md (tools); console.groq.com/docs/tool-use/built-in-tools;
ai.google.dev/gemini-api/docs/pricing, as quoted in github.com/iyulab/TokenMeter v0.13.0 (2026-12-01).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from providers.errors import ProviderError, failed
from providers.types import InnerRequest, Json, NativeRequest

RIGHTS: Final[Mapping[str, str]] = {
    "background": "answers that the vendor makes, keeps or sends elsewhere after the request has ended",
    "cached_content": "a prompt in the operator's cache at the vendor",
    "containers": "a machine of the operator's at the vendor",
    "data_sources": "an index, a store or a library of the operator's",
    "files": "a file or a bucket of the operator's at the vendor",
    "guardrails": "a guardrail or a template of the operator's, which may be billed",
    "mcp": "a server or a connector that the vendor calls for the operator",
    "search": "searches by a field that has no price here",
    "stored": "a conversation, an answer, a prompt or an assistant that is stored at the vendor",
    "voices": "a voice of the operator's at the vendor",
}
"""What ``options.allows`` may name beside the types of tools → what it lets a caller use."""


def folded(name: str) -> str:
    """``cachedContent``, ``cached_content`` and ``Cached-Content`` as one name."""
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()


CHATS: Final = ("chat", "count_tokens")
"""Operations whose requests are in the inner language of chat."""
_NEVER: Final = ""
"""The right that no catalogue can give: address, credentials, and what is beyond the hold."""

_EVERYWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    _NEVER: (
        # LiteLLM and what is behind it read these out of a body; Azure, Google and AWS by the SDKs' names
        "api_base", "base_url", "api_key", "api_version", "api_type", "organization", "extra_headers", "default_headers", "headers",
        "extra_query", "azure_endpoint", "azure_deployment", "azure_ad_token", "deployment_id", "custom_llm_provider",
        "litellm_params", "litellm_credential_name", "model_list", "context_window_fallbacks", "vertex_credentials",
        "vertex_project", "vertex_location", "vertex_ai_credentials", "vertex_ai_project", "vertex_ai_location",
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_region_name", "aws_profile_name",
        "aws_role_name", "aws_session_name", "aws_web_identity_token", "aws_sts_endpoint", "aws_bedrock_runtime_endpoint",
        "proxy_url", "proxies", "user_config", "webhook", "webhooks", "webhook_url", "webhook_config", "webhook_secret",
        "callback_url", "callbacks", "success_callback", "failure_callback", "labels",
        "batch", "best_of", "candidate_count", "num_completions", "num_generations", "num_return_sequences",
        "performance_config", "service_tier", "batch_id",
    ),
    "background": ("deferred", "background_options"),
    "cached_content": ("cached_content", "cached_content_name"),
    "data_sources": ("data_sources", "data_source", "vector_store_id", "vector_store_ids", "tool_resources"),
    "files": ("file_id", "file_ids", "file_uri", "s3_location", "s3_uri", "gcs_uri", "input_file_id"),
    "guardrails": ("guardrail_config", "guardrail_identifier", "model_armor_config"),
    "stored": ("store", "previous_response_id", "previous_interaction_id", "conversation", "conversation_id"),
}  # fmt: skip
"""Right → fields, for every operation."""
_CHAT: Final[Mapping[str, tuple[str, ...]]] = {
    # Anthropic: fast mode and a region cost more than the row says. The surfaces leave the plain spelling out
    _NEVER: ("speed", "inference_geo", "fallbacks", "n"),
    "background": ("background",),
    "containers": ("container", "container_id", "containers", "skills"),
    "data_sources": (
        "enhancements", "connectors", "connector_id", "libraries", "library_ids", "document_library", "rag_corpora",
        "retrieval", "retrieval_config",
    ),
    "mcp": ("mcp_servers", "mcp_server", "server_url"),
    # xAI, Alibaba, Groq, Venice, Zhipu: a search by a field of the body, billed beside the tokens
    "search": (
        "search_parameters", "enable_search", "search_options", "enable_web_search", "compound_custom", "venice_parameters",
        "web_search",
    ),
    "stored": (
        "prompt", "prompt_id", "prompt_template", "thread", "thread_id", "assistant_id", "agent_id", "attachments",
        "run_id", "session_state",
    ),
}  # fmt: skip
"""Right → further fields of a chat. Other operations have fields of these names that mean something else (``background``)."""
_WRAPPERS: Final = frozenset(
    map(folded, ("extra_body", "extra", "extra_fields", "google", "vertex", "azure", "optional_params", "provider_options",
                 "generation_config", "additional_model_request_fields", "model_kwargs", "kwargs", "body", "nvext"))
)  # fmt: skip
"""Objects whose fields some server puts beside the others: Google's own OpenAI format reads ``extra_body.google.cached_content``
(ai.google.dev/gemini-api/docs/openai)."""
_NOT_WRAPPED: Final = frozenset(
    map(folded, ("model", "models", "messages", "input", "contents", "tools", "plugins", "web_search_options", "max_tokens",
                 "max_completion_tokens", "max_output_tokens", "stream", "user"))
)  # fmt: skip
"""What decides the price, the hold and the account: in a wrapper it would pass by all that looks at it."""
WRAPPERS_MOST: Final = 8
"""Objects within each other that are looked into; deeper ones are refused."""
_PLAIN: Final = frozenset(InnerRequest.__annotations__) | {
    "route", "trace", "debug", "preset", "max_tool_calls", "stop_server_tools_when", "deferred_tools", "image_config",
    "thinking", "guided_json", "chat_template_kwargs", "context_management", "output_config",
}  # fmt: skip
"""Fields of a chat request in the inner language that need no further look; of some the values are looked at elsewhere."""
_PLAIN_NATIVE: Final[Mapping[str, frozenset[str]]] = {
    "messages": frozenset(
        {
            "model", "models", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format",
            "cache_control", "max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "user",
            "session_id", "trace", "plugins", "provider", "fallbacks", "context_management", "diagnostics",
        }
    ),
    "responses": frozenset(
        {
            "model", "models", "input", "instructions", "stream", "stream_options", "max_output_tokens", "max_tool_calls",
            "temperature", "top_p", "top_k", "top_logprobs", "presence_penalty", "frequency_penalty", "parallel_tool_calls",
            "stop", "reasoning", "text", "tools", "tool_choice", "include", "truncation", "metadata", "user",
            "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "session_id",
            "provider", "route", "plugins", "cache_control", "modalities", "trace", "client_metadata", "context_management",
            "access_programs",
        }
    ),
}  # fmt: skip
"""The same for requests in a vendor's own format."""


def _table(*tables: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    return {folded(name): right for table in tables for right, names in table.items() for name in names}


_FIELDS: Final = _table(_EVERYWHERE)
_CHAT_FIELDS: Final = _table(_EVERYWHERE, _CHAT)
_REFERENCES: Final = {
    name: right for name, right in _CHAT_FIELDS.items() if right in ("files", "containers", "data_sources", "mcp")
}
"""Fields that point at something of the operator's wherever they stand in a part, an item or a tool."""


def check_fields(body: Json, operation: str, options: Mapping[str, Any]) -> None:
    """The fields of a request in the inner language. Raises ``ProviderError`` (unsupported) naming the field."""
    if operation not in CHATS:
        _check(body, body, _FIELDS, options)
        _check_voice(body, "voice", options)
        return
    if "audio" in body:
        _check_voice(body["audio"], "audio.voice", options)
    unknown = body.keys() - _PLAIN
    if unknown:
        _check_unknown(body, unknown, _PLAIN, options)


def _check_voice(audio: Any, field: str, options: Mapping[str, Any]) -> None:
    """A voice that is no name but an id is one that the operator has made (OpenAI's ``VoiceId``)."""
    if isinstance(audio, dict) and isinstance(audio.get("voice"), dict):
        refuse_unless("voices", field, options)


def check_native_fields(native: NativeRequest, options: Mapping[str, Any]) -> None:
    """The fields of a request in a vendor's own format. Raises ``ProviderError`` (unsupported) naming the field."""
    known = _PLAIN_NATIVE.get(native.api_format, frozenset())
    unknown = native.body.keys() - known
    if unknown:
        _check_unknown(native.body, unknown, known, options)


def _check_unknown(body: Json, unknown: Collection[str], known: Collection[str], options: Mapping[str, Any]) -> None:
    closed = options.get("unknown_fields", "pass") != "pass"
    _check(body, unknown, _CHAT_FIELDS, options)
    for name in sorted(unknown):
        if name.casefold() in known:  # a server that reads without regard to case takes one of the two
            raise failed("unsupported", f"{name}: is written {name.casefold()}")
        if closed and not name.startswith("_") and folded(name) not in _CHAT_FIELDS:
            raise failed(
                "unsupported", f"{name}: is unknown, and unknown fields are not sent to this provider; leave it out"
            )


def _check(
    body: Json,
    names: Collection[str],
    table: Mapping[str, str],
    options: Mapping[str, Any],
    path: str = "",
) -> None:
    for name in sorted(names):
        value, key = body[name], folded(name)
        if not value:  # null, false, empty: it asks for nothing
            continue
        right = _NEVER if path and key in _NOT_WRAPPED else table.get(key)
        if right is not None:
            refuse_unless(right, f"{path}{name}", options)
        elif key in _WRAPPERS and isinstance(value, dict):
            if path.count(".") >= WRAPPERS_MOST:
                raise failed("unsupported", f"{path}{name}: is nested too deeply")
            _check(value, value, table, options, f"{path}{name}.")


def refuse_unless(right: str, field: str, options: Mapping[str, Any]) -> None:
    """Raises ``ProviderError`` (unsupported) unless the catalogue gives callers this right."""
    if right == _NEVER:
        raise failed("unsupported", f"{field}: is decided by this gateway and never sent to a provider; leave it out")
    if right not in _allowed(options):
        raise failed(
            "unsupported",
            f"{field}: would use {RIGHTS[right]}; it is not sent unless options.allows of the provider names {right}",
        )


def _allowed(options: Mapping[str, Any]) -> Collection[str]:
    named = options.get("allows")
    return named if isinstance(named, list | tuple) else ()


# -- parts of a conversation -------------------------------------------------------------------------------------------

_SCHEME: Final = re.compile(r"[\x00-\x20]*([A-Za-z][A-Za-z0-9+.\t\n\r-]{1,15}):[/\\]")
_PUBLIC_SCHEMES: Final = frozenset({"http", "https", "data"})
_FILE_ROUTES: Final = re.compile(
    r"[\x00-\x20]*https?:/*[^/?#]*"
    r"(?:generativelanguage\.googleapis\.com\.?(?::\d*)?/+(?:upload/+)?v[^/]+/+files/|api\.openai\.com\.?(?::\d*)?/+v1/+(?:files|containers)/"
    r"|api\.anthropic\.com\.?(?::\d*)?/+v1/+files/|storage\.cloud\.google\.com\.?(?::\d*)?/|api\.mistral\.ai\.?(?::\d*)?/+v1/+files/)",
    re.IGNORECASE,
)
"""URLs of vendors' own file stores, which they open with the key of the request (``FILES_API`` of Gemini, 2026-11)."""
_TEXT_PARTS: Final = frozenset(
    {"text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking", "tool_use"}
)
_HIDDEN: Final = frozenset({"image", "container_upload"})
_DATA: Final = frozenset(
    {"data", "text", "cache_control", "encrypted_content", "result", "summary", "arguments", "input"}
)
"""Fields of a part that hold content and point at nothing."""


def check_references(found: Any, field: str, options: Mapping[str, Any]) -> None:
    """A part, an item or a tool, and all within it: fields and URLs that point at what the operator has stored.

    Raises ``ProviderError`` (unsupported) naming the field.
    """
    stack: list[tuple[str, Any]] = [(field, found)]
    while stack:
        path, value = stack.pop()
        if type(value) is str:
            if _is_stored(value):
                refuse_unless("files", path, options)
        elif type(value) is list:
            stack += [(f"{path}[{index}]", one) for index, one in enumerate(value)]
        elif type(value) is dict:
            for name, one in value.items():
                right = _REFERENCES.get(folded(name))
                fresh = right == "containers" and type(one) is dict  # a new one; what is put into it is looked at
                if right is not None and one and not fresh:
                    refuse_unless(right, f"{path}.{name}", options)
                elif name not in _DATA:
                    stack.append((f"{path}.{name}", one))


def _is_stored(url: str) -> bool:
    """Whether a text is a URL that a vendor would open with the operator's rights, or on its own machine (``file:``)."""
    head = url[:256]
    scheme = _SCHEME.match(head)
    if scheme is None:
        return False
    name = re.sub(r"[\t\n\r]", "", scheme[1]).lower()
    return name not in _PUBLIC_SCHEMES or (name != "data" and _FILE_ROUTES.match(head) is not None)


def check_media(body: Json, operation: str, options: Mapping[str, Any]) -> None:
    """The parts of a request in the inner language that are no text. To be called where there are some.

    Raises ``ProviderError`` (unsupported) naming the field.
    """
    for field, part in _parts(body):
        if part.get("type") not in _TEXT_PARTS:
            check_references(part, field, options)
    for name in ("input_references", "documents", "mask", "image") if operation not in CHATS else ():
        if body.get(name):
            check_references(body[name], name, options)


def _parts(body: Json) -> Iterator[tuple[str, Json]]:
    for name in ("messages", "input"):
        listed = body.get(name)
        for index, one in enumerate(listed if type(listed) is list else ()):
            if type(one) is not dict:
                continue
            for place in ("content", "images", "output"):
                parts = one.get(place)
                if type(parts) is dict:  # a picture of the screen
                    parts = [parts]
                for position, part in enumerate(parts if type(parts) is list else ()):
                    if type(part) is dict:
                        yield f"{name}[{index}].{place}[{position}]", part


def hides_media(native: NativeRequest) -> bool:
    """Whether a request has parts for which the inner language has no place: pictures of screens (Responses), files and pictures in
    an assistant's turn (Messages)."""
    if native.api_format == "responses":
        items = native.body.get("input")
        return type(items) is list and "computer_call_output" in [item.get("type") for item in items]
    written = [turn["content"] for turn in native.body.get("messages") or () if turn["role"] == "assistant"]
    return any(type(blocks) is list and any(block["type"] in _HIDDEN for block in blocks) for blocks in written)


def native_urls(native: NativeRequest) -> list[tuple[str, str]]:
    """(field, URL) of what only a request in a vendor's own format can have it open: servers of MCP."""
    servers = native.body.get("mcp_servers")
    return [
        (f"mcp_servers[{index}].url", server["url"])
        for index, server in enumerate(servers if type(servers) is list else ())
        if type(server) is dict and type(server.get("url")) is str
    ]


def check_native_media(native: NativeRequest, options: Mapping[str, Any]) -> None:
    """The same for a request in a vendor's own format, whose results of tools have parts in turn.

    Raises ``ProviderError`` (unsupported) naming the field.
    """
    check_media(native.body, "chat", options)


# -- tools that the vendor runs ----------------------------------------------------------------------------------------

_FREE: Final = "tokens"
"""The price of a tool whose calls cost nothing but the tokens that it reads and writes."""
_DATED: Final = re.compile(r"_20\d\d_?\d\d_?\d\d$")
_ANTHROPIC: Final = {
    "web_search": "web_search",  # $10 for 1,000 (platform.claude.com/docs, pricing, 2026-11)
    "web_fetch": _FREE,
    "tool_search_tool_bm25": _FREE,
    "tool_search_tool_regex": _FREE,
    **dict.fromkeys(("bash", "computer", "memory", "text_editor", "custom"), _FREE),  # the caller runs them
}
_RESPONSES: Final = {
    **dict.fromkeys(("web_search", "web_search_preview", "openrouter:web_search"), "web_search"),  # $10 for 1,000
    "image_generation": "image_output",
    "mcp": _FREE,
    **dict.fromkeys(
        ("computer", "computer_use", "computer_use_preview", "local_shell", "shell", "apply_patch", "tool_search"),
        _FREE,
    ),
    **dict.fromkeys(("custom", "namespace"), _FREE),
}
_GEMINI: Final = {
    "google_search": "web_search",  # $35 for 1,000 prompts before Gemini 3, $14 for 1,000 searches since
    "code_execution": _FREE,
    "url_context": _FREE,
}
TOOLS: Final[Mapping[str, Mapping[str, str]]] = {
    "anthropic": {**_ANTHROPIC, "mcp_toolset": _FREE},
    "vertex-anthropic": _ANTHROPIC,
    "bedrock": {name: price for name, price in _ANTHROPIC.items() if price == _FREE and not name.startswith("web_")},
    "responses": _RESPONSES,
    "gemini": _GEMINI,
    "vertex": _GEMINI,
    "mistral": {"connector": _FREE, "document_library": _FREE},
}
"""Dialect → type of a tool, without its date → the price kind of its calls. A tool that is not listed costs nobody knows what:
containers (OpenAI's ``code_interpreter``, Anthropic's ``code_execution``), ``file_search``, ``google_maps``, ``advisor``."""
_UNPAID: Final = (
    "cannot be billed, because this provider has no price for it here; leave it out, or let the catalogue write a price or name it "
    "in options.allows"
)
_CALLERS: Final = (None, "function", "custom", "namespace")
_TOOL_RIGHTS: Final = {
    "mcp": "mcp", "mcp_toolset": "mcp", "connector": "mcp", "document_library": "data_sources", "file_search": "data_sources",
    "collections_search": "data_sources", "retrieval": "data_sources",
}  # fmt: skip


def price_kind(tool: Json, dialect: str) -> str | None:
    """The price kind of the calls of a tool that the vendor runs: one of ``TOOLS``; None when nobody knows what they cost."""
    family = _DATED.sub("", str(tool.get("type")))
    if family == "shell" and _in_container(tool):
        return None
    return TOOLS.get(dialect, _RESPONSES).get(family)


def is_paid(tool: Json, dialect: str, prices: Collection[str], options: Mapping[str, Any]) -> bool:
    """Whether the calls of a tool that the vendor runs can be billed: they cost tokens only, have a price among ``prices`` (kinds),
    are in the cost that the vendor reports, or are the operator's own affair (``options.allows``).
    """
    if options.get("reports_cost"):
        return True
    kind = price_kind(tool, dialect)
    if kind == _FREE or kind in prices:
        return True
    allowed, type_ = _allowed(options), str(tool.get("type"))
    return type_ in allowed or _DATED.sub("", type_) in allowed


def is_search_paid(prices: Collection[str], options: Mapping[str, Any]) -> bool:
    """The same for the searches of ``web_search_options``."""
    return "web_search" in prices or bool(options.get("reports_cost")) or "web_search" in _allowed(options)


def _in_container(tool: Json) -> bool:
    environment = tool.get("environment")
    return isinstance(environment, dict) and environment.get("type", "local") != "local"


def unpaid(tools: Collection[Json], listed: Collection[Json] = ()) -> ProviderError:
    """The refusal of tools that ``is_paid`` denies; ``listed``: the request's ``tools``, for their places."""
    places = {id(tool): index for index, tool in enumerate(listed)}
    named = dict.fromkeys(f"tools[{places.get(id(tool), '')}] ({str(tool.get('type'))[:80]})" for tool in tools)
    return failed("unsupported", f"{', '.join(named)}: {_UNPAID}")


def unpaid_search() -> ProviderError:
    """The same for ``web_search_options``."""
    return failed("unsupported", f"web_search_options: {_UNPAID}")


def own_tools(*lists: Any) -> list[Json]:
    """Of lists of tools, in whatever format, those that the vendor may run itself: neither functions nor the caller's."""
    return [tool for tools in lists for tool in tools or () if tool.get("type") not in _CALLERS]


def check_tools(tools: Collection[Json], options: Mapping[str, Any]) -> None:
    """What ``own_tools`` would use. Raises ``ProviderError`` (unsupported) naming the tool."""
    for tool in tools:
        type_ = str(tool.get("type"))
        right = _TOOL_RIGHTS.get(_DATED.sub("", type_))
        if right is not None:
            refuse_unless(right, f"tools ({type_[:40]})", options)
        check_references(tool, f"tools ({type_[:40]})", options)
