"""What requests are about, as organisations allow it: from the management API to the event, without a word of the request in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.analytics import stream
from gateway.analytics.buckets import bucket
from gateway.analytics.classify import vectors
from gateway.analytics.consumer import Consumer
from gateway.analytics.estimates import label_shares, model_shares
from gateway.analytics.event import Event, events_of
from gateway.store import analytics_keys as keys
from tests.support.gateway import Caller, Sale, Stage
from tests.support.management import Managed, refused

GatewayFactory = Callable[..., Any]
PATH = "/api/v1/admin/organizations"
PROMPT = "Fix this Python function, it raises a KeyError in the traceback"


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ANALYTICS", "true")


async def allow(caller: Caller, **analytics: Any) -> None:
    answer = await caller.gateway.client.patch(
        f"{PATH}/{caller.org}", json={"analytics": analytics}, headers=caller.gateway.admin
    )
    assert answer.status_code == 200, answer.text


async def events(stage: Stage) -> list[Event]:
    """All that has been written to the stream."""
    await stage.gateway.settled()
    await asyncio.sleep(0)
    services = stage.gateway.services
    assert services.labelling is not None
    assert services.analytics is not None
    await services.labelling.step()
    await services.labelling.share()
    await services.analytics.flush()
    found: Any = await services.store.redis.xrange(keys.EVENTS)
    raw = b"".join(fields[b"e"] for _, fields in found)
    assert b"KeyError" not in raw
    return [event for _, fields in found for event in events_of(stream.unpack(fields[b"e"]))]


async def test_settings_of_an_organization(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by default; changed field by field; what is wrong is named; `local` needs its packages, and says how to get them."""
    monkeypatch.setattr(vectors, "find_spec", lambda name: None)
    default = {"categories": "off", "sample": "auto", "country": None, "category": None}
    made = await managed.admin.post(PATH, json={"name": "x", "analytics": {"country": "DE"}})
    assert made.json()["data"]["analytics"] == {**default, "country": "DE"}
    path = f"{PATH}/{made.json()['data']['id']}"
    for sent, field, text in (
        ({"categories": "all"}, "analytics", "off, declared or local"),
        ({"categories": "local"}, "analytics", "pip install 'tokenway[classify]'"),
        ({"sample": 1.5}, "analytics", "0 to 1"),
        ({"sample": True}, "analytics", "0 to 1"),
        ({"sample": [1]}, "analytics", "0 to 1"),
        ({"sample": "-inf"}, "analytics", "0 to 1"),
        ({"categories": ["off"]}, "analytics", "off, declared or local"),
        ({"categories": {}}, "analytics", "off, declared or local"),
        ({"country": ["DE"]}, "analytics", "DE or GB"),
        ({"country": 5}, "analytics", "DE or GB"),
        ({"category": {"a": 1}}, "analytics", "programming, roleplay"),
        ({"country": "UK"}, "analytics", "DE or GB"),
        ({"country": "de"}, "analytics", "DE or GB"),
        ({"category": "cooking"}, "analytics", "programming, roleplay"),
        ({"prompts": True}, "analytics", "prompts"),
        (5, "analytics", "analytics"),
    ):
        answer = await managed.admin.patch(path, json={"analytics": sent})
        refused(answer, 400, field)
        assert text in answer.text, sent
    assert "analytics or a rate limit" in refused(await managed.admin.patch(path, json={}), 400)
    refused(await managed.admin.patch(f"{PATH}/nobody", json={"analytics": {"country": "FR"}}), 404)
    sent = {"categories": "declared", "sample": 0.25, "category": "marketing/seo"}
    changed = await managed.admin.patch(path, json={"analytics": sent})
    assert changed.json()["data"]["analytics"] == {**sent, "country": "DE"}
    back = await managed.admin.patch(path, json={"analytics": {**default, "sample": "auto"}})
    assert back.json()["data"]["analytics"] == default
    assert (await managed.admin.get(path)).json() == back.json()


