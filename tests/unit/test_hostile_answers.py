"""A vendor's answer is untrusted input: whatever stands in whichever field of its answer, it is refused as the vendor's failure or it can
be priced, recorded and written out. A third outcome would be an error of the gateway, after the caller was charged."""

from __future__ import annotations

import copy
import dataclasses
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway import prompt_size, records
from gateway.api.inference.chat.completions import ChatCompletions, ChatEncoder
from gateway.background import BackgroundSettlements
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.health.registry import HealthRegistry
from gateway.health.retry_budget import RetryBudget
from gateway.pipeline.attempts import Attempt
from gateway.pipeline.generation import Generation
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.request import InferenceRequest
from gateway.pipeline.settlement import record
from gateway.services import Services
from gateway.settings import Settings
from gateway.store.policy import KeyPolicy
from gateway.telemetry import Telemetry
from providers import registry
from providers.errors import ProviderError
from tests.support.gateway import Sale, write_catalog

WEIRD: list[Any] = [None, [], {}, "", "x", 1, -1, 1.5, True, 10**30, [None], [1], ["x"], [{}], {"a": 1}, {"a": None}]
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}
CHUNK: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}],
}
CHOICE = [
    ("choices",),
    ("choices", 0),
    ("choices", 0, "index"),
    ("choices", 0, "finish_reason"),
    ("choices", 0, "logprobs"),
]
WHOLE = [("id",), ("created",), ("model",), ("object",), ("system_fingerprint",), ("usage",), ("error",)]
USAGE = [
    ("usage", "prompt_tokens"),
    ("usage", "completion_tokens"),
    ("usage", "prompt_tokens_details"),
    ("usage", "cost"),
]
FIELDS = (
    "role",
    "content",
    "tool_calls",
    "reasoning",
    "reasoning_content",
    "refusal",
    "images",
    "annotations",
    "audio",
)


def paths(part: str) -> list[tuple[Any, ...]]:
    """Every place of an answer that is tried."""
    content = [("choices", 0, part), *(("choices", 0, part, field) for field in FIELDS)]
    return [*WHOLE, *CHOICE, *content, *(USAGE if part == "message" else [])]


def with_value(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> bytes:
    changed: Any = copy.deepcopy(body)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return msgspec.json.encode(changed)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    directory: Path = tmp_path_factory.mktemp("config")
    catalog = load(write_catalog(directory, {"alpha": "http://127.0.0.1:1/v1"}, [Sale("t/a", "alpha")]), {})
    settings, telemetry = Settings(config_dir=directory, data_dir=directory), Telemetry("error")
    only = {
        "settings": settings,
        "telemetry": telemetry,
        "catalog": Catalogs(catalog),
        "health": HealthRegistry(time.time),
        "retry_budget": RetryBudget(),
        "background": BackgroundSettlements(),
    }
    services = Services(**{field.name: only.get(field.name) for field in dataclasses.fields(Services)})
    return Pipeline(services, rng=random.Random(1))


class Catalogs(NamedTuple):
    """A catalogue that is never reloaded."""

    current: Catalog


def served(pipeline: Pipeline) -> Generation:
    """A generation whose only candidate has just answered."""
    body = {"model": "t/a", "messages": [{"role": "user", "content": "hello"}]}
    policy = KeyPolicy("a" * 64, "default", 1, False, None, "none", None, "name", "label")
    request = InferenceRequest(
        id="gen-1-x",
        created_at=1.0,
        started=time.perf_counter(),
        caller=policy,
        body=body,
        prompt=prompt_size.measure(body),
        max_tokens=None,
        stream=False,
        surface="chat_completions",
    )
    plan = pipeline.plan(request)
    generation = pipeline._prepare(request, plan)
    generation.attempts.candidate = plan.candidates[0]
    generation.attempts.made.append(Attempt(plan.candidates[0], time.perf_counter(), "ok", 200))
    return generation


def conclude(generation: Generation) -> None:
    generation.settlement = generation._conclude("complete")
    records.encode(record(generation.request, generation.attempts, generation.delivered, generation.settlement))


@pytest.mark.parametrize("path", paths("message"), ids=lambda path: ".".join(map(str, path)))
def test_whole_answers(pipeline: Pipeline, path: tuple[Any, ...]) -> None:
    """JSON: each of the values in this place."""
    dialect = registry.dialect("openai")
    for value in WEIRD:
        generation = served(pipeline)
        try:
            generation.attempts.completion = dialect.completion(with_value(ANSWER, path, value))
        except ProviderError:
            continue
        generation.opened()
        conclude(generation)
        assert msgspec.json.encode(ChatCompletions.answer(ChatCompletions.__new__(ChatCompletions), generation))


@pytest.mark.parametrize("path", paths("delta"), ids=lambda path: ".".join(map(str, path)))
def test_events(pipeline: Pipeline, path: tuple[Any, ...]) -> None:
    """SSE: each of the values in this place."""
    for value in WEIRD:
        generation = served(pipeline)
        decoder = registry.dialect("openai").decoder()
        try:
            events = decoder.feed(b"data: " + with_value(CHUNK, path, value) + b"\n\n")
        except ProviderError:
            continue
        for event in events:
            generation.delivered.event(event)
        conclude(generation)
        assert isinstance(ChatEncoder(generation).events(events), bytes)
