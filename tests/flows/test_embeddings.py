"""``POST /embeddings`` over real sockets: shape, both encodings, the bill, and what is refused."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openrouter.operations.createembeddings import CreateEmbeddingsResponseBody

from tests.support.gateway import Stage
from tests.support.invariants import calm, our_tasks
from tests.support.operations import billed, opened, post, sale, settled
from tests.support.wireshape import refused

MODEL = "t/embedder"


async def stage_of(gateway: Callable[..., Any], patch: pytest.MonkeyPatch, *ids: str, **options: Any) -> Stage:
    """One vendor per upstream id, first come first tried, all selling the same model at $0.02 a million tokens."""
    names = ("alpha", "beta", "gamma")
    sales = [
        sale(MODEL, name, "embeddings", one, prompt="0.02", completion="0")
        for name, one in zip(names, ids, strict=False)
    ]
    return await opened(gateway, patch, *sales, **options)


async def test_an_answer_is_to_the_field_and_costs_what_the_vendor_counted(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers by default, both SDKs accept the body, the ledger was charged the vendor's tokens and the fee."""
    stage = await stage_of(gateway, monkeypatch, "tokens=8")
    before = our_tasks()
    caller = await stage.caller()
    response = await post(caller, "/embeddings", model=MODEL, input=["hello world!", "a" * 4_000])
    body = response.json()
    assert response.status_code == 200, body
    CreateEmbeddingResponse.model_validate(body)
    CreateEmbeddingsResponseBody.model_validate(body)
    assert body["id"] == response.headers["x-generation-id"]
    assert (body["object"], body["model"], body["provider"]) == ("list", MODEL, "Alpha")
    assert [row["index"] for row in body["data"]] == [0, 1]
    assert all(len(row["embedding"]) == 8 and isinstance(row["embedding"][0], float) for row in body["data"])
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] == 1_003
    expected = billed("0.00002006")
    assert await settled(caller) == expected
    assert round(body["usage"]["cost"] * 1e9) == expected[1]
    record = await caller.record(body["id"])
    assert (record.api_type, record.usage_source, record.outcome) == ("embeddings", "reported", "complete")
    await calm(stage, before)


@pytest.mark.parametrize("knows", [True, False])
async def test_base64_has_the_same_numbers_for_every_vendor(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    """base64 decodes to the float answer's numbers, from a vendor that knows base64 and from one that sends numbers only."""
    options = {"alpha": {"options": {"embeddings_base64": knows}}}
    stage = await stage_of(gateway, monkeypatch, "tokens=32", provider=options)
    caller = await stage.caller()
    plain = (await post(caller, "/embeddings", model=MODEL, input="x", encoding_format="float")).json()
    packed = (await post(caller, "/embeddings", model=MODEL, input="x", encoding_format="base64")).json()
    values = array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert values.tolist() == plain["data"][0]["embedding"]


async def test_a_failing_vendor_is_not_seen(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Failover works as for chat: error, garbage, cut body and empty body lead to the next endpoint."""
    for fault in ("status=503", "garbage@0", "cut@1", "emptybody", "hangup", "error200"):
        stage = await stage_of(gateway, monkeypatch, fault, "ok")
        caller = await stage.caller()
        response = await post(caller, "/embeddings", model=MODEL, input="hello", provider={"order": ["alpha", "beta"]})
        assert response.status_code == 200, (fault, response.text)
        assert response.json()["provider"] == "Beta"


async def test_a_vendor_without_usage_is_billed_by_our_count(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No usage, or absurd usage: our estimate, marked, and the same for token ids, which need no estimate."""
    stage = await stage_of(gateway, monkeypatch, "nousage")
    caller = await stage.caller()
    body = (await post(caller, "/embeddings", model=MODEL, input=[[1, 2, 3], [4] * 997])).json()
    assert body["usage"]["prompt_tokens"] == 1_000
    assert (await caller.record(body["id"])).usage_source == "estimated"
    assert await settled(caller) == billed("0.00002")


async def test_what_is_wrong_is_refused_by_name(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of a wrong type or range is a 400 that names it; nothing is held."""
    stage = await stage_of(gateway, monkeypatch, "ok")
    caller = await stage.caller()
    for body, field in (({"input": [1, "a"]}, "input"), ({"input": ["a", ""]}, "input[1]"), ({}, "input")):
        refused(await post(caller, "/embeddings", model=MODEL, **body), 400, "invalid_request", field)
    assert await caller.lines() == []


async def test_pictures_need_a_model_that_takes_them(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Multimodal input finds no endpoint at a text model, and the refusal names the filter."""
    stage = await stage_of(gateway, monkeypatch, "ok")
    parts = [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}]}]
    error = refused(await post(await stage.caller(), "/embeddings", model=MODEL, input=parts), 404, "not_found")
    assert "input_modalities" in str(error)


async def test_a_chat_model_embeds_nothing_and_an_embedder_does_not_chat(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation is a filter of its own, in both directions."""
    stage = await opened(
        gateway, monkeypatch, sale("t/chat", "alpha", "text"), sale(MODEL, "beta", "embeddings", "tokens=4")
    )
    caller = await stage.caller()
    error = refused(await post(caller, "/embeddings", model="t/chat", input="a"), 404, "not_found")
    assert "operation" in str(error)
    refused(await caller.chat(MODEL), 404, "not_found")
