"""The public pages over HTTP: what they say, what they never load, and who does not get them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.health.registry import Observation
from gateway.server.answer_cache import WAITING_MAX
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from gateway.web.site import CONTENT_SECURITY_POLICY
from tests.support.gateway import running
from tests.support.management import Managed, refused, write_files
from tests.support.pages import HOSTILE, Parsed

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGES = ("/", "/models", "/models?all=true&sort=newest", "/models/acme/fast-1", "/models/acme/slow-2", "/providers")


async def page(managed: Managed, path: str, status: int = 200) -> Parsed:
    answer = await managed.anyone.get(path, headers=HTML)
    assert answer.status_code == status, answer.text[:300]
    return Parsed(answer.text)


async def test_every_page_is_whole_and_loads_nothing_from_elsewhere(managed: Managed) -> None:
    """HTML that parses, one heading of the first order, landmarks, the strict policy, and every link inside leads somewhere."""
    followed: set[str] = set()
    for path in PAGES:
        answer = await managed.anyone.get(path, headers=HTML)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        found = Parsed(answer.text)
        names = [tag for tag, _ in found.tags]
        assert [names.count(tag) for tag in ("h1", "main", "header", "footer")] == [1, 1, 1, 1], path
        assert found.tags[0] == ("html", {"lang": "en"})
        assert "style" not in names, "no style that the policy would refuse"
        assert not found.values("style", "onclick", "onchange", "onsubmit")
        loaded = [value for tag, attributes in found.tags if tag in ("link", "script", "img") for value in (attributes.get("src") or attributes.get("href"),)]  # fmt: skip
        assert len(loaded) == 4
        assert all(value and value.startswith("/static/") for value in loaded), loaded
        ids = found.values("id")
        assert len(ids) == len(set(ids)), path
        links = found.values("href", "src", "action")
        assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)
        followed |= {link for link in links if not urlsplit(link).scheme and not link.startswith("#")}
    statuses = [
        await managed.anyone.get(link, headers=HTML) for link in sorted(followed)
    ]  # pages are made one at a time
    assert {str(answer.url): answer.status_code for answer in statuses if answer.status_code != 200} == {}
    assert len(followed) > 20


async def test_pages_say_what_the_catalogue_says(managed: Managed) -> None:
    """Counts, prices of the cheapest endpoint that can be called, states, health that was measured, code with this host."""
    health, catalog = managed.gateway.services.health, managed.gateway.services.catalog.current
    (mine,) = [each.id for each in catalog.models["acme/fast-1"].endpoints if each.provider.slug == "acme"]
    for _ in range(20):
        health.observe(mine, Observation(ok=True, ttft_ms=200.0, tokens_per_s=50.0))
    home = (await page(managed, "/")).words
    assert "2 models, 1 provider." in home
    assert "of 3 in the catalogue" in home
    assert f"curl {managed.gateway.url}/api/v1/chat/completions" in home
    table = (await page(managed, "/models")).words
    assert "acme/fast-1" in table
    assert "acme/slow-2" not in table, "nobody can call it here"
    assert "$0.15" in table
    assert "$0.60" in table
    assert "free" in table
    one = (await page(managed, "/models/acme/fast-1")).words
    for text in (
        "Acme Cloud",
        "Bolt",
        "Up",
        "No credential",
        "$0.15",
        "$0.10",
        "128,000 tokens",
        "keeps nothing",
        "no promise",
    ):
        assert text in one, text
    assert '"model": "acme/fast-1"' in one
    assert "100\u202f%" in one
    providers = (await page(managed, "/providers")).words
    assert providers.index("Acme Cloud") < providers.index("Bolt"), "those that can be called come first"


FILTERS = [
    ("", {"acme/fast-1", "zeta/free-3"}),
    ("?q=&max_price=&providers=", {"acme/fast-1", "zeta/free-3"}),
    ("?q=FAST", {"acme/fast-1"}),
    ("?all=true", {"acme/fast-1", "acme/slow-2", "zeta/free-3"}),
    ("?all=true&providers=bolt", {"acme/fast-1", "acme/slow-2"}),
    ("?max_price=0", {"zeta/free-3"}),
    ("?input_modalities=image", {"acme/fast-1"}),
    ("?supported_parameters=tools", {"acme/fast-1"}),
    ("?q=nothing-like-it", set()),
    ("?output_modalities=embeddings", set()),
    ("?page=99", {"acme/fast-1", "zeta/free-3"}),
    ("?page=-1&unheard_of=1", {"acme/fast-1", "zeta/free-3"}),
]


async def test_filters_of_the_table(managed: Managed) -> None:
    """The form's fields filter as the API does, empty ones do not; a wrong value is named on a page of status 400."""
    for query, expected in FILTERS:
        found = await page(managed, f"/models{query}")
        shown = {link.removeprefix("/models/") for link in found.values("href") if link.startswith("/models/")}
        assert shown == expected, query
        assert ("No model" in found.words) == (not expected)
    orders = [("pricing-low-to-high", "zeta/free-3"), ("pricing-high-to-low", "acme/slow-2"), ("newest", "acme/slow-2")]
    for sort, first in orders:
        found = await page(managed, f"/models?all=true&sort={sort}")
        assert next(link for link in found.values("href") if link.startswith("/models/")) == f"/models/{first}"
        assert found.values("aria-sort") == ["ascending" if sort == "pricing-low-to-high" else "descending"]
    for query, named in (
        ("max_price=cheap", "max_price"),
        ("context=-5", "context"),
        ("sort=best", "sort"),
        ("all=maybe", "all"),
    ):
        wrong = await page(managed, f"/models?{query}", 400)
        assert f"This filter does not work. {named}" in " ".join(wrong.words.split()), query


