"""Keys over HTTP: the official SDK manages them, money is exact, permissions are checked, and a revoked key stops working at once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from openrouter.errors import NotFoundResponseError, OpenRouterError, UnauthorizedResponseError
from openrouter.operations import GetCurrentKeyResponse

from gateway.api.management import json_route
from gateway.api.management.schema import keys as schema
from tests.support.gateway import ADMIN_KEY
from tests.support.management import Managed, bearer, exact, refused


async def _create(managed: Managed, **body: Any) -> dict[str, Any]:
    response = await managed.admin.post("/api/v1/keys", json={"name": "test", **body})
    assert response.status_code == 201, response.text
    schema.CreatedKey.model_validate_json(response.text)
    return exact(response)


async def test_the_official_sdk_manages_keys(managed: Managed) -> None:
    """Create, list, get, update, delete through the official SDK, which validates every field and the exact success code."""
    async with managed.sdk() as sdk:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        made = await sdk.api_keys.create_async(name="sdk", limit=12.5, limit_reset="monthly", expires_at=until)
        assert made.data.hash == hashlib.sha256(made.key.encode()).hexdigest()
        assert (made.data.limit, made.data.limit_remaining, made.data.limit_reset) == (12.5, 12.5, "monthly")
        assert made.data.expires_at == until
        assert made.key not in made.data.model_dump_json()
        listed = (await sdk.api_keys.list_async()).data
        assert [key.hash for key in listed] == [made.data.hash]
        got = await sdk.api_keys.get_async(hash=made.data.hash)
        assert got.data.name == "sdk"
        changed = await sdk.api_keys.update_async(hash=made.data.hash, name="renamed", limit=None, disabled=True)
        assert (changed.data.name, changed.data.limit, changed.data.disabled) == ("renamed", None, True)
        assert changed.data.updated_at is not None
        assert (await sdk.api_keys.list_async()).data == []
        assert len((await sdk.api_keys.list_async(include_disabled=True)).data) == 1
        assert (await sdk.api_keys.delete_async(hash=made.data.hash)).DELETED is True
        with pytest.raises(NotFoundResponseError):
            await sdk.api_keys.get_async(hash=made.data.hash)


@pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")  # the SDK warns about its own ``rate_limit``
async def test_the_official_sdk_sees_its_own_key(managed: Managed) -> None:
    """``GET /key`` for an inference key, a management key, and its alias that older clients use."""
    made = await _create(managed, limit="0.000000001", limit_reset="daily")
    async with managed.sdk(made["key"]) as sdk:
        mine = (await sdk.api_keys.get_current_key_metadata_async()).data
    assert (mine.limit, mine.limit_reset, mine.is_management_key) == (1e-9, "daily", False)
    assert mine.organization_id == "default"
    assert mine.budgets[0].scope == "key_limit"
    alias = await managed.anyone.get("/api/v1/auth/key", headers=bearer(made["key"]))
    assert exact(alias)["data"]["limit"] == Decimal("0.000000001")
    schema.CurrentKeyAnswer.model_validate_json(alias.text)
    management = await managed.admin.get("/api/v1/key")
    assert GetCurrentKeyResponse.model_validate_json(management.text).data.is_management_key is True


@pytest.mark.parametrize(
    ("limit", "shown"),
    [(5, "5"), ("5", "5"), ("12.50", "12.5"), ("0.123456789", "0.123456789"), (0, "0"), ("9007199.254740991",) * 2],
)
async def test_limits_are_exact(managed: Managed, limit: Any, shown: str) -> None:
    """A limit is a number or a decimal string and comes back to the nano-dollar, without a float on the way."""
    body = f'{{"name": "x", "limit": {limit if isinstance(limit, int) else chr(34) + limit + chr(34)}}}'
    as_text = (await managed.admin.post("/api/v1/keys", content=body)).text
    assert f'"limit":{shown},' in as_text
    as_number = (await managed.admin.post("/api/v1/keys", content=f'{{"name": "x", "limit": {limit}}}')).text
    assert f'"limit":{shown},' in as_number


WRONG_BODIES: list[tuple[str, str | None]] = [
    ("", None),
    ("nonsense", None),
    ("[]", None),
    ("null", None),
    ("{}", "name"),
    ('{"name": ""}', "name"),
    ('{"name": "  "}', "name"),
    ('{"name": 7}', "name"),
    ('{"name": null}', "name"),
    ('{"name": "\\u0000"}', "name"),
    ('{"name": "\\ud800"}', None),
    ('{"name": "x", "name": "y"}', None),
    ('{"name": "x", "nmae": "y"}', "nmae"),
    ('{"name": "x", "creator_user_id": "u"}', "creator_user_id"),
    ('{"name": "x", "limit": -1}', "limit"),
    ('{"name": "x", "limit": true}', "limit"),
    ('{"name": "x", "limit": "5 USD"}', "limit"),
    ('{"name": "x", "limit": "1e3"}', "limit"),
    ('{"name": "x", "limit": 0.0000000001}', "limit"),
    ('{"name": "x", "limit": 1e400}', "limit"),
    ('{"name": "x", "limit": 1e-400}', "limit"),
    ('{"name": "x", "limit": NaN}', None),
    ('{"name": "x", "limit": Infinity}', None),
    ('{"name": "x", "limit": 9007199.254740992}', "limit"),
    ('{"name": "x", "limit": 1' + "0" * 5000 + "}", None),
    ('{"name": "x", "limit": []}', "limit"),
    ('{"name": "x", "limit_reset": "yearly"}', "limit_reset"),
    ('{"name": "x", "expires_at": "2027-01-01T00:00Z"}', "expires_at"),
    ('{"name": "x", "expires_at": "2027-13-01T00:00:00Z"}', "expires_at"),
    ('{"name": "x", "expires_at": 1900000000}', "expires_at"),
    ('{"name": "x", "expires_at": "2020-01-01T00:00:00Z"}', "expires_at"),
    ('{"name": "x", "expires_at": "0001-01-01T00:00:00+23:59"}', "expires_at"),
    ('{"name": "x", "include_byok_in_limit": "yes"}', "include_byok_in_limit"),
    ('{"name": "x", "organization_id": "a", "workspace_id": "b"}', "workspace_id"),
    ('{"name": ' + "[" * 3000 + "]" * 3000 + "}", None),
    ('{"name": "' + "x" * 201 + '"}', "name"),
]


async def test_wrong_bodies_name_the_field(managed: Managed) -> None:
    """Whatever is sent, the answer is 400 in the documented shape, with the field when there is one; nothing is created."""
    for body, field in WRONG_BODIES:
        response = await managed.admin.post("/api/v1/keys", content=body.encode("utf-8", "surrogatepass"))
        refused(response, 400, field)
    refused(await managed.admin.post("/api/v1/keys", content=b'{"name": "\xff"}'), 400)
    refused(await managed.admin.post("/api/v1/keys", content=b'{"name": "' + b"x" * 100_000 + b'"}'), 413)
    refused(await managed.admin.post("/api/v1/keys", json={"name": "x", "organization_id": "nobody"}), 404)
    assert (await managed.admin.get("/api/v1/keys")).json() == {"data": []}


async def test_how_a_body_is_read(managed: Managed) -> None:
    """JSON is read whatever its Content-Type says, as ``curl -d`` sends it; without a key the refusal is about the key, not the body."""
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        headers = {"content-type": content_type}
        made = await managed.admin.post("/api/v1/keys", content=b'{"name": "x"}', headers=headers)
        assert made.status_code == 201, made.text
    for body in (b"", b"{nonsense", b"[]", b"[1e99999999999999999999]", b'{"name": "' + b"x" * 100_000 + b'"}'):
        refused(await managed.anyone.post("/api/v1/keys", content=body), 401)
    assert "JSON object" in refused(await managed.admin.post("/api/v1/keys", content=b"[]"), 400)
    assert "required" in refused(await managed.admin.post("/api/v1/keys", content=b""), 400)
    path = f"/api/v1/keys/{made.json()['data']['hash']}"
    for body in (b"1", b"1.5", b'"x"', b"[]", b"null", b"true"):
        refused(await managed.admin.patch(path, content=body), 400)


async def test_a_body_that_does_not_arrive(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller without a key cannot keep a connection open with a body that never comes: the answer does not wait for it."""
    monkeypatch.setattr(json_route, "BODY_S", 0.2)
    url = httpx.URL(managed.gateway.url)
    for key, status in (("", 401), (ADMIN_KEY, 408)):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = (
            f"POST /api/v1/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 60000\r\n\r\n{{"
        )
        writer.write(head.encode())
        assert (await reader.readline()).startswith(f"HTTP/1.1 {status}".encode())
        writer.close()


