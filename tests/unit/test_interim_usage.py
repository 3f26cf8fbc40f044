"""A usage that came before the end of its answer never settles less than what was delivered, in any dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from gateway import prompt_size
from gateway.pipeline.attempts import Attempt
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from providers import registry
from providers.errors import ProviderError, failed
from providers.types import Call, Clocks, HttpRequest, HttpResponse, Target, Usage
from tests.support import dialectcases as cases
from tests.support.dialectsheets import SHEETS
from tests.unit.test_hostile_answers import pipeline, served
from tests.wire.bedrock import frames

__all__ = ["pipeline"]

PIECES = 250
"""Pieces of four bytes, each our token."""
OURS = prompt_size.measure({"messages": [{"role": "user", "content": "hello"}]}).tokens
"""Our count of the prompt of ``served``."""


class Row(NamedTuple):
    """Documents of a stream, and what is billed when it breaks off behind ``PIECES`` times ``text``."""

    dialect: str
    head: list[Any]
    text: Any
    prompt: int
    """Billed; all kinds."""
    tail: Sequence[Any] = ()
    """The end of the complete answer, with a final report of 11 prompt and 300 completion tokens."""
    completion: int = PIECES


def chunk(delta: Any, **more: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": 0, "delta": delta}], **more}


def reported(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


TEXT = chunk({"content": "abcd"})
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
END = [STOP, {"choices": [], "usage": reported(11, 300)}]
CLAUDE_TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "abcd"}}
CLAUDE_END = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 11, "output_tokens": 300},
    },
    {"type": "message_stop"},
]


def claude(**usage: int) -> list[Any]:
    return [
        {"type": "message_start", "message": {"id": "m", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]


def gemini(finish: str | None = None, **usage: int) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"parts": [{"text": "" if finish else "abcd"}]}}
    report = {"usageMetadata": usage} if usage else {}
    return {"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}], **report}


BEDROCK_TEXT = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "abcd"}}}
BEDROCK_END = [
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 11, "outputTokens": 300}}},
]
COHERE_TEXT = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "abcd"}}}}
GEMINI_END = [gemini("STOP", promptTokenCount=11, candidatesTokenCount=300, totalTokenCount=311)]
OLLAMA_TEXT = {"message": {"content": "abcd"}, "done": False, "prompt_eval_count": 11, "eval_count": 1}
RESPONSES_TEXT = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "abcd"}
RESPONSES_HEAD = {"type": "response.created", "response": {"id": "r", "usage": {"input_tokens": 9, "output_tokens": 1}}}
RESPONSES_END = {"input_tokens": 11, "output_tokens": 300}

ROWS = {
    "openai: in the first chunk": Row("openai", [chunk({"role": "assistant"}, usage=reported(10, 1))], TEXT, 10, END),
    "openai: zeros in the first chunk": Row("openai", [chunk({}, usage=reported(0, 0))], TEXT, OURS, END),
    "openai: before any choice": Row("openai", [{"choices": [], "usage": reported(10, 0)}], TEXT, 10, END),
    "openai: with its price": Row("openai", [chunk({}, usage=reported(10, 1, cost=1e-9))], TEXT, 10, END),
    "openai: always the same": Row("openai", [], chunk({"content": "abcd"}, usage=reported(10, 1)), 10, END),
    "openai: continuous and above ours": Row(
        "openai", [], chunk({"content": "abcd"}, usage=reported(10, 280)), 10, END, completion=280
    ),
    "openai: none": Row("openai", [], TEXT, OURS, END),
    "azure": Row("azure", [chunk({}, usage=reported(10, 1))], TEXT, 10, END),
    "mistral": Row("mistral", [chunk({}, usage=reported(10, 1, num_cached_tokens=4))], TEXT, 10, END),
    "openrouter": Row("openrouter", [chunk({}, usage=reported(10, 1, cost=1e-9, is_byok=False))], TEXT, 10, END),
    "groq": Row("openai", [chunk({}, x_groq={"usage": reported(10, 1)})], TEXT, 10, END),
    "anthropic: one token": Row("anthropic", claude(input_tokens=10, output_tokens=1), CLAUDE_TEXT, 10, CLAUDE_END),
    "anthropic: the prompt in a cache": Row(
        "anthropic",
        claude(input_tokens=2, cache_read_input_tokens=8, output_tokens=1),
        CLAUDE_TEXT,
        10,
        [{**CLAUDE_END[0], "usage": {"input_tokens": 3, "output_tokens": 300}}, CLAUDE_END[1]],
    ),
    "anthropic: no prompt yet": Row(
        "anthropic", claude(input_tokens=0, output_tokens=0), CLAUDE_TEXT, OURS, CLAUDE_END
    ),
    "anthropic: a delta without a reason": Row(
        "anthropic",
        [
            *claude(input_tokens=10, output_tokens=1),
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
        ],
        CLAUDE_TEXT,
        10,
        CLAUDE_END,
    ),
    "vertex-anthropic": Row("vertex-anthropic", claude(input_tokens=10, output_tokens=1), CLAUDE_TEXT, 10, CLAUDE_END),
    "gemini: the prompt alone": Row("gemini", [gemini(promptTokenCount=10)], gemini(), 10, GEMINI_END, PIECES + 1),
    "gemini: a first count": Row(
        "gemini", [gemini(promptTokenCount=10, candidatesTokenCount=1)], gemini(), 10, GEMINI_END, PIECES + 1
    ),
    "gemini: thoughts above ours": Row(
        "gemini", [gemini(promptTokenCount=10, thoughtsTokenCount=280)], gemini(), 10, GEMINI_END, completion=280
    ),
    "vertex": Row("vertex", [gemini(promptTokenCount=10)], gemini(), 10, GEMINI_END, PIECES + 1),
    "bedrock: early metadata": Row(
        "bedrock", [{"metadata": {"usage": {"inputTokens": 10, "outputTokens": 1}}}], BEDROCK_TEXT, 10, BEDROCK_END
    ),
    "bedrock: none": Row("bedrock", [{"messageStart": {"role": "assistant"}}], BEDROCK_TEXT, OURS, BEDROCK_END),
    "cohere": Row(
        "cohere",
        [{"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}}],
        COHERE_TEXT,
        OURS,
        [
            {
                "type": "message-end",
                "delta": {
                    "finish_reason": "COMPLETE",
                    "usage": {"billed_units": {"input_tokens": 11, "output_tokens": 300}},
                },
            }
        ],
    ),
    "ollama: counts in each line": Row(
        "ollama",
        [],
        OLLAMA_TEXT,
        OURS,
        [{"message": {}, "done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 300}],
    ),
    "responses: in the first event": Row(
        "responses",
        [RESPONSES_HEAD],
        RESPONSES_TEXT,
        OURS,
        [{"type": "response.completed", "response": {"id": "r", "status": "completed", "usage": RESPONSES_END}}],
    ),
}


def written(row: Row, documents: list[Any]) -> list[bytes]:
    """The documents as the vendor's bytes."""
    if row.dialect == "bedrock":
        return [frames.line(json.dumps(one)) for one in documents]
    if row.dialect == "ollama":
        return [json.dumps(one).encode() + b"\n" for one in documents]
    return [b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents]


