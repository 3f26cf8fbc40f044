"""Real answers of vendors, priced to the nano-dollar: bytes → dialect → usage → bill, against arithmetic done by hand.

Each file of ``tests/golden/bills`` (its README says what the fields are) holds an answer, a price with its date, and the sum
worked out line by line. genai-prices (pydantic, MIT) reads the same answers as an independent calculator, first at the same
price and then at its own; where it comes to another figure, the tables below say by how much and why.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from genai_prices import data_snapshot
from genai_prices.types import ExtractedUsage, ModelPrice, Tier, TieredPrices

from gateway import pricing
from gateway.api.inference import token_estimate
from gateway.catalog import resolve
from gateway.catalog.model import Price
from gateway.catalog.rows import PriceRow
from providers.registry import dialect
from providers.types import HttpResponse, Usage
from tests.wire.bedrock import frames

BILLS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[1] / "golden/bills").glob("*.json"))
}
JUDGED = [name for name, bill in BILLS.items() if "oracle" in bill]
PRICED = [name for name in JUDGED if "model" in BILLS[name]["oracle"]]
FEE = 500
LINE = re.compile(r"(\d+) (\w+) × ([\d.]+) = ([\d.]+)")
"""``444 prompt × 1.25 = 555``: a count, a kind, micro-dollars for one, micro-dollars."""
COUNTS = ("prompt", "cache_read", "cache_write", "cache_write_1h", "audio_prompt", "image_prompt")
COUNTS += ("completion", "reasoning", "audio_completion", "image_completion")

SEARCHES = "its extractor of this API does not count searches, which the vendor bills"
CITATIONS = "it counts citation tokens as output; "
DIFFERS: dict[str, tuple[int, str]] = {
    "gemini-grounded": (816_200, SEARCHES),
    "moonshot-text": (879_100, "it looks for cached_tokens in the details, not directly in usage: nothing was cached"),
    "openrouter-own-cost-with-search": (
        3_317_600,
        "it prices tokens; in the vendor's own cost there is a search as well",
    ),
    "perplexity-deep-research": (
        529_489_000,
        CITATIONS + "they have no price of their own here, so they cost as output",
    ),
    "perplexity-request-fee": (8_229_000, CITATIONS + "this model does not bill them"),
    "responses-web-search": (6_357_500, SEARCHES),
}
"""At the same price → (the other figure in nano-dollars, why)."""
PRICED_OTHERWISE: dict[str, tuple[int, str]] = {
    "gemini-grounded": DIFFERS["gemini-grounded"],
    "moonshot-text": DIFFERS["moonshot-text"],
    "openai-sound-in": (922_500, "it has no price for this model's sound, so that sound costs what text does"),
    "openai-sound-out": (1_035_000, "it has no price for this model's sound, so that sound costs what text does"),
    "openrouter-own-cost-with-search": DIFFERS["openrouter-own-cost-with-search"],
    "perplexity-request-fee": (16_229_000, "its fee is that of the largest search context; and " + CITATIONS),
    "responses-web-search": DIFFERS["responses-web-search"],
}
"""At its own price → (the other figure in nano-dollars, why)."""
COUNTED_OTHERWISE = {
    "perplexity-deep-research": CITATIONS + "here they are known by the vendor's cost alone",
    "perplexity-request-fee": CITATIONS + "here nobody bills them",
}
"""Whose tokens it counts otherwise, why. Everywhere else its ``input_tokens`` are our ``prompt_total``: it counts caches, sound
and pictures inside, we count each kind by itself."""


def price_of(bill: dict[str, Any]) -> Price:
    """The price as the catalogue would read it from a file."""
    return resolve.price(PriceRow.model_validate({"upstream_id": bill["model"].replace(" ", ""), **bill["price"]}))


def usage_of(bill: dict[str, Any]) -> Usage:
    """What the dialect says was used; for an answer that reports nothing, what was sent."""
    speaks = dialect(bill["dialect"], bill["operation"])
    if "frames" in bill:
        pieces = [frames.line(json.dumps(frame)) for frame in bill["frames"]]
    elif "lines" in bill:
        pieces = [json.dumps(line).encode() + b"\n" for line in bill["lines"]]
    elif "stream" in bill:
        pieces = [event.encode() + b"\n\n" for event in bill["stream"]]
    else:
        content = base64.b64decode(bill["content"]) if "content" in bill else json.dumps(bill["answer"]).encode()
        headers = {"content-type": "application/json", **bill.get("headers", {})}
        usage = speaks.read(HttpResponse(200, headers, content)).usage
        if usage is None:
            sent = token_estimate.measure(bill["operation"], bill["sent"])
            return Usage(prompt=sent.tokens, units=sent.units, estimated=True)
        return usage
    decoder = speaks.decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()
    assert decoder.error is None
    return [event.usage for event in events if event.usage is not None][-1]


def nonzero(usage: Usage) -> dict[str, Any]:
    """The fields of a usage that are not zero or empty."""
    return {name: value for name, value in msgspec.to_builtins(usage).items() if value}


@pytest.mark.parametrize("name", list(BILLS))
def test_a_vendors_answer_costs_what_it_costs(name: str) -> None:
    """The bytes become exactly this usage, which costs exactly so many nano-dollars, and the fee is 5 % of that."""
    bill = BILLS[name]
    usage = usage_of(bill)
    found = nonzero(usage)
    if usage.estimated:
        found.pop("prompt", None)  # our own count of text, which has tests of its own and no price here
    assert found == bill["usage"]
    paid = pricing.bill(
        price_of(bill), usage, images=0, fee_basis_points=FEE, reports_cost=bill.get("reports_cost", False)
    )
    assert paid.cost_nano == bill["cost_nano"]
    assert paid.fee_nano == int((Decimal(bill["cost_nano"]) / 20).quantize(Decimal(1), ROUND_HALF_UP))
    assert paid.total_nano == paid.cost_nano + paid.fee_nano
    assert 0 <= paid.prompt_nano <= paid.cost_nano


@pytest.mark.parametrize("name", list(BILLS))
def test_the_arithmetic_by_hand_is_right(name: str) -> None:
    """Each product, the sum, and its half-up rounding, in decimals; the counts are those of the usage."""
    bill = BILLS[name]
    *lines, end = bill["arithmetic"]
    sum_micro, counts = Decimal(0), Counter[str]()
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, line
        count, kind, each, product = match.groups()
        assert int(count) * Decimal(each) == Decimal(product), line
        sum_micro += Decimal(product)
        counts[kind] += int(count)
    assert end == f"sum {bill['arithmetic'][-1].removeprefix('sum ')}"
    assert Decimal(end.removeprefix("sum ")) == sum_micro
    assert int((sum_micro * 1000).quantize(Decimal(1), ROUND_HALF_UP)) == bill["cost_nano"]
    counted = {**bill["usage"], **bill["usage"].get("units", {})}
    for kind, count in counts.items():
        assert counted.get(kind, count) == count, kind


# -- the independent calculator ----------------------------------------------------------------------------------------

RATES = {
    "prompt": "input_mtok",
    "completion": "output_mtok",
    "input_cache_read": "cache_read_mtok",
    "input_cache_write": "cache_write_mtok",
    "input_cache_write_1h": "cache_write_1h_mtok",
    "internal_reasoning": "output_reasoning_mtok",
    "audio": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "input_audio_cache": "cache_audio_read_mtok",
    "image_token": "input_image_mtok",
    "image_output_token": "output_image_mtok",
}
UNITS = {"usd_per_request": ("requests_kcount", 1000), "usd_per_web_search": ("web_searches_kcount", 1000)}
UNITS |= {"usd_per_minute": ("audio_hours", 60)}


def extracted(bill: dict[str, Any]) -> ExtractedUsage:
    """The usage as the other library reads it from the vendor's document (of a stream: from what its end adds up to)."""
    oracle = bill["oracle"]
    document = oracle.get("document", bill.get("answer"))
    return data_snapshot.get_snapshot().extract_usage(
        document, provider_id=oracle["provider"], provider_api_url=None, api_flavor=oracle["flavor"]
    )


