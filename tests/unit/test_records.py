"""Records: what is written comes back, old records still decode, and the view is the official SDK's generation."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from openrouter.components import GenerationResponse

from gateway import records
from gateway.api.management.generation_view import generation_view
from gateway.records import Attempt, Dropped, Record, Tokens

FULL = Record(
    id="gen-1763746680-abcdefghij0123456789",
    created_at=1763746680.25,
    organization="org_a",
    key_hash="ab" * 32,
    model_requested="acme/fast-1:floor",
    outcome="complete",
    model="acme/fast-1",
    provider="acme",
    provider_name="Acme Cloud",
    endpoint="acme/fast-1@acme/fast-1",
    upstream_id="chatcmpl-7",
    streamed=True,
    finish_reason="stop",
    native_finish_reason="eos",
    attempts=(
        Attempt(endpoint="b/x@acme/fast-1", provider="Bad", kind="overloaded", status=529, latency_ms=12),
        Attempt(endpoint="acme/fast-1@acme/fast-1", provider="Acme Cloud", kind="ok", status=200, latency_ms=40),
    ),
    tokens=Tokens(prompt=100, cache_read=50, cache_write=10, completion=20, reasoning=5),
    cost_nano=1_234_567,
    fee_nano=61_728,
    total_nano=1_296_295,
    prices_femto={
        "prompt": 150_000_000,
        "completion": 600_000_000,
        "input_cache_read": 75_000_000,
        "input_cache_write": 187_500_000,
    },
    latency_ms=40,
    generation_time_ms=900,
    http_referer="https://app.example/chat?x=1",
    app_title="An app",
    user_agent="openai-python/3",
    user="user-1",
    session_id="s-1",
    policy="price_weighted",
    drops=(Dropped(endpoint="c/y@acme/fast-1", filter="max_price", detail="prompt 9 > 1"),),
)


def _seen(record: Record, paid_nano: int) -> dict:
    return json.loads(msgspec.json.encode(generation_view(record, paid_nano)), parse_float=Decimal)


def test_encode_then_decode_is_the_same_record() -> None:
    """A record survives its journey through the store unchanged."""
    assert records.decode(records.encode(FULL)) == FULL


def test_a_record_of_an_older_version_still_decodes() -> None:
    """Only the identity is required; absent fields take defaults and unknown fields are ignored."""
    old = {
        "id": "gen-1-x",
        "created_at": 1.0,
        "organization": "o",
        "key_hash": "k",
        "model_requested": "a/b",
        "outcome": "refused",
        "gone": 1,
    }
    record = records.decode(json.dumps(old).encode())
    assert record.tokens == Tokens()
    assert record.total_nano == 0


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b'{"id":1}', b"\xff"])
def test_junk_is_refused_by_name(junk: bytes) -> None:
    """What is not a record raises one of the two documented errors, nothing else."""
    with pytest.raises(msgspec.DecodeError):  # ValidationError is one of them
        records.decode(junk)


def test_long_headers_are_clipped() -> None:
    """A long header cannot make a record large."""
    record = msgspec.structs.replace(FULL, user_agent="x" * 100_000, http_referer="y" * 100_000)
    assert record.user_agent == "x" * records.CLIPPED["user_agent"]
    assert len(records.encode(record)) < 3_000


def test_view_satisfies_the_official_sdk() -> None:
    """The official SDK's own model accepts the view, with the values in the places it documents."""
    raw = msgspec.json.encode({"data": generation_view(FULL, 1_296_295)})
    data = GenerationResponse.model_validate_json(raw).data
    assert data.id == FULL.id
    assert data.model == "acme/fast-1"
    assert data.provider_name == "Acme Cloud"
    assert data.created_at == "2025-11-21T17:38:00.250Z"
    assert data.origin == "https://app.example"
    assert data.streamed is True
    assert data.cancelled is False
    assert (data.native_tokens_prompt, data.native_tokens_completion) == (160, 25)
    assert (data.native_tokens_cached, data.native_tokens_reasoning) == (50, 5)
    assert [(r.status, r.provider_name) for r in data.provider_responses or []] == [(529, "Bad"), (200, "Acme Cloud")]


def test_view_of_a_refusal_satisfies_the_official_sdk() -> None:
    """A generation that never reached a provider still has every key the SDK demands."""
    record = Record(
        id="gen-1-x", created_at=1.0, organization="o", key_hash="k", model_requested="a/b", outcome="refused"
    )
    data = GenerationResponse.model_validate_json(msgspec.json.encode({"data": generation_view(record, 0)})).data
    assert data.model == "a/b"
    assert data.provider_name is None
    assert data.total_cost == 0


def test_money_is_exact_text_of_what_the_ledger_took() -> None:
    """The view shows what was paid, to the nano-dollar, and not what was wanted."""
    seen = _seen(FULL, 1)
    assert seen["usage"] == seen["total_cost"] == Decimal("0.000000001")
    assert seen["cost_details"] == {"provider_cost": Decimal("0.001234567"), "platform_fee": Decimal("0.000061728")}
    assert b"e-" not in msgspec.json.encode(generation_view(FULL, 1)).lower()


def test_cache_discount_counts_reads_and_writes() -> None:
    """50 reads save 50 x 75e6 femto, 10 writes cost 10 x 37.5e6 femto more: 3,375 nano-dollars saved."""
    assert _seen(FULL, 0)["cache_discount"] == Decimal("0.000003375")
    writes = msgspec.structs.replace(FULL, tokens=Tokens(prompt=1, cache_write=10))
    assert _seen(writes, 0)["cache_discount"] == Decimal("-0.000000375")
    assert _seen(msgspec.structs.replace(FULL, tokens=Tokens(prompt=1)), 0)["cache_discount"] is None


@pytest.mark.parametrize("referer", [None, "", "nonsense", "http://[::1", "//host/x"])
def test_a_strange_referer_has_no_origin(referer: str | None) -> None:
    """Whatever a caller puts into the referer, the view is made and ``origin`` is text."""
    assert _seen(msgspec.structs.replace(FULL, http_referer=referer), 0)["origin"] == ""