def delivered(pipeline: Pipeline, row: Row, *, pieces: int = PIECES, whole: bool = False) -> Generation:
    """A generation that has handed over so much of the row's stream."""
    generation, decoder = served(pipeline), registry.dialect(row.dialect).decoder()
    events = []
    for piece in written(row, [*row.head, *[row.text] * pieces, *(row.tail if whole else ())]):
        events += decoder.feed(piece)
    if whole and not decoder.done:
        events += decoder.close()
    for event in events:
        generation.delivered.event(event)
    return generation


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_what_was_delivered_is_billed_at_least(pipeline: Pipeline, row: Row) -> None:
    """However the answer breaks off: prompt and output are the vendor's figures or ours, whichever count more, and so is the cost.

    2,000 tokens of Claude were sold for the one that ``message_start`` counts.
    """
    generation = delivered(pipeline, row)
    for outcome in ("caller_left", "upstream_failed", "credit_exhausted", "shutdown"):
        settlement = generation._conclude(outcome)
        usage, posting = settlement.usage, settlement.posting
        assert (usage.prompt_total, usage.completion_total) == (row.prompt, row.completion)
        reported_all = row.completion not in (PIECES, PIECES + 1)
        assert usage.estimated is not reported_all
        assert posting.cost_nano == settlement.bill.cost_nano >= row.prompt * 1000 * 8 // 10 + row.completion * 2000
        assert posting.want_nano == posting.cost_nano + posting.fee_nano
    assert generation.checkpoint() == generation._conclude("shutdown").posting


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_the_final_report_is_billed_as_it_is(pipeline: Pipeline, row: Row) -> None:
    """The end of the answer has the last word, below our own count too, also for a caller who left before it."""
    for outcome in ("complete", "caller_left"):
        usage = delivered(pipeline, row, whole=True)._conclude(outcome).usage
        assert (usage.prompt_total, usage.completion_total, usage.estimated) == (11, 300, False)
        few = delivered(pipeline, row, pieces=PIECES * 2, whole=True)._conclude(outcome).usage
        assert (few.completion_total, few.interim) == (300, False)


