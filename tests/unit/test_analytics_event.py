"""What an event says: the app by what strangers write about themselves, how each attempt counts, where time is cut."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.analytics.buckets import bucket, day_of, first_day, following, iso_day, monday, start_ms, week_of
from gateway.analytics.counters import context_size, histogram_bucket, histogram_value
from gateway.analytics.event import (
    APP_ID_MAX,
    APP_NAME_MAX,
    FAILED,
    FIELDS,
    LIMITED,
    SERVED,
    UNCOUNTED,
    Event,
    Measured,
    app_of,
    columns_of,
    event_columns,
    events_of,
    refused,
    result,
    user_hash,
)
from gateway.analytics.stream import pack_columns, unpack
from gateway.records import Attempt, Record
from providers.errors import FAILURES


@pytest.mark.parametrize(
    ("referer", "title", "app"),
    [
        (None, None, ("unknown", "")),
        ("", "  ", ("unknown", "")),
        ("https://Chat.Example.com/c/123?q=1#x", None, ("chat.example.com", "chat.example.com")),
        ("https://www.example.com:8443", "My App", ("example.com", "My App")),
        ("example.com/path", "", ("example.com", "example.com")),
        ("https://github.com/Owner/Repo/tree/main", "Roo", ("github.com/owner/repo", "Roo")),
        ("https://github.com/", None, ("github.com", "github.com")),
        ("http://localhost:3000", None, ("unknown", "")),
        ("http://localhost:3000", "Dev Tool", ("~dev tool", "Dev Tool")),
        ("http://127.0.0.1", "x", ("~x", "x")),
        ("http://[::1", "x", ("~x", "x")),
        ("http://[2001:db8::1]/", None, ("unknown", "")),
        ("https://user:secret@example.com/", None, ("example.com", "example.com")),
        ("https://ex\u202eample.com", None, ("unknown", "")),
        (None, "a\u202eb\x00c\nd\u200b", ("~a b c d", "a b c d")),
        (None, "unknown", ("~unknown", "unknown")),
        (None, "\ud800 lone", ("~lone", "lone")),
    ],
)
def test_apps(referer: str | None, title: str | None, app: tuple[str, str]) -> None:
    """The host names an app; without one its title does; nothing invisible, no secret and no path of a page gets through."""
    assert app_of(referer, title) == app


def test_long_names_are_cut() -> None:
    """Whatever comes, ids and names are of bounded length."""
    for referer in (None, "https://" + "a" * 500 + ".com", "https://github.com/" + "b" * 500 + "/c", "//" * 300):
        app, name = app_of(referer, "\U0001f600 " * 400)
        assert (len(app) <= APP_ID_MAX, len(name) <= APP_NAME_MAX) == (True, True)


def test_how_attempts_count() -> None:
    """A failure of the endpoint or of our key counts against its uptime, one for load apart, one of the request not at all."""
    cases = {
        "ok": SERVED,
        "connect_refused": FAILED,
        "rate_limited": LIMITED,
        "bad_request": UNCOUNTED,
        "cancelled": UNCOUNTED,
    }
    assert {kind: result(kind) for kind in cases} == cases
    assert {result(kind) for kind in FAILURES} == {FAILED, LIMITED, UNCOUNTED}


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({}, (0, 0)),
        ({"image_output": 3}, (3, 0)),
        ({"audio_ms": 61_500}, (0, 61_500)),
        ({"character": 12, "search_unit": 1, "web_search": 2, "image": 4}, (0, 0)),
    ],
)
def test_media_are_counted_where_they_are_paid_by_number(units: dict[str, int], expected: tuple[int, int]) -> None:
    """Pictures made and sound transcribed; nothing is made up of other units, and the stream gives both back."""
    record = Record(
        id="g",
        created_at=1.0,
        organization="o",
        key_hash="k" * 64,
        model_requested="a/m",
        outcome="complete",
        units=units,
    )
    columns = event_columns([Measured(record, 0, 0, 0, 0)], b"salt")
    assert len(columns) == len(FIELDS)
    [event] = events_of(columns)
    assert (event.pictures, event.audio_ms) == expected
    [again] = events_of(unpack(pack_columns(columns)))
    assert again == event


@pytest.mark.parametrize(
    ("kinds", "own_fault"),
    [
        ("bad_request", True),
        ("too_large", True),
        ("unprocessable", True),
        ("content_policy", True),
        ("forbidden", True),
        ("blocked forbidden", True),
        ("exceeds_account unsupported", True),
        ("media_refused", True),
        ("server_error bad_request", True),
        ("forbidden server_error", False),
        ("context_length timeout_first_content", False),
        ("server_error", False),
        ("credential", False),
        ("payment", False),
        ("not_found", False),
        ("rate_limited", False),
        ("overloaded bad_gateway", False),
        ("proxy_unreachable", False),
        ("cancelled", False),
        ("", False),
    ],
)
def test_whose_fault_it_is_that_nobody_served(kinds: str, own_fault: bool) -> None:
    """400, 413, 422 and a 403 that is not about our key are the request's; 401, 402, 404, 5xx, silence and load are not. The last vendor's
    word that nobody can take it counts whatever others did before."""
    assert refused([Attempt("acme/x@a/b", "Acme", kind) for kind in kinds.split()]) == own_fault


def test_users_are_not_mixed_up() -> None:
    """Neither salts, nor organisations, nor the border between organisation and user."""
    hashes = [
        user_hash(*each)
        for each in ((b"s", "o", "u"), (b"t", "o", "u"), (b"s", "p", "u"), (b"s", "", "ou"), (b"s", "o", "\ud800"))
    ]
    assert len(set(hashes)) == len(hashes)


def test_where_time_is_cut() -> None:
    """Weeks from Monday, also across New Year; months of their own length; a bucket begins where the one before ended."""
    monday_2025 = day_of(date(2025, 12, 29))
    assert monday(week_of(monday_2025 + 6)) == monday_2025
    assert week_of(monday_2025 - 1) == week_of(monday_2025) - 1
    for grain in ("h", "d", "w"):
        number = bucket(grain, 1_767_000_000_123)
        assert bucket(grain, start_ms(grain, number)) == number == bucket(grain, start_ms(grain, number + 1) - 1)
    months = [first_day("month", monday_2025)]
    for _ in range(3):
        months.append(following("month", months[-1]))
    assert [iso_day(day) for day in months] == ["2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01"]


def test_sizes_and_histograms() -> None:
    """The bounds of context sizes belong to the smaller one; a percentile is off by at most 7.5 %."""
    assert [context_size(n) for n in (0, 1000, 1001, 10**6, 10**6 + 1)] == ["1K", "1K", "10K", "1M", "10M"]
    assert histogram_bucket(0) == histogram_bucket(0.5) == 0
    for value in (1, 7, 333, 12_345.6):
        assert abs(histogram_value(histogram_bucket(value)) / value - 1) <= 0.075


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("tools", None),
        ("flags", "8"),
        ("audio_ms", 2.5),
        ("total_ms", "7"),
        ("user", "text"),
        ("calls", [1]),
    ],
)
def test_an_entry_with_a_value_of_another_type_is_none(field: str, value: Any) -> None:
    """Whoever wrote it: it is skipped as a whole, and does not stop the counting."""
    columns = columns_of([Event(at_ms=1, endpoint="a/m@a/m", org="o", key="k", country="DE")])
    columns[FIELDS.index(field)] = [value]
    with pytest.raises(ValueError, match=field):
        unpack(pack_columns(columns))
