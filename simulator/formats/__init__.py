"""The simulated vendors' other faces, one wire format each: the same model names, faults and truth about tokens.

One server speaks all of them, told apart by the path. They are a second, independent reading of the vendors' documentation, so they
must not know the dialects of ``providers`` (nor anything outside ``simulator``): where a dialect and a face misunderstand
each other, one of the two has misread. Each is proved right by its vendor's own client in the tests.

A face's models reason as that vendor's do, and demand it back as that vendor does: what was signed or sealed here must return
unchanged, or the vendor refuses in its own words.
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
from simulator.formats.replay import OWN, SAME, steps
from simulator.formats.responses import Responses
from simulator.formats.vertex_anthropic import VertexAnthropic
from simulator.formats.wire_format import Asked, Face, Refusal, Route, Turn
from simulator.grammar import Script
from simulator.steps import Send, Steps, whole

__all__ = ["FACES", "Asked", "Face", "Refusal", "Route", "find", "refuse", "speak"]

FACES: Final[tuple[Face, ...]] = (
    *(Anthropic(), Responses(), Vertex(), VertexAnthropic(), Gemini(), Bedrock()),
    *(Azure(), Mistral(), OpenRouter(), Cohere(), Ollama()),
)
"""In the order in which they are asked for a path."""


def find(path: str) -> tuple[Face, Route] | None:
    """Who answers a path."""
    plain = unquote(path)
    for face in FACES:
        route = face.route(plain)
        if route is not None:
            return face, route
    return None


def speak(face: Face, asked: Asked, script: Script, seq: int) -> tuple[Call, Steps]:
    """The answer, decided. Raises ``Refusal`` for a fault that only the chat of OpenAI can have."""
    if script.fault is not None and script.fault not in SAME | OWN:
        raise Refusal(404, f"`{script.fault}` is a fault of /v1/chat/completions only")
    call = prepare(script, asked.chat, seq=seq, created=int(time.time()), thinks=asked.thinks)
    call = call if asked.speaks else replace(call, parts=())
    return call, steps(face, Turn(call, asked))


def refuse(face: Face, refusal: Refusal) -> Steps:
    """The answer to a request that is none."""
    body = face.envelope(refusal.status, refusal.message or None, param=refusal.param, code=refusal.code)
    yield Send(whole(refusal.status, body, more=face.headers(refusal.status, refusal.code)))
