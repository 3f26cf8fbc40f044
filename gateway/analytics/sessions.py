"""What conversations cost, from the history: turns that callers gave one session id, with less than a day between them.

A session is closed a day after its last turn, and counts on the day on which it closed. It belongs to the app, and to the model, of
most of its turns, ties by name; its cost is what was charged for all of them, the fee included. Requests without a session id are
in none. It must not know: HTTP, the store.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.analytics.buckets import DAY_MS
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.history.source import History
from gateway.analytics.privacy import LARGEST_PERCENT

CLOSES_AFTER_MS = DAY_MS
WINDOW_DAYS = 30
LONGEST_DAYS = 14
"""So many days before the window are read, for the beginnings of sessions; what is older is not part of them."""
TURN_RANGES = (("1-turn", 1), ("2-9-turns", 2), ("10-49-turns", 10), ("50-plus-turns", 50))
"""Name, as OpenRouter has it, and fewest turns."""


class SessionCost(msgspec.Struct, frozen=True):
    """Closed sessions of one app, model and range of turns."""

    app: str
    model: str
    turn_range: str
    sessions: int
    users: int
    """Different ones, of all these sessions."""
    largest_percent: float
    """The part of the tokens that one organisation used."""
    median_nano: int
    """The lower of the two in the middle."""
    name: str
    """That the app gave last; may be empty."""

    def may_be_shown(self, least_users: int) -> bool:
        """To anybody: as ``privacy`` says of other figures, and not those of programs that do not say who they are."""
        return self.app != UNKNOWN_APP and self.users >= least_users and self.largest_percent <= LARGEST_PERCENT


_RANGE = "CASE " + " ".join(f"WHEN turns >= {least} THEN '{name}'" for name, least in reversed(TURN_RANGES)) + " END"
_QUERY = f"""
WITH turn AS (
    SELECT session, at_ms, app, app_name, model, org, "user", charged_nano, prompt + completion AS tokens,
        coalesce(at_ms - lag(at_ms) OVER in_session >= {CLOSES_AFTER_MS}, true) AS begins
    FROM events WHERE octet_length(session) > 0
    WINDOW in_session AS (PARTITION BY session ORDER BY at_ms)
), numbered AS (
    SELECT *, sum(begins::INT) OVER (PARTITION BY session ORDER BY at_ms, begins DESC ROWS UNBOUNDED PRECEDING) AS place
    FROM turn
), owned AS (
    SELECT *, count(*) OVER (PARTITION BY session, place, app) AS of_app,
        count(*) OVER (PARTITION BY session, place, model) AS of_model
    FROM numbered
), session AS (
    SELECT arg_max(app, (of_app, app)) AS app, arg_max(app_name, at_ms) AS app_name, arg_max(model, (of_model, model)) AS model,
        any_value(org) AS org, any_value("user") AS "user", count(*) AS turns, sum(charged_nano) AS nano, sum(tokens) AS tokens
    FROM owned GROUP BY session, place HAVING max(at_ms) BETWEEN $first AND $last
), cell AS (
    SELECT app, model, {_RANGE} AS turn_range, * EXCLUDE (app, model) FROM session
), shares AS (
    SELECT app, model, turn_range, max(tokens) AS largest, sum(tokens) AS tokens FROM (
        SELECT app, model, turn_range, org, sum(tokens) AS tokens FROM cell GROUP BY ALL
    ) GROUP BY ALL
)
SELECT app, model, turn_range, count(*), count(DISTINCT "user"),
    coalesce(100 * any_value(shares.largest) / nullif(any_value(shares.tokens), 0), 100),
    quantile_disc(nano, 0.5)::BIGINT, arg_max(app_name, app_name <> '')
FROM cell JOIN shares USING (app, model, turn_range) GROUP BY app, model, turn_range
ORDER BY app, model, min(turns)
"""  # noqa: S608 - numbers and names of ours


def session_costs(history: History, last_day: int) -> Sequence[SessionCost]:
    """The sessions that closed in the 30 days up to ``last_day``, by app, model and turns. Blocks. Raises HistoryError."""
    end_ms = (last_day + 1) * DAY_MS
    closed = {
        "first": end_ms - WINDOW_DAYS * DAY_MS - CLOSES_AFTER_MS,
        "last": end_ms - 1 - CLOSES_AFTER_MS,
    }
    first_day = last_day + 1 - WINDOW_DAYS - LONGEST_DAYS
    with history.reading(first_day, last_day) as opened:
        return [SessionCost(*row) for row in opened.execute(_QUERY, closed).fetchall()]
