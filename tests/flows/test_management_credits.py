"""Credits, ledger lines, generations, organisations, the audit: exact money, once per Idempotency-Key, own organisation only."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from openrouter.components import GenerationResponse
from openrouter.operations import GetCreditsResponse

from gateway.analytics.history.archive import Archive
from gateway.api.management.schema import accounts as schema
from gateway.books.archive import BookArchive
from gateway.books.rows import JOURNAL, RECORDS
from gateway.ledger.entries import generation_id
from gateway.store import keys as names
from tests.support.books import Past
from tests.support.management import Managed, bearer, exact, refused

GRANT = "/api/v1/admin/organizations/{}/credits"


async def _grant(
    managed: Managed, amount: str, key: str, *, org: str = "default", reason: str = "test"
) -> httpx.Response:
    body = {"amount_usd": amount, "reason": reason}
    return await managed.admin.post(GRANT.format(org), json=body, headers={"idempotency-key": key})


async def _ledger(managed: Managed, org: str = "default", query: str = "") -> dict[str, Any]:
    response = await managed.admin.get(f"/api/v1/admin/organizations/{org}/ledger{query}")
    assert response.status_code == 200, response.text
    schema.LedgerPage.model_validate_json(response.text)
    return response.json()


async def test_organizations(managed: Managed) -> None:
    """``default`` exists from the first start; others are created with a balance of zero and found again."""
    made = await managed.admin.post("/api/v1/admin/organizations", json={"name": "Ünïcode & co"})
    assert made.status_code == 201
    org = schema.OrganizationAnswer.model_validate_json(made.text).data
    assert (org.name, org.balance_usd) == ("Ünïcode & co", Decimal(0))
    listed = await managed.admin.get("/api/v1/admin/organizations")
    assert {row.id for row in schema.OrganizationList.model_validate_json(listed.text).data} == {"default", org.id}
    one = await managed.admin.get(f"/api/v1/admin/organizations/{org.id}")
    assert one.json() == made.json()
    for path in ("nobody", "%00", "x" * 3000):
        refused(await managed.admin.get(f"/api/v1/admin/organizations/{path}"), 404)
        refused(await managed.admin.get(f"/api/v1/admin/organizations/{path}/ledger"), 404)
    refused(await managed.admin.post("/api/v1/admin/organizations", json={"name": "x", "plan": "gold"}), 400, "plan")


async def test_a_grant_happens_once_per_idempotency_key(managed: Managed) -> None:
    """201; a replay is marked; another amount or reason is 409; other keys are other grants; fifty equal ones at once are one grant."""
    first = await _grant(managed, "25.00", "top-up-1")
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    assert schema.GrantedAnswer.model_validate_json(first.text).data.balance_usd == 25
    assert (await _grant(managed, "-0.000000001", "correction")).json()["data"]["balance_usd"] == "24.999999999"
    again = await _grant(managed, "25", "top-up-1")
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    refused(await _grant(managed, "26", "top-up-1"), 409)
    path, headers = "/api/v1/admin/organizations/default/credits", {"idempotency-key": "top-up-1"}
    other = {"amount_usd": "25", "reason": "another reason"}
    refused(await managed.admin.post(path, json=other, headers=headers), 409)
    answers = await asyncio.gather(*(_grant(managed, "1", "storm") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    organization = (await managed.admin.get("/api/v1/admin/organizations/default")).json()["data"]
    assert organization["balance_usd"] == organization["available_usd"] == "25.999999999"


async def test_wrong_grants_change_nothing(managed: Managed) -> None:
    """Each wrong grant is refused in the documented shape, the missing header by name; the balance stays zero."""
    for amount in ("0", "0.0", "", "five", "1e3", " 1", "0.0000000001", "9007199.254740992", "NaN", "+1", "1_000", "٣"):
        refused(await _grant(managed, amount, "x"), 400, "amount_usd")
    path = GRANT.format("default")
    for amount in ("5", "5.0", "true", "null", "{}"):
        body = f'{{"amount_usd": {amount}, "reason": "x"}}'
        refused(await managed.admin.post(path, content=body, headers={"idempotency-key": "x"}), 400, "amount_usd")
    good = {"amount_usd": "1", "reason": "x"}
    assert "Idempotency-Key" in refused(await managed.admin.post(path, json=good), 400, "Idempotency-Key")
    for key in ("", "x" * 256, "é"):
        raw = [(b"idempotency-key", key.encode("latin-1"))]
        refused(await managed.admin.post(path, json=good, headers=raw), 400)
    headers = {"idempotency-key": "x"}
    refused(await managed.admin.post(path, json={"amount_usd": "1"}, headers=headers), 400, "reason")
    refused(await managed.admin.post(path, json={**good, "note": "x"}, headers=headers), 400, "note")
    refused(await _grant(managed, "1", "x", org="nobody"), 404)
    refused(await _grant(managed, "-1", "x"), 422)
    assert (await _ledger(managed)) == {"data": [], "next_cursor": None}


async def test_the_ledger_pages_both_ways(managed: Managed) -> None:
    """Each line once, in order, with the balance after it; the cursor ends; a strange cursor is 400."""
    for number in range(1, 8):
        await _grant(managed, str(number), f"g{number}")

    async def walk(order: str) -> list[dict[str, Any]]:
        lines, cursor = [], ""
        while True:
            page = await _ledger(managed, query=f"?limit=3&order={order}{cursor}")
            lines += page["data"]
            if page["next_cursor"] is None:
                return lines
            cursor = f"&cursor={page['next_cursor']}"

    up, down = await walk("asc"), await walk("desc")
    assert [line["seq"] for line in up] == list(range(1, 8))
    assert up == down[::-1]
    assert [line["balance_after_usd"] for line in up] == ["1", "3", "6", "10", "15", "21", "28"]
    assert up[2]["grant_id"] == "g3"
    assert (up[2]["amount_usd"], up[2]["type"], up[2]["actor"], up[2]["reason"]) == ("3", "grant", "api", "test")
    base = "/api/v1/admin/organizations/default/ledger"
    for query, field in (("cursor=x", "cursor"), ("limit=0", "limit"), ("limit=1001", "limit"), ("order=up", "order")):
        refused(await managed.admin.get(f"{base}?{query}"), 400, field)


async def test_from_the_answer_to_the_books(managed: Managed) -> None:
    """One completion: usage.cost = the ledger line = the generation = the key's usage = the credits, to the nano-dollar."""
    gateway = managed.gateway
    key = await gateway.key("1")
    answer = await gateway.chat(key, "acme/fast-1", "hello there")
    assert answer.status_code == 200, answer.text
    cost = exact(answer)["usage"]["cost"]
    assert cost > 0
    id = answer.json()["id"]
    (line,) = [line for line in (await _ledger(managed))["data"] if line["type"] == "settled"]
    assert line["generation_id"] == id
    assert line["provider"] == "acme"
    assert Decimal(line["total_usd"]) == Decimal(line["paid_usd"]) == cost
    assert Decimal(line["cost_usd"]) + Decimal(line["fee_usd"]) == cost
    assert Decimal(line["balance_after_usd"]) == 1 - cost
    assert line["loss_usd"] == "0"

    generation = await managed.anyone.get("/api/v1/generation", params={"id": id}, headers=bearer(key))
    data = GenerationResponse.model_validate_json(generation.text).data
    assert exact(generation)["data"]["total_cost"] == cost
    assert (data.provider_name, data.model, data.finish_reason) == ("Acme Cloud", "acme/fast-1", "stop")
    assert data.native_tokens_prompt == answer.json()["usage"]["prompt_tokens"]
    assert [attempt.status for attempt in data.provider_responses or []] == [200]

    own = exact(await managed.anyone.get("/api/v1/key", headers=bearer(key)))["data"]
    assert own["usage"] == own["usage_daily"] == own["usage_monthly"] == cost
    for headers in (bearer(key), dict(managed.admin.headers)):
        credits = await managed.anyone.get("/api/v1/credits", headers=headers)
        GetCreditsResponse.model_validate_json(credits.text)
        assert exact(credits)["data"] == {"total_credits": 1, "total_usage": cost}
    audit = await managed.admin.get("/api/v1/admin/audit")
    assert audit.status_code == 200
    schema.AuditAnswer.model_validate_json(audit.text)
    assert audit.json()["used_usd"] == line["paid_usd"]


