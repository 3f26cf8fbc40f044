"""Which endpoint answered the last turn of a conversation: kept in the process, exchanged with the other processes once a second.

Vendors keep the prompts that they have read for some minutes, and read their beginning again at a fraction of the price. So the
next turn of a conversation is best sent where the last one went; ``routing/affinity.py`` decides whether it is. Losing what is
kept here costs a prompt cache, never an answer. It must not know: prices, health, policies, HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import msgspec

from gateway.store import keys
from gateway.store.client import Store, store_errors

OPENING_CHARS = 4096
"""So much of the system prompt and of the first message tells conversations apart: about 1,024 tokens, the shortest beginning that
most vendors cache. Requests that agree in more share a cached beginning, so they belong together in any case."""
ORG_BYTES, REST_BYTES = 4, 12
"""A key begins with bytes of its organisation's digest, so that the conversations of one organisation are found."""
VOLATILE = "x-anthropic-billing-header:"
"""Claude Code writes a line that changes with every request before its system prompt (claude-code-router#1372, 2026-11)."""
MAX_KEPT = 32_768
"""Conversations in one process, about 10 MB. When there are more, the organisation that has the most of them loses its oldest."""
MAX_SHARED = 256
"""Turns that a process writes in one exchange: the latest of each organisation, by turns."""
MAX_WAITING = 8 * MAX_SHARED
"""Turns that wait for the next exchange, before those that would not be written are forgotten."""
MAX_ENTRIES = 600
"""Exchanges that the store keeps: at most about 8 MB."""
MAX_READ = 64
"""Exchanges read at a time; a process that has fallen behind catches up in the next ones."""
HISTORY_S = 600
"""How far back a process that has just started reads."""
STREAM_TTL_S = 3600


class Turn(msgspec.Struct, frozen=True):
    """The last turn of a conversation."""

    endpoint_id: str
    prompt_tokens: int
    """Our own estimate of its prompt, which the vendor has probably cached."""
    at: float
    """When it ended, on the clock of this process."""
    ttl_s: int
    """How long the vendor keeps a prompt that nobody asks for again."""
    misses: int = 0
    """Turns in a row that came back to this endpoint and for which it reported no cached tokens."""


class Conversation(msgspec.Struct, frozen=True):
    """The conversation that a request belongs to."""

    key: bytes
    named: bool
    """The caller named it: ``session_id``, ``x-session-id`` or ``prompt_cache_key``. Else it is known by its opening."""
    prompt_tokens: int
    """Our own estimate of the request's prompt."""
    last: Turn | None = None


def named_key(org: str, model: str, name: str) -> bytes:
    """The key of a conversation that the caller names. One organisation cannot steer another's."""
    return _key(org, model, "name", name)


def opening_key(org: str, model: str, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """The key of a conversation in the inner language that nobody names: its system prompt and its first other message."""
    system = opening = ""
    for message in messages:
        if message.get("role") in ("system", "developer"):
            system = system or _text(message.get("content"))
        else:
            opening = _text(message.get("content"))
            break
    return _key(org, model, "opening", system, opening)


def _text(content: Any) -> str:
    """The first ``OPENING_CHARS`` characters of a message's text. Cache breakpoints, which move, and media are left out."""
    if type(content) is str:
        return content[:OPENING_CHARS]
    texts: list[str] = []
    size = 0
    for part in content or ():
        text = part.get("text")
        if text and not text.startswith(VOLATILE):
            texts.append(text[: OPENING_CHARS - size])
            size += len(texts[-1])
            if size >= OPENING_CHARS:
                break
    return "\n".join(texts)


def _key(org: str, *parts: str) -> bytes:
    organization = hashlib.sha256(org.encode())
    digest = organization.copy()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4))
        digest.update(data)
    return organization.digest()[:ORG_BYTES] + digest.digest()[:REST_BYTES]


