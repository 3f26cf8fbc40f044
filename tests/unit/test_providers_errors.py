"""The failure table: every row is proved by a vendor's body, and every body lands in its row."""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from providers.errors import FAILURES, ProviderError, classify, failed, status_of, timed_out
from providers.redaction import MASK, redact, words
from providers.registry import dialect
from providers.retry_after import retry_after_s, retry_info_s
from providers.types import HttpResponse, Target

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
    "no_connection_left",
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


@pytest.mark.parametrize("status", [405, 406, 409, 415, 418, 421, 423, 424, 425, 426, 428, 431, 451, 499])
def test_what_the_caller_did_not_write_is_not_the_callers_fault(status: int) -> None:
    """Method, address, headers and connection are ours: another endpoint is tried, and one such answer harms nobody."""
    row = classify(status, frozenset(), "")
    assert (row.status, row.failover, row.attributed_to) == (502, True, "unclear")


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (403, "<html><title>403</title>", "blocked"),
        (403, "  <!doctype html><p>blocked", "blocked"),
        (403, '{"error": "no <html> in prompts"}', "forbidden"),
        (403, "access denied", "forbidden"),
        (403, "incorrect api key provided", "credential"),
        (403, "your credits are used up: run out of credits", "quota_exhausted"),
        (403, "flagged by our moderation", "content_policy"),
        (401, "<html><title>401</title>", "credential"),
        (402, "requires more credits, or fewer max_tokens. you can only afford 12", "exceeds_account"),
        (402, "insufficient balance", "payment"),
        (413, "<html>413</html>", "too_large"),
        (429, "request too large ... limit 30000, requested 45000", "exceeds_account"),
        (429, "rate limit reached: limit 30000, used 29000, requested 4000", "rate_limited"),
    ],
)
def test_whose_fault_a_refusal_is(status: int, text: str, kind: str) -> None:
    """One request's refusal, a firewall's page and a refused key are told apart."""
    assert classify(status, frozenset(), text).kind == kind


@pytest.mark.parametrize("status", [400, 403, 412, 429])
@pytest.mark.parametrize(
    "quoted", ["invalid api key", "run out of credits", "spending limit", "credit balance is too low", "suspended"]
)
def test_a_quoted_prompt_is_no_word_about_our_key(status: int, quoted: str) -> None:
    """Whatever a caller makes a vendor say, only a status or a code takes the vendor away from others."""
    assert classify(status, frozenset(), f"messages[0] is wrong: '{quoted}'").attributed_to not in (
        "credential",
        "vendor",
        "model",
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, None), (402, None), (403, "invalid_api_key"), (400, "invalid_api_key"), (429, "insufficient_quota")],
)
def test_a_status_or_a_code_is(status: int, code: str | None) -> None:
    """What the vendor itself says about our account counts against the key."""
    assert classify(status, frozenset([code] if code else ()), "").attributed_to == "credential"


