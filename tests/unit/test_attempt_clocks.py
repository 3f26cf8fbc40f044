"""The clocks of an attempt: never shorter than their settings, longer for more work."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway.api.inference.token_estimate import measure
from gateway.pipeline.clocks import PACES, Work, attempt_clocks, work
from gateway.prompt_size import TEXT_ONLY, Prompt
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
        (Work("embeddings"), 60),
        (Work("embeddings", prompt_tokens=250_000), 120),
        (Work("rerank", prompt_tokens=25_000), 66),
        (Work("images"), 180),
        (Work("images", amount=1), 180),
        (Work("images", amount=2), 300),
        (Work("speech", amount=4_096), 60),
        (Work("speech", amount=8_192), 120),
        (Work("transcription", amount=20_000), 120),
        (Work("transcription", amount=1_200_000), 240),
        (Work("transcription", amount=7_200_000), 300),
        (Work("count_tokens"), 60),
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
    patient |= {pace.setting: 350.0 for pace in PACES.values()}
    asked = Work("chat", streamed, 0, 1, "max")
    assert made(asked, **patient).first_content_s >= 350
    left = made(asked, left_s=7.0, **patient)
    assert (left.connect_s, left.first_content_s, left.gap_s, left.total_s, left.thinking_s) == (5, 7, 7, 7, 7)
    assert made(asked).total_s == (LONG if streamed else 300)
    for operation in PACES:
        assert made(Work(operation), **patient).first_content_s >= 350


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
    prompt = Prompt(tokens=5, tokens_least=5, plain_bound=5, images=0, modalities=TEXT_ONLY)
    assert work(body, "chat", True, prompt, 10_000) == Work("chat", True, 5, 10_000, effort)


@pytest.mark.parametrize(
    ("operation", "body", "amount"),
    [
        ("images", {"prompt": "a hat", "n": 3}, 3),
        ("images", {"prompt": "a hat"}, 1),
        ("speech", {"input": "hello"}, 5),
        ("transcription", {"input_audio": {"data": b64encode(bytes(20_000)).decode(), "format": "webm"}}, 10_000),
        ("embeddings", {"input": "hello"}, 0),
        ("rerank", {"query": "q", "documents": ["d"]}, 0),
    ],
)
def test_amount_of_a_request(operation: str, body: dict[str, Any], amount: int) -> None:
    """What the surfaces measure for the hold is what the clock of an operation goes by."""
    assert work(body, operation, False, measure(operation, body), None).amount == amount
