"""Reading the catalogue: the documented files, and the messages about files that are wrong."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import pytest

from gateway.catalog.folders import fingerprint
from gateway.catalog.load import CatalogError, load
from gateway.catalog.model import DataPolicy
from providers.auth import cloud

PROVIDER = """\
slug: acme
name: Acme Cloud
dialect: openai
base_url: http://127.0.0.1:9100/v1/
api_key_env: ACME_API_KEY
data_policy: {training: false, retains_prompts: false}
headquarters: DE
headers: {x-team: blue}
options: {max_tokens_field: max_tokens}
cancel_stops_billing: false
"""
MODELS = """\
- slug: acme/fast-1
  name: Acme Fast 1
  created: 2026-03-01
  context_length: 128000
  input_modalities: [text, image]
  output_modalities: [text]
  supported_parameters: [tools, temperature, max_tokens]
  aliases: [acme/fast]
  attributes: {family: fast}
  endpoints:
    - provider: acme
      upstream_id: fast-1
      max_completion_tokens: 8192
      quantization: bf16
"""
PRICES = """\
- upstream_id: fast-1
  from: 2026-03-01
  usd_per_mtok: {prompt: "0.15", completion: "0.60",
                 input_cache_read: "0.075"}
  source: https://acme.example/pricing
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A valid catalogue of one provider, model and price."""
    write(tmp_path, "providers/acme.yaml", PROVIDER)
    write(tmp_path, "models/acme.yaml", MODELS)
    write(tmp_path, "prices/acme.yaml", PRICES)
    return tmp_path


def write(config: Path, name: str, text: str) -> None:
    path = config / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def problems(config: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        load(config, {})
    return str(caught.value)


def test_documented_shapes(config: Path) -> None:
    """The files of the documentation become providers, models, endpoints and femto prices."""
    catalog = load(config, {"ACME_API_KEY": " sk-1 \n"})
    provider = catalog.providers["acme"]
    assert (provider.base_url, provider.api_key, provider.usable) == ("http://127.0.0.1:9100/v1", "sk-1", True)
    assert provider.data_policy == DataPolicy(training=False, retains_prompts=False)
    assert provider.headers == (("x-team", "blue"),)
    assert provider.cancel_stops_billing is False
    [endpoint] = catalog.models["acme/fast-1"].endpoints
    assert endpoint.id == "acme/fast-1@acme/fast-1"
    assert catalog.endpoints == {endpoint.id: endpoint}
    assert (endpoint.context_length, endpoint.max_completion_tokens, endpoint.tag) == (128000, 8192, "acme")
    assert endpoint.supported_parameters == {"tools", "temperature", "max_tokens"}
    assert dict(endpoint.prices[0].femto) == {
        "prompt": 150_000_000,
        "completion": 600_000_000,
        "input_cache_read": 75_000_000,
    }
    assert catalog.warnings == ()


def test_key_is_not_shown(config: Path) -> None:
    """The text form of a provider does not show its key."""
    assert "sk-secret" not in repr(load(config, {"ACME_API_KEY": "sk-secret"}).providers)


def test_provider_without_key_is_listed(config: Path) -> None:
    """An unset key variable leaves the provider in the list, not usable; null means that no key is needed."""
    assert load(config, {}).providers["acme"].usable is False
    write(config, "providers/acme.yaml", PROVIDER.replace("ACME_API_KEY", "null"))
    assert load(config, {}).providers["acme"].usable is True


def test_dated_prices(config: Path) -> None:
    """A later row takes over on its day; before the first row there is no price."""
    later = PRICES.replace("2026-03-01", "2026-06-01").replace("0.15", "0.10")
    write(config, "prices/acme.yaml", later + PRICES)
    [endpoint] = load(config, {}).models["acme/fast-1"].endpoints
    assert [price.since for price in endpoint.prices] == [date(2026, 3, 1), date(2026, 6, 1)]
    march, june = (1_772_323_200.0, 1_780_272_000.0)
    assert endpoint.price_at(march - 1) is None
    assert endpoint.price_at(march).femto["prompt"] == 150_000_000  # type: ignore[union-attr]
    assert endpoint.price_at(june - 1).femto["prompt"] == 150_000_000  # type: ignore[union-attr]
    assert endpoint.price_at(june).femto["prompt"] == 100_000_000  # type: ignore[union-attr]


def test_optional_prices(config: Path) -> None:
    """Prices per request and per image stand beside the token prices."""
    write(config, "prices/acme.yaml", PRICES + '  usd_per_request: "0.005"\n  usd_per_image: "0"\n')
    femto = load(config, {}).models["acme/fast-1"].endpoints[0].prices[0].femto
    assert (femto["request"], femto["image"]) == (5 * 10**12, 0)


def test_unpriced_and_unsold_are_warnings(config: Path) -> None:
    """An endpoint without price and a price without endpoint are allowed, with a warning."""
    write(config, "prices/acme.yaml", PRICES.replace("fast-1", "fast-2"))
    catalog = load(config, {})
    assert catalog.models["acme/fast-1"].endpoints[0].prices == ()
    assert "prices/acme.yaml: fast-2: priced but no model sells it" in catalog.warnings
    assert "acme/fast-1@acme/fast-1: has no price and is refused" in catalog.warnings


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("providers", "base_url:", "basurl:", "providers/acme.yaml: basurl: unknown key; did you mean 'base_url'?"),
        ("providers", "name: Acme Cloud\n", "", "providers/acme.yaml: name: is missing; add it"),
        ("providers", "http://127.0.0.1:9100/v1/", "ftp://x", "base_url: must start with http:// or https://"),
        ("providers", "http://127", "http://me:pw@127", "base_url: must not carry a user or password"),
        (
            "providers",
            "slug: acme",
            "slug: acne",
            "providers/acme.yaml: slug: is 'acne' but the file is called acme.yaml",
        ),
        ("providers", "slug: acme", "slug: Ac me", "slug: 'Ac me' is not a slug"),
        ("providers", "training: false", "train: false", "data_policy.train: unknown key; did you mean 'training'?"),
        ("providers", "headquarters: DE", "headquarters: NO", "headquarters: input should be a valid string"),
        ("providers", "x-team: blue", 'x-team: "a\\r\\nb: c"', "headers.x-team: must be one line"),
        (
            "models",
            "context_length: 128000",
            'context_length: "128000"',
            "[0].context_length: input should be a valid int",
        ),
        ("models", "slug: acme/fast-1", "slug: acme/Fast", "models/acme.yaml: [0].slug: 'acme/Fast' is not a slug"),
        (
            "models",
            "slug: acme/fast-1",
            "slug: other/fast-1",
            "'other/fast-1' belongs in other.yaml, the file of its author",
        ),
        (
            "models",
            "provider: acme",
            "provider: acmee",
            "[0].endpoints[0].provider: there is no providers/acmee.yaml; did",
        ),
        (
            "models",
            "bf16",
            "bf-16",
            "[0].endpoints[0].quantization: 'bf-16' is not a quantization; did you mean 'bf16'?",
        ),
        ("models", "created: 2026-03-01", "created: soon", "[0].created: input should be a valid date"),
        ("prices", '"0.15"', "0.15", '[0].usd_per_mtok.prompt: a price is quoted text: write "0.15", not 0.15'),
        ("prices", '"0.15"', "1.0e-05", 'a price is quoted text: write "0.00001", not 1e-05'),
        ("prices", '"0.15"', '"-0.15"', "[0].usd_per_mtok.prompt: a price cannot be negative"),
        (
            "prices",
            '"0.15"',
            '"0.0000000001"',
            "[0].usd_per_mtok.prompt: '0.0000000001' must be exact in femto-dollars",
        ),
        ("prices", '"0.15"', '"NaN"', "'NaN' is not a finite decimal number"),
        ("prices", '"0.15"', "true", "[0].usd_per_mtok.prompt: a price is quoted text"),
        ("prices", 'prompt: "0.15", ', "", "[0].usd_per_mtok.prompt: is missing; add it"),
        ("prices", "input_cache_read", "cache_read", "[0].usd_per_mtok.cache_read: unknown key"),
    ],
)
def test_wrong_values(config: Path, name: str, old: str, new: str, expected: str) -> None:
    """A wrong value is refused with file, key path and the fix."""
    path = config / name / "acme.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert expected in problems(config)


def test_duplicates(config: Path) -> None:
    """The same slug, endpoint, alias or price date twice is refused, never silently overwritten."""
    write(config, "models/acme.yaml", MODELS + MODELS)
    write(config, "prices/acme.yaml", PRICES + PRICES)
    found = problems(config)
    assert "models/acme.yaml: [1].slug: 'acme/fast-1' is written twice" in found
    assert "prices/acme.yaml: [1].from: fast-1 already has a price from 2026-03-01" in found
    twice = MODELS + "    - provider: acme\n      upstream_id: fast-1\n"
    write(config, "models/acme.yaml", twice)
    assert "[0].endpoints[1]: acme sells fast-1 twice" in problems(config)
    write(config, "models/acme.yaml", MODELS.replace("acme/fast]", "acme/fast-1]"))
    assert "[0].aliases[0]: 'acme/fast-1' already means another model" in problems(config)


def test_duplicate_keys(config: Path) -> None:
    """YAML itself would let the second of two equal keys win."""
    write(config, "providers/acme.yaml", PROVIDER + "name: Other\n")
    assert "providers/acme.yaml: line 11, column 1: cannot be read as YAML: key 'name' is written twice" in problems(
        config
    )


@pytest.mark.parametrize("text", ["", "# only a comment\n"])
def test_empty_file(config: Path, text: str) -> None:
    """An empty file is refused: it is probably not finished."""
    write(config, "models/acme.yaml", text)
    assert "models/acme.yaml: the file is empty" in problems(config)


@pytest.mark.parametrize("cut", [40, 150, 333])
def test_half_written_file(config: Path, cut: int) -> None:
    """A file caught in the middle of being written never half-loads."""
    write(config, "models/acme.yaml", MODELS[:cut])
    assert "models/acme.yaml" in problems(config)


@pytest.mark.parametrize(
    "text", ["just words", "[1, 2]", "- {a: [", "key: !!python/object/apply:os.system [id]", "[[" * 2000]
)
def test_junk(config: Path, text: str) -> None:
    """Anything else is refused, and nothing in it is run."""
    write(config, "providers/acme.yaml", text)
    assert "providers/acme.yaml" in problems(config)


def test_all_problems_at_once(config: Path) -> None:
    """Every file is looked at before giving up; more than twenty problems are counted, not listed."""
    write(config, "providers/acme.yaml", PROVIDER.replace("name:", "nane:"))
    write(config, "prices/other.yaml", PRICES)
    write(config, "models/acme.yaml", "".join(MODELS.replace("fast-1", f"Fast-{n}", 1) for n in range(30)))
    lines = problems(config).splitlines()
    assert len(lines) == 21
    assert "providers/acme.yaml: nane: unknown key; did you mean 'name'?" in lines
    assert lines[-1].startswith("... and ")
    assert not any("there is no providers/acme.yaml" in line for line in lines)


def test_missing_directory(tmp_path: Path) -> None:
    """A directory without a catalogue is refused by name."""
    assert "providers/: no such directory" in problems(tmp_path)


def test_no_models(config: Path) -> None:
    """A catalogue without a single model is refused."""
    (config / "models/acme.yaml").unlink()
    assert "models/: the catalogue has no models" in problems(config)


def test_unprintable_key(config: Path) -> None:
    """A key that would break the header is refused by its variable's name, not its value."""
    with pytest.raises(CatalogError) as caught:
        load(config, {"ACME_API_KEY": "sk-1\x00secret"})
    assert "ACME_API_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)