@pytest.mark.parametrize(
    "row",
    [
        Row("openai", [chunk({}, usage=reported(10, 1))], TEXT, 10, [STOP]),
        Row("openai", [chunk({}, usage=reported(10, 1))], TEXT, 10, [STOP, {"choices": [], "usage": reported(0, 0)}]),
        Row("anthropic", claude(input_tokens=10, output_tokens=1), CLAUDE_TEXT, 10, [{**CLAUDE_END[0], "usage": None}]),
        Row(
            "anthropic",
            claude(input_tokens=10, output_tokens=1),
            CLAUDE_TEXT,
            10,
            [{**CLAUDE_END[0], "usage": {"input_tokens": 10}}],
        ),
        Row("gemini", [], gemini(promptTokenCount=10), 10, [gemini("STOP")]),
    ],
    ids=["openai", "openai, zeros at the end", "anthropic", "anthropic, prompt only", "gemini"],
)
def test_a_complete_answer_without_a_final_report(pipeline: Pipeline, row: Row) -> None:
    """A vendor that only reported at the beginning is not believed about what came after it."""
    usage = delivered(pipeline, row, whole=True)._conclude("complete").usage
    assert (usage.prompt_total, usage.completion_total, usage.estimated) == (10, PIECES, True)


def test_what_the_operator_bears_is_in_the_books(pipeline: Pipeline) -> None:
    """The vendor failed before it delivered anything, so the caller pays nothing: the prompt that the vendor has counted is the
    operator's loss. It is the caller's who did not wait."""
    for head, cost_nano in (
        (claude(input_tokens=2_000, output_tokens=1), 2_000_000 + 2_000),
        (claude(input_tokens=0, output_tokens=0), OURS * 1000),
    ):
        generation = delivered(pipeline, Row("anthropic", head, CLAUDE_TEXT, 0), pieces=0)
        posting = generation._conclude("upstream_failed").posting
        assert (posting.cost_nano, posting.fee_nano, posting.want_nano) == (cost_nano, 0, 0)
        posting = generation._conclude("caller_left").posting
        assert (posting.cost_nano, posting.want_nano) == (cost_nano, cost_nano + cost_nano // 20)


def test_an_interim_price_is_not_the_price(pipeline: Pipeline) -> None:
    """The vendor's own figure for the first token is dropped with its count; a figure for all of it is kept."""
    row = ROWS["openrouter"]
    assert delivered(pipeline, row)._conclude("caller_left").usage.cost_usd is None
    assert delivered(pipeline, row, pieces=1)._conclude("caller_left").usage.cost_usd == Decimal("1E-9")


ERROR = {"code": 502, "type": "server_error", "message": "no"}
RESPONSES_USAGE = {"input_tokens": 7, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}}
GEMINI_USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12}
COHERE_USAGE = {"billed_units": {"input_tokens": 7, "output_tokens": 5}}


def failed_response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "r", "status": status, "output": [], "usage": RESPONSES_USAGE, **more}


BAD_CALL = {"content": {"parts": []}, "finishReason": "MALFORMED_FUNCTION_CALL"}
FAILURES: dict[str, tuple[str, Any, Any]] = {
    "openai": ("openai", {"error": ERROR, "usage": reported(7, 5)}, {"error": ERROR, "usage": reported(7, 5)}),
    "openai: a finish reason": (
        "openai",
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}], "usage": reported(7, 5)},
        {"choices": [{"index": 0, "message": {}, "finish_reason": "error"}], "usage": reported(7, 5)},
    ),
    "openai: no choices": ("openai", None, {"choices": [], "usage": reported(7, 5)}),
    "openrouter": (
        "openrouter",
        {"error": ERROR, "choices": [], "usage": reported(7, 5)},
        {"error": ERROR, "choices": [], "usage": reported(7, 5)},
    ),
    "responses: failed": (
        "responses",
        {"type": "response.failed", "response": failed_response("failed", error=ERROR)},
        failed_response("failed", error=ERROR),
    ),
    "responses: cancelled": (
        "responses",
        {"type": "response.cancelled", "response": failed_response("cancelled")},
        failed_response("cancelled"),
    ),
    "responses: completed, but failed": (
        "responses",
        {"type": "response.completed", "response": failed_response("failed", error=ERROR)},
        failed_response("completed", error=ERROR),
    ),
    "responses: an error event": ("responses", {"type": "error", "error": ERROR, "usage": RESPONSES_USAGE}, None),
    "anthropic": (
        "anthropic",
        {"type": "error", "error": ERROR, "usage": {"input_tokens": 7, "output_tokens": 5}},
        {"type": "error", "error": ERROR, "usage": {"input_tokens": 7, "output_tokens": 5}},
    ),
    "gemini": (
        "gemini",
        {"error": {"code": 500, "message": "no"}, "usageMetadata": GEMINI_USAGE},
        {"error": {"code": 500, "message": "no"}, "usageMetadata": GEMINI_USAGE},
    ),
    "gemini: a finish reason": (
        "gemini",
        {"candidates": [BAD_CALL], "usageMetadata": GEMINI_USAGE},
        {"candidates": [BAD_CALL], "usageMetadata": GEMINI_USAGE},
    ),
    "cohere": (
        "cohere",
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "usage": COHERE_USAGE}},
        {"message": {"content": []}, "finish_reason": "TIMEOUT", "usage": COHERE_USAGE},
    ),
}
"""(dialect, last document of a stream, whole answer), each with an error and 7 and 5 tokens."""