async def test_a_generation_belongs_to_its_organization(managed: Managed) -> None:
    """Another organisation's generation and one that never was get the very same 404; the operator sees every one."""
    gateway = managed.gateway
    other = await gateway.services.accounts.create_org("other")
    mine, theirs = await gateway.key("1"), await gateway.key("1", org=other.id)
    id = (await gateway.chat(mine, "acme/fast-1")).json()["id"]
    never = id[:-1] + ("a" if id[-1] != "a" else "b")

    async def get(secret: str, id: str) -> httpx.Response:
        return await managed.anyone.get("/api/v1/generation", params={"id": id}, headers=bearer(secret))

    assert (await get(mine, id)).status_code == 200
    assert (await managed.admin.get("/api/v1/generation", params={"id": id})).status_code == 200
    refused(await get(theirs, id), 404)
    assert (await get(theirs, id)).content == (await get(theirs, never)).content == (await get(mine, "gen-1")).content
    refused(await managed.anyone.get("/api/v1/generation", headers=bearer(mine)), 400, "id")
    refused(await managed.anyone.get("/api/v1/generation", params={"id": id}), 401)


async def test_nobody_notices_closed_books(managed: Managed, tmp_path: Path) -> None:
    """Once lines and records are in the archive, every call answers the same bytes as before, and what comes is added to them."""
    pytest.importorskip("duckdb", reason="the archive needs the extra analytics")
    gateway = managed.gateway
    services = gateway.services
    key = await gateway.key("1")
    ids = [(await gateway.chat(key, "acme/fast-1", f"hello {number}")).json()["id"] for number in range(3)]
    archive = BookArchive(Archive(tmp_path, JOURNAL), Archive(tmp_path, RECORDS))
    past = Past(services.store, services.ledger, services.accounts, archive)
    object.__setattr__(services, "books", past.books())  # as two days later

    async def seen() -> list[bytes]:
        asked = [f"/api/v1/generation?id={id}" for id in ids]
        asked += [f"/api/v1/admin/organizations/default/ledger?limit=2&order={order}" for order in ("asc", "desc")]
        asked += ["/api/v1/admin/organizations/default", "/api/v1/admin/audit"]
        return [(await managed.admin.get(path)).content for path in asked]

    before = await seen()
    await past.closer().close_books()
    assert await services.store.redis.xlen(names.journal("default")) == 0
    assert await services.ledger.find_record(ids[0]) is None
    assert await seen() == before
    for id in ids:
        assert (
            await managed.anyone.get("/api/v1/generation", params={"id": id}, headers=bearer(key))
        ).status_code == 200
    await gateway.chat(key, "acme/fast-1", "one more")
    first = await _ledger(managed, query="?limit=3")
    rest = await _ledger(managed, query=f"?limit=100&cursor={first['next_cursor']}")
    assert [line["seq"] for line in [*first["data"], *rest["data"]]] == list(range(1, 6))


