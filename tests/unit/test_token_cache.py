"""The cache of access tokens, with a clock and an issuer that the test controls."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from providers.auth.token_cache import RETRY_S, Issued, TokenCache
from providers.errors import ProviderError, failed

EARLY_S = 300.0


class Issuer:
    """Numbers its tokens; waits, fails and sets lifetimes as the test says."""

    def __init__(self, lifetime_s: float = 3600.0) -> None:
        self.lifetime_s = lifetime_s
        self.fetches = 0
        self.works = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> Issued[str]:
        self.fetches += 1
        number = self.fetches
        await self.gate.wait()
        if not self.works:
            raise failed("credential", "refused", status=401, raw="why", provider_code="no", retry_after_s=3.0)
        return Issued(f"token-{number}", self.lifetime_s)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Step(NamedTuple):
    """At ``at_s`` after the first fetch, with an issuer that works or not, a caller gets ``token`` (None: the error), and
    afterwards ``fetches`` have been made."""

    at_s: float
    token: str | None
    fetches: int
    works: bool = True


async def settle() -> None:
    """Let what was started in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("lifetime_s", "steps"),
    [
        pytest.param(3600, [Step(0, "token-1", 1), Step(3299, "token-1", 1)], id="kept"),
        pytest.param(
            3600, [Step(0, "token-1", 1), Step(3300, "token-1", 2), Step(3300, "token-2", 2)], id="renewed ahead of its end"
        ),
        pytest.param(
            100, [Step(0, "token-1", 1), Step(89, "token-1", 1), Step(91, "token-1", 2), Step(91, "token-2", 2)], id="a short life"
        ),
        pytest.param(3600, [Step(0, "token-1", 1), Step(3600, "token-2", 2)], id="expired"),
        pytest.param(0, [Step(0, "token-1", 1), Step(0, "token-2", 2)], id="used once"),
        pytest.param(-5, [Step(0, "token-1", 1), Step(0, "token-2", 2)], id="expired when it came"),
        pytest.param(
            3600,
            [
                Step(0, "token-1", 1),
                Step(3300, "token-1", 2, works=False),
                Step(3300 + RETRY_S - 1, "token-1", 2, works=False),
                Step(3300 + RETRY_S, "token-1", 3, works=False),
                Step(3599, "token-1", 4, works=False),
                Step(3600, None, 5, works=False),
                Step(3601, None, 6, works=False),
                Step(3602, "token-7", 7),
            ],
            id="a renewal that fails leaves the token in use",
        ),
        pytest.param(
            3600,
            [
                Step(0, "token-1", 1),
                Step(3300, "token-1", 2, works=False),
                Step(3300 + RETRY_S, "token-1", 3),
                Step(3300 + RETRY_S, "token-3", 3),
            ],
            id="a renewal that is tried again",
        ),
        pytest.param(3600, [Step(0, None, 1, works=False), Step(0, None, 2, works=False), Step(0, "token-3", 3)], id="refused"),
    ],
)  # fmt: skip
async def test_a_life(lifetime_s: float, steps: list[Step]) -> None:
    """What a caller gets, and how often the issuer is asked, second by second."""
    clock, issuer = Clock(), Issuer(lifetime_s)
    cache = TokenCache[str](early_s=EARLY_S, clock=clock)
    began = clock.now
    for step in steps:
        clock.now, issuer.works = began + step.at_s, step.works
        try:
            token: str | None = await cache.get("a", issuer.fetch)
        except ProviderError:
            token = None
        await settle()
        assert (token, issuer.fetches) == (step.token, step.fetches), step


async def test_a_lifetime_counts_from_before_the_fetch() -> None:
    """An issuer that is slow to answer does not lengthen the life of its token."""
    clock, issuer = Clock(), Issuer(100)
    cache = TokenCache[str](early_s=EARLY_S, clock=clock)
    issuer.gate.clear()
    waiting = asyncio.ensure_future(cache.get("a", issuer.fetch))
    await settle()
    clock.now += 60
    issuer.gate.set()
    assert await waiting == "token-1"
    clock.now += 40
    assert await cache.get("a", issuer.fetch) == "token-2"