async def test_wrong_changes_name_the_field(managed: Managed) -> None:
    """PATCH refuses what it cannot do and changes nothing; an empty change is allowed."""
    made = await _create(managed, limit="1")
    path = f"/api/v1/keys/{made['data']['hash']}"
    for body, field in (
        ({"hash": "x"}, "hash"),
        ({"name": None}, "name"),
        ({"disabled": None}, "disabled"),
        ({"limit": "x"}, "limit"),
    ):
        refused(await managed.admin.patch(path, json=body), 400, field)
    same = await managed.admin.patch(path, json={})
    assert same.status_code == 200
    assert exact(same)["data"]["limit"] == 1
    free = await managed.admin.patch(path, json={"limit": None, "limit_reset": None})
    assert exact(free)["data"]["limit"] is None


async def test_unknown_hashes_are_not_found(managed: Managed) -> None:
    """Every verb answers 404 for a key that is not there, whatever stands in the path."""
    for hash in ("0" * 64, "nonsense", "%00", "x" * 3000):
        refused(await managed.admin.get(f"/api/v1/keys/{hash}"), 404)
        refused(await managed.admin.patch(f"/api/v1/keys/{hash}", json={"name": "x"}), 404)
        refused(await managed.admin.delete(f"/api/v1/keys/{hash}"), 404)


