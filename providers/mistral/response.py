"""Mistral's answers in the inner language: content as a list of chunks, ids, usage. Pure.

Sources: docs.mistral.ai (reasoning, prompt caching, audio; 2026-11), types of the vendor's SDK (``mistralai`` 3.7), recorded
bodies in github.com/vercel/ai/issues/14382, github.com/mistralai/client-ts/issues/240, github.com/agentjido/req_llm/issues/742
(all 2026).

- With reasoning, ``content`` is a list, in deltas too: ``thinking`` (itself a list of texts and references), then ``text``.
- Cached tokens stand in ``prompt_tokens_details.cached_tokens``, in some versions in ``prompt_token_details`` or
  ``num_cached_tokens``; they are part of ``prompt_tokens``. Audio is billed by ``prompt_audio_seconds``, beside the tokens.
- Reasoning is part of ``completion_tokens``; the vendor does not report it separately.
- Open models' servers once answered the id ``"null"`` for every call; such calls get an id of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from providers.chat.messages import reasoning_detail
from providers.mistral.messages import REASONING_ID_PREFIX, call_id
from providers.openai.response import read_completion as read_openai_completion
from providers.transport.sse import decode
from providers.types import Completion, Json, Usage
from providers.usage import Counts


def read_completion(raw: bytes) -> Completion:
    """A whole answer. Raises ``ProviderError``: empty, malformed, or the error that the answer carries."""
    completion = read_openai_completion(as_openai(raw) if raw.strip() else raw)
    reported = completion.body.get("usage")
    if completion.usage is not None and isinstance(reported, dict):
        completion.usage = with_own_counts(reported, completion.usage)
    return completion


def as_openai(raw: bytes) -> bytes:
    """A whole answer or an event rewritten to OpenAI's shape; the same bytes where nothing had to change.

    Raises ``ProviderError`` (malformed).
    """
    body = decode(raw)
    changed = _set_error_code(body)
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        if isinstance(message, dict):
            changed = _join_content(message) or changed
            changed = _set_call_ids(message, str(body.get("id")), whole="message" in choice) or changed
            changed = _add_top_logprobs(choice.get("logprobs")) or changed
    return msgspec.json.encode(body) if changed else raw


def _set_error_code(body: Json) -> bool:
    """Put ``raw_status_code``, the HTTP status, in the place of ``code``, which is a number of the vendor's own."""
    status = body.get("raw_status_code")
    if body.get("object") != "error" or not isinstance(status, int):
        return False
    body["code"] = status
    return True


def _join_content(message: Json) -> bool:
    content = message.get("content")
    if not isinstance(content, list):
        return False
    text, images = "", []
    details: list[Json] = []
    for chunk in content:
        kind = chunk.get("type") if isinstance(chunk, dict) else None
        if kind == "text":
            text += _text(chunk.get("text"))
        elif kind == "thinking":
            detail = reasoning_detail(REASONING_ID_PREFIX, 0, _thinking_text(chunk.get("thinking")))
            if isinstance(chunk.get("signature"), str):
                detail["signature"] = chunk["signature"]
            if details and "signature" not in details[-1]:
                details[-1] |= {**detail, "text": details[-1]["text"] + detail["text"]}
            else:
                details.append(detail)
        elif kind == "image_url":
            url = chunk.get("image_url")
            url = url.get("url") if isinstance(url, dict) else url
            if isinstance(url, str):
                images.append({"type": "image_url", "image_url": {"url": url}})
        # references hold ids only, and files are the vendor's own: neither can be expressed in the inner language
    message["content"] = text or None
    details = [detail for detail in details if detail["text"] or "signature" in detail]
    if details:
        message["reasoning_details"] = details
        reasoning = "".join(detail["text"] for detail in details)
        if reasoning:
            message["reasoning"] = reasoning
    if images:
        message["images"] = images
    return True


def _add_top_logprobs(logprobs: Any) -> bool:
    """Add the list ``top_logprobs``, which clients demand and the vendor leaves out where none were requested."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    incomplete = (
        [one for one in tokens if isinstance(one, dict) and "top_logprobs" not in one]
        if isinstance(tokens, list)
        else []
    )
    for token in incomplete:
        token["top_logprobs"] = []
    return bool(incomplete)


def _thinking_text(pieces: Any) -> str:
    if isinstance(pieces, str):
        return pieces
    if not isinstance(pieces, list):
        return ""
    return "".join(_text(piece.get("text")) for piece in pieces if isinstance(piece, dict))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _set_call_ids(message: Json, answer_id: str, *, whole: bool) -> bool:
    changed = False
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or call.get("id") not in (None, "", "null"):
            continue
        if whole or function.get("name"):
            call["id"] = call_id(f"{answer_id} {call.get('index') or position} {function.get('name')}")
        else:
            call.pop("id", None)  # a later fragment of a call whose id has already come
        changed = True
    return changed


def with_own_counts(raw: Json, usage: Usage) -> Usage:
    """``usage``, which was read from ``raw``, with the seconds of audio and with the cached tokens, in whichever field they are."""
    counts = Counts()
    if not usage.cache_read:
        cached = counts.take(raw.get("prompt_token_details"), "cached_tokens") or counts.take(raw, "num_cached_tokens")
        if cached > usage.prompt:
            counts.suspect, cached = True, usage.prompt
        usage = replace(usage, prompt=usage.prompt - cached, cache_read=cached)
    seconds = raw.get("prompt_audio_seconds")
    audio_s = counts.take(raw, "prompt_audio_seconds") if not isinstance(seconds, dict) else 0
    if audio_s:
        usage = replace(usage, units={**(usage.units or {}), "audio_ms": audio_s * 1000})
    return replace(usage, suspect=usage.suspect or counts.suspect)
