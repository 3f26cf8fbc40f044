"""Who uses a model in a month: cohorts of users and how many of them come back.

A cohort is the users whose first use of this model was in one month. Its survival at age k, in months, is
``a + (1 - a) exp(-k / tau)``: so many of it use the model in that month. A user who skips a month may return.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from gateway.cli.demo.year.geography import Choice

USERS: Final = 20_000
FOUNDATIONAL: Final = {
    ("google/gemini-2.5-pro", "2025-06"): (0.40, 0.8),
    ("anthropic/claude-sonnet-4", "2025-05"): (0.40, 0.8),
}
"""Cohorts that stay: model and month → a, tau."""
FLAT: Final = {"google/gemini-2.0-flash-001": (0.05, 0.5), "meta-llama/llama-4-maverick": (0.05, 0.5)}
"""Models of which no cohort stays."""
USUAL_A: Final = (0.08, 0.15)
USUAL_TAU: Final = 0.7
BOOMERANGS: Final = {("deepseek/deepseek-r1", "2025-04"): 3, ("deepseek/deepseek-chat-v3-0324", "2025-07"): 2}
"""Cohorts of which some come back: model and month → the age that is ``BOOMERANG`` above the age before."""
BOOMERANG: Final = 0.04
NEW_IN_LAUNCH_MONTH: Final = 0.9
NEW_LATER: Final = 0.3
"""Chance that a request comes from somebody new to the model (assumptions)."""
NEW_AWAY: Final = 0.55
"""The same where nobody of the country uses the model in this month: with less, small countries lose their share of the tokens."""
COHORT_MAX: Final = 1200
"""So large that a boomerang is no accident of its cohort, at scales from 1e-4 on."""
_RETURNING_FIRST: Final = 0.9
_LOYALTY_SPREAD: Final = 0.3
_TRIES: Final = 8


def survival(model: str, month: str, age: int) -> float:
    """Share of the cohort of ``month`` (``yyyy-mm``) that uses the model ``age`` months later."""
    returns = BOOMERANGS.get((model, month))
    if returns == age:
        return survival(model, month, age - 1) + BOOMERANG
    a, tau = FOUNDATIONAL.get((model, month)) or FLAT.get(model) or _usual(model)
    return a + (1 - a) * math.exp(-age / tau)


@cache
def _usual(model: str) -> tuple[float, float]:
    return random.Random(f"cohorts/{model}").uniform(*USUAL_A), USUAL_TAU


class User(NamedTuple):
    """A user and the country of the account, both as numbers."""

    number: int
    country: int


class ModelUsers:
    """The users of one model, month by month; months must be asked for in order."""

    def __init__(self, model: str, blocks: Sequence[range]) -> None:
        """``blocks``: user numbers of each country."""
        self._model = model
        self._blocks = blocks
        self._cohorts: dict[str, list[User]] = {}
        self._known: set[int] = set()
        self._month = ""
        self._chance = NEW_IN_LAUNCH_MONTH
        self._new: list[User] = []
        self._returning: list[User] = []
        self._active: list[User] = []
        self._active_by_country: dict[int, list[User]] = {}
        self._owed: list[int] = []
        self._ahead: Counter[int] = Counter()

    def pick(self, month: str, countries: Choice, rng: random.Random) -> User:
        """The user of the next request in this month (``yyyy-mm``)."""
        if month != self._month:
            self._begin(month, rng)
        country = countries(rng)
        if self._returning and rng.random() < _RETURNING_FIRST:
            user = self._returning.pop()
            self._owed.append(country)
            self._ahead[user.country] += 1
            return self._activate(user)
        if self._owed and self._ahead[country] > 0:  # a returning user had this country's turn, so another one has its
            self._ahead[country] -= 1
            country = self._owed.pop()
        here = self._active_by_country.get(country)
        chance = self._chance if here else max(self._chance, NEW_AWAY) if self._active else 1.0
        if len(self._new) < COHORT_MAX and rng.random() < chance:
            stranger = self._somebody_new(country, rng)
            if stranger is not None:
                self._new.append(stranger)
                return self._activate(stranger)
        among = here or self._active or self._new or [self._anybody(country, rng)]
        return among[int(len(among) * rng.random() ** 2)]

    def _begin(self, month: str, rng: random.Random) -> None:
        """A month begins: the users of earlier cohorts who will come back in it are chosen."""
        if self._month:
            self._cohorts[self._month] = self._new
            self._chance = NEW_LATER
        self._month, self._new, self._active, self._active_by_country = month, [], [], {}
        self._returning = []
        for cohort, users in self._cohorts.items():
            count = round(len(users) * survival(self._model, cohort, _months(cohort, month)))
            order = [(n + len(users) * _LOYALTY_SPREAD * rng.random(), user) for n, user in enumerate(users)]
            self._returning += [user for _, user in sorted(order)[:count]]
        rng.shuffle(self._returning)

    def _activate(self, user: User) -> User:
        self._active.append(user)
        self._active_by_country.setdefault(user.country, []).append(user)
        return user

    def _somebody_new(self, country: int, rng: random.Random) -> User | None:
        for _ in range(_TRIES):
            user = self._anybody(country, rng)
            if user.number not in self._known:
                self._known.add(user.number)
                return user
        return None

    def _anybody(self, country: int, rng: random.Random) -> User:
        block = self._blocks[country]
        return User(block[int(len(block) * rng.random())], country)


def _months(start: str, end: str) -> int:
    return 12 * (int(end[:4]) - int(start[:4])) + int(end[5:]) - int(start[5:])