MANAGED_ROUTES = [
    ("GET", "/keys"),
    ("POST", "/keys"),
    ("GET", "/keys/" + "0" * 64),
    ("PATCH", "/keys/" + "0" * 64),
    ("DELETE", "/keys/" + "0" * 64),
    ("GET", "/admin/organizations"),
    ("POST", "/admin/organizations"),
    ("GET", "/admin/organizations/default"),
    ("POST", "/admin/organizations/default/credits"),
    ("GET", "/admin/organizations/default/ledger"),
    ("GET", "/admin/audit"),
    ("GET", "/admin/holds"),
    ("GET", "/admin/routing"),
]


async def test_permissions(managed: Managed) -> None:
    """Management routes: no key or a wrong key is 401, an inference key 403, before the body is looked at."""
    key = await managed.gateway.key("0")
    wrong: list[dict[str, str]] = [
        {},
        {"authorization": "Basic abc"},
        {"authorization": "Bearer"},
        bearer("garbled"),
        bearer("sk-tw-v1-0000aaaa-" + "x" * 43),
        bearer("é" * 50),
        bearer("x" * 20_000),
    ]
    for method, path in MANAGED_ROUTES:
        for headers in wrong:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            response = await managed.anyone.request(method, f"/api/v1{path}", headers=raw, content=b"{nonsense")
            refused(response, 401)
        refused(await managed.anyone.request(method, f"/v1{path}", headers=bearer(key), content=b"{nonsense"), 403)


async def test_the_sdk_raises_its_typed_exceptions(managed: Managed) -> None:
    """401 and 403 arrive as the exceptions that the official SDK documents."""
    async with managed.sdk("garbled") as sdk:
        with pytest.raises(UnauthorizedResponseError):
            await sdk.api_keys.get_current_key_metadata_async()
    async with managed.sdk(await managed.gateway.key("0")) as sdk:
        with pytest.raises(OpenRouterError) as raised:
            await sdk.api_keys.list_async()
    assert raised.value.status_code == 403


async def test_a_dead_key_is_dead_at_once(managed: Managed) -> None:
    """Disabled, deleted or expired, a key answers 401 on its own route and on inference."""
    gateway = managed.gateway
    await gateway.services.ledger.grant("default", 10**9, id="g", actor="test", reason="test")
    chat = {"model": "acme/fast-1", "messages": [{"role": "user", "content": "hi"}]}

    async def statuses(secret: str) -> set[int]:
        own = await managed.anyone.get("/api/v1/key", headers=bearer(secret))
        inference = await managed.anyone.post("/api/v1/chat/completions", json=chat, headers=bearer(secret))
        return {own.status_code, inference.status_code}

    made = await _create(managed)
    secret, path = made["key"], f"/api/v1/keys/{made['data']['hash']}"
    assert await statuses(secret) == {200}
    await managed.admin.patch(path, json={"disabled": True})
    assert await statuses(secret) == {401}
    await managed.admin.patch(path, json={"disabled": False})
    assert await statuses(secret) == {200}
    await managed.admin.delete(path)
    assert await statuses(secret) == {401}
    old, _ = await gateway.services.accounts.create_key(name="old", expires_at=time.time() - 1)
    assert await statuses(old) == {401}


async def test_the_management_key_buys_no_inference(managed: Managed) -> None:
    """A management key is refused on the inference route."""
    chat = {"model": "acme/fast-1", "messages": [{"role": "user", "content": "hi"}]}
    response = await managed.admin.post("/api/v1/chat/completions", json=chat)
    assert response.status_code in (401, 403)
    refused(response, response.status_code)


async def test_lists_page_by_offset(managed: Managed) -> None:
    """Newest first, 100 a page, by organisation when asked."""
    accounts = managed.gateway.services.accounts
    org = await accounts.create_org("other")
    for number in range(103):
        await accounts.create_key(name=str(number))
    await accounts.create_key(name="theirs", org=org.id)

    async def names(query: str) -> list[str]:
        response: httpx.Response = await managed.admin.get(f"/api/v1/keys?{query}")
        schema.KeyList.model_validate_json(response.text)
        return [key["name"] for key in response.json()["data"]]

    assert len(await names("")) == 100
    assert len(await names("offset=100")) == 4
    assert await names("offset=104") == []
    assert await names(f"workspace_id={org.id}") == await names(f"organization_id={org.id}") == ["theirs"]
    refused(await managed.admin.get("/api/v1/keys?offset=-1"), 400, "offset")
    refused(await managed.admin.get("/api/v1/keys?include_disabled=perhaps"), 400, "include_disabled")
