"""The catalogue over HTTP: every field as the official SDK demands, filters and sort orders."""

from __future__ import annotations

import anthropic
import openai
import pytest
from openrouter.components import ListEndpointsResponse, ModelResponse, ModelsCountResponse, ModelsListResponse
from openrouter.operations import ListEndpointsZdrResponse, ListProvidersResponse

from gateway.api.management.schema import catalog as schema
from gateway.health.registry import Observation
from tests.support.management import Managed, bearer, refused


async def _ids(managed: Managed, query: str = "") -> list[str]:
    response = await managed.anyone.get(f"/api/v1/models{query}")
    assert response.status_code == 200, response.text
    return [model["id"] for model in response.json()["data"]]


async def test_the_official_sdk_lists_models(managed: Managed) -> None:
    """The SDK's own list call, which pages by offset and validates every model, sees everything that can be called once."""
    async with managed.sdk() as sdk:
        page = await sdk.models.list_async(limit=1)
        seen = []
        while page is not None:
            seen += [model.id for model in page.result.data]
            assert page.result.total_count == 2
            page = await page.next()
    assert sorted(seen) == ["acme/fast-1", "zeta/free-3"]


async def test_every_answer_fits_both_schemas(managed: Managed) -> None:
    """Each catalogue answer validates against the SDK's model and against the model that the OpenAPI page shows."""
    pairs = [
        ("/models", ModelsListResponse, schema.ModelList),
        ("/models/count", ModelsCountResponse, schema.CountAnswer),
        ("/model/acme/fast-1", ModelResponse, schema.ModelAnswer),
        ("/models/acme/fast-1/endpoints", None, schema.ModelEndpointsAnswer),
        ("/endpoints/zdr", ListEndpointsZdrResponse, schema.EndpointList),
        ("/providers", ListProvidersResponse, schema.ProviderList),
    ]
    for path, theirs, ours in pairs:
        for prefix in ("/api/v1", "/v1"):
            response = await managed.anyone.get(prefix + path)
            assert response.status_code == 200, path
            ours.model_validate_json(response.text)
            if theirs is not None:
                theirs.model_validate_json(response.text)
    endpoints = (await managed.anyone.get("/api/v1/models/acme/fast-1/endpoints")).json()["data"]
    ListEndpointsResponse.model_validate(endpoints)


async def test_a_model_to_the_field(managed: Managed) -> None:
    """Prices are strings per token of the cheapest endpoint that can be called, times are unix seconds, links lead on."""
    model = (await managed.anyone.get("/api/v1/model/acme/fast-1:floor")).json()["data"]
    assert model["pricing"] == {
        "prompt": "0.00000015",
        "completion": "0.0000006",
        "input_cache_read": "0.000000075",
    }
    assert model["created"] == 1772323200
    assert model["architecture"]["modality"] == "text+image->text"
    assert (await managed.anyone.get(model["links"]["details"])).json()["data"]["id"] == "acme/fast-1"
    for key in ("per_request_limits", "default_parameters", "supported_voices"):
        assert model[key] is None
    assert "expiration_date" not in model
    described = "Acme/Fast-1 is a language model by acme, released in March 2026; it takes text and images, "
    assert model["description"].startswith(described)
    details = (await managed.anyone.get(model["links"]["details"])).json()["data"]
    assert details["description"] == model["description"]


FILTERS = [
    ("?all=false", {"acme/fast-1", "zeta/free-3"}),
    ("?usable=false", {"acme/fast-1", "acme/slow-2", "zeta/free-3"}),
    ("?providers=Acme%20Cloud", {"acme/fast-1", "zeta/free-3"}),
    ("?arch=other", {"acme/fast-1", "acme/slow-2", "zeta/free-3"}),
    ("?arch=GPT", set()),
    ("?distillable=true", set()),
    ("?region=de", set()),
    ("?q=FAST", {"acme/fast-1"}),
    ("?supported_parameters=tools,temperature", {"acme/fast-1"}),
    ("?supported_parameters=nonsense", set()),
    ("?input_modalities=image", {"acme/fast-1"}),
    ("?output_modalities=image", set()),
    ("?output_modalities=all", {"acme/fast-1", "acme/slow-2", "zeta/free-3"}),
    ("?context=32000", {"acme/fast-1", "zeta/free-3"}),
    ("?max_price=0", {"zeta/free-3"}),
    ("?min_price=0.15&max_price=0.15", {"acme/fast-1"}),
    ("?min_output_price=1", {"acme/slow-2"}),
    ("?max_output_price=0.6", {"acme/fast-1", "zeta/free-3"}),
    ("?model_authors=zeta,nobody", {"zeta/free-3"}),
    ("?providers=bolt", {"acme/fast-1", "acme/slow-2"}),
    ("?zdr=true", {"acme/fast-1", "zeta/free-3"}),
    ("?usable=true", {"acme/fast-1", "zeta/free-3"}),
    ("?min_age_days=300", {"zeta/free-3"}),
    ("?unheard_of=1", {"acme/fast-1", "acme/slow-2", "zeta/free-3"}),
]