async def test_callers_share_one_fetch() -> None:
    """A hundred callers wait for one fetch; those that are cancelled, the first among them, take nothing from the others."""
    issuer = Issuer()
    cache = TokenCache[str](early_s=EARLY_S)
    issuer.gate.clear()
    callers = [asyncio.ensure_future(cache.get("a", issuer.fetch)) for _ in range(100)]
    other = asyncio.ensure_future(cache.get("b", issuer.fetch))
    await settle()
    for caller in callers[:50]:
        caller.cancel()
    await settle()
    issuer.gate.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(each) for each in found[:50]} == {asyncio.CancelledError}
    assert set(found[50:]) == {"token-1"}
    assert await other == "token-2"
    assert issuer.fetches == 2


async def test_a_fetch_survives_all_its_callers() -> None:
    """A fetched token is kept although no caller waits for it any more."""
    issuer = Issuer()
    cache = TokenCache[str](early_s=EARLY_S)
    issuer.gate.clear()
    caller = asyncio.ensure_future(cache.get("a", issuer.fetch))
    await settle()
    caller.cancel()
    issuer.gate.set()
    await settle()
    assert await cache.get("a", issuer.fetch) == "token-1"


async def test_callers_share_one_failure() -> None:
    """Each gets an error of its own, which says all that the first one says."""
    issuer = Issuer()
    cache = TokenCache[str](early_s=EARLY_S)
    issuer.works = False
    issuer.gate.clear()
    callers = [asyncio.ensure_future(cache.get("a", issuer.fetch)) for _ in range(3)]
    await settle()
    issuer.gate.set()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert len({id(each) for each in found}) == 3
    assert issuer.fetches == 1
    for error in found:
        assert isinstance(error, ProviderError)
        assert (error.failure.kind, error.message, error.status) == ("credential", "refused", 401)
        assert (error.raw, error.provider_code, error.retry_after_s) == ("why", "no", 3.0)


async def test_no_caller_waits_for_a_renewal() -> None:
    """While an issuer hangs, all callers go on with the present token, and one renewal is under way."""
    clock, issuer = Clock(), Issuer()
    cache = TokenCache[str](early_s=EARLY_S, clock=clock)
    await cache.get("a", issuer.fetch)
    issuer.gate.clear()
    clock.now += 3400
    for _ in range(10):
        assert await asyncio.wait_for(cache.get("a", issuer.fetch), 1) == "token-1"
        await settle()
    assert issuer.fetches == 2
    issuer.gate.set()
    await settle()
    assert await cache.get("a", issuer.fetch) == "token-2"


async def test_a_mistake_in_a_fetch_is_not_hidden() -> None:
    """What is not a provider's failure reaches the caller as it is, and the next caller fetches."""
    issuer = Issuer()
    cache = TokenCache[str](early_s=EARLY_S)

    async def broken() -> Issued[str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cache.get("a", broken)
    assert await cache.get("a", issuer.fetch) == "token-1"


async def test_it_is_bounded() -> None:
    """Beyond its size the identity that was renewed longest ago is forgotten, and fetched again when it comes back."""
    clock, issuer = Clock(), Issuer(100)
    cache = TokenCache[str](early_s=EARLY_S, clock=clock, identities_max=3)
    for identity in "abc":
        await cache.get(identity, issuer.fetch)
    clock.now += 95
    await cache.get("a", issuer.fetch)
    await settle()
    assert await cache.get("a", issuer.fetch) == "token-4"
    assert await cache.get("d", issuer.fetch) == "token-5"
    assert [await cache.get(identity, issuer.fetch) for identity in "acd"] == ["token-4", "token-3", "token-5"]
    await settle()
    assert len(cache._cached) == 3
    assert not cache._fetches


def test_event_loops_share_tokens_and_not_fetches() -> None:
    """A token that one loop fetched serves the next one; a fetch that died with its loop blocks no later one."""
    cache = TokenCache[str](early_s=EARLY_S)

    async def abandon() -> None:
        issuer = Issuer()
        issuer.gate.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cache.get("a", issuer.fetch), 0.01)

    async def use() -> str:
        return await cache.get("a", Issuer().fetch)

    asyncio.run(abandon())
    assert not cache._fetches
    assert [asyncio.run(use()), asyncio.run(use())] == ["token-1", "token-1"]
