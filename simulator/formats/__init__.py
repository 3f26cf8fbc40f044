"""The wire formats of other vendors, one file each, with the same model names, faults and request log.

One server serves all of them and tells them apart by the path. They are a second, independent reading of the vendors'
documentation. They must not know the dialects of ``providers`` (nor anything outside ``simulator``): where a dialect and a format
disagree, one of them has misread. Each is proved right by its vendor's own client in the tests.

Models reason as the vendor's do, and demand the reasoning back as the vendor does: a request whose signed or encrypted reasoning
was changed is refused with the vendor's error.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from simulator.call import Call, prepare
from simulator.formats.anthropic import Anthropic
from simulator.formats.azure import Azure
from simulator.formats.bedrock import Bedrock
from simulator.formats.cohere import Cohere
from simulator.formats.gemini import Gemini, Vertex
from simulator.formats.mistral import Mistral
from simulator.formats.ollama import Ollama
from simulator.formats.openrouter import OpenRouter
from simulator.formats.replay import FORMAT_FAULTS, SHARED_FAULTS, steps
from simulator.formats.responses import Responses
from simulator.formats.vertex_anthropic import VertexAnthropic
from simulator.formats.wire_format import Answer, ParsedRequest, Refusal, Route, WireFormat
from simulator.grammar import Script
from simulator.steps import Send, Steps, whole

__all__ = ["FORMATS", "ParsedRequest", "Refusal", "Route", "WireFormat", "answer", "find", "refuse"]

FORMATS: Final[tuple[WireFormat, ...]] = (
    *(Anthropic(), Responses(), Vertex(), VertexAnthropic(), Gemini(), Bedrock()),
    *(Azure(), Mistral(), OpenRouter(), Cohere(), Ollama()),
)
"""In the order in which they are tried for a path."""


def find(path: str) -> tuple[WireFormat, Route] | None:
    """The format and route of a path; None when no format has it."""
    plain = unquote(path)
    for format in FORMATS:
        route = format.route(plain)
        if route is not None:
            return format, route
    return None


def answer(format: WireFormat, parsed: ParsedRequest, script: Script, seq: int) -> tuple[Call, Steps]:
    """Decide the answer. Raises ``Refusal`` for a fault that only the chat of OpenAI can have."""
    if script.fault is not None and script.fault not in SHARED_FAULTS | FORMAT_FAULTS:
        raise Refusal(404, f"`{script.fault}` is a fault of /v1/chat/completions only")
    call = prepare(script, parsed.chat, seq=seq, created=int(time.time()), may_reason=parsed.may_reason)
    call = call if parsed.has_tokens else replace(call, parts=())
    return call, steps(format, Answer(call, parsed))


def refuse(format: WireFormat, refusal: Refusal) -> Steps:
    """The error response of a refused request."""
    body = format.envelope(refusal.status, refusal.message or None, param=refusal.param, code=refusal.code)
    yield Send(whole(refusal.status, body, more=format.headers(refusal.status, refusal.code)))
