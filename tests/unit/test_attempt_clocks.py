"""The clocks of an attempt: never shorter than their settings, longer for more work."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.pipeline.clocks import Work, attempt_clocks, work
from gateway.settings import Settings
from providers.types import Clocks

SETTINGS = Settings(config_dir="config")
LONG = 400.0


def made(asked: Work, *, left_s: float = LONG, thinks: bool = False, alternative: bool = True, **set_to: Any) -> Clocks:
    settings = SETTINGS.model_copy(update=set_to)
    return attempt_clocks(settings, asked, left_s=left_s, thinks=thinks, alternative=alternative)


@pytest.mark.parametrize(
    ("asked", "thinks", "first_content_s"),
    [
        (Work(prompt_tokens=10), False, 60),
        (Work(prompt_tokens=24_999), False, 60),
        (Work(prompt_tokens=100_000), False, 84),
        (Work(prompt_tokens=1_000_000), False, 300),
        (Work(effort="none"), True, 60),
        (Work(effort="low"), False, 90),
        (Work(effort="medium"), False, 120),
        (Work(), True, 120),
        (Work(effort="low"), True, 90),
        (Work(effort="high"), False, 240),
        (Work(effort="xhigh"), False, 300),
        (Work(prompt_tokens=200_000, effort="high"), False, 288),
        (Work(max_tokens=100_000), False, 60),
    ],
)
def test_a_streams_first_content(asked: Work, thinks: bool, first_content_s: float) -> None:
    """Prompt and effort lengthen it; the length of the answer does not, since its first token comes first."""
    asked = Work("chat", True, asked.prompt_tokens, asked.max_tokens, asked.effort)
    assert made(asked, thinks=thinks).first_content_s == pytest.approx(first_content_s)
    assert made(asked, thinks=thinks, alternative=False).first_content_s == pytest.approx(first_content_s)


@pytest.mark.parametrize(
    ("asked", "first_content_s"),
    [
        (Work(), 120),
        (Work(max_tokens=100), 63),
        (Work(max_tokens=4096), 180),
        (Work(max_tokens=8192), 300),
        (Work(max_tokens=64_000), 300),
        (Work(prompt_tokens=100_000, max_tokens=1024), 114),
        (Work(effort="medium"), 180),
        (Work(effort="max"), 300),
        (Work("embeddings", max_tokens=2), 60),
        (Work("images"), 300),
        (Work("speech"), 300),
        (Work("transcription"), 300),
        (Work("count_tokens"), 300),
    ],
)
def test_the_headers_of_json(asked: Work, first_content_s: float) -> None:
    """The whole answer may take as long to its headers; without an alternative there is no use in giving up early."""
    assert made(asked).first_content_s == pytest.approx(first_content_s, rel=0.01)
    assert made(asked, alternative=False).first_content_s == 300
    assert made(asked).total_s == 300


@pytest.mark.parametrize("streamed", [True, False])
def test_settings_are_the_least(streamed: bool) -> None:
    """A longer setting is never cut to another's bound; what is left of the request cuts all."""
    patient = {"first_content_timeout_s": 350.0, "headers_timeout_s": 350.0, "answer_timeout_s": 380.0}
    asked = Work("chat", streamed, 0, 1, "max")
    assert made(asked, **patient).first_content_s >= 350
    left = made(asked, left_s=7.0, **patient)
    assert (left.connect_s, left.first_content_s, left.gap_s, left.total_s, left.thinking_s) == (5, 7, 7, 7, 7)
    assert made(asked).total_s == (LONG if streamed else 300)


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({}, None),
        ({"reasoning": {"enabled": False}}, "none"),
        ({"reasoning": {"effort": "high"}}, "high"),
        ({"reasoning_effort": "minimal"}, "minimal"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"max_tokens": 500}}, "minimal"),
        ({"reasoning": {"max_tokens": 9000}}, "xhigh"),
        ({"reasoning": {"max_tokens": 0}}, "none"),
        ({"reasoning": None}, None),
    ],
)
def test_effort_of_a_request(body: dict[str, Any], effort: str | None) -> None:
    """A budget counts as the effort that it is of the answer's limit."""
    assert work(body, "chat", True, 5, 10_000) == Work("chat", True, 5, 10_000, effort)
