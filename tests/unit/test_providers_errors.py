"""The failure table: every row is proved by a vendor's body, and every body lands in its row."""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from providers.errors import FAILURES, ProviderError, classify, retry_after_s, status_of, timed_out
from providers.registry import dialect
from providers.types import HttpResponse

BODIES = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parents[1] / "wire/openai/errors").glob("*.json"))
}
NETWORK = {
    "unsupported",
    "media_refused",
    "media_failed",
    "media_too_large",
    "media_unsupported",
    "connect_refused",
    "dns",
    "tls",
    "connect_timeout",
    "cut",
    "proxy_unreachable",
    "proxy_timeout",
    "proxy_credential",
    "proxy_refused",
} | {f"timeout_{c}" for c in ("first_content", "gap", "total")}
"""Rows that no body can show: proved over sockets by the contract of the HTTP client and of the stream."""


def error_of(body: dict[str, Any]) -> ProviderError:
    raw = body["body"] if isinstance(body["body"], str) else json.dumps(body["body"], ensure_ascii=False)
    vendor = dialect("openai")
    if body["status"] != 200:
        return vendor.failure(HttpResponse(body["status"], body.get("headers", {}), raw.encode()))
    with pytest.raises(ProviderError) as caught:
        vendor.completion(raw.encode())
    return caught.value


@pytest.mark.parametrize("name", list(BODIES))
def test_every_recorded_body_lands_in_its_row(name: str) -> None:
    """A vendor's answer is classified as its recording says, keeps the vendor's words, and reads its Retry-After."""
    body = BODIES[name]
    error = error_of(body)
    assert error.failure.kind == body["kind"]
    assert error.retry_after_s == body.get("retry_after_s")
    assert error.message
    if error.failure.kind != "empty" and body["body"] != "":
        assert error.raw or body["status"] == 200


def test_every_row_has_a_recorded_body() -> None:
    """No row of failures.yaml is there without proof."""
    assert set(FAILURES) - {body["kind"] for body in BODIES.values()} == NETWORK


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_every_body_names_its_source(body: dict[str, Any]) -> None:
    """A recording says where it is from, when, and how it was made."""
    assert body["source"]
    assert body["date"][:2] == "20"
    assert body["how"]


def test_the_client_never_sees_our_credential_trouble() -> None:
    """401, 402 and 403 of a vendor are our matter: the client's status is 502, and another endpoint is tried."""
    for kind in ("credential", "payment", "quota_exhausted"):
        row = FAILURES[kind]
        assert (row.status, row.failover, row.attributed_to) == (502, True, "credential")


def test_rows_hold_together() -> None:
    """A caller's mistake has no failover; a refusal costs nothing; statuses are those of the contract."""
    for row in FAILURES.values():
        assert row.failover == (row.attributed_to != "caller")
        assert row.status in (400, 404, 413, 422, 429, 502, 503, 504)
    assert {kind for kind, row in FAILURES.items() if row.may_bill} == {
        "cut",
        "malformed",
        "empty",
        "timeout_vendor",
        "timeout_first_content",
        "timeout_gap",
        "timeout_total",
    }
    assert [FAILURES[k].status for k in ("rate_limited", "overloaded", "timeout_vendor", "cut")] == [429, 503, 504, 502]


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_a_row(status: int) -> None:
    """No status of any vendor is without a decision, whatever its body."""
    row = classify(status, frozenset(), "")
    if 400 <= status < 500 and status not in (401, 402, 403, 404, 408, 410, 413, 422, 429, 498):
        assert row.kind == "bad_request"
    if status < 400:
        assert row.kind == "malformed"
    if status >= 500:
        assert row.kind in ("server_error", "overloaded", "timeout_vendor")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1", 1.0),
        ("60", 60.0),
        (" 2.5 ", 2.5),
        ("300", 300.0),
        ("301", 300.0),
        ("1000000000", 300.0),
        ("9" * 400, 300.0),
        ("0", None),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(9_000_000, usegmt=True), 300.0),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (",", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and dates are read, garbage and the past are ignored, and the longest pause is 300 s."""
    assert retry_after_s({"retry-after": value}, now=1_000_000) == seconds


def test_retry_after_in_milliseconds() -> None:
    """``retry-after-ms`` is more exact and wins; its garbage does not hide ``retry-after``."""
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after_s({"retry-after-ms": "x", "retry-after": "1"}) == 1.0
    assert retry_after_s({}) is None


@pytest.mark.parametrize(
    ("code", "type_", "status"),
    [
        (429, None, 429),
        ("429", None, 429),
        (429.0, None, 500),
        (None, "rate_limit_error", 429),
        ("weird", "overloaded_error", 529),
        (None, None, 500),
        (200, None, 500),
        (True, None, 500),
        ("9" * 5000, None, 500),
        ({}, [], 500),
        ("BadRequestError", None, 400),
    ],
)
def test_status_of_an_error_inside_a_200(code: Any, type_: Any, status: int) -> None:
    """The code or type of an error object stands for a status; an unknown one stands for 500."""
    assert status_of(code, type_) == status


def test_every_clock_has_its_own_error() -> None:
    """A fallen clock is named in the error."""
    for clock in ("connect", "first_content", "gap", "total"):
        error = timed_out(clock, 1.5)  # type: ignore[arg-type]
        assert error.clock == clock
        assert error.failure.status == 504
        assert "1.5 s" in error.message
