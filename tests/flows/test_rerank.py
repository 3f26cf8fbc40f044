"""``POST /rerank`` over real sockets: order, documents, the bill by search units or by tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openrouter.operations.creatererank import CreateRerankResponseBody

from tests.support.invariants import calm, our_tasks
from tests.support.operations import billed, opened, post, sale, settled
from tests.support.wireshape import refused

MODEL = "t/ranker"
DOCUMENTS = ["the cat sat", "dogs bark", {"text": "a cat and a dog"}, "nothing here"]


async def test_documents_come_back_best_first_and_as_they_were_sent(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted by score, cut to top_n, each with its document; one search unit is charged, and the fee."""
    units = {"ok": {"usd_per_search_unit": "0.002"}}
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "rerank", prompt="0", completion="0"), units=units)
    before = our_tasks()
    caller = await stage.caller()
    response = await post(caller, "/rerank", model=MODEL, query="the cat", documents=DOCUMENTS, top_n=2)
    body = response.json()
    assert response.status_code == 200, body
    CreateRerankResponseBody.model_validate(body)
    assert [(one["index"], one["document"]) for one in body["results"]] == [
        (0, {"text": "the cat sat"}),
        (2, {"text": "a cat and a dog"}),
    ]
    assert body["id"] == response.headers["x-generation-id"]
    assert body["usage"]["search_units"] == 1
    expected = billed("0.002")
    assert await settled(caller) == expected
    assert round(body["usage"]["cost"] * 1e9) == expected[1]
    assert (await caller.record(body["id"])).units == {"search_unit": 1}
    await calm(stage, before)


async def test_without_usage_our_units_are_billed(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """250 documents are three search units when the vendor does not say."""
    units = {"nousage": {"usd_per_search_unit": "0.001"}}
    stage = await opened(
        gateway, monkeypatch, sale(MODEL, "alpha", "rerank", "nousage", prompt="0", completion="0"), units=units
    )
    caller = await stage.caller()
    body = (await post(caller, "/rerank", model=MODEL, query="q", documents=["d"] * 250)).json()
    assert body["usage"]["search_units"] == 3
    assert await settled(caller) == billed("0.003")
    assert (await caller.record(body["id"])).usage_source == "estimated"


async def test_tokens_are_billed_where_tokens_have_a_price(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor counts the query once a document: (1 + 2) tokens twice, at $1 a million."""
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "rerank", prompt="1", completion="0"))
    caller = await stage.caller()
    body = (await post(caller, "/rerank", model=MODEL, query="abcd", documents=["abcdefgh"] * 2)).json()
    assert body["usage"]["total_tokens"] == 6
    assert await settled(caller) == billed("0.000006")


async def test_pictures_go_where_they_are_taken(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor that ranks text only is skipped by its dialect without blame; nothing was sent to it."""
    stage = await opened(
        gateway,
        monkeypatch,
        sale(MODEL, "alpha", "rerank", input_modalities=["text", "image"]),
        sale(MODEL, "beta", "rerank", input_modalities=["text", "image"], options={"rerank_objects": True}),
    )
    caller = await stage.caller()
    document = {"image": "data:image/png;base64,iVBORw0="}
    order = {"order": ["alpha", "beta"]}
    response = await post(caller, "/rerank", model=MODEL, query="q", documents=[document], provider=order)
    assert response.status_code == 200, response.text
    assert response.json()["provider"] == "Beta"
    assert response.json()["results"][0]["document"] == document
    assert stage.vendors["alpha"].log.totals()["requests"] == 0
    only = {"only": ["alpha"]}
    error = refused(
        await post(caller, "/rerank", model=MODEL, query="q", documents=[document], provider=only),
        400,
        "invalid_request",
    )
    assert "documents[0].image" in error["message"]


async def test_what_is_wrong_is_refused_by_name(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field by its name; a key without credit is a 402 before any vendor is asked."""
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "rerank"))
    caller = await stage.caller()
    for body, field in (
        ({"documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": [{}]}, "documents[0]"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
    ):
        refused(await post(caller, "/rerank", model=MODEL, **body), 400, "invalid_request", field)
    broke = await stage.caller("0")
    refused(await post(broke, "/rerank", model=MODEL, query="q", documents=["a"]), 402, "payment_required")
    assert stage.vendors["alpha"].log.totals()["requests"] == 0
