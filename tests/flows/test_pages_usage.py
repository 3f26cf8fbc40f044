"""The pages about use: figures of the counters, what is not shown, what is said instead, and names that stay names."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from gateway.analytics.buckets import monday, today, week_of
from gateway.analytics.cohorts import Made, write
from gateway.analytics.event import Event
from gateway.analytics.retention import Cohort
from gateway.store.client import Store
from gateway.store.embedded import Embedded
from tests.support.gateway import Gateway, running
from tests.support.management import write_files
from tests.support.pages import HOSTILE, Parsed
from tests.support.usage import busy_hours, count_events, crowd

HTML = {"accept": "text/html"}
TODAY = today(time.time())
WEEK = week_of(TODAY)
FAST, SLOW = "acme/ok@acme/fast-1", "bolt/slow@acme/slow-2"
SECRET = "hidden/one-user"
HOSTILE_PART = HOSTILE[::6]


@pytest.fixture
async def shown(tmp_path: Path, valkey_server: Embedded, store: Store) -> AsyncIterator[Gateway]:
    """A gateway whose rankings are public, from five users on."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    settings = {"analytics": True, "public_rankings": True, "rankings_min_users": 5}
    async with running(config, tmp_path / "data", valkey_server.url, **settings) as gateway:
        yield gateway


def year() -> list[Event]:
    """Two models over ten weeks, one of them new, an app, and a model that only one user has used."""
    events: list[Event] = []
    for back in range(10):
        day = monday(WEEK - back)
        events += crowd(day, FAST, 8_000 + 100 * back, app="chat.example", app_name="Chat", finish="tool_calls")
        if back < 3:
            events += crowd(day, SLOW, 2_000)
    events += crowd(TODAY - 1, FAST, 4_000, app="chat.example", app_name="Chat")
    events += crowd(TODAY - 1, f"acme/x@{SECRET}", 9_000, users=1)
    return events


async def page(gateway: Gateway, path: str, status: int = 200) -> Parsed:
    answer = await gateway.client.get(path, headers=HTML)
    assert answer.status_code == status, answer.text[:400]
    return Parsed(answer.text)


async def test_rankings_show_what_was_counted(shown: Gateway) -> None:
    """Tiles, bars, the table, authors, apps; a model of one user is in no place named, its tokens are in the sums; links lead."""
    await count_events(shown.services.store, year())
    found = await page(shown, "/rankings")
    words = " ".join(found.words.split())
    for text in ("Acme/Fast-1", "Acme/Slow-2", "Chat", "Leaderboard", "Market share", "Others", "Tokens in 7 days"):
        assert text in words, text
    assert "one-user" not in found.text
    assert "hidden" not in found.values("href")
    requests = sum(today(each.at_ms / 1000) > TODAY - 7 for each in year())
    assert re.search(rf"Requests ?{requests} ?in 7 days", words), words[:400]
    paths = [
        attributes["d"]
        for tag, attributes in found.tags
        if tag == "path" and (attributes.get("d") or "").startswith("M") and "h" in (attributes.get("d") or "")
    ]
    assert len(paths) > 6
    links = {
        link.partition("#")[0] for link in found.values("href") if link.startswith(("/rankings", "/apps", "/models"))
    } - {""}
    assert {"/apps/chat.example", "/models/acme/fast-1"} <= links
    for link in sorted(links):
        assert (await shown.client.get(link, headers=HTML)).status_code == 200, link
    ids = set(found.values("id"))
    anchors = {link.partition("#")[2] for link in found.values("href") if "#" in link}
    assert anchors <= ids, anchors - ids


CHOICES = [
    "metric=requests", "metric=users", "by=family", "by=author", "by=origin", "by=size", "by=reasoning", "by=provider",
    "period=day", "period=month", "scale=share", "series=fixed", "view=day", "view=month", "view=trending", "rows=50",
    "metric=&by=", "unheard=of",
]  # fmt: skip


