"""The turns of a conversation stay on the endpoint that has their beginning in its cache; JSON answers teach how fast an endpoint is."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.conversations import Conversations, named_key
from gateway.health.registry import Observation
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from tests.support import wireshape
from tests.support.gateway import Caller, Sale, Stage, events, staged
from tests.support.invariants import calm, forget_health

pytestmark = pytest.mark.asyncio(loop_scope="module")

CACHES, FORGETS = "tokens=3+caching", "tokens=3"
SALES = (
    *(
        Sale(model, provider, upstream, "1", "1", cache_read=cache_read)
        for model, upstream, cache_read in (
            ("t/caches", CACHES, "0.1"),
            ("t/forgets", FORGETS, "0.1"),
            ("t/no-price", FORGETS + "+finish=stop", None),
        )
        for provider in ("alpha", "beta", "gamma")
    ),
    Sale("t/priced", "alpha", CACHES + "+finish=stop", "1", "1", cache_read="0.1"),
    Sale("t/priced", "beta", CACHES + "+finish=stop", "10", "10", cache_read="1"),
)
LONG = "Answer as a pirate would, and never mention the sea. " * 100
SHORT = "Be brief."
TURNS = 8
"""By chance a conversation over three equal vendors never changes once in 2,187 times."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> AsyncIterator[Stage]:
    emptied = await connect(valkey_server.url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with staged(
        tmp_path_factory.mktemp("affinity"), valkey_server.url, *SALES, health_share_interval_s=3600
    ) as stage:
        stage.gateway.pipeline.rng.seed(11)
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def caller(shared: Stage) -> AsyncIterator[Caller]:
    """A caller, and vendors about whom nothing is known."""
    forget_health(shared)
    yield await shared.caller("50")
    await calm(shared)


def chat(model: str, system: str, turns: list[str], **more: Any) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "system", "content": system}]
    for number, text in enumerate(turns):
        messages.append({"role": "assistant" if number % 2 else "user", "content": text})
    return "/v1/chat/completions", {"model": model, "messages": messages, **more}


def messages(model: str, system: str, turns: list[str], **more: Any) -> tuple[str, dict[str, Any]]:
    """As Claude Code writes it: with a cache breakpoint that moves."""
    cached = {"cache_control": {"type": "ephemeral"}}
    texts = [
        {
            "role": "assistant" if number % 2 else "user",
            "content": [{"type": "text", "text": text, **(cached if number == len(turns) - 1 else {})}],
        }
        for number, text in enumerate(turns)
    ]
    blocks = [{"type": "text", "text": system, **cached}]
    return "/v1/messages", {"model": model, "system": blocks, "messages": texts, "max_tokens": 50, **more}


