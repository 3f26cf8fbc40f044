"""What a vendor reports and cannot be true is cut down, and what merely surprises is billed as it is: every bound from both sides."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from gateway import prompt_size
from gateway.api.inference import token_estimate
from gateway.ledger.entries import LINE_MAX_NANO
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.plausible_usage import REASONING_APART
from gateway.prompt_size import Prompt
from providers.media import base64_text
from providers.types import Usage
from tests.unit.test_hostile_answers import pipeline, served

__all__ = ["pipeline"]

OURS = 9
"""Our count of the prompt of ``served``; its context has 128,000 tokens."""
HOSTED = {"tools": [{"type": "web_search"}]}


def generation(
    pipeline: Pipeline,
    usage: Usage,
    *,
    size_bytes: int = 40,
    body: dict[str, Any] | None = None,
    thinks: bool = True,
    options: dict[str, Any] | None = None,
    finish: str = "stop",
    units: dict[str, int] | None = None,
    **more: Any,
) -> Generation:
    """A generation whose vendor has reported ``usage`` for so many bytes of text."""
    made = served(pipeline)
    prompt = structs.replace(made.request.prompt, units=units)
    made.request = structs.replace(made.request, body={**made.request.body, **(body or {})}, prompt=prompt, **more)
    made.delivered.usage, made.delivered.size_bytes, made.delivered.pieces = usage, size_bytes, 1
    made.delivered.finish, made.delivered.ended = finish, True
    candidate = made.attempts.candidate
    assert candidate is not None
    made.attempts.candidate = structs.replace(candidate, endpoint=replace(candidate.endpoint, options=options or {}))
    if not thinks:
        models = pipeline.services.catalog.current.models
        plain = replace(models["t/a"], supported_parameters=("max_tokens",))
        made.attempts.services = replace(pipeline.services, catalog=_Catalogs({"t/a": plain}))
    return made


class _Catalogs:
    """Only models."""

    def __init__(self, models: dict[str, Any]) -> None:
        self.models = models

    @property
    def current(self) -> Any:
        return self


def billed(made: Generation) -> tuple[int, int, bool]:
    """Prompt and output that are billed, and whether the report was disputed."""
    settlement = made._conclude("complete")
    assert settlement.implausible is (settlement.disputed_nano > 0)
    assert settlement.usage.estimated is settlement.implausible
    return settlement.usage.prompt_total, settlement.usage.completion_total, settlement.implausible


OUTPUT: dict[str, tuple[Usage, dict[str, Any], int]] = {
    "max_tokens 5, a hundred thousand": (Usage(9, completion=100_000), {"max_tokens": 5}, 5),
    "all of it reasoning": (Usage(9, reasoning=100_000), {"max_tokens": 5}, 5),
    "text first, then reasoning": (Usage(9, completion=70, reasoning=900), {"max_tokens": 100}, 100),
    "of two choices": (Usage(9, completion=5_000), {"max_tokens": 100, "body": {"n": 2}}, 200),
    "more than the model can write": (Usage(9, completion=10**7), {}, 10),
    "the same, with max_tokens": (Usage(9, completion=10**7), {"max_tokens": 5}, 5),
    "more than was delivered": (Usage(9, completion=2_000), {"thinks": False}, 10),
    "sound beyond max_tokens": (Usage(9, audio_completion=9_000), {"max_tokens": 100}, 100),
    "a hundred thousand pictures": (Usage(9, image_completion=10**8, completion=3), {}, 62_403),
}


@pytest.mark.parametrize("row", OUTPUT.values(), ids=list(OUTPUT))
def test_output_that_cannot_be(pipeline: Pipeline, row: tuple[Usage, dict[str, Any], int]) -> None:
    """Cut down to what was ordered, or to our own count."""
    usage, more, completion = row
    assert billed(generation(pipeline, usage, **more)) == (9, completion, True)


TRUE: dict[str, tuple[Usage, dict[str, Any]]] = {
    "a tenth over max_tokens": (Usage(9, completion=126), {"max_tokens": 100}),
    "hidden reasoning": (Usage(9, reasoning=50_000), {}),
    "reasoning that is not told apart": (Usage(9, completion=50_000), {}),
    "reasoning where max_tokens is the answer's": (
        Usage(9, completion=90, reasoning=30_000),
        {"max_tokens": 100, "options": {REASONING_APART: True}},
    ),
    "dense text": (Usage(9, completion=4_000), {"thinks": False, "size_bytes": 4_000}),
    "kept back by a filter": (Usage(9, completion=3_000), {"thinks": False, "finish": "content_filter"}),
    "a prompt for tools": (Usage(1_500, completion=10), {}),
    "the vendor searches and reads": (Usage(300_000, completion=9), {"body": HOSTED}),
    "and writes several turns": (Usage(9, completion=900), {"body": HOSTED, "max_tokens": 100}),
    "a picture": (Usage(9, completion=3, image_completion=1_290), {"max_tokens": 10}),
    "thirty searches": (Usage(9, completion=9, units={"web_search": 30}), {}),
    "bytes for characters": (Usage(9, units={"character": 400}), {"units": {"character": 100}}),
}


@pytest.mark.parametrize("row", TRUE.values(), ids=list(TRUE))
def test_what_can_be_is_billed_as_reported(pipeline: Pipeline, row: tuple[Usage, dict[str, Any]]) -> None:
    """Surprising, but true of some vendor."""
    usage, more = row
    made = generation(pipeline, usage, **more)
    settlement = made._conclude("complete")
    assert (settlement.implausible, settlement.disputed_nano) == (False, 0)
    assert settlement.usage == usage


@pytest.mark.parametrize(
    "usage",
    [Usage(100_000), Usage(9, cache_read=100_000), Usage(9, cache_write_1h=10_000), Usage(9, audio_prompt=5_000)],
)
def test_a_prompt_that_cannot_be(pipeline: Pipeline, usage: Usage) -> None:
    """Five letters are no hundred thousand tokens, of whatever kind: our own count is billed."""
    assert billed(generation(pipeline, usage)) == (OURS, 0, True)


UNITS = [
    ("web_search", 10**8, None, 100),
    ("image_output", 5_000, None, 10),
    ("image_output", 40, 4, 4),
    ("audio_ms", 10**12, 60_000, 60_000),
    ("character", 900, 100, 100),
    ("search_unit", 50, 3, 3),
    ("unheard_of", 7, None, 0),
]


@pytest.mark.parametrize(("kind", "count", "ours", "expected"), UNITS)
def test_units_that_cannot_be(pipeline: Pipeline, kind: str, count: int, ours: int | None, expected: int) -> None:
    """Four times our own count, or what no answer has: then our own count, or that."""
    made = generation(pipeline, Usage(9, units={kind: count}), units=None if ours is None else {kind: ours})
    settlement = made._conclude("complete")
    assert settlement.implausible
    assert settlement.usage.units == {kind: expected}


@pytest.mark.parametrize(("usd", "expected"), [("0.05", 50_000_000), ("0.5", 29_000), ("9999", 29_000)])
def test_a_price_that_cannot_be(pipeline: Pipeline, usd: str, expected: int) -> None:
    """The vendor's own figure is its word, up to four times the catalogue's price and ten cents; beyond, the catalogue's is billed."""
    made = generation(pipeline, Usage(9, completion=10, cost_usd=Decimal(usd)), options={"reports_cost": True})
    settlement = made._conclude("complete")
    assert settlement.posting.cost_nano == expected
    assert settlement.posting.want_nano == expected + settlement.posting.fee_nano
    assert settlement.disputed_nano == (int(Decimal(usd) * 10**9) - expected if settlement.implausible else 0)