async def test_every_choice_has_a_page(shown: Gateway) -> None:
    """Each switch's link gives a whole page that marks it as chosen; what does not exist is named with status 400."""
    await count_events(shown.services.store, year())
    for choice in CHOICES:
        found = await page(shown, f"/rankings?{choice}")
        assert "one-user" not in found.text, choice
        name, _, value = choice.partition("=")
        if value not in ("", "&by=", "of", "50"):
            chosen = [a.get("href") or "" for tag, a in found.tags if tag == "a" and a.get("aria-current") == "true"]
            assert any(f"{name}={value}" in link for link in chosen), choice
    for path in (
        "/rankings/requests",
        "/rankings/requests?context=1K",
        "/rankings/requests?context=10M&scale=share",
        "/rankings/speed",
    ):
        assert "one-user" not in (await page(shown, path)).text
    for wrong in ("metric=spend", "by=key", "period=year", "view=x", "rows=1000000", "scale=" + "x" * 400):
        assert wrong.partition("=")[0] in (await page(shown, f"/rankings?{wrong}", 400)).words
    assert "context" in (await page(shown, "/rankings/requests?context=1", 400)).words
    assert "view" in (await page(shown, "/apps?view=never", 400)).words


async def test_an_empty_gateway_says_what_to_do(shown: Gateway) -> None:
    """No chart is drawn of nothing; there is a request to copy."""
    found = await page(shown, "/rankings")
    assert "No traffic yet" in found.words
    assert f"curl {shown.url}/api/v1/chat/completions" in found.words
    assert "<figure" not in found.text
    assert "X-Title: My app" in (await page(shown, "/apps")).words
    assert "No such app" in (await page(shown, "/apps/nobody.example", 404)).words
    assert "How it is used" not in (await page(shown, "/models/acme/fast-1")).words


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"analytics": False, "public_rankings": True}, "GATEWAY_ANALYTICS=true"),
        ({"analytics": True, "public_rankings": False}, "GATEWAY_PUBLIC_RANKINGS=true"),
    ],
)
async def test_what_is_not_public_is_not_shown(
    tmp_path: Path, valkey_server: Embedded, store: Store, settings: dict[str, bool], says: str
) -> None:
    """The pages name the setting; no page has a figure of use, but how a model runs is shown where it is counted."""
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    async with running(config, tmp_path / "data", valkey_server.url, **settings) as gateway:
        await count_events(gateway.services.store, [*year(), *busy_hours(FAST, 2)])
        for path in ("/rankings", "/apps", "/apps/chat.example"):
            found = await page(gateway, path)
            assert says in found.words
            assert "Chat" not in found.words
        model = (await page(gateway, "/models/acme/fast-1")).words
        assert "How it is used" not in model
        assert ("How it runs" in model) == settings["analytics"]
        assert "Used most" not in (await page(gateway, "/")).words


