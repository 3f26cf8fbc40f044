"""Claude Code's billing header, the line that opens its system prompt: left out of what is translated for a vendor. Pure.

From 2.1.36 on Claude Code writes ``x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;`` as a block
of its own before the system prompt. ``cch`` and the end of the version change with every request, so no vendor's cache of prompts
would ever match again (github.com/anthropics/claude-code/issues/68900, 2026-06). Anthropic's own API knows the line: where a
request passes through unchanged, it is kept.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
HEADER = "x-anthropic-billing-header:"


def removed(body: Json) -> Json:
    """An inner request without the line; the same object where it has none. Nothing is changed in place."""
    messages = body.get("messages") or ()
    first = messages[0] if messages else {}
    if first.get("role") not in ("system", "developer"):
        return body
    content = first.get("content")
    if isinstance(content, str):
        rest: Any = _without_line(content)
        if rest is content:
            return body
    elif isinstance(content, list) and any(_text(part).startswith(HEADER) for part in content):
        lines = [(part, _without_line(_text(part))) for part in content]
        rest = [
            part if text is _text(part) else {**part, "text": text} for part, text in lines if text or not _text(part)
        ]
    else:
        return body
    kept = [{**first, "content": rest}] if rest else []
    return {**body, "messages": [*kept, *messages[1:]]}


def _without_line(text: str) -> str:
    return text.partition("\n")[2].lstrip("\n") if text.startswith(HEADER) else text


def _text(part: Json) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""
