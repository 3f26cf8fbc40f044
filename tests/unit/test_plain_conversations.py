"""Which conversations every vendor takes as they are: the common case that the checks and the dialects pass over quickly."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.prompt_size import survey
from providers.chat.turns import is_plain

SYSTEM, USER, ASSISTANT = ({"role": role, "content": "some text"} for role in ("system", "user", "assistant"))
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "plain"),
    [
        ([], True),
        ([SYSTEM], True),
        ([USER], True),
        ([SYSTEM, SYSTEM, USER, ASSISTANT, USER], True),
        ([{**USER, "name": "ann"}], True),
        ([USER, USER], True),
        ([USER, SYSTEM], False),
        ([SYSTEM, USER, SYSTEM, USER], False),
        ([{"role": "developer", "content": "x"}, USER], False),
        ([USER, {**ASSISTANT, "tool_calls": [CALL]}], False),
        ([USER, {"role": "assistant", "tool_calls": [CALL]}], False),
        ([USER, {"role": "tool", "content": "x", "tool_call_id": "1"}], False),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], False),
        ([{"role": "user", "content": None}], False),
        ([{**USER, "cache_control": {"type": "ephemeral"}}], False),
        ([{**ASSISTANT, "reasoning": "because"}], False),
        ([{"content": "x"}], False),
        ([{"role": ["user"], "content": "x"}], False),
        ([{"role": None, "content": "x"}], False),
    ],
)
def test_is_plain(messages: list[dict[str, Any]], plain: bool) -> None:
    assert is_plain(messages) is plain


@pytest.mark.parametrize("text", ["", "plain", "größer", "日本語", "🙂", "a\u0000b"])
def test_the_survey_of_texts(text: str) -> None:
    """A conversation of texts is measured as one that also holds something else."""
    plain = [SYSTEM, {"role": "user", "content": text}]
    found, mixed = survey({"messages": plain}), survey({"messages": [*plain, {"role": "developer", "content": ""}]})
    assert found.text_bytes == mixed.text_bytes == len(b"some text") + len(text.encode())
    assert (found.messages, found.has_media, found.paired) == (2, False, True)
