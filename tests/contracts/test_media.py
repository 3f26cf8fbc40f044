"""Media by URL become part of the request: from public places only, whole, in time, and nothing but what was asked for."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from providers.errors import ProviderError
from providers.media import fetch
from providers.media.fetch import MEDIA_ALL_MAX, MEDIA_MAX, MEDIA_MOST, Media
from providers.media.names import Names
from providers.types import Call
from tests.support.mapped_network import OTHER, PUBLIC, Network, private
from tests.support.private_urls import ADDRESSES, PRIVATE
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import CLIENTS

HOST = "pictures.example.com"
URL = f"https://{HOST}/a.png"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(64)
PDF = b"%PDF-1.7\n" + bytes(64)
MP4 = b"\0\0\0\x20ftypisom" + bytes(64)
HTML = b"<!doctype html><title>403 Forbidden</title>"
Script = Callable[[Peer], Any]


def picture(url: str = URL) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def asking(*parts: dict[str, Any]) -> Call:
    return Call({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, *parts]}]})


def never(url: str) -> bool:
    return False


def data(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


async def refusal(given: Media, call: Call) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await given.inlined(call, never)
    return caught.value


def answering(content: bytes, kind: str = "image/png", **more: Any) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(content, kind=kind, **more)

    return script


@pytest.fixture(params=list(CLIENTS))
async def network(request: pytest.FixtureRequest) -> Network:
    return Network(asyncio.get_running_loop(), CLIENTS[request.param])


@asynccontextmanager
async def serving(network: Network, script: Script, *names: str) -> AsyncIterator[tuple[Media, RawServer]]:
    """A server at a public address that HOST has, and media fetched over TLS."""
    upstream = network.client()
    async with RawServer(script, tls=network.certificate(*(names or (HOST,)))) as server:
        network.serves(PUBLIC, server.port)
        network.names.setdefault(HOST, [[PUBLIC]])
        yield Media(upstream, lookup=network.lookup), server
        await upstream.aclose()


# -- where from ----------------------------------------------------------------------------------------------------------


async def test_private_forms_are_refused_before_anything_is_opened(network: Network) -> None:
    """Three hundred ways to write a private place, as picture, file and video: no look-up, no connection, the part is named."""
    given = Media(network.client(), lookup=network.lookup)
    for number, url in enumerate(PRIVATE.values()):
        kind, key = (("image_url", "url"), ("file", "file_data"), ("video_url", "url"))[number % 3]
        error = await refusal(given, asking({"type": kind, kind: {key: url}}))
        assert error.failure.kind == "media_refused", url
        assert error.message.startswith(f"messages[0].content[1].{kind}.{key}: ")
    assert not network.lookups
    assert not network.dialled


async def test_names_of_private_places_are_refused_before_anything_is_opened(network: Network) -> None:
    """Whatever private address a public-looking name has, alone or beside a public one: one look-up, no connection."""
    given = Media(network.client(), lookup=network.lookup)
    network.serves(PUBLIC, 1)
    for number, address in enumerate(ADDRESSES):
        network.names[HOST] = [[address] if number % 2 else [PUBLIC, address]]
        error = await refusal(given, asking(picture()))
        assert error.failure.kind == "media_refused"
    assert len(network.lookups) == len(ADDRESSES)
    assert not network.dialled


async def test_a_resolver_that_changes_its_mind(network: Network) -> None:
    """Rebinding: public at the first question, private ever after. The connection goes to the address that was judged, and the
    next request is refused; no private address is ever dialled."""
    network.names[HOST] = [[PUBLIC], ["127.0.0.1"]]
    async with serving(network, answering(PNG)) as (given, server):
        assert (await given.inlined(asking(picture()), never)).body["messages"]
        assert network.lookups == [HOST]
        assert network.dialled == [(PUBLIC, 443)]
        for _ in range(3):
            assert (await refusal(given, asking(picture()))).failure.kind == "media_refused"
        assert len(server.peers) == 1
    assert not private(network.dialled)


async def test_the_request_to_the_server_of_a_picture(network: Network) -> None:
    """The name in the handshake, in the certificate and in the host header is the URL's; no key, cookie or body is sent."""
    async with serving(network, answering(PNG)) as (given, server):
        made = await given.inlined(asking(picture(f"https://{HOST.upper()}:8443/ü b?q=%2F#secret")), never)
    assert made.body["messages"][0]["content"][1]["image_url"]["url"] == data("image/png", PNG)
    assert network.shown == [HOST]
    assert network.dialled == [(PUBLIC, 8443)]
    ((head, body),) = server.peers[0].requests
    lines = head.strip().lower().split("\r\n")
    assert lines[0] == "get /%c3%bc%20b?q=%2f http/1.1"
    assert f"host: {HOST}:8443" in lines
    assert "accept-encoding: identity" in lines
    names = {line.partition(":")[0] for line in lines[1:]}
    # Our own client states the length of an empty body, httpx does not.
    assert names - {"content-length"} == {"host", "accept", "connection", "accept-encoding", "user-agent"}
    assert body == b""


