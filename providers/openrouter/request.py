"""Chat requests to OpenRouter. Pure.

- Fields about *our* providers, models and accounts are not sent: ``provider``, ``models``, ``route``, ``preset``, ``session_id``,
  ``trace``, ``debug``. OpenRouter's own ``provider`` object is the operator's (``Target.options["provider"]``), merged over
  the caller's in ``provider.options.<slug of this provider>.provider``.
- ``usage: {include: true}`` is sent, so that every version of the API answers with ``usage.cost``.
- ``reasoning.exclude`` is left to the gateway: the reasoning may be the answer's first content, which ends the wait for it.
"""

from __future__ import annotations

from typing import Any, Final

from providers.chat.turns import results_first
from providers.openai.request import apply_options
from providers.types import InnerRequest, Json, Target

GATEWAY_FIELDS: Final = frozenset(
    {"provider", "models", "route", "preset", "session_id", "trace", "debug", "usage", "stream_options"}
)
"""Fields about this gateway's providers and accounts, and those that ``chat_body`` writes itself."""


def chat_body(target: Target, body: InnerRequest, *, stream: bool) -> Json:
    """The vendor's body."""
    sent: Json = {name: value for name, value in body.items() if name not in GATEWAY_FIELDS and name != "stream"}
    sent["model"], sent["usage"] = target.upstream_id, {"include": True}
    sent["messages"] = results_first(sent.get("messages") or [])
    if stream:
        sent["stream"] = True
    reasoning = sent.get("reasoning")
    if isinstance(reasoning, dict) and "exclude" in reasoning:
        sent["reasoning"] = {name: value for name, value in reasoning.items() if name != "exclude"}
    if sent.get("include_reasoning") is False:
        del sent["include_reasoning"]
    routing = _routing(target, body)
    if routing:
        sent["provider"] = routing
    if target.options:
        apply_options(target.options, sent)
    return sent


def app_headers(target: Target) -> list[tuple[str, str]]:
    """The headers by which OpenRouter knows the application, from the option ``app``."""
    app = target.options.get("app")
    app = app if isinstance(app, dict) else {}
    values = (("http-referer", app.get("url")), ("x-openrouter-title", app.get("title")))
    return [(header, value) for header, value in values if isinstance(value, str) and value]


def _routing(target: Target, body: InnerRequest) -> Json:
    """OpenRouter's ``provider`` object: the operator's fields over the caller's."""
    callers: Any = body
    for name in ("provider", "options", target.provider, "provider"):
        callers = callers.get(name) if isinstance(callers, dict) else None
    operators = target.options.get("provider")
    return {
        **(callers if isinstance(callers, dict) else {}),
        **(operators if isinstance(operators, dict) else {}),
    }