async def test_credits_of_others_are_not_shown(managed: Managed) -> None:
    """An inference key sees its own organisation's credits only; the management key any, ``default`` when none is named."""
    gateway = managed.gateway
    other = await gateway.services.accounts.create_org("other")
    await _grant(managed, "7", "x", org=other.id)
    key = await gateway.key("2")
    refused(await managed.anyone.get(f"/api/v1/credits?organization_id={other.id}", headers=bearer(key)), 403)
    theirs = await managed.admin.get(f"/api/v1/credits?organization_id={other.id}")
    assert theirs.json()["data"]["total_credits"] == 7
    assert (await managed.admin.get("/api/v1/credits")).json()["data"]["total_credits"] == 2
    refused(await managed.admin.get("/api/v1/credits?organization_id=nobody"), 404)
    refused(await managed.anyone.get("/api/v1/credits"), 401)


async def test_the_audit_finds_a_forged_balance(managed: Managed) -> None:
    """A balance that was changed outside the ledger is found: 409 with the organisation and both figures."""
    await _grant(managed, "3", "x")
    await managed.gateway.services.store.redis.hset(names.organization("default"), "bal", 10**12)
    audit = await managed.admin.get("/api/v1/admin/audit")
    assert audit.status_code == 409
    body = schema.AuditAnswer.model_validate_json(audit.text)
    assert body.clean is False
    assert any(row["org"] == "default" and row["what"] == "balance" for row in body.differences)


async def test_open_holds_are_listed(managed: Managed) -> None:
    """Credit that is set aside shows as a hold and as ``held_usd`` until it is voided."""
    services = managed.gateway.services
    secret = await managed.gateway.key("1")
    policy = await services.accounts.authenticate(secret)
    hold = await services.ledger.hold(generation_id(time.time()), policy, 250_000_000, 60)
    (shown,) = (await managed.admin.get("/api/v1/admin/holds")).json()["data"]
    assert (shown["generation_id"], shown["amount_usd"], shown["key_hash"]) == (hold.id, "0.25", policy.key_hash)
    account = (await managed.admin.get("/api/v1/admin/organizations/default")).json()["data"]
    assert (account["held_usd"], account["available_usd"]) == ("0.25", "0.75")
    await services.ledger.void(hold)
    assert (await managed.admin.get("/api/v1/admin/holds")).json() == {"data": []}


async def test_routing_is_explained(managed: Managed) -> None:
    """The plan of this moment: candidates with their price, and every dropped endpoint with its reason."""
    response = await managed.admin.get("/api/v1/admin/routing?model=acme/fast-1:floor&prompt_tokens=10")
    schema.RoutingAnswer.model_validate_json(response.text)
    plan = response.json()["data"]
    assert [row["provider"] for row in plan["candidates"]] == ["acme"]
    (dropped,) = plan["dropped"]
    assert dropped["filter"]
    assert "TEST_BOLT_API_KEY" in dropped["detail"]
    refused(await managed.admin.get("/api/v1/admin/routing"), 400, "model")
    refused(await managed.admin.get("/api/v1/admin/routing?model=no/such"), 400, "model")
    refused(await managed.admin.get("/api/v1/admin/routing?model=acme/fast-1&sort=best"), 400, "provider.sort")