async def test_declared(gateway: GatewayFactory) -> None:
    """By the app, else by the key, else by the organisation, on JSON and streams; unknown values are answered by a warning."""
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    await caller.chat("t/a")
    await allow(caller, categories="declared", category="legal", country="CH")
    body = b'{"model": "t/a", "messages": [{"role": "user", "content": "KeyError"}]}'
    by_app: dict[str, Any] = {"x-openrouter-categories": b"cli-agent, nonsense\xe9\xc2\x85"}
    answer = await caller.raw(body, **by_app)
    assert "nonsense" in answer.headers["x-analytics-warning"]
    assert answer.headers["x-analytics-warning"].isascii()
    fine = await caller.raw(body, **{"x-openrouter-categories": "roleplay"})
    assert "x-analytics-warning" not in fine.headers
    await caller.stream("t/a")
    hashes = [
        row["hash"]
        for row in (await stage.gateway.client.get("/api/v1/keys", headers=stage.gateway.admin)).json()["data"]
    ]
    for hash in hashes:
        url = f"/api/v1/keys/{hash}"
        changed = await stage.gateway.client.patch(url, json={"category": "finance"}, headers=stage.gateway.admin)
        assert changed.json()["data"]["category"] == "finance"
    await caller.chat("t/a")
    await caller.chat("t/a")
    found = [(event.category, event.country, event.sampled_ppm) for event in await events(stage)]
    assert found[:4] == [("", "", 0), ("programming", "CH", 0), ("roleplay", "CH", 0), ("legal", "CH", 0)]
    assert found[-1] == ("finance", "CH", 0)


async def test_local(gateway: GatewayFactory) -> None:
    """Every surface with words is classified by the real classifier, JSON and stream; others are not; labels leave, the words do not."""
    for package in vectors.PACKAGES:
        pytest.importorskip(package, reason=f"of the extra `classify`: {vectors.INSTALL}")
    stage = await gateway(Sale("t/a", "alpha"))
    caller = await stage.caller()
    await allow(caller, categories="local")
    messages = [{"role": "user", "content": PROMPT}]
    await caller.chat("t/a", messages=messages)
    await caller.stream("t/a", messages=messages)
    post = stage.gateway.client.post
    sent = {"model": "t/a", "max_tokens": 9}
    answers = [
        await post("/api/v1/messages", json={**sent, "messages": messages}, headers=caller.headers),
        await post("/api/v1/responses", json={"model": "t/a", "input": PROMPT}, headers=caller.headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    found = await events(stage)
    expected = ("programming", "debugging", "English", "Python", 1_000_000)
    assert [(e.category, e.task, e.language, e.programming, e.sampled_ppm) for e in found] == [expected] * 4
    services = stage.gateway.services
    await Consumer(services.store, "worker").step()
    weeks = [bucket("w", found[0].at_ms), bucket("w", found[0].at_ms) - 1]
    this_week, before = await label_shares(services.store, "category", weeks)
    assert [(e.key, e.share, e.requests, e.tokens) for e in this_week.estimates] == [
        ("programming", 1.0, 4, sum(e.prompt + e.completion for e in found))
    ]
    assert (this_week.exact, before.estimates) == (True, ())
    (models, _), (tasks, _) = [
        await model_shares(services.store, "programming", "Python", weeks),
        await label_shares(services.store, "task", weeks, model="t/a"),
    ]
    assert ([e.key for e in models.estimates], [e.key for e in tasks.estimates]) == (["t/a"], ["debugging"])
    public = [
        await label_shares(services.store, "category", weeks[:1], least_users=2),
        await model_shares(services.store, "category", "programming", weeks[:1], least_users=2),
    ]
    assert [[e.key for e in each.estimates] for [each] in public] == [["others"], []]
    assert services.accounts.with_categories == 1
    await allow(caller, categories="off")
    await caller.chat("t/a", messages=messages)
    assert (await events(stage))[-1].sampled_ppm == 0
    asked = [key async for key in stage.gateway.services.store.redis.scan_iter(match=f"{keys.PREFIX}:asked:*")]
    assert len(asked) == 1
