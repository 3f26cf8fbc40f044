"""What a request needs: candidates by their own limits, what a vendor reads, what no limit limits."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.accounts import KeyPolicy
from gateway.pipeline import hold
from gateway.pipeline.request import InferenceRequest
from gateway.prompt_size import Prompt, measure
from gateway.routing.plan import Plan
from gateway.settings import Settings
from tests.support.market import decide, endpoint, model, provider

SETTINGS = Settings(default_max_tokens=100, fee_percent=0)
CALLER = KeyPolicy("0" * 64, "org", 1, False, None, "none", None, "test", "test")
PLAIN = frozenset({"max_tokens", "temperature"})
THINKS = PLAIN | {"reasoning"}
LATE = provider("late", cancel_stops_billing=False)
EXTRA = {"options": {"max_tokens_excludes_reasoning": True}}


def plan(*endpoints: Any) -> Plan:
    return decide(model(*endpoints))


def request(
    max_tokens: int | None = None, *, stream: bool = False, prompt: Prompt | None = None, **more: Any
) -> InferenceRequest:
    body = {"messages": [{"role": "user", "content": "hi"}], **more}
    return InferenceRequest(
        id="gen-1", created_at=0.0, started=0.0, caller=CALLER,
        body=body, prompt=prompt or measure(body), max_tokens=max_tokens, stream=stream, surface="chat",
    )  # fmt: skip


ROWS: dict[str, tuple[Any, InferenceRequest, int, int]] = {
    "a limit": (endpoint("a", supported_parameters=PLAIN), request(50), 50, 50),
    "a limit above what it writes": (endpoint("a", max_completion_tokens=30, supported_parameters=PLAIN), request(50), 30, 30),
    "no limit": (endpoint("a", max_completion_tokens=500, supported_parameters=PLAIN), request(), 100, 500),
    "no limit anywhere": (endpoint("a", supported_parameters=PLAIN), request(), 100, 8_000),
    "a limit beyond the context": (endpoint("a", max_completion_tokens=9_000, supported_parameters=PLAIN), request(), 100, 8_000),
    "writes less than the least": (endpoint("a", max_completion_tokens=30, supported_parameters=PLAIN), request(), 30, 30),
    "a stream that shows its cost": (endpoint("a", supported_parameters=PLAIN), request(stream=True), 100, 100),
    "a stream with hidden reasoning": (endpoint("a", supported_parameters=THINKS), request(stream=True), 100, 8_000),
    "a stream of nothing known": (endpoint("a"), request(stream=True), 100, 8_000),
    "a stream that is billed on": (endpoint(LATE, supported_parameters=PLAIN), request(stream=True), 100, 8_000),
    "reasoning beside the limit": (endpoint("a", max_completion_tokens=500, supported_parameters=THINKS, **EXTRA), request(50), 550, 550),
    "the same without reasoning": (endpoint("a", max_completion_tokens=500, supported_parameters=PLAIN, **EXTRA), request(50), 50, 50),
    "reasoning beside no limit": (endpoint("a", max_completion_tokens=500, supported_parameters=THINKS, **EXTRA), request(), 600, 1_000),
    "a prediction": (endpoint("a", supported_parameters=PLAIN), request(50, prediction={"type": "content", "content": "x" * 69}), 150, 150),
}  # fmt: skip
"""Endpoint, request, and output tokens at least and in all."""


@pytest.mark.parametrize("name", ROWS)
def test_output_tokens(name: str) -> None:
    sold, asked, least, most = ROWS[name]
    found = hold.need(asked, plan(sold), SETTINGS)
    assert (found.tokens, found.most_tokens) == (least, most)
    assert found.least_nano <= found.amount_nano
    assert (found.least_nano == found.amount_nano) == (least == most)
    assert hold.covered(found, found.amount_nano, asked, SETTINGS) is None
    if least < most:
        told = hold.covered(found, found.least_nano, asked, SETTINGS)
        assert told is not None
        assert least - found.beside <= told < most


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 8_000),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, 8_000),
        ({"tools": [{"type": "mcp", "server_url": "https://example.com"}]}, 8_000),
        ({"web_search_options": {}}, 8_000),
        ({"plugins": [{"id": "web"}]}, 8_000),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 2_300),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 1_300),
        ({}, 400),
    ],
)
def test_what_a_vendor_reads_fills_the_context(more: dict[str, Any], tokens: int) -> None:
    """Its own tools put into the prompt what is not in the request; other tools cost what they say."""
    found = hold.need(request(50, **more), plan(endpoint("a")), SETTINGS)
    assert tokens * 0.7 <= found.worst[0].prompt <= tokens + 1_024 * (tokens == 8_000)


def test_each_candidate_counts_by_itself() -> None:
    """The dearest decides, with its own limit and context."""
    cheap = endpoint("a", 1, max_completion_tokens=8_000)
    dear = endpoint("b", 100, max_completion_tokens=200)
    found = hold.need(request(), plan(cheap, dear), SETTINGS)
    assert sorted(each.completion for each in found.worst) == [200, 8_000]
    alone = hold.need(request(), plan(dear), SETTINGS)
    assert found.amount_nano == alone.amount_nano
