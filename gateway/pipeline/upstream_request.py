"""What is sent to a vendor: the target, and which fields of the request. Pure.

It must not know: attempts, callers' keys, credit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from gateway.catalog.model import Endpoint
from gateway.catalog.parameters import DROPPABLE
from gateway.routing.candidate import Candidate
from providers import rights
from providers.base import Dialect
from providers.chat import effort
from providers.media import locations
from providers.transport import addresses
from providers.types import Call, Json, NativeRequest, Target

OWNED = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "user",
        "usage",
        "service_tier",
        "speed",
        "inference_geo",
        "background",
        "previous_response_id",
        "conversation",
        "prompt",
        "store",
    }
)
"""Fields that ``provider.options`` cannot set, because they decide what is held and billed, and what is sent to whom."""
_END_USER: Final = ("user", "safety_identifier")
LIMITS: Final = ("max_tokens", "max_completion_tokens")


def target(endpoint: Endpoint) -> Target:
    """Address, key and options of an endpoint."""
    found: Target | None = endpoint.memo.get("target")
    if found is None:
        provider = endpoint.provider
        found = endpoint.memo["target"] = Target(
            provider=provider.slug,
            base_url=provider.base_url,
            upstream_id=endpoint.upstream_id,
            api_key=provider.api_key,
            headers=provider.headers,
            options=endpoint.options,
            credentials=provider.credentials,
            proxy=provider.proxy,
            http2=provider.http2,
        )
    return found


def anonymous(body: Json, org: str) -> Json:
    """The body with the end user's ids replaced by a hash, which is the same for the same user of an organisation."""
    named = [name for name in _END_USER if body.get(name) is not None]
    if not named:
        return body
    return {**body, **{name: hashlib.sha256(f"{org}\0{body[name]}".encode()).hexdigest()[:32] for name in named}}


def unhosted(tools: Any, dialect: Dialect, options: Mapping[str, Any]) -> list[Json]:
    """The tools that are not functions and that this vendor does not take. ``options`` are those of the endpoint."""
    return [tool for tool in tools if tool.get("type", "function") != "function" and not dialect.hosts(tool, options)]


def missing_tools(call: Call, dialect: Dialect, candidate: Candidate) -> list[Json]:
    """The tools of a call that this vendor does not take, or whose calls could not be billed. In the caller's own format a vendor
    takes them all."""
    native = call.native is not None and call.native.api_format == dialect.api_format
    own = rights.own_tools(call.body.get("tools"), call.native.body.get("tools") if native and call.native else ())
    unknown = [] if native else unhosted(own, dialect, candidate.endpoint.options)
    return unknown + [tool for tool in own if tool not in unknown and not _is_paid(tool, candidate)]


def _is_paid(tool: Json, candidate: Candidate) -> bool:
    endpoint = candidate.endpoint
    return rights.is_paid(tool, endpoint.dialect, candidate.price.femto.keys(), endpoint.options)


def check_rights(call: Call, operation: str, candidate: Candidate, *, has_media: bool) -> None:
    """Refuse what a call would do with the operator's money, account and network (``providers.rights``).

    Raises ProviderError (unsupported) naming the field or the tool. ``has_media``: the request holds more than texts.
    """
    options, native, body = candidate.endpoint.options, call.native, call.body
    if native is not None:
        rights.check_native_fields(native, options)
    else:
        rights.check_fields(body, operation, options)
    if operation not in rights.CHATS:
        rights.check_media(body, operation, options)
        return
    if "tools" in body and (own := rights.own_tools(body["tools"], native.body.get("tools") if native else ())):
        rights.check_tools(own, options)
        if unpaid := [tool for tool in own if not _is_paid(tool, candidate)]:
            raise rights.unpaid(unpaid, body["tools"])
    if body.get("web_search_options") is not None and not rights.is_search_paid(candidate.price.femto.keys(), options):
        raise rights.unpaid_search()
    if native is not None:
        if has_media or rights.hides_media(native):
            rights.check_native_media(native, options)
    elif has_media:
        rights.check_media(body, operation, options)