def test_the_price_of_a_report_that_cannot_be(pipeline: Pipeline) -> None:
    """It is that of its tokens, so it is not believed either."""
    usage = Usage(9, completion=100_000, cost_usd=Decimal("0.09"))
    settlement = generation(pipeline, usage, max_tokens=5, options={"reports_cost": True})._conclude("complete")
    assert settlement.posting.cost_nano == 9 * 1_000 + 5 * 2_000


def test_no_report_makes_a_line_that_the_ledger_refuses(pipeline: Pipeline) -> None:
    """Whatever is reported, of an answer of whatever size, every outcome has a posting, also for a heartbeat."""
    for usage in (Usage(10**8, completion=10**8), Usage(9, units={"web_search": 10**8}), Usage(10**8, interim=True)):
        made = generation(pipeline, usage, size_bytes=10**18)
        assert made.checkpoint().want_nano <= LINE_MAX_NANO
        for outcome in ("complete", "caller_left", "upstream_failed", "credit_exhausted"):
            posting = made._conclude(outcome).posting  # type: ignore[arg-type]
            assert 0 <= posting.want_nano <= LINE_MAX_NANO


def test_a_prompt_is_measured_as_the_rows_say(pipeline: Pipeline) -> None:
    """The figures above follow from this."""
    prompt: Prompt = served(pipeline).request.prompt
    assert prompt.tokens == OURS


