"""A key that is revoked is refused everywhere within a second: on every route of the OpenAPI document that takes a key, by every
process, whoever revoked it. The routes come from the document, so that a new one is in the table by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from gateway.accounts import KeyChange
from gateway.accounts.accounts import RECENT_S
from gateway.store.embedded import Embedded
from tests.support.gateway import Gateway, Sale, Stage, running
from tests.support.process import command, environment

Routes = list[tuple[str, str]]
METHODS = {"get", "post", "put", "patch", "delete"}
PARAMETER = re.compile(r"\{[^}]+\}")
MESSAGES = {"model": "t/a", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
WHOLE = {"/api/v1/messages": MESSAGES, "/api/v1/messages/count_tokens": MESSAGES, "/api/v1/chat/completions": MESSAGES}
"""Bodies that would be served; every other route gets an empty one, which its key must be refused before."""


async def with_a_key(gateway: Gateway) -> Routes:
    """(method, path) of every documented route that takes a key."""
    document = (await gateway.client.get("/openapi.json")).json()
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS and operation.get("security")
    ]


async def statuses(gateway: Gateway, secret: str, routes: Routes) -> dict[tuple[str, str, bool], int]:
    """The status of each route, with an empty body and with one that would be served."""
    headers = {"authorization": f"Bearer {secret}"}

    async def status(method: str, path: str, body: dict[str, Any]) -> int:
        sent: dict[str, Any] = {} if method == "GET" else {"json": body}
        return (await gateway.client.request(method, PARAMETER.sub("x", path), headers=headers, **sent)).status_code

    asked = [(method, path, body) for method, path in routes for body in ({}, WHOLE.get(path)) if body is not None]
    found = await asyncio.gather(*(status(*each) for each in asked))
    return {(method, path, bool(body)): each for (method, path, body), each in zip(asked, found, strict=True)}


def by_the_command(*words: str) -> Callable[[Stage, str, Path, str], Awaitable[None]]:
    """``tokenway keys ...`` with the key's hash, on the same store."""

    async def revoke(stage: Stage, key_hash: str, directory: Path, url: str) -> None:
        env = environment(directory / "stage-1" / "config", directory / "cli", redis_url=url)
        code, _, complaint = await command("keys", *(key_hash if word == "HASH" else word for word in words), env=env)
        assert code == 0, complaint

    return revoke


async def by_the_api(stage: Stage, key_hash: str, directory: Path, url: str) -> None:
    answer = await stage.gateway.client.delete(f"/api/v1/keys/{key_hash}", headers=stage.gateway.admin)
    assert answer.status_code == 200


WAYS = {
    "api": by_the_api,
    "cli revoke": by_the_command("revoke", "HASH"),
    "cli disable": by_the_command("update", "HASH", "--disable"),
}


async def test_a_revoked_key_is_refused_everywhere(
    gateway: Callable[..., Awaitable[Stage]], tmp_path: Path, valkey_server: Embedded
) -> None:
    """Two processes that know the keys; a second after one was revoked, both answer 401 on every route, whatever was sent."""
    stage = await gateway(Sale("t/a", "alpha"))
    config = tmp_path / "stage-1" / "config"
    async with running(config, tmp_path / "other", valkey_server.url, ledger_timeout_s=2) as other:
        secrets = {way: await stage.gateway.key() for way in WAYS}
        both = (stage.gateway, other)
        routes = await with_a_key(stage.gateway)
        assert 401 not in (await statuses(stage.gateway, secrets["api"], routes)).values()
        for secret, each in product(secrets.values(), both):
            good = await statuses(each, secret, [("POST", path) for path in WHOLE])
            assert {status for (_, _, whole), status in good.items() if whole} == {200}
        for way, revoke in WAYS.items():
            await revoke(stage, sha256(secrets[way].encode()).hexdigest(), tmp_path, valkey_server.url)
        await asyncio.sleep(RECENT_S)
        for (way, secret), each in product(secrets.items(), both):
            told = await statuses(each, secret, routes)
            assert len(told) > 30
            assert {(way, *route): status for route, status in told.items() if status != 401} == {}


async def test_one_question_for_all_who_ask(gateway: Callable[..., Awaitable[Stage]]) -> None:
    """However many requests of a key take no hold at once, and within a second, its policy is read once."""
    stage = await gateway(Sale("t/a", "alpha"))
    secret = await stage.gateway.key()
    accounts, client = stage.gateway.services.accounts, stage.gateway.client
    headers = {"authorization": f"Bearer {secret}"}
    store = stage.gateway.services.store.redis

    async def counted() -> None:
        answers = await asyncio.gather(
            *(client.post("/api/v1/messages/count_tokens", json=MESSAGES, headers=headers) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {200}

    await counted()
    policy = await accounts.authenticate(secret)
    accounts.learn(policy, policy.key_hash)  # as old as after a long while
    before = (await store.info("commandstats"))["cmdstat_hmget"]["calls"]
    await counted()
    assert (await store.info("commandstats"))["cmdstat_hmget"]["calls"] == before + 1
    await accounts.update_key(policy.key_hash, KeyChange(disabled=True))
    assert (await client.post("/api/v1/messages/count_tokens", json=MESSAGES, headers=headers)).status_code == 401
