"""Operations beside chat in planning and billing: a model may serve several, and a request reaches only endpoints of its own."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway.settings import Settings
from tests.support.operations import opened, post, sale, settled, wav


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


SMALL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "images": ("image", "/images", {"prompt": "a hat"}),
    "speech": ("speech", "/audio/speech", {"input": "hello", "voice": "alloy"}),
    "transcription": (
        "transcription",
        "/audio/transcriptions",
        {"input_audio": {"data": b64encode(wav(0.1)).decode(), "format": "wav"}},
    ),
    "embeddings": ("embeddings", "/embeddings", {"input": "hello"}),
    "rerank": ("rerank", "/rerank", {"query": "a", "documents": ["b"]}),
}
"""Operation → what its model makes, its path, a small request."""


@pytest.mark.parametrize(
    ("script", "kind"),
    [("stall@0", "timeout_first_content"), ("stall@2", "timeout_gap")],
    ids=["silent", "stalls in the body"],
)
@pytest.mark.parametrize("operation", list(SMALL))
async def test_a_silent_vendor_delays_no_operation_for_its_whole_time(gateway, monkeypatch, operation, script, kind):
    """Another endpoint answers as soon as the operation's own clock, or the gap clock, has fallen."""
    makes, path, body = SMALL[operation]
    sold = [sale("t/m", "alpha", makes, script), sale("t/m", "beta", makes)]
    early = {name: 0.5 for name in Settings.model_fields if name.endswith("headers_timeout_s")}
    stage = await opened(gateway, monkeypatch, *sold, **early, gap_timeout_s=0.5)
    caller = await stage.caller()
    response = await post(caller, path, model="t/m", provider={"order": ["alpha", "beta"]}, **body)
    assert response.status_code == 200, response.text
    record = await caller.record(response.headers["x-generation-id"])
    assert [(each.provider, each.kind) for each in record.attempts] == [("Alpha", kind), ("Beta", "ok")]