async def test_a_certificate_for_another_name(network: Network) -> None:
    """A server whose certificate is for another name is refused."""
    async with serving(network, answering(PNG), "other.example.com") as (given, server):
        error = await refusal(given, asking(picture()))
        assert (error.failure.kind, "tls" in error.message) == ("media_failed", True)
        assert not any(peer.requests for peer in server.peers)


async def test_the_next_address_when_one_does_not_listen(network: Network) -> None:
    """A host with a dead address is reached at its other one; with none it has failed, after three at most."""
    network.names[HOST] = [[OTHER, PUBLIC], [OTHER, "8.8.4.4", "1.1.1.1", PUBLIC]]
    async with serving(network, answering(PNG)) as (given, _):
        await given.inlined(asking(picture()), never)
        assert [host for host, _ in network.dialled] == [OTHER, PUBLIC]
        assert (await refusal(given, asking(picture()))).failure.kind == "media_failed"
        assert [host for host, _ in network.dialled[2:]] == [OTHER, "8.8.4.4", "1.1.1.1"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(network: Network, status: int) -> None:
    """Wherever they lead: the metadata service, or another public place."""
    headers = "location: http://169.254.169.254/latest/meta-data/\r\n"
    async with serving(network, answering(b"", status=status, headers=headers)) as (given, server):
        error = await refusal(given, asking(picture()))
        assert (error.failure.kind, error.failure.error_type) == ("media_failed", "image_download_failed")
        assert len(server.peers) == 1
    assert network.dialled == [(PUBLIC, 443)]
    assert network.lookups == [HOST]


# -- what ----------------------------------------------------------------------------------------------------------------

FETCHED = [
    *(("image_url", "image/png", PNG, "image/png"), ("image_url", "text/html; charset=utf-8", PNG, "image/png")),
    *(("image_url", "image/png", JPEG, "image/jpeg"), ("image_url", "", PNG, "image/png")),
    ("image_url", "image/webp", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    *(
        ("image_url", "image/gif", b"GIF89a....", "image/gif"),
        ("image_url", "x", b"\0\0\0\x18ftypheic...", "image/heic"),
    ),
    *(("image_url", "application/pdf", PDF, "application/pdf"), ("file", "application/pdf", PDF, "application/pdf")),
    *(("file", "text/csv; charset=utf-8", b"a,b\n", "text/csv"), ("file", "", b"a", "application/octet-stream")),
    *(("file", "text/html", HTML, "text/html"), ("file", "image/png", PNG, "image/png")),
    *(("file", "bad type", b"a", "application/octet-stream"), ("video_url", "video/mp4", MP4, "video/mp4")),
    ("video_url", "x", b"\x1a\x45\xdf\xa3", "video/webm"),
]
REFUSED = [
    *(("image_url", "image/png", HTML), ("image_url", "image/svg+xml", b"<svg/>"), ("image_url", "image/png", b"")),
    *(("image_url", "video/mp4", MP4), ("image_url", "image/png", b"\x7fELF"), ("image_url", "image/jpeg", b"GIF8")),
    *(
        ("file", "application/pdf", HTML),
        ("file", "image/png", HTML),
        ("file", "video/mp4", b"x"),
        ("file", "text/csv", b""),
    ),
    *(("video_url", "video/mp4", HTML), ("video_url", "video/mp4", PNG), ("video_url", "video/mp4", b"")),
]


@pytest.mark.parametrize(("kind", "called", "content", "mime"), FETCHED)
async def test_media_are_called_what_they_are(
    network: Network, kind: str, called: str, content: bytes, mime: str
) -> None:
    """The first bytes decide, not the declared type; the declared type counts only for formats without a signature."""
    key = "file_data" if kind == "file" else "url"
    async with serving(network, answering(content, called)) as (given, _):
        made = await given.inlined(asking({"type": kind, kind: {key: URL, "detail": "low"}}), never)
    assert made.body["messages"][0]["content"][1][kind] == {key: data(mime, content), "detail": "low"}


@pytest.mark.parametrize(("kind", "called", "content"), REFUSED)
async def test_what_is_not_what_its_part_takes(network: Network, kind: str, called: str, content: bytes) -> None:
    """An error page in place of a picture, a video in place of a PDF, nothing at all."""
    key = "file_data" if kind == "file" else "url"
    async with serving(network, answering(content, called)) as (given, _):
        error = await refusal(given, asking({"type": kind, kind: {key: URL}}))
    assert (error.failure.kind, error.failure.error_type) == ("media_unsupported", "unsupported_image_format")
    assert error.failure.failover
    assert b"403" not in error.message.encode()


@pytest.mark.parametrize("status", [201, 204, 206, 401, 403, 404, 429, 500, 503])
async def test_everything_but_200_has_failed(network: Network, status: int) -> None:
    """A server that answers something else; its words go nowhere."""
    async with serving(network, answering(b"" if status == 204 else b"SECRET", status=status)) as (given, _):
        error = await refusal(given, asking(picture()))
    assert error.failure.kind == "media_failed"
    assert str(status) in error.message
    assert "SECRET" not in error.message + error.raw


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "GZIP", "x"])
async def test_compressed_answers_are_refused(network: Network, coding: str) -> None:
    """A compressed answer is refused: it was not requested, and a bomb grows a thousandfold."""
    bomb = gzip.compress(bytes(50 * 2**20))
    async with serving(network, answering(bomb, headers=f"content-encoding: {coding}\r\n")) as (given, _):
        assert (await refusal(given, asking(picture()))).failure.kind == "media_failed"


