"""The worked example of docs/writing-a-provider.md is code that runs: its dialect reads the bytes of the skeleton's made-up vendor."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.cli.new_dialect import SKELETON
from providers.base import Dialect
from providers.errors import ProviderError
from providers.types import HttpResponse, Target
from tests.support import dialectcases as cases
from tests.support.process import ROOT

WIRE = SKELETON / "tests/wire/acme"


@pytest.fixture(scope="module")
def acme() -> Dialect:
    """The dialect of the page."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/writing-a-provider.md").read_text(), flags=re.M | re.S)
    assert sum(1 for line in code.splitlines() if line) <= 65, "an example is read in one go"
    names: dict[str, Any] = {}
    exec(compile(code, "docs/writing-a-provider.md", "exec"), names)
    made: Dialect = names["Acme"]()
    return made


def document(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WIRE / f"{path}.json.txt").read_text("utf-8"))
    found.pop("source")
    return found


def test_it_makes_requests(acme: Dialect) -> None:
    """A conversation becomes the vendor's turns; what the format cannot express goes to another endpoint."""
    target = Target("acme", "https://api.acme.example/v1", "large-1", api_key="key-1")
    body = {"model": "a/b", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    request = acme.request(target, body, stream=True)
    assert request.url == "https://api.acme.example/v1/generate"
    expected = {"model": "large-1", "turns": [{"from": "user", "text": "hi"}], "stream": True}
    assert json.loads(request.content) == expected
    limited = acme.request(target, {**body, "max_tokens": 5, "stop": "x", "n": 1, "tools": []}, stream=True)
    assert json.loads(limited.content) == {**expected, "max_tokens": 5, "stop": ["x"]}
    refused: list[dict[str, Any]] = [
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"messages": [{"role": "tool", "content": "1", "tool_call_id": "c"}]},
    ]
    for more in refused:
        with pytest.raises(ProviderError, match=next(iter(more))) as caught:
            acme.request(target, {**body, **more}, stream=False)
        assert caught.value.failure.kind == "unsupported"


def test_it_reads_answers(acme: Dialect) -> None:
    """A whole answer means what the recording says, in the inner language that strict clients can read."""
    case = document("answers/text")
    answer = acme.completion(json.dumps(case["body"]).encode())
    assert cases.summary_of_completion(answer) == case["expected"]
    cases.strict_whole(answer)


@pytest.mark.parametrize("size", [1, 11, 10_000])
def test_it_reads_streams(acme: Dialect, size: int) -> None:
    """So does a stream, however it is cut; errors and early ends are failures that keep what came before."""
    for name in ("text", "error-middle", "error-cut"):
        raw, expected = (WIRE / f"streams/{name}.sse.txt").read_bytes(), document(f"streams/{name}")
        events, error = cases.decode(acme, [raw[at : at + size] for at in range(0, len(raw), size)])
        cases.strict(events)
        if error is None:
            assert cases.summary(events) == expected
        else:
            assert {"error": error.failure.kind, "before": sum(event.content for event in events)} == expected


def test_it_reads_errors(acme: Dialect) -> None:
    """A refusal is its row of the taxonomy, with the pause that the vendor asks for; an error inside a 200 is one too."""
    case = document("errors/rate-limit")
    error = acme.failure(HttpResponse(case["status"], case["headers"], json.dumps(case["body"]).encode()))
    assert (error.failure.kind, error.retry_after_s) == (case["kind"], case["retry_after_s"])
    inside = document("errors/error-200")
    assert cases.failure_of(acme, inside).failure.kind == inside["kind"]
