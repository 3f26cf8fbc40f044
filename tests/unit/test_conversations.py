"""Conversations: what tells them apart, how long a turn is remembered, and what other processes learn of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import conversations
from gateway.conversations import Conversation, Conversations, Turn, named_key, opening_key
from gateway.store import keys
from gateway.store.client import Store
from tests.support.market import Clock

M, N = "a/m@acme/m", "b/m@acme/m"
LONG = "x" * conversations.OPENING_CHARS
MARK = {"cache_control": {"type": "ephemeral"}}


def of(name: str, tokens: int = 2000, org: str = "org") -> Conversation:
    return Conversation(named_key(org, "acme/m", name), True, tokens)


def opening(*texts: Any, org: str = "org", model: str = "acme/m", system: Any = "Be brief.") -> bytes:
    turns = [{"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(texts)]
    return opening_key(org, model, [{"role": "system", "content": system}, *turns])


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


@pytest.mark.parametrize(
    "other",
    [
        opening("Hello", "Hi", "And now?"),
        opening([text("Hello")]),
        opening([text("Hello", **MARK)], "Hi", [text("And now?", **MARK)]),
        opening("Hello", system=[text("Be brief.", **MARK)]),
        opening("Hello", system=[text("x-anthropic-billing-header: cch=1;"), text("Be brief.")]),
        opening([text("Hello"), {"type": "image_url", "image_url": {"url": "data:,"}}]),
        opening_key(
            "org", "acme/m", [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        ),
    ],
)
def test_the_same_opening(other: bytes) -> None:
    """Later turns, moving cache breakpoints, parts for text and lines that change with every request make no difference."""
    assert other == opening("Hello")


@pytest.mark.parametrize(
    "other",
    [
        opening("Hello "),
        opening("Hello", org="other"),
        opening("Hello", model="acme/n"),
        opening("Hello", system="Be long."),
        opening("", system="Be brief.Hello"),
        opening("Hello", system=None),
        opening([text("Hel"), text("lo")]),
        named_key("org", "acme/m", "Hello"),
        opening_key("org", "acme/m", []),
        opening_key("org", "acme/m", [{"role": "user", "content": None}]),
    ],
)
def test_another_opening(other: bytes) -> None:
    """Organisation, model, system prompt and first message each tell conversations apart, and nothing runs into each other."""
    assert other != opening("Hello")


def test_long_openings_that_share_what_is_cached() -> None:
    """Behind the first 4,096 characters nothing is read: such requests share a cached beginning, so they belong together."""
    assert opening(LONG + "a") == opening(LONG + "b") == opening([text(LONG), text("c")])
    assert opening("a" + LONG) != opening("b" + LONG)


def test_names() -> None:
    """One organisation's name is not another's, and a name counts for one model."""
    same = named_key("org", "acme/m", "s")
    assert named_key("org", "acme/m", "s") == same
    for other in (("org2", "acme/m", "s"), ("org", "acme/n", "s"), ("org", "acme/m", "t"), ("or", "gacme/m", "s")):
        assert named_key(*other) != same


def test_a_turn_is_remembered_for_the_caches_lifetime() -> None:
    """Each turn renews it; another endpoint's takes its place."""
    clock = Clock()
    known, conversation = Conversations(clock), of("s")
    assert known.last(conversation.key) is None
    known.answered(conversation, M, 300, 0)
    clock.pass_(299)
    assert known.last(conversation.key) == Turn(M, 2000, clock.now - 299, 300, 0)
    known.answered(conversation, M, 300, 1)
    clock.pass_(299)
    assert known.last(conversation.key) is not None
    known.answered(conversation, N, 60, 0)
    clock.pass_(60)
    assert known.last(conversation.key) is None


def test_the_largest_organisation_forgets_first() -> None:
    """Memory is bounded; of whoever fills it the oldest go, and a conversation that goes on is not the oldest."""
    known = Conversations(Clock(), most=100)
    others = [of("s", org=f"org-{number}") for number in range(40)]
    for other in others:
        known.answered(other, M, 300, 0)
    for number in range(500):
        known.answered(of(str(number)), M, 300, 0)
        known.answered(of("goes on"), M, 300, 0)
    assert known._size == sum(map(len, known._turns.values())) <= 100
    assert all(known.last(other.key) for other in others)
    assert known.last(of("goes on").key)
    assert known.last(of("499").key)
    assert not known.last(of("0").key)


class Processes:
    """Several processes on one clock, and the store's time beside it."""

    def __init__(self, count: int) -> None:
        self.clock, self.wall = Clock(50.0), Clock()
        self.all = [self.another() for _ in range(count)]

    def another(self) -> Conversations:
        return Conversations(self.clock, self.wall)

    async def exchange(self, store: Store) -> None:
        """The store stamps entries with the real time, so it is read here too."""
        seconds, micros = await store.redis.time()  # type: ignore[misc]
        self.wall.now = seconds + micros / 1e6
        for each in self.all:
            await each.share(store)