_Shared = dict[str, list[tuple[bytes, int, int, int, int]]]
"""Endpoint id → (key, prompt tokens, age in s, lifetime in s, misses) of turns that it answered."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Shared).decode


class Conversations:
    """One per process; its event loop owns it. ``clock``: seconds that never go back; ``wall``: unix seconds, as the store's."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        *,
        most: int = MAX_KEPT,
    ) -> None:
        self._clock, self._wall, self._most = clock, wall, most
        self._turns: dict[bytes, dict[bytes, Turn]] = {}
        """First bytes of the keys → key → turn, of each organisation in the order of the last turns."""
        self._size = 0
        self._unshared: dict[bytes, dict[bytes, None]] = {}
        """First bytes → keys of turns that the other processes do not know, in the same order."""
        self._waiting = 0
        """Turns that came since those to be written were last chosen."""
        self._writer = secrets.token_hex(4).encode()
        self._read_until: str | bytes | None = None

    def last(self, key: bytes) -> Turn | None:
        """The last turn, as long as its vendor keeps what it has read."""
        turn = self._known(key)
        return turn if turn is not None and self._clock() < turn.at + turn.ttl_s else None

    def answered(self, conversation: Conversation, endpoint_id: str, ttl_s: int, misses: int) -> None:
        """An endpoint has answered a turn just now."""
        key = conversation.key
        self._keep(key, Turn(endpoint_id, conversation.prompt_tokens, self._clock(), ttl_s, misses))
        same_organization = self._unshared.setdefault(key[:ORG_BYTES], {})
        same_organization.pop(key, None)
        same_organization[key] = None
        self._waiting += 1
        if self._waiting >= MAX_WAITING:
            self._choose()

    def _choose(self) -> list[bytes]:
        """Forget all but ``MAX_SHARED`` turns that the others do not know: the latest of each organisation, by turns."""
        organizations = reversed(self._unshared.values())
        rounds = zip_longest(*(reversed(keys) for keys in organizations))
        chosen = list(islice((key for keys in rounds for key in keys if key is not None), MAX_SHARED))
        self._unshared, self._waiting = {}, 0
        for key in reversed(chosen):
            self._unshared.setdefault(key[:ORG_BYTES], {})[key] = None
        return chosen

    def _known(self, key: bytes) -> Turn | None:
        return self._turns.get(key[:ORG_BYTES], {}).get(key)

    def _keep(self, key: bytes, turn: Turn) -> None:
        same_organization = self._turns.setdefault(key[:ORG_BYTES], {})
        if same_organization.pop(key, None) is None:
            self._size += 1
        same_organization[key] = turn
        if self._size > self._most:
            self._forget()

    def _forget(self) -> None:
        """An eighth of the conversations of the organisation that has the most: no other one loses any by it."""
        organization, turns = max(self._turns.items(), key=lambda item: len(item[1]))
        for key in list(islice(turns, -(-len(turns) // 8))):
            del turns[key]
            self._size -= 1
        if not turns:
            del self._turns[organization]

    async def share(self, store: Store) -> None:
        """Exchange turns with the other processes. One task calls it once a second.

        Raises StoreError; the turns of this second may then stay unknown to the others.
        """
        with store_errors():
            await self._write(store)
            await self._read(store)

    async def _write(self, store: Store) -> None:
        fresh, now = self._choose(), self._clock()
        self._unshared = {}
        shared: _Shared = {}
        for key in fresh:
            turn = self._known(key)
            if turn is not None:
                age_s = round(now - turn.at)
                shared.setdefault(turn.endpoint_id, []).append(
                    (key, turn.prompt_tokens, age_s, turn.ttl_s, turn.misses)
                )
        if shared:
            fields: dict[Any, Any] = {b"w": self._writer, b"t": _encode(shared)}
            await store.redis.xadd(keys.CONVERSATIONS, fields, maxlen=MAX_ENTRIES, approximate=True)
            await store.redis.expire(keys.CONVERSATIONS, STREAM_TTL_S)

    async def _read(self, store: Store) -> None:
        since = self._read_until or f"{int((self._wall() - HISTORY_S) * 1000)}-0"
        streams: dict[Any, Any] = {keys.CONVERSATIONS: since}
        found: Any = await store.redis.xread(streams, count=MAX_READ)  # redis-py's stubs allow more shapes than it has
        for _, entries in found:
            for entry_id, fields in entries:
                self._read_until = entry_id
                if fields.get(b"w") != self._writer:
                    self._learn(fields.get(b"t", b""), entry_id)
                    await asyncio.sleep(0)  # so that other tasks of the event loop get their turn

    def _learn(self, data: bytes, entry_id: bytes) -> None:
        """Take over the turns of another process that are newer than what is known here."""
        try:
            shared = _decode(data)
        except msgspec.MsgspecError:  # of another version of this program
            return
        now = self._clock()
        waited_s = max(0.0, self._wall() - int(entry_id.partition(b"-")[0]) / 1000)
        for endpoint_id, turns in shared.items():
            for key, prompt_tokens, age_s, ttl_s, misses in turns:
                at = now - waited_s - age_s
                known = self._known(key)
                if now < at + ttl_s and (known is None or known.at < at):
                    self._keep(key, Turn(endpoint_id, prompt_tokens, at, ttl_s, misses))