async def test_unknown_models_have_a_page(managed: Managed) -> None:
    """404 with a suggestion that is a link; variants and strange paths break nothing."""
    missing = await page(managed, "/models/acme/fast-2", 404)
    assert "/models/acme/fast-1" in missing.values("href")
    assert (await page(managed, "/models/acme/fast-1:floor")).words.count("acme/fast-1")
    for path in ("/models/%00/%F0%9F%92%A9", "/models/a/" + "x" * 5000, "/models/%3Cscript%3E/%22%3E"):
        await page(managed, path, 404)


async def test_programs_get_what_they_got_before(managed: Managed) -> None:
    """Who asks for JSON at the root gets the API's 404, and the API itself answers JSON to a browser."""
    for accept in (
        "application/json",
        "text/event-stream",
        "application/json, text/plain",
        "text/html;q=0, application/json",
    ):
        for path in ("/", "/models", "/models/acme/fast-1", "/providers"):
            refused(await managed.anyone.get(path, headers={"accept": accept}), 404)
    for path in ("/api/v1/models", "/v1/models/acme/fast-1", "/api/v1/providers"):
        answer = await managed.anyone.get(path, headers=HTML)
        assert answer.headers["content-type"] == "application/json"
        assert "content-security-policy" not in answer.headers
    refused(await managed.anyone.post("/models", headers=HTML), 405)
    refused(await managed.anyone.get("/static/../pages.py", headers=HTML), 404)
    refused(await managed.anyone.get("/static/tokenway.scss", headers=HTML), 404)


async def test_browsers_keep_what_has_not_changed(managed: Managed) -> None:
    """HEAD has the headers alone; an ETag that is known answers 304; a static file by its version is kept for ever."""
    for path in PAGES:
        whole = await managed.anyone.get(path, headers=HTML)
        head = await managed.anyone.head(path, headers=HTML)
        assert head.content == b""
        assert head.headers["content-length"] == whole.headers["content-length"]
        assert head.headers["etag"] == whole.headers["etag"]
        for tag in (whole.headers["etag"], f'"x", W/{whole.headers["etag"]}'):
            again = await managed.anyone.get(path, headers={**HTML, "if-none-match": tag})
            assert (again.status_code, again.content) == (304, b""), path
            assert again.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    style = next(link for link in (await page(managed, "/")).values("href") if ".css" in link)
    assert "immutable" in (await managed.anyone.get(style)).headers["cache-control"]
    plain = await managed.anyone.get(style.partition("?")[0])
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.headers["content-type"] == "text/css; charset=utf-8"


async def test_visitors_cannot_crowd_out_requests(managed: Managed) -> None:
    """Of many different pages at once those beyond the queue are refused at once, in the one error shape; the others are served one
    after the other, and pages that are kept are sent meanwhile."""
    await managed.anyone.get("/", headers=HTML)
    flood = [asyncio.create_task(managed.anyone.get(f"/models?q={n}", headers=HTML)) for n in range(WAITING_MAX + 20)]
    assert (await managed.anyone.get("/", headers=HTML)).status_code == 200
    answers = await asyncio.gather(*flood)
    refusals = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refusals) <= 20
    for refusal in refusals:
        refused(refusal, 503)
        assert refusal.headers["retry-after"] == "1"