async def test_turns_travel(store: Store) -> None:
    """After two exchanges every process knows the last turn of each conversation; the latest one wins, whoever made it."""
    many = Processes(3)
    here, there, third = many.all
    here.answered(of("s"), M, 300, 0)
    there.answered(of("t"), N, 600, 1)
    for _ in range(2):
        await many.exchange(store)
    for each in many.all:
        first, second = each.last(of("s").key), each.last(of("t").key)
        assert first is not None
        assert second is not None
        assert (first.endpoint_id, first.ttl_s, first.prompt_tokens) == (M, 300, 2000)
        assert (second.endpoint_id, second.ttl_s, second.misses) == (N, 600, 1)
    many.clock.pass_(10)
    third.answered(of("s", 3000), N, 300, 0)
    for _ in range(2):
        await many.exchange(store)
    assert {each.last(of("s").key).endpoint_id for each in many.all} == {N}  # type: ignore[union-attr]


async def test_a_later_turn_of_ones_own_is_kept(store: Store) -> None:
    """What comes late from another process does not undo a turn that this one answered meanwhile."""
    many = Processes(2)
    here, there = many.all
    there.answered(of("s"), M, 300, 0)
    await there.share(store)
    many.clock.pass_(2)
    here.answered(of("s"), N, 300, 0)
    await many.exchange(store)
    assert here.last(of("s").key).endpoint_id == N  # type: ignore[union-attr]


async def test_a_new_process_reads_what_is_still_warm(store: Store) -> None:
    """The last ten minutes, without turns whose cache is gone by now."""
    many = Processes(1)
    many.all[0].answered(of("warm"), M, 300, 0)
    many.all[0].answered(of("cold"), M, 1, 0)
    many.clock.pass_(3)
    await many.exchange(store)
    new = many.another()
    await new.share(store)
    assert new.last(of("warm").key)
    assert not new.last(of("cold").key)
    many.wall.now += conversations.HISTORY_S + 60
    late = many.another()
    await late.share(store)
    assert not late.last(of("warm").key)


async def test_an_exchange_is_bounded(store: Store) -> None:
    """Of thousands of turns in a second the latest 256 are written; the stream has a limit and expires by itself."""
    many = Processes(2)
    here, there = many.all
    for number in range(2000):
        here.answered(of(str(number)), M, 300, 0)
    await many.exchange(store)
    assert there._size == conversations.MAX_SHARED
    assert there.last(of("1999").key)
    assert await store.redis.xlen(keys.CONVERSATIONS) == 1
    assert 0 < await store.redis.ttl(keys.CONVERSATIONS) <= conversations.STREAM_TTL_S
    await many.exchange(store)
    assert await store.redis.xlen(keys.CONVERSATIONS) == 1


@pytest.mark.parametrize(
    ("turns", "learned"),
    [
        ({"many": 2000, "few": 1}, {"many": 255, "few": 1}),
        ({"few": 1, "many": 2000}, {"many": 255, "few": 1}),
        ({"few": 3, "many": 9000}, {"many": 253, "few": 3}),
        ({"many": 9000, "more": 9000}, {"many": 128, "more": 128}),
        ({"one": 100, "two": 100, "three": 100}, {"one": 85, "two": 85, "three": 86}),
        ({f"org {number}": 2 for number in range(256)}, {f"org {number}": 1 for number in range(256)}),
    ],
    ids=["first", "last", "forgotten between", "two", "three", "as many as there is room for"],
)
async def test_no_organisation_hides_anothers_turns(
    store: Store, turns: dict[str, int], learned: dict[str, int]
) -> None:
    """However many turns of one there are, the latest of each are shared."""
    many = Processes(2)
    here, there = many.all
    for org, count in turns.items():
        for number in range(count):
            here.answered(of(str(number), org=org), M, 300, 0)
    await many.exchange(store)
    found = {
        org: [number for number in range(count) if there.last(of(str(number), org=org).key)]
        for org, count in turns.items()
    }
    assert {org: len(numbers) for org, numbers in found.items()} == learned
    for org, numbers in found.items():
        assert numbers == list(range(turns[org]))[-len(numbers) :]


@pytest.mark.parametrize(
    "fields", [{b"w": b"else", b"t": b"\xff\x00"}, {b"w": b"else", b"t": b"\x93\x01\x02\x03"}, {b"other": b"1"}]
)
async def test_what_it_cannot_read_is_left_out(store: Store, fields: dict[Any, Any]) -> None:
    """An entry of another version, or of nobody's, changes nothing and stops nothing."""
    many = Processes(2)
    await store.redis.xadd(keys.CONVERSATIONS, fields)
    many.all[0].answered(of("s"), M, 300, 0)
    for _ in range(2):
        await many.exchange(store)
    assert many.all[1].last(of("s").key)