def without_tools(body: Json, tools: list[Json]) -> Json | None:
    """The body without these tools; None if the caller demands one of them, or has no others: then the request is about them."""
    kept = [tool for tool in body["tools"] if tool not in tools]
    choice = body.get("tool_choice")
    if not kept or (isinstance(choice, dict) and choice.get("type") in [tool["type"] for tool in tools]):
        return None
    return {**body, "tools": kept}


def opened_urls(call: Call, operation: str, *, has_media: bool) -> list[tuple[str, str]]:
    """(field, URL) of everything that the vendor of a call would open itself."""
    found: list[tuple[str, str]] = []
    if has_media or operation not in rights.CHATS:
        urls = locations.media_urls(call.body)
        found += [(locations.field_name(path), url) for path, _, url in urls if locations.is_network_url(url)]
    tools = call.body.get("tools") if operation in rights.CHATS else None
    if tools and (own := rights.own_tools(tools)):
        found += [("tools.server_url", tool["server_url"]) for tool in own if isinstance(tool.get("server_url"), str)]
    if call.native is not None:
        found += rights.native_urls(call.native)
    return found


def in_own_network(endpoint: Endpoint) -> bool:
    """Whether a vendor is reached at an address that is not public: what it opens, it opens in the operator's network."""
    found: bool | None = endpoint.memo.get("in_own_network")
    if found is None:
        try:
            addresses.place(endpoint.provider.base_url, schemes=("https", "http"))
            found = False
        except addresses.NotPublic:
            found = True
        endpoint.memo["in_own_network"] = found
    return found


def without_native_tools(call: Call, body: Json, missing: list[Json]) -> Call:
    """The call with ``body`` and, where it goes out in the caller's own format, without the same tools there. A tool that is
    defined within the conversation cannot be taken out of it: then the translation goes out.

    Raises ProviderError (unsupported) for a request that cannot be translated.
    """
    native = call.native
    if native is None:
        return structs.replace(call, body=body)
    listed = native.body.get("tools") or ()
    if all(tool in listed for tool in missing):
        kept = [tool for tool in listed if tool not in missing]
        return structs.replace(call, body=body, native=structs.replace(native, body={**native.body, "tools": kept}))
    if native.only is not None:
        raise rights.unpaid(missing)
    return Call(body)


def adapted(
    body: Json,
    endpoint: Endpoint,
    dialect: Dialect,
    options: Mapping[str, Mapping[str, Any]],
    native: NativeRequest | None = None,
) -> Call:
    """The call for this endpoint: parameters that it does not support are dropped, as OpenRouter does, output limits are lowered
    to what it can write, and the caller's options for its provider are added where the request does not set them.

    ``native``, the same request in the caller's format, is sent instead where the dialect has that format, with the same options;
    the dialect leaves out of it what has been dropped from the body (``Dialect.passthrough``).
    """
    supported = endpoint.supported_parameters
    lacking = (body.keys() & DROPPABLE) - supported - dialect.decides if supported else None
    if lacking:
        body = {name: value for name, value in body.items() if name not in lacking}
    most = endpoint.max_completion_tokens
    if most is not None and (body.get("max_tokens") or body.get("max_completion_tokens") or 0) > most:
        body = _limited(body, most)
    if native is not None and native.api_format != dialect.api_format:
        native = None
    extra = options.get(endpoint.provider.slug)
    if extra:
        extra = {name: value for name, value in extra.items() if name not in OWNED}
        body = {**extra, **body}
        if native is not None:
            native = structs.replace(native, body={**extra, **native.body})
    return Call(body, native)


def capped(body: Json, tokens: int) -> Json:
    """The body of a caller who has set no limit, with one: where the hold does not cover all that a model may write, the vendor
    must know where to stop."""
    return _limited({**body, "max_tokens": tokens}, tokens)


def _limited(body: Json, most: int) -> Json:
    """The body with an output limit of ``most`` tokens, and a budget for reasoning that leaves room for an answer."""
    limited = {**body, **{name: most for name in LIMITS if body.get(name) is not None}}
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and (reasoning.get("max_tokens") or 0) >= most:
        limited["reasoning"] = {**reasoning, "max_tokens": effort.budget_of("high", most)}
    return limited