def test_rows_hold_together() -> None:
    """A caller's mistake has no failover; a refusal costs nothing; statuses are those of the contract."""
    for row in FAILURES.values():
        assert row.failover == (row.attributed_to != "caller")
        assert row.status in (400, 404, 413, 422, 429, 502, 503, 504)
        assert not (row.retry_same and row.attributed_to in ("request", "model", "vendor", "credential"))
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
    if 400 <= status < 500 and status not in (400, 401, 402, 403, 404, 408, 410, 413, 422, 429, 451, 498):
        assert row.kind == "unexpected"
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
        ("0", 0.0),
        ("0.0", 0.0),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(9_000_000, usegmt=True), 300.0),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        (",", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and dates are read, 0 and the past mean now, garbage is ignored, and the longest pause is 300 s."""
    assert retry_after_s({"retry-after": value}, now=1_000_000) == seconds


def test_retry_after_in_milliseconds() -> None:
    """``retry-after-ms`` is more exact and wins; its garbage does not hide ``retry-after``."""
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after_s({"retry-after-ms": "x", "retry-after": "1"}) == 1.0
    assert retry_after_s({}) is None


NOW = 1_796_032_800.0  # 2026-11-30 10:00:00 UTC
DATE = {"date": formatdate(NOW, usegmt=True)}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 300.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m26.4s"}, 86.4),
        ({"x-ratelimit-remaining-tokens": "12", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (
            {
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "9s",
            },
            9.0,
        ),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": str(int(NOW) + 20)}, 20.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW * 1000) + 4500)}, 4.5),
        ({"x-ratelimit-reset": str(int(NOW) - 20)}, 0.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "11"}, 11.0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-30T10:00:05Z",
            },
            5.0,
        ),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-30T12:00:05+02:00"}, 5.0),
        (
            {"anthropic-ratelimit-tokens-remaining": "99", "anthropic-ratelimit-tokens-reset": "2026-11-30T10:09:00Z"},
            None,
        ),
        ({"retry-after": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 2.0),
        ({"retry-after": "0", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 0.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "-5"}, None),
        ({"x-ratelimit-reset": "2026-99-99T00:00:00Z"}, None),
        ({"x-ratelimit-reset": "9" * 400}, 300.0),
        ({"x-ratelimit-reset": ""}, None),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], seconds: float | None) -> None:
    """With a 429 the reset of a limit that is used up is the pause, however it is written; with anything else it says nothing."""
    read = retry_after_s({**DATE, **headers}, 429, now=NOW + 7200)  # our clock is two hours off
    assert read == (None if seconds is None else pytest.approx(seconds))
    if "retry-after" not in headers:
        assert retry_after_s({**DATE, **headers}, 500, now=NOW) is None


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("34.5s", 34.5),
        ("0s", 0.0),
        ("9999s", 300.0),
        ({"seconds": "12"}, 12.0),
        ({"seconds": 12, "nanos": 5}, 12.0),
        ("-3s", None),
        ("soon", None),
        (7, None),
        ({}, 0.0),
    ],
)
def test_retry_info(delay: Any, seconds: float | None) -> None:
    """Google's RetryInfo as text and spelled out."""
    assert retry_info_s({"details": [{"@type": "x"}, {"retryDelay": delay}]}) == seconds


KEY = "sk-proj-AbCdEfGhIjKlMnOpQrStUv/+=0123"


@pytest.mark.parametrize(
    "quoted",
    [
        f"Incorrect API key provided: {KEY}.",
        "Incorrect API key provided: sk-proj-****************0123.",
        f"no such key: {KEY[:16]}...",
        f'{{"key": "{KEY}"}}'.replace("/", "\\/"),
        "GET /v1/models?key=sk-proj-AbCdEfGhIjKlMnOpQrStUv%2F%2B%3D0123",
        f"Authorization: Bearer {KEY}",
        "token ya29.a0AfH6SMBx-fetched-a-minute-ago is expired",
        "credential AKIAIOSFODNN7EXAMPLE is unknown",
        "proxy said: wrong password hunter2-hunter2",
        "x-api-secret: other-secret-value",
    ],
)
def test_no_secret_of_ours_leaves(quoted: str) -> None:
    """A vendor that quotes our key, whole, masked, shortened or escaped, shows it to nobody."""
    target = Target(
        "acme",
        "https://acme.test",
        "m",
        KEY,
        headers=(("x-api-secret", "other-secret-value"),),
        proxy="http://me:hunter2-hunter2@proxy.test",
    )
    error = failed("bad_request", quoted, raw=f"raw: {quoted}", provider_code=quoted)
    redact(error, target)
    for text in (error.message, error.raw, error.provider_code, str(error), words(error)):
        assert text is not None
        assert MASK in text
        for secret in ("AbCdEf", "0123", "a0AfH6", "AKIAIO", "hunter2-h", "other-secret"):
            assert secret not in text


def test_words_are_short_and_in_one_line() -> None:
    """The operator reads the vendor's message, or the text of the page that came instead."""
    assert words(failed("server_error", "a\n  b")) == "a b"
    page = failed(
        "blocked", "the vendor answered 403", raw="<html><style>p {}</style><h1>Sorry,</h1>\r\n you are blocked</html>"
    )
    assert words(page) == "the vendor answered 403: Sorry, you are blocked"
    assert len(words(failed("server_error", "x" * 4000))) == 300


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


NAMED: dict[str, tuple[str, str]] = {
    "OpenAI, organisation": ("Rate limit reached in organization org-AbC123def456ghi on tokens per min", "org-AbC123def456ghi"),
    "OpenAI, project": ("Project `proj_abc123DEF456` does not have access to model `gpt-5`", "proj_abc123DEF456"),
    "OpenAI, a key's ends": ("Incorrect API key provided: sk-proj...cdef.", "cdef"),
    "Groq": ("in organization `org_01hxabc9abcdef` service tier on_demand", "org_01hxabc9abcdef"),
    "Anthropic": ("Your organization 3fa85f64-5717-4562-b3fc-2c963f66afa6 has", "3fa85f64"),
    "AWS, a role": ("User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized", "123456789012"),
    "AWS, an account": ("Your account 123456789012 is not authorized", "123456789012"),
    "Google, a project": ("Vertex AI API has not been used in project acme-prod-1 before", "acme-prod-1"),
    "Google, a link": ("visit https://console.developers.google.com/apis/overview?project=acme-prod then retry", "acme-prod"),
    "Google, a resource": ("denied on '//aiplatform.googleapis.com/projects/acme-prod/locations/us'", "acme-prod"),
    "Google, a number": ("Quota exceeded for consumer 'project_number:123456789'", "123456789"),
    "Google, an account": ("svc@acme-prod.iam.gserviceaccount.com lacks a permission", "acme-prod"),
    "Azure, a host": ("https://acme-east.openai.azure.com/openai failed", "acme-east"),
    "Azure, a deployment": ("/openai/deployments/gpt4-prod/chat/completions was not found", "gpt4-prod"),
    "Azure, a named deployment": ("The deployment 'acme-gpt' does not exist", "acme-gpt"),
    "Azure, a subscription": ("/subscriptions/3f0e-1/resourceGroups/rg-acme/providers/Microsoft.X/accounts/acme", "acme"),
    "the address": ("POST https://gw.example/accounts-acme/v1/chat/completions failed", "acme"),
}  # fmt: skip
"""What a vendor says → what of it names the operator's account."""


@pytest.mark.parametrize("name", NAMED)
def test_the_operators_account_is_not_shown(name: str) -> None:
    said, account = NAMED[name]
    error = failed("unsupported", said, raw=json.dumps({"error": said}), provider_code=said)
    redact(error, Target("p", "https://gw.example/accounts-acme/v1", "m"))
    for shown in (error.message, error.raw, error.provider_code, str(error)):
        assert shown is not None
        assert account not in shown
        assert MASK in shown


@pytest.mark.parametrize(
    "said",
    [
        "messages[0].content: image too large, resource not found: model-123-x",
        "The model `gpt-4-turbo-2024` is too long for this project. Your organization must be verified",
        "request id: 123e4567-e89b-12d3-a456-426614174000; see https://platform.openai.com/account/api-keys",
    ],
)
def test_what_helps_the_caller_stays(said: str) -> None:
    error = failed("unsupported", said)
    redact(error, Target("p", "https://gw.example/v1", "m"))
    assert error.message == said