async def test_what_breaks_on_the_way(network: Network) -> None:
    """Cut in the body, reset, no HTTP at all, headers without end: failed, whatever had come."""

    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + PNG)

    async def reset(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async def junk(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"\x16\x03\x01 hello\r\n\r\n")

    async def flood(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n")

    for script in (cut, reset, junk, flood):
        async with serving(network, script) as (given, _):
            assert (await refusal(given, asking(picture()))).failure.kind == "media_failed"


# -- how much ------------------------------------------------------------------------------------------------------------


async def test_ten_megabytes_and_not_one_more(network: Network) -> None:
    """Exactly the limit passes, with and without a length; one byte more is refused as soon as it is known."""
    sent: list[int] = []

    def sized(size: int, *, declared: bool) -> Script:
        async def script(peer: Peer) -> None:
            await peer.request()
            head = f"content-length: {size}\r\n" if declared else "connection: close\r\n"
            await peer.send(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
            body = PNG + bytes(size - len(PNG))
            for start in range(0, size, 2**16):
                await peer.send(body[start : start + 2**16])
                sent.append(start)

        return script

    for declared in (True, False):
        async with serving(network, sized(MEDIA_MAX, declared=declared)) as (given, _):
            made = await given.inlined(asking(picture()), never)
            assert len(made.body["messages"][0]["content"][1]["image_url"]["url"]) > MEDIA_MAX * 4 // 3
        async with serving(network, sized(MEDIA_MAX + 1, declared=declared)) as (given, _):
            error = await refusal(given, asking(picture()))
            assert (error.failure.kind, error.failure.error_type) == ("media_too_large", "image_too_large")
    sent.clear()
    async with serving(network, sized(50 * MEDIA_MAX, declared=True)) as (given, server):
        assert (await refusal(given, asking(picture()))).failure.kind == "media_too_large"
        await server.peers[0].gone.wait()
    assert len(sent) * 2**16 < 3 * MEDIA_MAX


async def test_all_of_a_request_together(network: Network) -> None:
    """Each below its limit, together above theirs."""
    each = MEDIA_ALL_MAX // 3 + 1
    async with serving(network, answering(PNG + bytes(each - len(PNG)))) as (given, _):
        await given.inlined(asking(*(picture(f"https://{HOST}/{n}") for n in range(2))), never)
        error = await refusal(given, asking(*(picture(f"https://{HOST}/{n}") for n in range(3))))
    assert error.failure.kind == "media_too_large"
    assert "together" in error.message


async def test_how_many(network: Network) -> None:
    """Twenty, each place once however often it is named; the twenty-first refuses all before anything is looked up."""
    async with serving(network, answering(PNG)) as (given, server):
        parts = [picture(f"https://{HOST}/{n % MEDIA_MOST}") for n in range(3 * MEDIA_MOST)]
        made = await given.inlined(asking(*parts), never)
        assert {part["image_url"]["url"] for part in made.body["messages"][0]["content"][1:]} == {
            data("image/png", PNG)
        }
        assert sum(len(peer.requests) for peer in server.peers) == MEDIA_MOST
        network.lookups.clear()
        error = await refusal(given, asking(*parts, picture(f"https://{HOST}/more")))
        assert (error.failure.kind, network.lookups) == ("media_refused", [])


async def test_in_time(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then, a resolver that never answers: over when the time is."""
    monkeypatch.setattr(fetch, "MEDIA_S", 0.3)

    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + PNG)
        while not peer.reader.at_eof():
            await peer.send(b"x")
            await asyncio.sleep(0.01)

    async with serving(network, drip) as (given, server):
        error = await refusal(given, asking(picture()))
        assert (error.failure.kind, "0.3 s" in error.message) == ("media_failed", True)
        await server.peers[0].gone.wait()

    async def silent(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert (await refusal(Media(network.client(), lookup=silent), asking(picture()))).failure.kind == "media_failed"


# -- side by side --------------------------------------------------------------------------------------------------------


def sometimes_silent(peers: list[Peer]) -> Script:
    """``/never`` is never answered, ``/404`` is 404, everything else a picture."""

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.request()
        head = peer.requests[0][0]
        if " /never" in head:
            await peer.wait_gone()
        await peer.answer(PNG, status=404 if " /404" in head else 200)

    return script


async def test_a_silent_server_delays_no_other_request(network: Network) -> None:
    """While one request waits for its picture, others come and go; when it is cancelled its connection is closed."""
    peers: list[Peer] = []
    async with serving(network, sometimes_silent(peers)) as (given, _):
        waiting = asyncio.create_task(given.inlined(asking(picture(f"https://{HOST}/never")), never))
        for _ in range(5):
            await given.inlined(asking(picture()), never)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for peer in peers:
            await peer.gone.wait()


async def test_the_first_failure_ends_the_others(network: Network) -> None:
    """A request that is refused anyway does not wait for its pictures."""
    peers: list[Peer] = []
    async with serving(network, sometimes_silent(peers)) as (given, _):
        async with asyncio.timeout(fetch.MEDIA_S / 2):
            error = await refusal(given, asking(picture(f"https://{HOST}/never"), picture(f"https://{HOST}/404")))
            assert "messages[0].content[2]" in error.message
            for peer in peers:
                await peer.gone.wait()


# -- in which requests ---------------------------------------------------------------------------------------------------


async def test_every_place_that_media_have(network: Network) -> None:
    """Turns of all roles, pictures that a model made, references, things to embed, documents to rank; the caller's request stays
    as it was, and what had no URL in it is the very same object."""
    bodies: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": [picture(), picture("data:,x")]}]},
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": [picture()]}]},
        {"messages": [{"role": "assistant", "content": "x", "images": [picture()]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_video", "input_video": {"url": URL}}]}]},
        {"prompt": "x", "input_references": [picture(), picture("data:image/png;base64,AAAA")]},
        {"input": ["x", {"content": [picture()]}]},
        {"query": "x", "documents": ["x", {"image": URL, "text": "y"}]},
    ]
    for body in bodies:
        content = MP4 if "input_video" in str(body) else PNG
        async with serving(network, answering(content)) as (given, _):
            before = repr(body)
            made = (await given.inlined(Call(body), never)).body
            assert repr(body) == before
            mime = "video/mp4" if content is MP4 else "image/png"
            assert repr(made) == before.replace(repr(URL), repr(data(mime, content)))
    assert len(network.dialled) == len(bodies)


async def test_what_stays_as_it_is(network: Network) -> None:
    """No media, only data URLs, stores that the vendor opens itself, other schemes: the same object, nothing opened."""
    given = Media(network.client(), lookup=network.lookup)
    for call in (
        Call({"messages": [{"role": "user", "content": "x"}]}),
        asking(
            picture("data:image/png;base64,AAAA"), picture("gs://bucket/x"), {"type": "file", "file": {"file_id": "f"}}
        ),
        Call({"input": "x"}),
        Call({"prompt": "x", "input_references": None}),
    ):
        assert await given.inlined(call, never) is call
    call = asking(picture("https://files.vendor.example/1"))
    assert await given.inlined(call, lambda url: "files.vendor" in url) is call
    assert not network.dialled


async def test_the_resolver_of_the_system() -> None:
    """Without a resolver of a test's: real names, in threads of their own; localhost's address is refused."""
    found = await Names().lookup("a tenant")("localhost", 443)
    assert set(found) <= {"127.0.0.1", "::1"}
