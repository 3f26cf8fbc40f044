"""Events that never were in a stream into a history: the synthetic year, a test's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from gateway.analytics.event import Event
from gateway.analytics.history.parquet import HistoryError
from gateway.analytics.history.schema import START
from gateway.analytics.history.sinks import Writable
from gateway.analytics.history.source import Batch

EVENTS_OF_A_PIECE = 100_000

_encode_lines = msgspec.json.Encoder().encode_lines


def load(
    history: Writable,
    events: Iterable[Event],
    advance: Callable[[int], object] = lambda rows: None,
    *,
    fold: bool = True,
) -> int:
    """Write events, best in the order of their times, to a history that is empty; how many. They get positions before those of any
    stream. ``advance`` is called with the number of each part. ``fold``: into files of days, which takes 50 ms of CPU for each day;
    reading does not need it. Raises HistoryError, OSError.
    """
    if history.progress().position != START:
        raise HistoryError(f"there is a history in {history.name} already")
    rest, count = iter(events), 0
    while part := list(islice(rest, EVENTS_OF_A_PIECE)):
        after, count = count, count + len(part)
        history.append(Batch(after=f"0-{after}", upto=f"0-{count}", rows=len(part), lines=_encode_lines(part)))
        advance(len(part))
    if fold:
        history.fold()
    return count