class Answering(NamedTuple):
    """An ``Upstream`` that answers every call with the same body."""

    content: bytes

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        return HttpResponse(200, {"content-type": "application/json"}, self.content)


async def error_of(name: str, how: str) -> ProviderError | None:
    """The error of one row, as a stream or as a whole answer."""
    dialect, event, answer = FAILURES[name]
    document = answer if how == "json" else event
    if document is None:
        pytest.skip("not in this form")
    if how == "stream":
        return cases.decode(registry.dialect(dialect), written(Row(dialect, [], None, 0), [document]))[1]
    call = Call({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    upstream: Any = Answering(json.dumps(document).encode())
    with pytest.raises(ProviderError) as caught:
        await registry.dialect(dialect).complete(upstream, Target("acme", "http://x.test", "m"), call, Clocks())
    return caught.value


@pytest.mark.parametrize("how", ["stream", "json"])
@pytest.mark.parametrize("name", list(FAILURES))
async def test_the_usage_of_a_failure_is_the_loss(pipeline: Pipeline, name: str, how: str) -> None:
    """A vendor that fails and says what it has counted may bill that: not our own estimate, and not nothing."""
    error = await error_of(name, how)
    assert error is not None
    assert error.usage is not None
    assert (error.usage.prompt_total, error.usage.completion_total) == (7, 5)
    pipeline.services.health._endpoints.clear()
    generation = served(pipeline)
    attempts = generation.attempts
    failing = Attempt(attempts.plan.candidates[0], 0.0)
    attempts.made.insert(0, failing)
    attempts.note_failure(failing, error)
    (loss,) = generation._conclude("complete").losses
    assert (loss.cost_nano, loss.want_nano) == (7 * 1000 + 5 * 2000, 0)


@pytest.mark.parametrize(
    ("kind", "usage", "loss_nano"),
    [
        ("cut", None, OURS * 1000),
        ("rate_limited", None, 0),
        ("cut", Usage(prompt=7, completion=5), 17_000),
        ("rate_limited", Usage(prompt=7, completion=5), 17_000),
        ("cut", Usage(), 0),
        ("cut", Usage(prompt=7, interim=True), 7_000),
        ("cut", Usage(interim=True), OURS * 1000),
        ("cut", Usage(prompt=7, suspect=True), OURS * 1000),
    ],
)
def test_what_a_failed_attempt_costs(pipeline: Pipeline, kind: str, usage: Usage | None, loss_nano: int) -> None:
    """The vendor's count where it can be true; else our count of the prompt, if the vendor may bill such a failure."""
    pipeline.services.health._endpoints.clear()
    generation = served(pipeline)
    attempts = generation.attempts
    failing = Attempt(attempts.plan.candidates[0], 0.0)
    attempts.made.insert(0, failing)
    attempts.note_failure(failing, failed(kind, "no").reporting(usage))
    losses = generation._conclude("complete").losses
    assert [(each.cost_nano, each.want_nano) for each in losses] == ([(loss_nano, 0)] if loss_nano else [])


FINISHES_TWICE = ("repeated-stop",)
"""Gemini once sent its finish reason before the last text."""


@pytest.mark.parametrize("name", SHEETS)
def test_recorded_reports_are_final_at_the_end_only(name: str) -> None:
    """In every recording of a dialect: a report that content follows is interim; the last one of a whole stream is not."""
    for recording, stream in SHEETS[name].streams.items():
        events, error = cases.decode(SHEETS[name].dialect, [stream.raw])
        last_content = max((place for place, event in enumerate(events) if event.content), default=0)
        before = [event.usage for event in events[:last_content] if event.usage is not None]
        assert all(usage.interim for usage in before) or recording in FINISHES_TWICE, recording
        reports = [event.usage for event in events if event.usage is not None]
        assert error is not None or not reports or not reports[-1].interim, recording
