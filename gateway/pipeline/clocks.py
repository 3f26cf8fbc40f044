"""How long an attempt may take: its clocks, from the settings and from how much work the request is. Pure.

A setting is the least that a clock can be: what an endpoint did for other requests never shortens it, and a large prompt or a high
reasoning effort lengthens it (ADR 50). It must not know: what other attempts did, health.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.prompt_size import Prompt
from gateway.settings import Settings
from providers.chat import effort
from providers.types import Clocks

PROMPT_STEP = 25_000
"""Tokens of a prompt that lengthen the wait for the first content by a tenth of its setting: by 240 s for a million tokens."""
THINKING: Mapping[str | None, float] = {
    "none": 0,
    None: 0,
    "minimal": 0.25,
    "low": 0.5,
    "medium": 1,
    "high": 3,
    "xhigh": 4,
    "max": 4,
}
"""Effort → by how many times its setting the wait for the first content is longer. Many vendors send nothing at all, not even the
headers, while a model thinks. Of 1,036,732 answers of one such model the 99th percentile of the first token was 94 s, and a stalled
endpoint could be told from a thinking one at 120 s (github.com/experientiallabs/experiential, pull request 1054, 2026-09-19)."""
WRITTEN_TOKENS = 2_048
"""Tokens that a JSON answer is expected to write within the setting for its headers, at a slow 34 a second; and the length of an
answer whose request sets no limit."""


class Pace(NamedTuple):
    """How long an operation with pictures or sound may take to the headers: ``setting`` for each ``step`` of ``unit``."""

    setting: str
    """The field of ``Settings`` with the seconds for one step, which is also the least."""
    unit: str
    """A kind of ``Prompt.units``."""
    step: int


PACES: Mapping[str, Pace] = {
    "images": Pace("image_headers_timeout_s", "image_output", 1),
    "speech": Pace("speech_headers_timeout_s", "character", 4_096),
    "transcription": Pace("transcription_headers_timeout_s", "audio_ms", 600_000),
}
"""Most vendors send the headers with the whole answer. OpenAI: "complex prompts may take up to 2 minutes" for one picture, and a
text to be spoken has at most 4,096 characters (platform.openai.com/docs, read 2026-11)."""


class Work(msgspec.Struct, frozen=True):
    """How much a request asks for, as far as that is known before its answer."""

    operation: str = "chat"
    streamed: bool = False
    prompt_tokens: int = 0
    max_tokens: int | None = None
    """Limit of the output; None: the request sets none."""
    effort: str | None = None
    """As in ``providers.chat.effort.EFFORTS``; None: the request does not mention reasoning."""
    amount: int = 0
    """Pictures to make, characters to speak or milliseconds to transcribe."""


def work(body: Mapping[str, Any], operation: str, streamed: bool, prompt: Prompt, max_tokens: int | None) -> Work:
    """The work of a request in the inner language."""
    wanted, budget = effort.requested_effort(body)
    if budget is not None:
        wanted = effort.from_budget(budget, max_tokens, effort.RATIOS)
    amount = 0
    if prompt.units is not None and operation in PACES:
        amount = prompt.units.get(PACES[operation].unit, 0)
    return Work(operation, streamed, prompt.tokens, max_tokens, wanted, amount)


def attempt_clocks(settings: Settings, work: Work, *, left_s: float, thinks: bool, alternative: bool) -> Clocks:
    """The clocks of one attempt.

    ``left_s``: what is left of the request's time. ``thinks``: the model reasons unless it is told not to. ``alternative``:
    another endpoint could be tried instead; only then is it worth giving up a JSON answer whose vendor is silent.
    """
    wanted = "medium" if work.effort is None and thinks else work.effort
    more = work.prompt_tokens // PROMPT_STEP / 10 + THINKING.get(wanted, 0)
    first_s, total_s = settings.first_content_timeout_s, left_s
    if work.streamed:
        first_s = min(first_s * (1 + more), max(first_s, settings.thinking_timeout_s))
    else:
        total_s = min(settings.answer_timeout_s, left_s)
        first_s = _headers_s(settings, work, more) if alternative else total_s
    return Clocks(
        connect_s=min(settings.connect_timeout_s, left_s),
        first_content_s=min(first_s, total_s),
        gap_s=min(settings.gap_timeout_s, left_s),
        total_s=total_s,
        thinking_s=min(settings.thinking_timeout_s, left_s),
    )


def _headers_s(settings: Settings, work: Work, more: float) -> float:
    """Seconds to the headers of an answer that is not streamed, by what its operation takes."""
    if work.operation == "chat":
        more += (work.max_tokens or WRITTEN_TOKENS) / WRITTEN_TOKENS
    pace = PACES.get(work.operation)
    if pace is None:
        return settings.headers_timeout_s * (1 + more)
    one_s: float = getattr(settings, pace.setting)
    return one_s * (max(1, work.amount / pace.step) + more)
