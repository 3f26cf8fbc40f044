"""Under which names browsers reach the gateway."""

from __future__ import annotations

import pytest

from gateway.server.browser_hosts import BrowserHosts

BROWSERS = [(b"origin", b"https://evil.example"), (b"sec-fetch-site", b"same-origin")]


@pytest.mark.parametrize(
    ("listening", "names", "host", "allowed"),
    [
        ("127.0.0.1", "", "localhost:8080", True),
        ("127.0.0.1", "", "LOCALHOST.:8080", True),
        ("127.0.0.1", "", "tokenway.localhost", True),
        ("127.0.0.1", "", "127.0.0.1:8080", True),
        ("::1", "", "[::1]:8080", True),
        ("127.0.0.1", "", "evil.example:8080", False),
        ("127.0.0.1", "", "localhost.evil.example", False),
        ("localhost", "", "evil.example", False),
        ("127.0.0.1", "", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "", "", False),
        ("0.0.0.0", "", "evil.example", True),
        ("0.0.0.0", "llm.example", "evil.example", False),
        ("0.0.0.0", "llm.example", "LLM.example:443", True),
        ("127.0.0.1", "llm.example", "llm.example", True),
        ("127.0.0.1", "*", "evil.example", True),
    ],
)
def test_names(listening: str, names: str, host: str, allowed: bool) -> None:
    """A browser is refused by a name that is not allowed; a program never."""
    hosts = BrowserHosts(names.split(",") if names else (), listening)
    for browser in BROWSERS:
        assert (hosts.refusal([(b"host", host.encode()), browser]) is None) is allowed
    assert hosts.refusal([(b"host", host.encode()), (b"user-agent", b"curl")]) is None
