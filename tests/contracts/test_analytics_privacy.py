"""Which figures are shown to anybody: what the store answers is what adding up all users and organisations says."""

from __future__ import annotations

import random

from gateway.analytics import privacy
from gateway.analytics.privacy import Cell, shown
from gateway.store import analytics_keys as keys
from gateway.store.client import Store

BUCKETS = range(100, 180)


async def _filled(store: Store, rng: random.Random) -> dict[tuple[str, int], tuple[set[str], dict[str, int]]]:
    """Rows of four models in eighty weeks: their users, and the tokens of their organisations."""
    rows: dict[tuple[str, int], tuple[set[str], dict[str, int]]] = {}
    for number in BUCKETS:
        for row in ("m a/1", "m a/2", "m b/1", "p acme"):
            if rng.random() < 0.2:
                continue
            people = {f"user-{rng.randrange(40)}" for _ in range(rng.randrange(1, 9))}
            orgs = {
                f"org-{rng.randrange(9)}": rng.randrange(1, 10 ** rng.randrange(1, 16))
                for _ in range(rng.randrange(1, 6))
            }
            rows[row, number] = (people, orgs)
            await store.redis.pfadd(keys.row("wn", number, row), *people)
            await store.redis.hset(keys.row("wo", number, row), mapping={**orgs, "_": 10**17})
    return rows


async def test_the_store_says_what_adding_up_says(store: Store) -> None:
    """Single rows, unions of models and of buckets, small and large ones, rows that do not exist; the number of a batch is no organisation."""
    rng = random.Random(4)
    rows = await _filled(store, rng)
    cells = [Cell("w", (number,), ("m a/1",)) for number in BUCKETS]
    cells += [Cell("w", (number,), ("m a/1", "m a/2", "m b/1")) for number in BUCKETS]
    cells += [Cell("w", tuple(BUCKETS[start : start + 3]), ("p acme",)) for start in range(0, 70, 3)]
    cells += [
        Cell("w", tuple(BUCKETS), ("m a/1", "m a/2")),
        Cell("w", tuple(BUCKETS), ("m nothing",)),
        Cell("w", (5,), ("m a/1",)),
    ]
    for least in (2, 5, 12):
        expected = []
        for cell in cells:
            parts = [rows[row, number] for number in cell.numbers for row in cell.rows if (row, number) in rows]
            people = set().union(*(part[0] for part in parts))
            sums: dict[str, int] = {}
            for _, orgs in parts:
                for name, tokens in orgs.items():
                    sums[name] = sums.get(name, 0) + tokens
            enough = len(people) >= least
            largest, total = max(sums.values(), default=0), sum(sums.values())
            expected.append(enough and largest * 100 <= total * privacy.LARGEST_PERCENT)
        assert await shown(store, cells, least) == expected, least
        assert any(expected)
        assert not all(expected)


async def test_apps_are_judged_by_their_users_alone(store: Store) -> None:
    """One organisation may have all of an app; with a least of one everything is shown, and nothing is asked."""
    await store.redis.pfadd(keys.row("dn", 7, "a chat"), "u1", "u2", "u3")
    await store.redis.hset(keys.row("do", 7, "a chat"), mapping={"org": 5})
    cells = [Cell("d", (7,), ("a chat",)), Cell("d", (7,), ("a other",))]
    assert await shown(store, cells, 3) == [True, False]
    assert await shown(store, cells, 4) == [False, False]
    assert await shown(store, cells, 1) == [True, True]
    assert await shown(store, [], 5) == []


async def test_calls_of_tools_are_judged_by_themselves(store: Store) -> None:
    """An account that is a small part of a model may be nearly all of its calls; what the whole model may not show, calls may not either."""
    rows = {"m a/x": {"one": 10, "two": 90, "three": 60}, "tm a/x": {"one": 9, "two": 1, "three": 1}}
    rows |= {"m a/y": {"one": 99, "two": 1, "three": 1}, "tm a/y": {"one": 1, "two": 1, "three": 1}}
    rows |= {"m a/z": {"one": 10, "two": 10, "three": 10}}
    for row, orgs in rows.items():
        await store.redis.hset(keys.row("wo", 7, row), mapping=orgs)
        await store.redis.pfadd(keys.row("wn", 7, row), *orgs)
    cells = [Cell("w", (7,), (row,), of_tools) for row in ("m a/x", "m a/y", "m a/z") for of_tools in (False, True)]
    assert await shown(store, cells, 3) == [True, False, False, False, True, True]
    large = [cell._replace(numbers=tuple(range(7, 107))) for cell in cells]
    assert await shown(store, large, 3) == [True, False, False, False, True, True]
