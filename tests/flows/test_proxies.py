"""Vendors behind a proxy, seen by a caller: what works, what a proxy's failure costs, and where its credentials are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.forward_proxy import CREDENTIALS, MakeProxy, forward_proxies
from tests.support.gateway import Sale
from tests.support.rawserver import Peer, RawServer

SECRETS = (*CREDENTIALS.split(":"), "c29tZW9uZT")


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeProxy]:
    folder: Path = tmp_path_factory.mktemp("proxies")
    with forward_proxies(trustme.CA(), folder) as made:
        yield made


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_vendor_behind_a_proxy(gateway, proxies, scheme, stream):
    """Answers and streams come through, and are billed as ever."""
    proxy = proxies(scheme, CREDENTIALS)
    stage = await gateway(Sale("t/m", "acme", "ok+tokens=5"), provider={"acme": {"proxy": proxy.url}})
    caller = await stage.caller()
    response = await caller.chat("t/m", stream=stream)
    assert response.status_code == 200, response.text
    assert ("data: [DONE]" in response.text) is stream
    assert any(line.provider == "acme" for line in await caller.lines())
    assert proxy.connections_to("127.0.0.1")


async def test_a_proxy_that_fails_blames_no_vendor(gateway, capfdbinary):
    """Every request names the proxy's failure and tries another vendor; the breaker stays shut; no text holds a secret."""

    async def refuses(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 407 someone:s3cret-word\r\ncontent-length: 11\r\n\r\ns3cret-word")

    async with RawServer(refuses) as proxy:
        url = f"http://{CREDENTIALS}@127.0.0.1:{proxy.port}"
        stage = await gateway(
            Sale("t/m", "behind", prompt="0.1", completion="0.1"),
            Sale("t/m", "beside", prompt="9", completion="9"),
            Sale("t/alone", "behind"),
            provider={"behind": {"proxy": url}},
        )
        caller = await stage.caller()
        for _ in range(8):  # a breaker opens at five failures
            response = await caller.chat("t/m", provider={"sort": "price"})
            assert (response.status_code, response.json()["provider"]) == (200, "Beside")
        refusal = await caller.chat("t/alone")
        assert refusal.status_code == 502
        attempts = refusal.json()["error"]["metadata"]["attempts"]
        assert {(attempt["provider"], attempt["code"]) for attempt in attempts} == {("behind", "proxy_credential")}
        assert len(proxy.peers) == 9
        pages = [
            (await stage.gateway.client.get(path)).text
            for path in ("/api/v1/models/t/m/endpoints", "/api/v1/providers", "/metrics")
        ]
    assert 'kind="proxy_credential"' in pages[-1]
    shown = "".join([*pages, refusal.text, capfdbinary.readouterr().out.decode()])
    assert not any(secret in shown for secret in SECRETS)