async def test_without_the_store_the_pages_say_so(shown: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with a way to try again where there would be figures; the pages of the catalogue are as they were."""

    async def broken(*args: object, **options: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(shown.services.store.redis, "execute_command", broken)
    monkeypatch.setattr(type(shown.services.store.redis.pipeline()), "execute", broken)
    for path in ("/rankings", "/apps", "/apps/chat.example"):
        assert "cannot be read now" in (await page(shown, path, 503)).words
    for path in ("/", "/models", "/models/acme/fast-1"):
        await page(shown, path)


async def test_a_model_shows_how_it_runs_and_is_used(shown: Gateway) -> None:
    """Uptime of the gateway and of each provider, lines with gaps, tokens by week, its place, its apps; ranges have addresses."""
    calls = [
        each for n in range(6) for each in crowd(TODAY, FAST, 10, finish="tool_calls", calls=1, tool_error=3 * (n == 0))
    ]
    await count_events(shown.services.store, [*year(), *busy_hours(FAST, 3, failed=30), *busy_hours(SLOW, 1), *calls])
    found = await page(shown, "/models/acme/fast-1?range=30d")
    words = found.text[found.text.index("<h3>Bad calls of tools</h3>") :]
    assert '<td class="num">16.66\u202f%</td>' in words[: words.index("</figure>")]
    assert "n = 48 answers in this range" in words
    assert "Bad structured output" not in found.text
    found = await page(shown, "/models/acme/fast-1")
    words = " ".join(found.words.split())
    for text in (
        "How it runs",
        "This gateway",
        "Time to the first token",
        "How it is used",
        "Place among all models",
        "Chat",
    ):
        assert text in words, text
    strips = [attributes for tag, attributes in found.tags if tag == "svg" and attributes.get("class") == "strip"]
    assert [each["aria-label"] for each in strips] == [
        "Uptime of This gateway: 3 of 72 measured, lowest 100\u202f%",
        "Uptime of Acme Cloud: 3 of 72 measured, lowest 75\u202f%",
    ]
    for query in ("range=3d", "range=30d", "range=1y&percentile=p99", "range=1h", "percentile=p50"):
        assert "How it runs" in (await page(shown, f"/models/acme/fast-1?{query}")).words, query
    assert "How it runs" not in (await page(shown, "/models/zeta/free-3")).words
    assert "GATEWAY_HISTORY" in words, "what the block about who comes back needs"


async def test_a_model_shows_who_comes_back(shown: Gateway) -> None:
    """A line for each cohort up to 100 %, a thick one for that which stays; what only few did, and what one organisation did, is absent."""
    store, fast = shown.services.store, "acme/fast-1"
    found = [
        Cohort(fast, date(2026, 1, 1), (200, 110, 95, 90, 84, 80, 70), 10.0),
        Cohort(fast, date(2026, 2, 1), (100, 30, 22, 40, 3, 11), 10.0),
        Cohort(fast, date(2026, 3, 1), (90, 20, 9, 8, 7, 6), 90.0),
    ]
    await write(store, Made(1, TODAY, TODAY - 1, 1), {fast: found})
    seen = await page(shown, "/models/acme/fast-1")
    words = " ".join(seen.words.split())
    assert "Thick: the cohort of January 2026 stays" in words
    assert "Of that of February 2026 more came back in month 3" in words
    assert "Jan 2026 (200)" in words
    assert "Mar 2026" not in words
    assert '<g class="c0" stroke-width="4.5">' in seen.text
    drawn = seen.text[seen.text.index('id="returning"') :]
    assert ">100\u202f%<" in drawn
    rows = re.findall(
        r'<th scope="row">Month (\d)</th>(?:<td class="num">([^<]*)</td>)(?:<td class="num">([^<]*)</td>)', drawn
    )
    assert rows[2] == ("4", "42\u202f%", "–"), "three of a hundred could be recognised"


async def test_an_app_has_a_page_if_enough_people_use_it(shown: Gateway) -> None:
    """By host, by title, on a host of many apps; not those of one user, nor what has no name; its models only where they may be shown."""
    events: list[Event] = []
    apps = ("chat.example", "github.com/me/tool", "~my tool 100%/?#", "~a//b/../c", "~-")
    for app in apps:
        events += crowd(TODAY - 1, FAST, 3_000, app=app, app_name=app.upper())
        events += crowd(TODAY - 1, f"acme/x@{SECRET}", 900, users=1, app=app, app_name=app.upper())
    events += crowd(TODAY - 1, FAST, 3_000, users=1, app="lonely.example", app_name="Lonely")
    events += crowd(TODAY - 1, FAST, 3_000)
    await count_events(shown.services.store, events)
    listed = await page(shown, "/apps")
    links = {link for link in listed.values("href") if link.startswith("/apps/")}
    assert len(links) == len(apps)
    for link in links:
        found = await page(shown, link)
        assert "Acme/Fast-1" in found.words
        assert "one-user" not in found.text
    for app in ("lonely.example", "unknown", "other", "x" * 5000, "\x00", "%F0%9F%92%A9"):
        assert "No such app" in (await page(shown, f"/apps/{quote(app)}", 404)).words
    assert "Lonely" not in listed.words


async def test_hostile_names_stay_text(shown: Gateway) -> None:
    """Titles, apps, models and providers that callers name: the pages have the same elements and attributes as with tame names."""
    store, shapes, texts = shown.services.store, [], []
    for kind in ("tame", "hostile"):
        await store.redis.flushall()
        catalogs = shown.services.catalog
        catalogs.current = replace(catalogs.current, version=kind)  # type: ignore[misc]
        events: list[Event] = []
        for place, name in enumerate(HOSTILE_PART):
            name = (name if kind == "hostile" else "Tame name")[:60].replace("@", "a").encode(errors="replace").decode()
            slug = f"{name}/m" if kind == "hostile" and "/" not in name and name.strip() else f"author{place}/{place}"
            more = {"app": f"~{place}{name}", "app_name": f"{place:02d} {name}", "category": "programming"}
            events += crowd(TODAY - 1, f"vendor{place}{name.replace('/', '')}/x@{slug}", 9_000 - 100 * place, **more)
            events += crowd(TODAY - 1, FAST, 900 - place, **more)
        await count_events(store, events)
        paths = [
            "/rankings", "/rankings?by=provider", "/rankings?by=author&metric=users", "/apps", "/models/acme/fast-1",
            "/rankings/requests", "/rankings/speed", "/rankings/categories?label=programming&releases=show",
        ]  # fmt: skip
        listed = await page(shown, "/apps")
        paths += sorted({link for link in listed.values("href") if link.startswith("/apps/")})[:6]
        read = [await page(shown, path) for path in paths]
        texts += [(path, each) for path, each in zip(paths, read, strict=True)]
        shapes.append([each.shape for each in read[:8]])
    for path, each in texts:
        assert "javascript:" not in "".join(link.casefold() for link in each.values("href", "src", "action"))
        assert not {
            name for _, attributes in each.tags for name in attributes if name.startswith("on") or name == "style"
        }
        assert [tag for tag, _ in each.tags].count("script") == 1, path
        assert not {tag for tag, _ in each.tags} & {"iframe", "img src", "form", "base", "style"}, path
    for path, one, other in zip(paths, *shapes, strict=False):
        assert set(other) <= set(one), path


async def test_media_are_shown_when_there_are_any(shown: Gateway) -> None:
    """Pictures and hours of sound by model, exact in the table and the API; without any there is no block."""
    await count_events(shown.services.store, year())
    assert "Pictures made" not in (await page(shown, "/rankings/requests")).words
    await shown.services.store.redis.flushall()
    catalogs = shown.services.catalog
    catalogs.current = replace(catalogs.current, version="media")  # type: ignore[misc]
    made = [*crowd(TODAY - 1, FAST, 10, pictures=3), *crowd(TODAY - 1, SLOW, 10, audio_ms=5_400_000)]
    await count_events(shown.services.store, made)
    found = await page(shown, "/rankings/requests")
    words = " ".join(found.words.split())
    for text in (
        "Media",
        "Pictures made",
        "Sound transcribed",
        "43,200,000",
        "Acme/Fast-1: 24",
        "Acme/Slow-2: 12\u202fh",
    ):
        assert text.replace("\u202f", " ") in words, text
    for metric, total, unit in (("pictures", "24", "pictures"), ("audio_ms", "43200000", "audio_ms")):
        chart = (await shown.client.get("/api/v1/rankings/chart", params={"metric": metric, "period": "day"})).json()
        assert sum(int(n) for point in chart["data"] for n in point["ys"].values()) == int(total)
        assert chart["meta"]["unit"] == unit


CHARTED = {
    "/rankings?metric=requests&period=month": {"requests-by-model", "share-of-tokens-by-author"},
    "/rankings?metric=users": {"users-by-model", "share-of-tokens-by-author"},
    "/rankings/requests?context=1K": {
        *("requests-of-to-1k-tokens", "requests-that-ended-with-a-call-of-tools"),
        "share-of-tokens-in-requests-that-ended-with-a-call-of-tools",
    },
    "/rankings/speed": {"speed-of-models", "price-paid-and-use-of-models"},
    "/apps": {"tokens-by-app"},
    "/apps/chat.example": {"tokens-of-chat-by-model"},
    "/apps/-?id=~a//b/../c": {"tokens-of-slashes-by-model"},
    "/models/acme/fast-1?range=3d": {
        "time-to-the-first-token-median",
        "tokens-a-second-median",
        "tokens-by-week",
        "uptime",
    },
    "/": {"tokens-by-model", "input-price-and-context-length-of-the-models"},
}


async def test_every_chart_can_be_downloaded(shown: Gateway) -> None:
    """Each has two links that keep the page's choices, and lead to a CSV and to an SVG; without a chart of a name there is no file."""
    events = [*year(), *busy_hours(FAST, 3), *busy_hours(SLOW, 1)]
    events += crowd(TODAY - 1, FAST, 900, app="~a//b/../c", app_name="=Slashes")
    await count_events(shown.services.store, events)
    for path, names in CHARTED.items():
        found = await page(shown, path)
        links = [link for link in found.values("href") if "download=" in link]
        files = {link.rpartition("=")[2] for link in links}
        assert files >= {f"{name}.{kind}" for name in names for kind in ("csv", "svg")}, path
        assert len(links) == len(files) == 2 * (found.text.count("<figure") + ("uptime" in names)), path
        for link in links:
            answer = await shown.client.get(link)
            name = link.rpartition("=")[2]
            assert answer.status_code == 200, link
            assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
            assert answer.headers["content-type"].startswith("text/csv" if name.endswith("csv") else "image/svg+xml")
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "one-user" not in answer.text
            again = {"if-none-match": answer.headers["etag"]}
            assert (await shown.client.get(link, headers=again)).status_code == 304
    monthly = await shown.client.get("/rankings?metric=requests&period=month&download=requests-by-model.csv")
    header, *rows = monthly.text.splitlines()
    assert header.startswith("date,unit,complete,Acme/Fast-1,")
    assert all(row.split(",")[1] == "requests" and row.split(",")[0].endswith("-01") for row in rows)
    for wrong in ("requests-by-model.csv", "tokens-by-model.png", "", "../../etc/passwd", "x" * 3000):
        answer = await shown.client.get("/rankings", params={"download": wrong}, headers=HTML)
        assert answer.status_code == 404, wrong
    assert (await shown.client.get("/rankings?metric=spend&download=a.csv", headers=HTML)).status_code == 400


async def test_pages_are_packed_for_who_takes_it(shown: Gateway) -> None:
    """gzip where it is accepted, with a tag of its own; the bytes of the page are the same."""
    await count_events(shown.services.store, year())
    answers: list[httpx.Response] = []
    for encoding in ("gzip, br", "identity", "gzip;q=0"):
        answers.append(await shown.client.get("/rankings", headers={**HTML, "accept-encoding": encoding}))
    assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", None, None]
    assert answers[0].text == answers[1].text == answers[2].text
    assert answers[0].headers["etag"] != answers[1].headers["etag"]
    assert int(answers[0].headers["content-length"]) < len(answers[1].content) / 3
    for answer, encoding in ((answers[0], "gzip"), (answers[1], "identity")):
        tagged = {**HTML, "accept-encoding": encoding, "if-none-match": answer.headers["etag"]}
        assert (await shown.client.get("/rankings", headers=tagged)).status_code == 304


async def test_what_one_process_has_made_others_send(
    tmp_path: Path, valkey_server: Embedded, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and views of the API, also when the counters are gone; never to a gateway whose settings show less, nor what it reads
    nothing for; without the store each makes its own."""
    monkeypatch.setattr("gateway.server.answer_cache.SHARED_FROM_S", 0.0)
    config = write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    headers = {"host": "gateway.example", "accept": "text/html"}
    paths = ("/rankings", "/apps", "/api/v1/rankings/leaderboard")
    bodies: list[list[bytes]] = []
    await count_events(store, year())
    for name, least in (("first", 5), ("second", 5), ("stricter", 6)):
        settings = {"analytics": True, "public_rankings": True, "rankings_min_users": least, "history": False}
        async with running(config, tmp_path / name, valkey_server.url, **settings) as gateway:
            bodies.append([(await gateway.client.get(path, headers=headers)).content for path in paths])
            assert (await gateway.client.get("/models", headers=headers)).status_code == 200
            async with asyncio.timeout(20):  # they are stored after they were sent
                while name == "first" and len(found := await store.redis.keys("tw:a1:view:*")) < len(paths):
                    await asyncio.sleep(0.02)
        if name == "first":
            assert len(found) == len(paths)
            assert all([0 < await store.redis.pttl(key) <= 300_000 for key in found])
            for key in [key async for key in store.redis.scan_iter("tw:a1:[dwh]?:*")]:
                await store.redis.delete(key)
    assert b"Acme/Fast-1" in bodies[0][0]
    assert bodies[1] == bodies[0]
    assert all(b"Acme/Fast-1" not in body for body in bodies[2])
