"""Claude on Vertex AI: Anthropic's bodies at Google's addresses.

``POST /v1/projects/P/locations/L/publishers/anthropic/models/M:rawPredict`` and ``:streamRawPredict``; tokens are counted by
the model ``count-tokens`` (anthropic 2.12, lib/vertex/_client.py; cloud.google.com/vertex-ai/generative-ai/docs/partner-models/
claude/use-claude; 2026-11). The version is a field of the body, the model is in the address, Google checks the credentials.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import msgspec

from simulator.formats.anthropic import Anthropic
from simulator.formats.gemini import google_error
from simulator.formats.wire_format import Json, ParsedRequest, Refusal, Route, ValidationProblem, WireFormat
from simulator.http import Request
from simulator.steps import encode

PATH: Final = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>.+):(?P<verb>rawPredict|streamRawPredict)"
)
COUNTER: Final = "count-tokens"
VERSIONS: Final = frozenset({"vertex-2023-10-16", "2026-10-21"})
"""Of Google's documentation, and what anthropic 2.12 sends."""
PLATFORM: Final = frozenset({401, 403, 404, 429})
"""Statuses that Google returns before the request reaches Claude."""
_BODY: Final = msgspec.json.Decoder(Json)


class VertexAnthropic(Anthropic):
    """Claude among Google's models."""

    name = "vertex-anthropic"

    def route(self, path: str) -> Route | None:
        """The model and whether it streams are in the path."""
        found = PATH.fullmatch(path)
        if found is None:
            return None
        if found["model"] == COUNTER:
            return Route(verb="count")
        return Route(found["model"], found["verb"] == "streamRawPredict", "messages")

    def credential(self, request: Request) -> str:
        """An access token."""
        return WireFormat.credential(self, request)

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """As Anthropic's, after the fields of Vertex are removed."""
        body = self.decode(_BODY, request.body)
        if body.pop("anthropic_version", None) not in VERSIONS:
            raise Refusal(400, "anthropic_version: Input should be 'vertex-2023-10-16'")
        betas = body.pop("anthropic_beta", None) or []
        if route.model is not None:
            if "model" in body:
                raise self.invalid_request(ValidationProblem("", "", "model", None))
            if bool(body.get("stream")) != bool(route.stream):
                raise Refusal(400, "stream: must be true for streamRawPredict, and only there")
            body["model"] = route.model
        if any(source.get("type") == "url" for source in _sources(body)):
            raise Refusal(400, "URL sources are not supported")
        headers = {**request.headers, "anthropic-version": "-", "anthropic-beta": ",".join(betas)}
        return super().read_request(replace(request, body=encode(body), headers=headers), route)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """Google's envelope for the statuses of the platform, else Anthropic's."""
        if status in PLATFORM:
            return encode(google_error(status, message, more.get("code")))
        return super().envelope(status, message, **more)


def _sources(value: Any) -> list[Json]:
    """Every ``source`` object at any depth."""
    if isinstance(value, list):
        return [found for one in value for found in _sources(one)]
    if not isinstance(value, dict):
        return []
    here = [value["source"]] if isinstance(value.get("source"), dict) else []
    return here + [found for one in value.values() for found in _sources(one)]