def nano(usd: Decimal) -> int:
    return int((usd * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


def same_price(price: dict[str, Any]) -> ModelPrice:
    """Our price row in the other library's words."""
    rates: dict[str, Any] = {}
    for kind, usd in price["usd_per_mtok"].items():
        steps = [
            Tier(start=tier["min_prompt_tokens"], price=Decimal(tier["usd_per_mtok"].get(kind, usd)))
            for tier in price.get("overrides", ())
        ]
        rates[RATES[kind]] = TieredPrices(base=Decimal(usd), tiers=steps) if steps else Decimal(usd)
    for field, (key, factor) in UNITS.items():
        if field in price:
            rates[key] = Decimal(price[field]) * factor
    if "audio_hours" in rates:
        rates["input_audio_hours"] = rates["audio_hours"]
    if "cache_read_mtok" in rates and "input_audio_mtok" in rates and "cache_audio_read_mtok" not in rates:
        rates["cache_audio_read_mtok"] = rates["cache_read_mtok"]
    return ModelPrice(**rates)


@pytest.mark.parametrize("name", JUDGED)
def test_an_independent_calculator_agrees_at_the_same_price(name: str) -> None:
    """genai-prices reads the same document and comes to the same nano-dollars, or differs as the table says."""
    bill = BILLS[name]
    theirs = nano(same_price(bill["price"]).calc_price(extracted(bill).usage)["total_price"])
    expected, _ = DIFFERS.get(name, (bill["cost_nano"], ""))
    assert theirs == expected


@pytest.mark.parametrize("name", PRICED)
def test_an_independent_catalogue_agrees(name: str) -> None:
    """At genai-prices' own price of that model in November 2026 it is the same sum, or differs as the table says."""
    bill = BILLS[name]
    snapshot, oracle = data_snapshot.get_snapshot(), bill["oracle"]
    calculated = snapshot.calc(
        extracted(bill).usage, oracle["model"], oracle["provider"], None, datetime(2026, 11, 20, tzinfo=UTC), None
    )
    expected, _ = PRICED_OTHERWISE.get(name, (bill["cost_nano"], ""))
    assert nano(calculated.total_price) == expected


@pytest.mark.parametrize("name", [name for name in JUDGED if BILLS[name]["operation"] != "transcription"])
def test_an_independent_reader_counts_the_same_tokens(name: str) -> None:
    """Prompt and answer in all, and what of them was cached or reasoning, where the other library tells it apart."""
    ours, theirs = usage_of(BILLS[name]), extracted(BILLS[name]).usage
    assert theirs.input_tokens == ours.prompt_total
    assert (theirs.output_tokens == ours.completion_total) is (name not in COUNTED_OTHERWISE)
    assert theirs.reported_value("output_reasoning_tokens") in (0, ours.reasoning)
    assert theirs.reported_value("cache_write_tokens") in (0, ours.cache_write + ours.cache_write_1h)


def test_every_difference_is_one_and_has_a_reason() -> None:
    """The tables name bills that exist, each with another figure than ours, and say why."""
    for table in (DIFFERS, PRICED_OTHERWISE):
        for name, (theirs, why) in table.items():
            assert theirs != BILLS[name]["cost_nano"]
            assert len(why) > 20
    assert set(COUNTED_OTHERWISE) <= set(JUDGED)


def test_the_bills_are_of_every_kind() -> None:
    """At least 40; every dialect, every operation with an answer that is billed, every kind of token and unit, a tier."""
    assert len(BILLS) >= 40
    kinds = {kind for bill in BILLS.values() for kind in bill["usage"]}
    assert set(COUNTS) <= kinds
    units = {unit for bill in BILLS.values() for unit in bill["usage"].get("units", ())}
    assert units == {"web_search", "search_unit", "character", "audio_ms", "image_output"}
    operations = {bill["operation"] for bill in BILLS.values()}
    assert operations == {"chat", "embeddings", "rerank", "images", "speech", "transcription"}
    dialects = {bill["dialect"] for bill in BILLS.values()}
    assert dialects >= {"openai", "responses", "anthropic", "gemini", "vertex", "bedrock", "azure"}
    assert dialects >= {"cohere", "mistral", "ollama", "openrouter"}
    assert sum(price_of(bill).tiers != () for bill in BILLS.values()) >= 4
    assert all(bill["kind"] in ("recorded", "documented", "composed") and bill["source"] for bill in BILLS.values())
