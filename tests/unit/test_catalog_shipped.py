"""The catalogue that comes with the repository."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.schema import texts
from gateway.settings import Settings

CONFIG = Path(__file__).resolve().parents[2] / "config"
VENDORS = {
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "xai": "XAI_API_KEY",
    "groq": "GROQ_API_KEY",
    "together": "TOGETHER_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "moonshotai": "MOONSHOT_API_KEY",
    "alibaba": "DASHSCOPE_API_KEY",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Loaded once, as at a start without any key."""
    return load(CONFIG, {})


def test_loads_without_warnings(catalog: Catalog) -> None:
    """Every shipped endpoint has a price and every price an endpoint."""
    assert catalog.warnings == ()
    assert len(catalog.models) >= 60


@pytest.mark.parametrize(("slug", "variable"), VENDORS.items())
def test_vendor(catalog: Catalog, slug: str, variable: str) -> None:
    """Each promised vendor is switched on by its variable, over TLS, and sells something with a sourced price."""
    vendor = catalog.providers[slug]
    assert vendor.api_key_env == variable
    assert urlsplit(vendor.base_url).scheme == "https"
    assert not vendor.usable
    sold = [endpoint for endpoint in catalog.endpoints.values() if endpoint.provider.slug == slug]
    assert sold
    for endpoint in sold:
        assert endpoint.prices[-1].source.startswith("https://")
        assert endpoint.prices[-1].femto["prompt"] > 0


@pytest.mark.parametrize("name", texts())
def test_schemas_in_step(name: str) -> None:
    """The schemas for editors are those of the rows; ``python -m gateway.catalog.schema config`` writes them anew."""
    assert (CONFIG / "schema" / name).read_text() == texts()[name]


def test_schema_header_points_to_a_schema() -> None:
    """A file that names its schema names an existing one."""
    named = 0
    for path in CONFIG.glob("*/*.yaml"):
        first = path.read_text().splitlines()[0]
        if first.startswith("# yaml-language-server: $schema="):
            json.loads((path.parent / first.partition("=")[2]).read_text())
            named += 1
    assert named > 20


def test_gateway_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings file parses as it is, and each line in it shows the true default when uncommented."""
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(CONFIG))
    assert Settings() == Settings(config_dir=CONFIG)
    lines = (CONFIG / "gateway.yaml").read_text().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines if re.match(r"# [a-z_]+: ", line))
    shown = yaml.safe_load(text)
    assert len(shown) >= 12
    (tmp_path / "gateway.yaml").write_text(text)
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(tmp_path))
    read = Settings()
    for name in shown.keys() - {"redis_url"}:
        assert getattr(read, name) == Settings.model_fields[name].default
