"""How much everything together was used: the last seven days, and all models of some weeks side by side.

It must not know: HTTP, names and colours, what is shown to whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.analytics import privacy, tables
from gateway.analytics.buckets import today
from gateway.analytics.counters import ALL, OTHER_APPS
from gateway.analytics.event import UNKNOWN_APP
from gateway.analytics.queries import KEY_OF
from gateway.store.client import Store

DAYS = 7


class Overview(msgspec.Struct, frozen=True):
    """The last seven days, today included."""

    tokens: int
    requests: int
    change: float | None
    """Tokens of the seven days that ended yesterday over the seven before, minus one; None when these had none."""
    models: int
    providers: int
    apps: int
    """That say who they are."""
    users: int
    """To the nearest ten."""
    last_day: int | None
    """The latest day of these with traffic."""


async def overview(store: Store, now: float) -> Overview:
    """Raises StoreError."""
    last = today(now)
    days = range(last - 2 * DAYS, last + 1)
    read = await tables.read(store, "de", days, ("pt", "ct", "rq"))
    sums = [sum(prompt + completion for prompt, completion, _ in day.values()) for day in read]
    week = read[-DAYS:]
    rows = {row for day in week for row, values in day.items() if any(values)}
    apps = await tables.row_names(store, "da", days[-DAYS:])
    people = await tables.users(store, "d", [privacy.Cell("d", tuple(days[-DAYS:]), (ALL,))])
    before, complete = sum(sums[:DAYS]), sum(sums[DAYS:-1])
    return Overview(
        tokens=sum(sums[-DAYS:]),
        requests=sum(requests for day in week for _, _, requests in day.values()),
        change=complete / before - 1 if before else None,
        models=len({KEY_OF["model"](row) for row in rows}),
        providers=len({KEY_OF["provider"](row) for row in rows} - {""}),
        apps=len(set().union(*apps) - {UNKNOWN_APP, OTHER_APPS}),
        users=privacy.rounded(people[0]),
        last_day=next((day for day, total in zip(reversed(days), reversed(sums), strict=True) if total), None),
    )


class ModelWeek(NamedTuple):
    """What one model did in one week."""

    prompt: int
    completion: int
    reasoning: int
    cached: int
    requests: int
    tool_requests: int
    """That ended with a call of tools."""
    tool_tokens: int
    """Of these requests."""
    charged_nano: int

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt + self.completion


async def weeks(store: Store, numbers: Sequence[int]) -> list[dict[str, ModelWeek]]:
    """For each week all models that were asked for, by slug. Raises StoreError."""
    found = []
    for table in await tables.read(store, "we", numbers, ("pt", "ct", "rt", "cr", "rq", "tc", "tt", "us")):
        sums: dict[str, list[int]] = {}
        for row, values in table.items():
            model = KEY_OF["model"](row)
            if model in sums:
                sums[model] = [one + other for one, other in zip(sums[model], values, strict=True)]
            else:
                sums[model] = list(values)
        found.append({model: ModelWeek(*values) for model, values in sums.items()})
    return found


def places(week: Mapping[str, ModelWeek]) -> dict[str, int]:
    """Model → its place in a week by tokens, ties by name; models without tokens have none."""
    order = sorted(
        (model for model, each in week.items() if each.tokens), key=lambda model: (-week[model].tokens, model)
    )
    return {model: place for place, model in enumerate(order, 1)}