CHAINED = """\
slug: acme
name: Acme on Bedrock
dialect: bedrock
base_url: https://bedrock-runtime.eu-west-1.amazonaws.com
api_key_env: BEDROCK_KEY
credentials_env: {access_key_id: KEY_ID, secret_access_key: KEY_SECRET, "session_token?": KEY_TOKEN}
credential_chain: [CHAIN, PROFILE]
"""
STATIC = {"access_key_id": "id", "secret_access_key": "shh"}


@pytest.mark.parametrize(
    ("env", "api_key", "credentials", "usable"),
    [
        ({}, None, {}, False),
        ({"CHAIN": "1"}, None, {"chain": "aws"}, True),
        ({"PROFILE": "work"}, None, {"chain": "aws"}, True),
        ({"CHAIN": " ", "PROFILE": "off"}, None, {}, False),
        ({"CHAIN": "False"}, None, {}, False),
        ({"CHAIN": "1", "BEDROCK_KEY": "k"}, "k", {}, True),
        ({"CHAIN": "1", "KEY_ID": "id", "KEY_SECRET": "shh"}, None, STATIC, True),
        ({"CHAIN": "1", "KEY_ID": "id"}, None, {"access_key_id": "id", "chain": "aws"}, True),
    ],
)
def test_a_credential_chain(
    config: Path, env: dict[str, str], api_key: str | None, credentials: dict[str, str], usable: bool
) -> None:
    """One of the named variables lets the cloud's library find credentials, unless a key or secrets are set. Nothing is looked for
    while a catalogue is read."""
    write(config, "providers/acme.yaml", CHAINED)
    provider = load(config, env).providers["acme"]
    assert (provider.api_key, dict(provider.credentials), provider.usable) == (api_key, credentials, usable)
    assert provider.lacking == (() if usable else ("BEDROCK_KEY",))