async def test_filters(managed: Managed) -> None:
    """Each documented filter keeps what it should; the count agrees."""
    for filter_, expected in FILTERS:
        query = filter_ if "all=" in filter_ else f"{filter_}&all=true"
        assert set(await _ids(managed, query)) == expected, query
        counted = await managed.anyone.get(f"/api/v1/models/count{query}")
        assert counted.json() == {"data": {"count": len(expected)}}, query


ORDERS = [
    ("providers-high-to-low", ["acme/fast-1", "zeta/free-3", "acme/slow-2"]),
    ("newest", ["acme/slow-2", "acme/fast-1", "zeta/free-3"]),
    ("pricing-low-to-high", ["zeta/free-3", "acme/fast-1", "acme/slow-2"]),
    ("pricing-high-to-low", ["acme/slow-2", "acme/fast-1", "zeta/free-3"]),
    ("context-high-to-low", ["acme/fast-1", "zeta/free-3", "acme/slow-2"]),
]


async def test_orders(managed: Managed) -> None:
    """Each order that needs no traffic is the documented one."""
    for sort, expected in ORDERS:
        assert await _ids(managed, f"?sort={sort}&all=true") == expected, sort


async def test_pages_follow_their_links(managed: Managed) -> None:
    """Following ``links.next`` visits each model once, keeps the filter, and ends."""
    path, seen = "/api/v1/models?limit=1&sort=newest&usable=true", []
    while path:
        body = (await managed.anyone.get(path)).json()
        seen += [model["id"] for model in body["data"]]
        assert body["total_count"] == 2
        path = body["links"]["next"]
    assert seen == ["acme/fast-1", "zeta/free-3"]


WRONG = [
    ("sort=best", "sort"),
    ("limit=0", "limit"),
    ("limit=x", "limit"),
    ("offset=-1", "offset"),
    ("max_price=cheap", "max_price"),
    ("max_price=-1", "max_price"),
    ("max_price=1e400", "max_price"),
    ("context=-5", "context"),
    ("context=9" + "9" * 5000, "context"),
    ("category=roleplay", "category"),
    ("min_coding_index=3", "min_coding_index"),
]


async def test_wrong_queries_are_named(managed: Managed) -> None:
    """A wrong value is 400 and names its parameter; a filter we have no data for is not silently ignored."""
    for query, field in WRONG:
        refused(await managed.anyone.get(f"/api/v1/models?{query}"), 400, field)


async def test_unknown_models_are_not_found(managed: Managed) -> None:
    """404 with a suggestion; strange paths never break anything."""
    assert "acme/fast-1" in refused(await managed.anyone.get("/api/v1/model/acme/fast-2"), 404)
    for path in (
        "/model/a/b/endpoints",
        "/models/acme/none/endpoints",
        "/model/%00/%F0%9F%92%A9",
        "/model/a/" + "x" * 5000,
    ):
        refused(await managed.anyone.get(f"/api/v1{path}"), 404)


