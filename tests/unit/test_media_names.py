"""Names that callers write are looked up by few threads, for a bounded time, and one caller's do not keep another waiting."""

from __future__ import annotations

import asyncio

from providers.media.names import QUEUED_MOST, TENANT_MOST, Names
from providers.transport.addresses import Place

NEVER_S = 600.0


def place(host: str) -> Place:
    return Place(f"https://{host}/", host, 443)


class Resolver:
    """Names that begin with ``slow`` are never found."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host.startswith("slow"):
            await asyncio.Event().wait()
        if host.startswith("none"):
            raise OSError
        return ["8.8.8.8"]


async def test_one_callers_slow_names_are_its_own() -> None:
    resolver = Resolver()
    names = Names(resolver)
    slow = [place(f"slow-{number}.example.com") for number in range(QUEUED_MOST + 20)]
    found = await names.all(slow, "attacker", 0.01)
    assert set(found.values()) == {()}
    assert len(resolver.asked) == TENANT_MOST
    assert await names.all([place("a.example.com")], "other", NEVER_S) == {"a.example.com": ["8.8.8.8"]}
    # The attacker's own waits, and the other's of the same name does not.
    assert await names.all([place("b.example.com")], "attacker", 0.01) == {"b.example.com": ()}
    assert await names.all([place("b.example.com")], "other", NEVER_S) == {"b.example.com": ["8.8.8.8"]}


async def test_an_answer_is_remembered_and_asked_for_once() -> None:
    resolver = Resolver()
    names = Names(resolver)
    places = [place("a.example.com"), place("none.example.com")]
    first, second = await asyncio.gather(names.all(places, "t", NEVER_S), names.all(places, "t", NEVER_S))
    assert first == second == {"a.example.com": ["8.8.8.8"], "none.example.com": ()}
    assert await names.all(places, "another", NEVER_S) == first
    assert sorted(resolver.asked) == ["a.example.com", "none.example.com"]
    assert await names.lookup("t")("a.example.com", 443) == ["8.8.8.8"]
    assert len(resolver.asked) == 3
