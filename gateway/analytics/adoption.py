"""How many use the gateway in a week: users, API keys and apps, and how many models a key uses.

It must not know: HTTP, who is asking: ``least_users`` says what may be shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.analytics import privacy, tables
from gateway.analytics.counters import ALL, KEY_MODELS, KEYS, OTHER_APPS
from gateway.analytics.event import UNKNOWN_APP
from gateway.store.client import Store


class Adoption(msgspec.Struct, frozen=True):
    """One week. Users and keys are estimated within 0.8 %, apps with a name are counted."""

    users: int
    keys: int
    apps: int
    models_per_key: float | None
    """The mean number of different models that a key used; None without keys."""


async def weeks(store: Store, numbers: Sequence[int], least_users: int | None) -> list[Adoption | None]:
    """Each of these weeks; None for one with fewer users than may be shown. Raises StoreError."""
    cells = [privacy.Cell("w", (number,), (row,)) for number in numbers for row in (ALL, KEYS, KEY_MODELS)]
    counts = iter(await tables.users(store, "w", cells))
    apps = await tables.row_names(store, "wa", numbers)
    found: list[Adoption | None] = []
    for names in apps:
        users, keys, uses = next(counts), next(counts), next(counts)
        ratio = round(uses / keys, 3) if keys else None
        week = Adoption(users, keys, len(names - {UNKNOWN_APP, OTHER_APPS}), ratio)
        if least_users is None or least_users <= 1:
            found.append(week)
        elif users < least_users:
            found.append(None)
        else:
            found.append(Adoption(privacy.rounded(users), privacy.rounded(keys), week.apps, ratio))
    return found
