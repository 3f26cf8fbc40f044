"""Which proxy a URL is reached through: the environment's variables, a provider's own setting, and what wrong ones are called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.api.management.catalog_views import provider_view
from gateway.catalog.load import CatalogError, load
from gateway.pipeline.upstream_request import target
from providers.transport import proxies
from tests.support.management import write_files

A, B = "http://user:s3cret-word@a.example:3128", "socks5://b.example:1080"


@pytest.mark.parametrize(
    ("url", "env", "expected"),
    [
        ("https://v.example", {}, None),
        ("https://v.example", {"HTTPS_PROXY": A}, A),
        ("https://v.example", {"HTTPS_PROXY": A, "https_proxy": B}, B),
        ("https://v.example", {"HTTP_PROXY": A}, None),
        ("http://v.example", {"HTTP_PROXY": A, "HTTPS_PROXY": B}, A),
        ("https://v.example", {"ALL_PROXY": A}, A),
        ("https://v.example", {"ALL_PROXY": A, "HTTPS_PROXY": B}, B),
        ("https://v.example", {"HTTPS_PROXY": ""}, None),
        ("https://v.example", {"HTTPS_PROXY": A, "https_proxy": ""}, None),
        ("https://v.example", {"HTTPS_PROXY": A, "NO_PROXY": "*", "no_proxy": ""}, A),
        ("https://V.example.", {"HTTPS_PROXY": A, "no_proxy": "v.example"}, None),
        ("https://v.example", {"HTTPS_PROXY": "a.example:3128"}, "http://a.example:3128"),
        ("https://v.example", {"HTTPS_PROXY": A, "NO_PROXY": "v.example"}, None),
        ("https://v.example", {"HTTPS_PROXY": A, "NO_PROXY": "other.example, .v.example"}, None),
        ("https://api.v.example", {"HTTPS_PROXY": A, "no_proxy": "v.example"}, None),
        ("https://apiv.example", {"HTTPS_PROXY": A, "no_proxy": "v.example"}, A),
        ("https://api.v.example", {"HTTPS_PROXY": A, "no_proxy": "*.v.example"}, None),
        ("https://v.example", {"HTTPS_PROXY": A, "no_proxy": "*"}, None),
        ("https://v.example:8443/x", {"HTTPS_PROXY": A, "no_proxy": "v.example:8443"}, None),
        ("https://v.example", {"HTTPS_PROXY": A, "no_proxy": "v.example:8443"}, A),
        ("https://10.1.2.3", {"HTTPS_PROXY": A, "no_proxy": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": A, "no_proxy": "10.0.0.0/8"}, A),
        ("https://[fd00::1]/v1", {"HTTPS_PROXY": A, "no_proxy": "fd00::/8"}, None),
        ("http://127.0.0.1:11434", {"HTTP_PROXY": A}, None),
        ("http://localhost:11434", {"HTTP_PROXY": A}, None),
        ("http://[::1]:11434", {"HTTP_PROXY": A}, None),
    ],
)
def test_the_environment(url: str, env: dict[str, str], expected: str | None) -> None:
    """As curl reads it, except that loopback hosts are always exempt."""
    assert proxies.from_environment(url, env) == expected


@pytest.mark.parametrize(
    "bad",
    [
        "ftp://s3cret-word@a",
        "http://",
        "http://s3cret-word@a:99999",
        "http://a b",
        "x",
        "http://a/s3cret-word",
        "http://[s3cret-word",
    ],
)
def test_what_is_not_a_proxy(bad: str) -> None:
    """The message says what it must be and repeats nothing of it."""
    with pytest.raises(ValueError, match="must be a proxy's URL") as caught:
        proxies.check(bad)
    assert "s3cret-word" not in str(caught.value)
    assert "ftp" not in str(caught.value)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_files(tmp_path, "https://acme.example/v1")


def with_lines(config: Path, *lines: str) -> Path:
    file = config / "providers/acme.yaml"
    file.write_text(file.read_text() + "\n".join(lines) + "\n")
    return config


@pytest.mark.parametrize(
    ("lines", "env", "expected"),
    [
        ([], {}, None),
        ([], {"HTTPS_PROXY": A}, A),
        ([f"proxy: {B}"], {"HTTPS_PROXY": A}, B),
        (["proxy: direct"], {"HTTPS_PROXY": A}, "direct"),
        (["proxy: none"], {"HTTPS_PROXY": A}, "direct"),
        (
            ["proxy: 'http://u:{word}@p.example:1'", "variables: {word: {env: WORD}}"],
            {"WORD": "s3cret-word"},
            "http://u:s3cret-word@p.example:1",
        ),
    ],
)
def test_a_providers_proxy(config: Path, lines: list[str], env: dict[str, str], expected: str | None) -> None:
    """Its file wins over the environment; the target has it; no listing and no repr shows it."""
    catalog = load(with_lines(config, *lines, "http2: true"), env)
    provider = catalog.providers["acme"]
    (endpoint,) = [one for one in catalog.endpoints.values() if one.provider is provider and one.model == "acme/fast-1"]
    found = target(endpoint)
    assert (provider.proxy, found.proxy, found.http2) == (expected, expected, True)
    shown = repr(provider) + repr(endpoint) + repr(found) + msgspec.json.encode(provider_view(provider)).decode()
    assert "s3cret-word" not in shown
    assert "p.example" not in shown


@pytest.mark.parametrize(
    ("lines", "env", "words"),
    [
        (["proxy: ftp://u:s3cret-word@p"], {}, "providers/acme.yaml: proxy: must be a proxy's URL"),
        (["proxy: 12"], {}, "providers/acme.yaml: proxy: "),
        ([], {"https_proxy": "ftp://u:s3cret-word@p"}, "proxy: https_proxy must be a proxy's URL"),
    ],
)
def test_a_wrong_proxy_is_named(config: Path, lines: list[str], env: dict[str, str], words: str) -> None:
    """By file or variable, without its value: this is what check-config prints."""
    with pytest.raises(CatalogError) as caught:
        load(with_lines(config, *lines), env)
    assert words in str(caught.value)
    assert "s3cret-word" not in str(caught.value)
