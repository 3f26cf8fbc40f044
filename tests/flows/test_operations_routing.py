"""Operations beside chat in planning and billing: a model may serve several, and a request reaches only endpoints of its own."""

from __future__ import annotations

import pytest

from tests.support.operations import opened, post, sale, settled


@pytest.mark.parametrize("first", ["chat", "embeddings"])
async def test_a_plan_is_not_remembered_for_another_operation(gateway, monkeypatch, first):
    """Whichever comes first, an embedding model embeds and does not chat."""
    stage = await opened(gateway, monkeypatch, sale("t/e", "alpha", "embeddings", "tokens=4"))
    caller = await stage.caller()
    for operation in (first, "chat", "embeddings", "chat"):
        if operation == "chat":
            response = await caller.chat("t/e")
            assert response.status_code == 404, response.text
            assert "offers embeddings, wanted is chat" in response.json()["error"]["message"]
        else:
            assert (await post(caller, "/embeddings", model="t/e", input="hi")).status_code == 200


async def test_a_batch_is_larger_than_a_context(gateway, monkeypatch):
    """Each text of a batch has the whole context for itself."""
    stage = await opened(gateway, monkeypatch, sale("t/e", "alpha", "embeddings", "tokens=4"))
    caller = await stage.caller()
    response = await post(caller, "/embeddings", model="t/e", input=["word " * 1000] * 500)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("script", ["usage=zero", "usage=absurd"])
async def test_units_are_billed_although_the_vendor_counts_none(gateway, monkeypatch, script):
    """A vendor reports tokens, or nonsense, but not the search unit that it sells."""
    units = {script: {"usd_per_search_unit": "0.002"}}
    sold = sale("t/s", "alpha", "rerank", script, prompt="0", completion="0")
    stage = await opened(gateway, monkeypatch, sold, units=units)
    caller = await stage.caller()
    response = await post(caller, "/rerank", model="t/s", query="a", documents=["b"])
    assert response.status_code == 200, response.text
    assert await settled(caller) == (2_000_000, 2_100_000)
