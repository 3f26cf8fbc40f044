"""Sessions out of the history: where one ends, whose it is, what the middle one cost, and what may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.analytics.buckets import DAY_MS, HOUR_MS
from gateway.analytics.event import Event
from gateway.analytics.sessions import session_costs

pytest.importorskip("duckdb", reason="the history needs the extra analytics")

from gateway.analytics.history.archive import Archive
from gateway.analytics.history.load import load

DAY = 20_000


def turns(
    session: str, count: int, *, day: int = DAY - 5, nano: int = 10, gap_ms: int = 60_000, **more: object
) -> list[Event]:
    """A session of so many turns; the user and the organisation are its own."""
    plain = {
        "org": session,
        "key": "k",
        "user": session.encode(),
        "app": "one.example",
        "prompt": 5,
        "charged_nano": nano,
    }
    return [
        Event(at_ms=day * DAY_MS + n * gap_ms, endpoint="p/m@a/x", session=session.encode(), **(plain | more))  # type: ignore[arg-type]
        for n in range(count)
    ]


def test_session_costs(tmp_path: Path) -> None:
    """The four ranges of turns; a day's pause ends a session; open ones and those of long ago do not count; the app and the model of
    most turns; exact medians; requests without a session are in none."""
    events = [*turns("a", 1, nano=7), *turns("b", 1, nano=9), *turns("c", 1, nano=8), *turns("d", 1, nano=2**53 + 1)]
    events += [*turns("two", 2, app_name="One"), *turns("nine", 9), *turns("ten", 10), *turns("fifty", 50)]
    events += [
        *turns("pause", 2, gap_ms=DAY_MS, app="pause.example"),
        *turns("long", 3, gap_ms=DAY_MS - 1, app="long.example"),
    ]
    events += [*turns("open", 1, day=DAY, app="open.example"), *turns("yesterday", 1, day=DAY - 1, app="edge.example")]
    events += [*turns("old", 1, day=DAY - 31, app="old.example"), *turns("oldest", 1, day=DAY - 30, app="edge.example")]
    mixed = turns("mixed", 3, app="mixed.example")
    events += [
        *mixed[:1],
        *[Event(at_ms=e.at_ms, endpoint="p/m@b/y", **_without(e, "at_ms", "endpoint")) for e in mixed[1:]],
    ]
    events += [Event(at_ms=DAY * DAY_MS - HOUR_MS, endpoint="p/m@a/x", org="o", key="k", app="none.example")]
    archive = Archive(tmp_path)
    load(archive, sorted(events, key=lambda each: each.at_ms))
    found = {(each.app, each.model, each.turn_range): each for each in session_costs(archive, DAY)}
    assert {key: (each.sessions, each.median_nano) for key, each in found.items()} == {
        ("one.example", "a/x", "1-turn"): (4, 8),
        ("one.example", "a/x", "2-9-turns"): (2, 20),
        ("one.example", "a/x", "10-49-turns"): (1, 100),
        ("one.example", "a/x", "50-plus-turns"): (1, 500),
        ("pause.example", "a/x", "1-turn"): (2, 10),
        ("long.example", "a/x", "2-9-turns"): (1, 30),
        ("edge.example", "a/x", "1-turn"): (2, 10),
        ("mixed.example", "b/y", "2-9-turns"): (1, 30),
    }
    two = found["one.example", "a/x", "2-9-turns"]
    assert (two.name, two.users) == ("One", 2)
    assert two.largest_percent == pytest.approx(100 * 9 / 11)
    assert not two.may_be_shown(2)
    assert found["one.example", "a/x", "1-turn"].may_be_shown(4)
    assert not found["one.example", "a/x", "1-turn"].may_be_shown(5)


def _without(event: Event, *names: str) -> dict[str, object]:
    return {name: getattr(event, name) for name in Event.__struct_fields__ if name not in names}