SAYS = "word " * 20_000
REPLAYED: dict[str, dict[str, Any]] = {
    "reasoning": {"messages": [{"role": "assistant", "content": "a", "reasoning": SAYS}]},
    "reasoning_content": {"messages": [{"role": "assistant", "content": "a", "reasoning_content": SAYS}]},
    "reasoning_details": {
        "messages": [{"role": "assistant", "reasoning_details": [{"type": "reasoning.text", "text": SAYS}]}]
    },
    "calls alone": {
        "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": SAYS}}]}]
    },
    "calls and reasoning": {
        "messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}], "reasoning": SAYS}]
    },
    "a name": {"messages": [{"role": "user", "content": "a", "name": SAYS}]},
}
BESIDE: dict[str, dict[str, Any]] = {
    "documents": {"documents": [{"text": SAYS}]},
    "an unknown field": {"chat_template_kwargs": {"system": SAYS}},
    "options of a provider": {"provider": {"options": {"alpha": {"documents": [SAYS]}}}},
}


@pytest.mark.parametrize("what", [*REPLAYED, *BESIDE])
def test_all_that_a_vendor_may_read_is_held_and_billed(pipeline: Pipeline, what: str) -> None:
    """A vendor counts 20,000 tokens of what stands beside the contents: that is within the hold, and is billed as it is."""
    body = {"model": "t/a", "messages": [{"role": "user", "content": "hi"}], **(REPLAYED | BESIDE)[what]}
    prompt = prompt_size.measure(body)
    assert prompt.bounds([("t/a", None)])[0] > 20_000
    made = generation(pipeline, Usage(20_000, completion=5), body=body)
    made.request = structs.replace(made.request, prompt=prompt)
    assert billed(made) == (20_000, 5, False)


@pytest.mark.parametrize("what", REPLAYED)
def test_replayed_turns_are_billed_where_nobody_counts(what: str) -> None:
    """As when the caller leaves before the first content."""
    assert prompt_size.measure({"model": "t/a", **REPLAYED[what]}).tokens > 20_000


def flac(samples: int, size: int) -> bytes:
    """At 16 kHz, mono, 16 bits; says that it has so many samples."""
    stated = (16_000 << 44 | 15 << 36 | samples).to_bytes(8, "big")
    return (b"fLaC\0\0\0\x22" + bytes(10) + stated).ljust(size, b"\1")


@pytest.mark.parametrize("minutes", [0, 1, 10])
def test_a_recording_that_lies(pipeline: Pipeline, minutes: int) -> None:
    """2 MB of FLAC that last ten minutes, whatever the file says: the hold covers them, and they are billed as reported."""
    data = base64_text.encoded(flac(minutes * 60 * 16_000 or 1, 2 * 2**20))
    prompt = token_estimate.measure("transcription", {"input_audio": {"data": data, "format": "flac"}})
    assert prompt.units is not None
    assert prompt.units_most is not None
    assert prompt.units["audio_ms"] == max(minutes * 60_000, 1_821)
    assert 600_000 <= prompt.units_most["audio_ms"] < 1_200_000
    made = generation(pipeline, Usage(0, units={"audio_ms": 600_000}), body={"input_audio": {}})
    made.request = structs.replace(made.request, prompt=prompt, operation="transcription")
    assert (made._conclude("complete").usage.units or {})["audio_ms"] == 600_000