def test_a_credential_chain_without_its_extra(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment asks for is a warning, what the file asks for an error; both say what to install."""
    monkeypatch.setattr(cloud, "find_spec", lambda module: None)
    write(config, "providers/acme.yaml", CHAINED)
    assert load(config, {}).warnings == ()
    catalog = load(config, {"PROFILE": "work"})
    assert not catalog.providers["acme"].usable
    (warning,) = catalog.warnings
    assert warning.startswith("providers/acme.yaml: PROFILE is set; to use it, install")
    assert "pip install 'tokenway[aws]'" in warning
    write(config, "providers/acme.yaml", CHAINED.replace("[CHAIN, PROFILE]", "always"))
    assert "pip install 'tokenway[aws]'" in problems(config)
    assert load(config, {"BEDROCK_KEY": "k"}).warnings == ()


def test_a_credential_chain_that_a_dialect_has_not(config: Path) -> None:
    """Only the dialects of the three clouds have one; in a file of theirs it may be always in force."""
    write(config, "providers/acme.yaml", PROVIDER + "credential_chain: always\n")
    assert "credential_chain: the dialect openai has none" in problems(config)
    write(config, "providers/acme.yaml", CHAINED.replace("[CHAIN, PROFILE]", "always"))
    assert load(config, {}).providers["acme"].credentials == {"chain": "aws"}
    write(config, "providers/acme.yaml", CHAINED.replace("[CHAIN, PROFILE]", "sometimes"))
    assert "credential_chain" in problems(config)


def test_unknown_dialect(config: Path) -> None:
    """Where the known dialects are given, another one is refused and the nearest is suggested."""
    with pytest.raises(CatalogError, match=r"dialect: there is no dialect 'openai'; did you mean 'openai2'"):
        load(config, {}, dialects=["openai2", "other"])


def test_version_is_the_content(config: Path) -> None:
    """The version changes with the content and only with it."""
    first = load(config, {}).version
    os.utime(config / "models/acme.yaml", (1, 1))
    assert load(config, {"ACME_API_KEY": "x"}).version == first
    write(config, "models/acme.yaml", MODELS.replace("Fast 1", "Fast 2"))
    assert load(config, {}).version != first


def test_the_last_one_is_remembered(config: Path) -> None:
    """What has not changed is not read again; another environment or another file is."""
    first = load(config, {})
    assert load(config, {}) is first
    assert load(config, {"ACME_API_KEY": "x"}) is not first
    again = load(config, {})
    write(config, "models/acme.yaml", MODELS.replace("Fast 1", "Fast 2"))
    assert load(config, {}).version != again.version


def test_fingerprint(config: Path) -> None:
    """The fingerprint changes when a file is changed, added or removed."""
    seen = {fingerprint((config,))}
    write(config, "models/acme.yaml", MODELS + "# more\n")
    seen.add(fingerprint((config,)))
    write(config, "models/beta.yaml", MODELS)
    seen.add(fingerprint((config,)))
    (config / "models/acme.yaml").unlink()
    seen.add(fingerprint((config,)))
    assert len(seen) == 4
    assert fingerprint((config,)) in seen


def test_large_catalogue(tmp_path: Path) -> None:
    """300 models x 60 providers x 1,500 endpoints load in a few seconds even on a busy machine (about half a second alone)."""
    for number in range(60):
        write(tmp_path, f"providers/p{number}.yaml", PROVIDER.replace("acme", f"p{number}", 1))
    rows, prices = [], {number: [] for number in range(60)}
    for number in range(300):
        row = MODELS.replace("acme/fast", f"acme/fast-{number}").replace("    - provider: acme\n", "")
        head = row[: row.index("      upstream_id")]
        for seller in range(5):
            who = (number + 7 * seller) % 60
            head += f"    - {{provider: p{who}, upstream_id: m{number}, max_completion_tokens: 8192}}\n"
            prices[who].append(PRICES.replace("fast-1", f"m{number}"))
        rows.append(head)
    write(tmp_path, "models/acme.yaml", "".join(rows))
    for who, texts in prices.items():
        write(tmp_path, f"prices/p{who}.yaml", "".join(texts))
    before = time.process_time()
    catalog = load(tmp_path, {})
    spent_s = time.process_time() - before
    assert (len(catalog.models), len(catalog.providers), len(catalog.endpoints)) == (300, 60, 1500)
    assert catalog.warnings == ()
    assert spent_s < 10
