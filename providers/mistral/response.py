"""Mistral's answers in the inner language: content as a list of chunks, its ids, its usage, its refusals. Pure.

Sources: docs.mistral.ai (reasoning, prompt caching, audio; 2026-11), types of the vendor's SDK (``mistralai`` 3.7), recorded
bodies in github.com/vercel/ai/issues/14382, github.com/mistralai/client-ts/issues/240, github.com/agentjido/req_llm/issues/742
(all 2026).

- With reasoning, ``content`` is a list, in deltas too: ``thinking`` (itself a list of texts and references), then ``text``.
- Cached tokens stand in ``prompt_tokens_details.cached_tokens``, in some versions in ``prompt_token_details`` or
  ``num_cached_tokens``; they are part of ``prompt_tokens``. Sound is billed by ``prompt_audio_seconds``, beside the tokens.
- Reasoning is part of ``completion_tokens`` and not told apart.
- Open models' servers once answered the id ``"null"`` for every call; such calls get an id of their own.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.chat.messages import thought
from providers.errors import ProviderError, failed
from providers.mistral.request import THOUGHT, call_id
from providers.openai import response
from providers.transport.sse import decode
from providers.types import Completion, Event, Json, Usage
from providers.usage import Counts

_CANNOT: Final = (
    "invalid_request_message_order",
    "but not both",
    "does not support",
    "is not enabled for this model",
    "is not supported for this model",
)
"""What this vendor, or one model of it, refuses although the inner language has it: another endpoint may take it."""


_MARKS: Final = (b'"type"', b'"tool_calls"', b'"raw_status_code"', b'"logprob"')
"""One of them is in every event that is more than a text: most are not."""


def elsewhere(error: ProviderError) -> ProviderError:
    """A refusal of what only this vendor cannot do, as one that lets another endpoint be tried."""
    if error.failure.kind not in ("bad_request", "unprocessable"):
        return error
    text = f"{error.message} {error.raw}".lower()
    if not any(part in text for part in _CANNOT):
        return error
    return failed("unsupported", error.message, status=error.status, raw=error.raw, provider_code=error.provider_code)


def plain(raw: bytes) -> bytes:
    """A whole answer or an event as other vendors would have written it; unchanged where nothing of the kind is in it.

    Raises ``ProviderError`` (malformed).
    """
    body = decode(raw)
    changed = _error(body)
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        told = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        if isinstance(told, dict):
            changed = _content(told) or changed
            changed = _ids(told, str(body.get("id")), whole="message" in choice) or changed
            changed = _chances(choice.get("logprobs")) or changed
    return msgspec.json.encode(body) if changed else raw


def _error(body: Json) -> bool:
    """``raw_status_code`` is the status; ``code`` is a number of the vendor's own."""
    status = body.get("raw_status_code")
    if body.get("object") != "error" or not isinstance(status, int):
        return False
    body["code"] = status
    return True


def _content(told: Json) -> bool:
    content = told.get("content")
    if not isinstance(content, list):
        return False
    text, images = "", []
    details: list[Json] = []
    for chunk in content:
        kind = chunk.get("type") if isinstance(chunk, dict) else None
        if kind == "text":
            text += _text(chunk.get("text"))
        elif kind == "thinking":
            detail = thought(THOUGHT, 0, _thinking(chunk.get("thinking")))
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
        # references have ids only, and files are the vendor's own: neither has a place in the inner language
    told["content"] = text or None
    details = [detail for detail in details if detail["text"] or "signature" in detail]
    if details:
        told["reasoning_details"] = details
        reasoning = "".join(detail["text"] for detail in details)
        if reasoning:
            told["reasoning"] = reasoning
    if images:
        told["images"] = images
    return True


def _chances(logprobs: Any) -> bool:
    """The vendor leaves ``top_logprobs`` out where none were asked for; clients demand the list."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    lacking = (
        [one for one in tokens if isinstance(one, dict) and "top_logprobs" not in one]
        if isinstance(tokens, list)
        else []
    )
    for token in lacking:
        token["top_logprobs"] = []
    return bool(lacking)


def _thinking(pieces: Any) -> str:
    if isinstance(pieces, str):
        return pieces
    if not isinstance(pieces, list):
        return ""
    return "".join(_text(piece.get("text")) for piece in pieces if isinstance(piece, dict))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ids(told: Json, answer: str, *, whole: bool) -> bool:
    changed = False
    calls = told.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or call.get("id") not in (None, "", "null"):
            continue
        if whole or function.get("name"):
            call["id"] = call_id(f"{answer} {call.get('index') or place} {function.get('name')}")
        else:
            call.pop("id", None)  # the later pieces of a call: its id was said
        changed = True
    return changed


def counted(raw: Json, usage: Usage) -> Usage:
    """``usage``, read of the same object, with the seconds of sound and with what was cached, wherever that stands."""
    counts = Counts()
    if not usage.cache_read:
        cached = counts.take(raw.get("prompt_token_details"), "cached_tokens") or counts.take(raw, "num_cached_tokens")
        if cached > usage.prompt:
            counts.suspect, cached = True, usage.prompt
        usage = replace(usage, prompt=usage.prompt - cached, cache_read=cached)
    seconds = raw.get("prompt_audio_seconds")
    heard = counts.take(raw, "prompt_audio_seconds") if not isinstance(seconds, dict) else 0
    if heard:
        usage = replace(usage, units={**(usage.units or {}), "audio_ms": heard * 1000})
    return replace(usage, suspect=usage.suspect or counts.suspect)


def with_counts(completion: Completion) -> Completion:
    """A whole answer with the vendor's own counts."""
    raw = completion.body.get("usage")
    if completion.usage is not None and isinstance(raw, dict):
        completion.usage = counted(raw, completion.usage)
    return completion


class Decoder(response.Decoder):
    """One stream, each event made plain first where it holds more than a text."""

    __slots__ = ()

    def _event(self, name: str, data: bytes) -> Event | None:
        if any(mark in data for mark in _MARKS):
            data = plain(data)
        return super()._event(name, data)

    def _count(self, chunk: Json) -> Usage | None:
        raw = chunk.get("usage")
        usage = super()._count(chunk)
        if usage is not None and isinstance(raw, dict):
            usage = self._usage = counted(raw, usage)
        return usage
