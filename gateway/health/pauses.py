"""Who is left alone, and for how long: one endpoint, a vendor's model, a whole vendor.

All times are seconds of one monotonic clock, so that a step of the wall clock makes no pause longer. Pure: no clock of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

LONGEST_PAUSE_S = 3600.0
"""No vendor's header and no row of refusals takes anything out for longer than this at a time."""
CAPACITY_PAUSE_S = 5.0
"""After a refusal for lack of capacity without advice (the same default as LiteLLM's cooldown)."""
ALONE_FIRST_S, ALONE_LONGEST_S = 0.1, 1.0
"""The same for an endpoint to which there is no alternative: a limit counted by the second is free again soon, and every request
that comes during the pause is refused. It doubles while the first request after it is refused too. At 12 requests a second and a
limit of 10, of which 83 % could be served at best, 75 % are; with a pause of 5 s it was 23 %."""
TRIAL_S = 0.25
"""After a pause without advice one request goes first, for so long: a vendor refuses at once, and an answer may take minutes."""
CREDENTIAL_PAUSE_S = 60.0
PROVEN_S = 60.0
"""What has succeeded within this time is not refused in general, whatever one request was answered."""
REFUSALS_IN_A_ROW = 3
FIRST_LAST_RESORT_S, LONGEST_LAST_RESORT_S = 10.0, 600.0

NEVER = float("-inf")
Scope = Literal["credential", "vendor", "model"]


class Throttle:
    """The pause of one endpoint that is full, or whose vendor asked for one with another failure.

    PAUSED   until the vendor's deadline; without one for a short while, and then
    TRIAL    one request goes, the others wait until it is refused or answered, at most ``TRIAL_S``
    FREE
    """

    __slots__ = ("_times", "_trial_due", "_trial_until", "limited", "touched", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.limited = False
        """The pause is one of a rate limit, not of an overloaded vendor."""
        self.touched = False
        """Since the last success there was a pause."""
        self._times = 0
        self._trial_due = False
        self._trial_until = 0.0

    def refuse(self, now: float, advice_s: float | None, *, limited: bool, alone: bool) -> None:
        """A request was refused for lack of capacity. ``advice_s``: the pause that the vendor asks for; 0 means none."""
        if advice_s is None:
            if now < self.until:
                return  # sent before the pause began: one limit is not counted twice
            advice_s = min(ALONE_FIRST_S * 2.0**self._times, ALONE_LONGEST_S) if alone else CAPACITY_PAUSE_S
            self._trial_due, self._trial_until = True, 0.0
            self._times = min(self._times + 1, 10)
        self.pause(now, advice_s, limited=limited)

    def pause(self, now: float, pause_s: float, *, limited: bool = False) -> None:
        """The later deadline wins: a shorter pause never shortens a longer one."""
        until = now + min(pause_s, LONGEST_PAUSE_S)
        if pause_s > 0 and until >= self.until:
            self.limited = limited or (self.limited and until == self.until)
            self.until, self.touched = until, True

    def succeed(self, now: float) -> None:
        """A request was answered: the next pause begins small, and nobody waits for a trial.

        During a pause that is no proof, since the request was sent before it.
        """
        if now < self.until:
            return
        self._times, self._trial_due, self._trial_until, self.touched = 0, False, 0.0, False

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may go; 0 when it may now."""
        return max(self.until, self._trial_until, now) - now

    def trial(self, now: float) -> bool:
        """Whether the endpoint is being tried again, or waits for a request that does so."""
        return now >= self.until and (self._trial_due or now < self._trial_until)

    def probe(self, now: float) -> bool:
        """May this request go? The first one after a pause without advice keeps the others back."""
        if now < self.until or now < self._trial_until:
            return False
        if self._trial_due:
            self._trial_due, self._trial_until = False, now + TRIAL_S
        return True


class Refusals:
    """Refusals of one endpoint of which nobody can tell whether they are due to it or to the request.

    One request's refusal must not count against others, so it does not. When ``REFUSALS_IN_A_ROW`` are refused and none is served,
    the endpoint goes to the end of the line: for 10 s, doubling up to ten minutes while it goes on. It is never out.
    """

    __slots__ = ("_in_a_row", "_times", "last_resort_until")

    def __init__(self) -> None:
        self.last_resort_until = 0.0
        self._in_a_row = self._times = 0

    def refuse(self, now: float, *, served_at: float) -> None:
        """``served_at``: when the endpoint last served a request."""
        if now - served_at < PROVEN_S:
            return
        self._in_a_row += 1
        if self._in_a_row >= REFUSALS_IN_A_ROW and now >= self.last_resort_until:
            self.last_resort_until = now + min(FIRST_LAST_RESORT_S * 2.0**self._times, LONGEST_LAST_RESORT_S)
            self._times = min(self._times + 1, 10)

    def succeed(self) -> None:
        self.last_resort_until = 0.0
        self._in_a_row = self._times = 0


class GrowingPauses:
    """Pauses of what several endpoints share: a credential or a quota of a vendor, a quota of a vendor's model.

    Each doubles when the next try is refused too. An entry stays until a request succeeds there.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Scope, str], tuple[float, int]] = {}
        """(scope, its name) → (paused until, times in a row)."""

    def __bool__(self) -> bool:
        return bool(self._known)

    def refuse(
        self, scope: Scope, name: str, now: float, *, first_s: float, advice_s: float | None = None
    ) -> float | None:
        """The new deadline; None when the request was sent before the pause began: one refusal is not counted twice."""
        until, times = self._known.get((scope, name), (NEVER, 0))
        if now < until:
            return None
        until = now + min(max(first_s * 2.0**times, advice_s or 0.0), LONGEST_PAUSE_S)
        self._known[scope, name] = (until, min(times + 1, 10))
        return until

    def adopt(self, scope: Scope, name: str, until: float) -> bool:
        """Another process was refused. True when this makes the pause longer."""
        mine, times = self._known.get((scope, name), (NEVER, 0))
        if until <= mine:
            return False
        self._known[scope, name] = (until, max(times, 1))
        return True

    def succeed(self, keys: Iterable[tuple[Scope, str]], now: float) -> None:
        """A request succeeded there after the pause: the next refusal starts from the first one."""
        for key in keys:
            if key in self._known and now >= self._known[key][0]:
                del self._known[key]

    def until(self, scope: Scope, name: str) -> float:
        """The deadline; in the past when there is none."""
        return self._known.get((scope, name), (NEVER, 0))[0]

    def concerns(self, keys: Iterable[tuple[Scope, str]]) -> bool:
        """Whether any of them is paused, or has been since its last success."""
        return any(key in self._known for key in keys)