async def test_a_host_is_shown_only_if_it_is_one(managed: Managed) -> None:
    """The examples name the host of the request; what is none is neither shown nor kept for others."""
    for host, shown in (
        ("gateway.example", "http://gateway.example/api/v1"),
        ("[::1]:8080", "http://[::1]:8080/api/v1"),
        ('x"><script>alert(1)</script>', "http://localhost:8080/api/v1"),
        ("evil.example/path?x=", "http://localhost:8080/api/v1"),
    ):
        answer = await managed.anyone.get("/", headers={**HTML, "host": host})
        if answer.status_code == 400:
            continue  # the server's own parser refused it
        assert f'base_url="{shown}"' in Parsed(answer.text).words, host
        assert "<script>alert" not in answer.text


async def test_a_changed_catalogue_is_shown_at_once(managed: Managed) -> None:
    """Pages are kept for seconds, but never beyond their catalogue."""
    assert "Acme/Fast-1" in (await page(managed, "/models")).words
    store = managed.gateway.services.catalog
    models = {**store.current.models, "acme/fast-1": replace(store.current.models["acme/fast-1"], name="Renamed")}
    store.current = replace(store.current, version="next", models=models)  # type: ignore[misc]
    assert "Renamed" in (await page(managed, "/models")).words


async def test_hostile_names_stay_text(managed: Managed) -> None:
    """Pages with sixty hostile names have the same elements and attributes as pages with tame ones."""
    store = managed.gateway.services.catalog
    tame = store.current
    model = tame.models["acme/fast-1"]
    shapes = []
    for version, names in (("tame", ["Tame name"] * len(HOSTILE)), ("hostile", HOSTILE)):
        models = {
            f"acme/m-{place:02d}": replace(
                model,
                slug=f"acme/m-{place:02d}",
                name=name,
                description=name or "x",
                aliases=(name,),
                attributes={"family": name or "x", "licence": name or "x"},
                endpoints=tuple(
                    replace(
                        endpoint,
                        tag=name or "x",
                        quantization=name or "x",
                        provider=replace(endpoint.provider, name=name),
                    )
                    for endpoint in model.endpoints
                ),
            )
            for place, name in enumerate(names)
        }
        providers = {
            slug: replace(each, name=names[0], privacy_policy_url="javascript:alert(1)")
            for slug, each in tame.providers.items()
        }
        store.current = replace(tame, version=version, models=models, providers=providers)  # type: ignore[misc]
        paths = ["/", "/models", "/models?page=2", "/providers", *(f"/models/{slug}" for slug in list(models)[::8])]
        read = [await page(managed, path) for path in paths]
        assert "javascript:" not in "".join(value for each in read for value in each.values("href"))
        shapes.append([each.shape for each in read])
    for path, one, other in zip(paths, *shapes, strict=True):
        assert one == other, path


async def test_pages_can_be_switched_off(tmp_path: Path, valkey_server: Embedded, store: Store) -> None:
    """GATEWAY_WEB=false: every page and file is the API's 404, to browsers, too; the API is as it was."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    async with running(config, tmp_path / "data", valkey_server.url, web=False) as gateway:
        for path in ("/", "/models", "/models/acme/fast-1", "/providers", "/static/tokenway.css"):
            refused(await gateway.client.get(path, headers=HTML), 404)
        assert (await gateway.client.get("/api/v1/models")).status_code == 200


@pytest.mark.parametrize("usable", [True, False])
async def test_a_gateway_without_credentials_says_what_to_do(
    tmp_path: Path, valkey_server: Embedded, store: Store, usable: bool
) -> None:
    """An empty home page explains itself, and has the whole catalogue one link away."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    if not usable:
        for file in (config / "providers").glob("*.yaml"):
            file.write_text(file.read_text().replace("api_key_env: null", "api_key_env: TEST_NO_SUCH_KEY"))
    async with running(config, tmp_path / "data", valkey_server.url) as gateway:
        home = Parsed((await gateway.client.get("/", headers=HTML)).text)
        assert ("No model can be called yet" in home.words) == (not usable)
        table: httpx.Response = await gateway.client.get("/models", headers=HTML)
        assert ("This gateway has no credential for any provider" in table.text) == (not usable)
        assert "acme/fast-1" in (await gateway.client.get("/models?all=true", headers=HTML)).text