async def test_endpoints_show_health_and_hide_percentiles_without_a_key(managed: Managed) -> None:
    """Uptime is public; latency (ms) and throughput need a key; an endpoint without a credential has status -10."""
    health, catalog = managed.gateway.services.health, managed.gateway.services.catalog.current
    (mine,) = [e.id for e in catalog.models["acme/fast-1"].endpoints if e.provider.slug == "acme"]
    for _ in range(20):
        health.observe(mine, Observation(ok=True, ttft_ms=200.0, tokens_per_s=50.0))

    async def rows(headers: dict[str, str]) -> dict[str, dict]:
        answer = await managed.anyone.get("/api/v1/models/acme/fast-1/endpoints", headers=headers)
        return {row["tag"]: row for row in answer.json()["data"]["endpoints"]}

    key = await managed.gateway.key("0")
    shown = await rows(bearer(key))
    assert 100 < shown["acme"]["latency_last_30m"]["p50"] < 400
    assert 20 < shown["acme"]["throughput_last_30m"]["p99"] < 100
    assert shown["acme"]["status"] == 0
    assert shown["bolt"]["status"] == -10
    hidden = await rows({})
    assert hidden["acme"]["latency_last_30m"] is None
    assert hidden["acme"]["throughput_last_30m"] is None
    assert hidden["acme"]["uptime_last_5m"] == shown["acme"]["uptime_last_5m"]


async def test_a_wrong_key_is_wrong_everywhere(managed: Managed) -> None:
    """A list that needs no key refuses a wrong one: that is how programs test whether a key is right."""
    for path in (
        "/models",
        "/models/count",
        "/models/acme/fast-1/endpoints",
        "/embeddings/models",
        "/endpoints/zdr",
        "/providers",
    ):
        refused(await managed.anyone.get(f"/api/v1{path}", headers=bearer("sk-tw-v1-nonsense")), 401)
        assert (await managed.admin.get(f"/api/v1{path}")).status_code == 200


async def test_openai_and_anthropic_read_the_list(managed: Managed) -> None:
    """Their newest SDKs list and retrieve models, by slug and by the vendor's own id."""
    key = await managed.gateway.key("0")
    base = managed.gateway.url
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{base}/api/v1") as client:
        assert {model.id for model in (await client.models.list()).data} == {"acme/fast-1", "zeta/free-3"}
        for name in ("acme/fast-1", "fast-1", "acme/fast-1:nitro"):
            found = await client.models.retrieve(name)
            assert (found.id, found.object, found.owned_by) == ("acme/fast-1", "model", "acme")
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("acme/none")
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-wrong").models.list()
    async with anthropic.AsyncAnthropic(api_key=key, base_url=base) as claude:
        ids = [model.id async for model in await claude.models.list(limit=1)]
        assert ids == ["acme/fast-1", "zeta/free-3"]
        row = await claude.models.retrieve("acme/fast-1")
        assert (row.display_name, row.lifecycle, row.max_input_tokens) == ("Acme/Fast-1", "active", 128_000)
    for limit in ("0", "x", "1001", "-1"):
        refused(
            await managed.anyone.get(f"/v1/models?limit={limit}", headers={"anthropic-version": "2023-06-01"}),
            400,
            "limit",
        )


async def test_codex_reads_the_list(managed: Managed) -> None:
    """Codex (0.171) demands ``models`` and asks three times without; others get no field that they do not know."""
    for path in ("/api/v1/models", "/v1/models"):
        plain = (await managed.anyone.get(path)).json()
        asked = (await managed.anyone.get(f"{path}?client_version=0.171.0")).json()
        assert "models" not in plain
        assert asked == plain | {"models": []}
        assert [row["id"] for row in asked["data"]] == ["acme/fast-1", "zeta/free-3"]


async def test_models_of_a_caller_need_a_key(managed: Managed) -> None:
    """``/models/user`` lists what can really be called, for inference keys."""
    key = await managed.gateway.key("0")
    mine = await managed.anyone.get("/api/v1/models/user", headers=bearer(key))
    assert {model["id"] for model in mine.json()["data"]} == {"acme/fast-1", "zeta/free-3"}
    refused(await managed.anyone.get("/api/v1/models/user"), 401)
    refused(await managed.admin.get("/api/v1/models/user"), 403)


async def test_providers_without_a_credential_are_listed(managed: Managed) -> None:
    """Every provider of the catalogue is named, with what is known of it."""
    found = {row["slug"]: row for row in (await managed.anyone.get("/api/v1/providers")).json()["data"]}
    assert set(found) == {"acme", "bolt"}
    assert found["acme"]["headquarters"] == "DE"
    assert found["acme"]["privacy_policy_url"] == "https://acme.example/privacy"
    assert found["bolt"]["privacy_policy_url"] is None