def responses(model: str, system: str, turns: list[str], **more: Any) -> tuple[str, dict[str, Any]]:
    items = [{"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(turns)]
    return "/v1/responses", {"model": model, "instructions": system, "input": items, **more}


SURFACES = {"chat": chat, "messages": messages, "responses": responses}


async def post(caller: Caller, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await caller.gateway.client.post(path, json=body, headers={**caller.headers, **named})
    assert response.status_code == 200, response.text
    return response


async def provider_of(caller: Caller, response: httpx.Response) -> str:
    """The provider that answered."""
    await caller.gateway.settled()
    return (await caller.record(response.headers["x-generation-id"])).provider


async def conversation(
    caller: Caller,
    model: str = "t/caches",
    *,
    surface: str = "chat",
    system: str = LONG,
    opening: str = "Ahoy",
    turns: int = TURNS,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> list[str]:
    """Who answered each turn of a conversation that grows."""
    texts, providers = [opening], []
    for turn in range(turns):
        path, body = SURFACES[surface](model, system, texts, **more)
        providers.append(await provider_of(caller, await post(caller, path, body, **(headers or {}))))
        texts += [f"Answer {turn}", f"Question {turn}"]
    return providers


def changes(providers: list[str]) -> int:
    return sum(a != b for a, b in itertools.pairwise(providers))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("surface", "system", "more", "headers"),
    [
        *((surface, LONG, {}, {}) for surface in SURFACES),
        *((surface, SHORT, {"session_id": "s-1"}, {}) for surface in SURFACES),
        *((surface, SHORT, {}, {"x_session_id": "s-2"}) for surface in SURFACES),
        ("chat", SHORT, {"prompt_cache_key": "k"}, {}),
        ("responses", SHORT, {"prompt_cache_key": "k"}, {}),
    ],
)
async def test_a_conversation_stays(
    caller: Caller, surface: str, system: str, more: dict[str, Any], headers: dict[str, str], stream: bool
) -> None:
    """By its name from the first turn on, else by its opening where the prompt is long enough to be cached."""
    providers = await conversation(caller, surface=surface, system=system, headers=headers, stream=stream, **more)
    assert changes(providers) == 0, providers


async def test_twelve_turns_of_several_conversations_spread(caller: Caller) -> None:
    """Each stays where it is, and they are not all at one vendor."""
    providers = [await conversation(caller, turns=12 if not n else 2, opening=f"Opening {n}") for n in range(10)]
    assert [changes(each) for each in providers] == [0] * 10
    assert len({each[0] for each in providers}) > 1


@pytest.mark.parametrize(
    ("model", "system", "more"),
    [
        ("t/caches", SHORT, {}),  # too short to be cached
        ("t/no-price", LONG, {}),  # a cached prompt costs the same
        ("t/caches", LONG, {"provider": {"order": ["alpha", "beta"]}}),
        ("t/caches", LONG, {"session_id": "s", "provider": {"order": ["alpha"]}}),
    ],
)
async def test_what_does_not_stay(shared: Stage, caller: Caller, model: str, system: str, more: dict[str, Any]) -> None:
    """Where caching does not pay, balancing goes on; where the caller orders, the order does."""
    providers = await conversation(caller, model, system=system, turns=14, **more)
    assert (changes(providers) > 0) == ("provider" not in more), providers
    if "provider" in more:
        assert set(providers) == {"alpha"}


async def test_a_vendor_that_does_not_cache(caller: Caller) -> None:
    """After two turns that came back and were not read from a cache, the conversation is free again."""
    providers = await conversation(caller, "t/forgets", turns=20)
    assert changes(providers[:3]) == 0 < changes(providers), providers
    assert changes(await conversation(caller, "t/forgets", turns=12, session_id="named")) == 0


async def test_explicit_sorts_are_strict(shared: Stage, caller: Caller) -> None:
    """``sort`` and suffixes are obeyed in every turn, wherever the conversation was."""
    first = (await conversation(caller, turns=1))[0]
    [fast, *_] = sorted({"alpha", "beta", "gamma"} - {first})
    for provider in ("alpha", "beta", "gamma"):
        endpoint = f"{provider}/{CACHES}@t/caches"
        seen = Observation(ok=True, ttft_ms=10 if provider == fast else 900, tokens_per_s=9 if provider == fast else 1)
        for _ in range(20):
            shared.gateway.services.health.observe(endpoint, seen)
    assert set(await conversation(caller, turns=3, provider={"sort": "latency"})) == {fast}
    assert set(await conversation(caller, "t/caches:nitro", turns=3)) == {fast}


async def test_only_and_ignore_come_first(caller: Caller) -> None:
    """An endpoint that the caller excludes is left; the conversation stays where it providers then."""
    first = (await conversation(caller, turns=2, session_id="s"))[-1]
    second = (await conversation(caller, turns=2, session_id="s", provider={"ignore": [first]}))[-1]
    assert second != first
    assert set(await conversation(caller, turns=3, session_id="s")) == {second}


@pytest.mark.parametrize("harm", ["breaker", "cooling", "outage"])
async def test_an_unhealthy_endpoint_is_left_once(shared: Stage, caller: Caller, harm: str) -> None:
    """The conversation goes on elsewhere, and stays there when the first endpoint has recovered: its cache is there now."""
    first = (await conversation(caller, turns=2, session_id="s"))[-1]
    seen = Observation(ok=False, attributed_to="endpoint")
    if harm == "cooling":
        seen = Observation(ok=False, attributed_to="capacity", retry_after_s=60)
    for _ in range(5 if harm == "breaker" else 1):
        shared.gateway.services.health.observe(f"{first}/{CACHES}@t/caches", seen)
    providers = await conversation(caller, turns=3, session_id="s")
    assert first not in providers
    assert changes(providers) == 0
    forget_health(shared)
    assert set(await conversation(caller, turns=3, session_id="s")) == {providers[0]}


async def test_a_failing_turn_moves_the_conversation(shared: Stage, caller: Caller) -> None:
    """The endpoint dies between two turns: the fallback answers the turn and keeps the conversation."""
    first = (await conversation(caller, turns=2, session_id="s"))[-1]
    await shared.vendors[first].refuse()
    shared.vendors[first].kill()
    try:
        providers = await conversation(caller, turns=3, session_id="s")
    finally:
        await shared.vendors[first].accept()
    assert changes([first, *providers]) == 1, providers
    forget_health(shared)
    assert set(await conversation(caller, turns=2, session_id="s")) == {providers[0]}


async def test_organisations_do_not_steer_each_other(shared: Stage, caller: Caller) -> None:
    """The same name and the same words of somebody else are another conversation."""
    mine = (await conversation(caller, turns=2, session_id="s"))[-1]
    others = {(await conversation(await shared.caller("5"), turns=1, session_id="s"))[0] for _ in range(16)}
    assert len(others) > 1
    assert set(await conversation(caller, turns=3, session_id="s")) == {mine}


async def test_a_dear_endpoint_is_left_for_the_cheapest(shared: Stage, caller: Caller) -> None:
    """What is cached there does not make up for ten times the price; a conversation that it began moves once."""
    dear = {"provider": {"only": ["beta"]}}
    assert set(await conversation(caller, "t/priced", turns=2, session_id="s", **dear)) == {"beta"}
    path, body = chat("t/priced", SHORT, ["Ahoy"], session_id="s")
    explanation = (await post(caller, path, body, x_openrouter_metadata="enabled")).json()["openrouter_metadata"]
    assert (explanation["policy"], explanation["affinity"]) == ("affinity", "moved: another endpoint is cheaper")
    assert set(await conversation(caller, "t/priced", turns=6, session_id="s")) == {"alpha"}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_decision_explains_itself(caller: Caller, stream: bool) -> None:
    """``openrouter_metadata`` and the record name the policy; the first turn, which no other precedes, says nothing."""
    for turns, policy, affinity in ((1, "balanced", None), (3, "affinity", "kept")):
        path, body = chat("t/caches", LONG, ["a", "b", "c"][:turns], stream=stream)
        response = await post(caller, path, body, x_openrouter_metadata="enabled")
        answer = events(response.text)[-2] if stream else response.json()
        explanation = answer["openrouter_metadata"]
        assert (explanation["policy"], explanation.get("affinity")) == (policy, affinity)
        await caller.gateway.settled()
        assert (await caller.record(response.headers["x-generation-id"])).policy == policy


@pytest.mark.parametrize("surface", SURFACES)
async def test_the_session_header(caller: Caller, surface: str) -> None:
    """It is kept in the record; the body's name wins; one that is too long is refused by name."""
    path, body = SURFACES[surface]("t/caches", SHORT, ["Ahoy"])
    for more, expected in (({}, "from the header"), ({"session_id": "from the body"}, "from the body")):
        response = await post(caller, path, {**body, **more}, x_session_id="from the header")
        await caller.gateway.settled()
        assert (await caller.record(response.headers["x-generation-id"])).session_id == expected
    client = caller.gateway.client
    response = await client.post(path, json=body, headers={**caller.headers, "x-session-id": "x" * 257})
    assert response.status_code == 400
    assert "x-session-id" in response.text
    assert (
        await client.post(path, json=body, headers={**caller.headers, "x-session-id": "x" * 256})
    ).status_code == 200


async def test_counting_tokens_is_no_turn(shared: Stage, caller: Caller) -> None:
    """``count_tokens`` asks a vendor that has the count, and remembers nothing."""
    path, body = messages("t/caches", LONG, ["Ahoy"], session_id="s")
    response = await caller.gateway.client.post(f"{path}/count_tokens", json=body, headers=caller.headers)
    assert response.status_code == 200
    key = named_key(caller.org, "t/caches", "s")
    assert shared.gateway.services.conversations.last(key) is None
    await post(caller, path, body)
    await caller.gateway.settled()
    assert shared.gateway.services.conversations.last(key) is not None


async def test_replicas_know_each_others_turns(shared: Stage, caller: Caller) -> None:
    """What this process has answered, another one knows after an exchange: see ``test_conversations`` for the details."""
    services = shared.gateway.services
    first = (await conversation(caller, turns=1, session_id="s"))[0]
    await services.conversations.share(services.store)
    other = Conversations()
    await other.share(services.store)
    turn = other.last(named_key(caller.org, "t/caches", "s"))
    assert turn is not None
    assert turn.endpoint_id.partition("/")[0] == first


async def test_json_answers_teach_latency(shared: Stage, caller: Caller) -> None:
    """After JSON answers alone an endpoint has a latency; ``sort: latency`` and ``preferred_max_latency`` judge by it."""
    for _ in range(3):
        wireshape.answer(await caller.chat("t/priced", provider={"only": ["beta"]}))
    await caller.gateway.settled()
    endpoint = next(
        each for each in shared.gateway.services.catalog.current.endpoints if "beta/" in each and "t/priced" in each
    )
    known = shared.gateway.services.health
    known._endpoints[endpoint].fresh_until = 0
    health = known.view(endpoint)
    assert health.latency_ms is not None
    assert health.throughput_tps is not None
    assert health.ttft_ms is None
    assert health.speed_samples == 3


async def test_what_it_is_worth(tmp_path_factory: pytest.TempPathFactory, valkey_server: Embedded) -> None:
    """Twelve turns at vendors that really cache: with ``GATEWAY_AFFINITY=false`` they change and cost half as much again."""
    costs = {}
    for on in (True, False):
        directory = tmp_path_factory.mktemp(f"affinity-{on}")
        async with staged(directory, valkey_server.url, *SALES[:3], affinity=on) as stage:
            stage.gateway.pipeline.rng.seed(5)
            caller = await stage.caller("5")
            providers = await conversation(caller, turns=12, opening="x" * 20_000, session_id="s")
            assert (changes(providers) == 0) == on, providers
            costs[on] = sum(line.cost_nano for line in await caller.lines())
    assert costs[False] > 1.5 * costs[True], costs
