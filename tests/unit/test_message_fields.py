"""Whatever stands in any field of any message: it is refused naming the field, or every dialect writes a request or says that it
cannot; nothing breaks."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from gateway import prompt_size
from gateway.api.inference import validation
from gateway.api.inference.chat import schema
from gateway.errors import BadRequest
from providers.errors import ProviderError
from tests.support.dialectsheets import SHEETS

Json = dict[str, Any]
FIELDS = (
    *("tool_calls", "tool_call_id", "function_call", "name", "refusal", "images", "audio", "annotations"),
    *("reasoning", "reasoning_details", "reasoning_content", "cache_control", "prompt_cache_breakpoint"),
    *("is_error", "phase", "model", "id", "type", "status"),
)
VALUES = (
    *(5, 1.5, True, "x", {"a": 1}, [1], ["x"], [[1]], [None], [{}], [{"a": 1}]),
    *([{"type": "x"}], [{"type": 5}], [{"function": 5}]),
    [{"id": 5, "type": "function", "function": {"name": 5, "arguments": 5}}],
)
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
BEFORE: dict[str, list[Json]] = {"tool": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def accepted(body: Json) -> bool:
    """Whether the checks let it pass; else they name a field."""
    try:
        schema.check(body)
        found = prompt_size.survey(body)
        validation.check(body, body, found)
    except BadRequest as error:
        assert error.metadata["field"]  # noqa: PT017 - most are accepted
        return False
    return prompt_size.measure(body, found).tokens > 0


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant", "tool"])
def test_any_value_in_any_field(role: str) -> None:
    """Each of 19 fields with each of 15 values, in a conversation with a tool."""
    more = {"tool_call_id": "c1"} if role == "tool" else {}
    written = 0
    for field, value in product(FIELDS, VALUES):
        message = {"role": role, "content": "x", **more, field: value}
        messages = [{"role": "user", "content": "x"}, *BEFORE.get(role, ()), message, {"role": "user", "content": "y"}]
        body = msgspec.json.decode(msgspec.json.encode({"model": "m", "messages": messages, "tools": TOOLS}))
        if not accepted(body):
            continue
        for sheet in SHEETS.values():
            try:
                written += len(sheet.dialect.request(sheet.targets[0], body, stream=False).content) > 0
            except ProviderError as error:
                assert error.failure.kind == "unsupported"  # noqa: PT017 - nearly all are written
    assert written > 1000
