"""The Anthropic dialect's recordings, and what the vendor's own SDK demands of both sides."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from providers.anthropic.dialect import Anthropic
from providers.types import Target
from tests.support.dialectcases import documents, streams
from tests.support.dialectoracles import anthropic

STREAMS, ERRORS = streams("anthropic"), documents("anthropic", "errors")
DIALECT = Anthropic()
TARGET = Target("anthropic", "https://api.anthropic.com/v1", "claude-sonnet-4-5", api_key="k-1")
_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def target(**options: Any) -> Target:
    return Target(TARGET.provider, TARGET.base_url, TARGET.upstream_id, api_key="k-1", options=options)


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The vendor's body for an inner one, checked against the SDK's parameter types. ``body`` must come back untouched."""
    before = json.dumps(body)
    request = DIALECT.request(target(**options), body, stream=stream)
    assert json.dumps(body) == before
    vendor_body: dict[str, Any] = json.loads(request.content)
    anthropic(vendor_body)
    return vendor_body


def parsed(data: Any) -> None:
    """Assert that one vendor event is what the SDK takes it for."""
    _EVENT.validate_python(data)
