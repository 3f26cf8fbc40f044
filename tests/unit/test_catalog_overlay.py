"""Several configuration folders: what a later one changes, where each value comes from, and what is wrong with a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import CatalogError, load
from gateway.catalog.merge import Override
from gateway.catalog.schema import texts
from gateway.catalog.store import CatalogStore
from gateway.cli import app
from gateway.settings import Settings, shipped_config_dir
from tests.support.management import write_files

ROOT = Path(__file__).resolve().parents[2]
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A whole catalogue: ``acme/fast-1`` is sold by acme and bolt, ``acme/slow-2`` by bolt alone."""
    return write_files(tmp_path / "base", "http://127.0.0.1:1/v1")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The operator's folder, which lies over the whole one."""
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def price(upstream_id: str, day: str, prompt: str) -> str:
    return (
        f"- upstream_id: {upstream_id}\n  from: {day}\n"
        f'  usd_per_mtok: {{prompt: "{prompt}", completion: "9"}}\n  source: a contract\n'
    )


def prompt_price(catalog: Catalog, endpoint: str, when: float) -> int | None:
    found = catalog.endpoints[endpoint].price_at(when)
    return None if found is None else found.femto["prompt"] // 10**6


# -- what a later folder changes --------------------------------------------------------------------------------------


def test_fields_of_a_provider(base: Path, own: Path) -> None:
    """A written field replaces the earlier one, a mapping is merged key by key, and null removes a key of it."""
    acme = yaml.safe_load((base / "providers/acme.yaml").read_text())
    acme |= {"options": {"reasoning": "drop", "stream_usage": False}, "headers": {"x-team": "blue"}}
    write(base, "providers/acme.yaml", yaml.safe_dump(acme))
    text = (
        "slug: acme\nbase_url: http://127.0.0.1:2/v1\noptions: {stream_usage: null, path: /chat}\nheaders: {x-a: b}\n"
    )
    write(own, "providers/acme.yaml", text)
    provider = load((base, own), {}).providers["acme"]
    assert (provider.name, provider.base_url) == ("Acme Cloud", "http://127.0.0.1:2/v1")
    assert provider.options == {"reasoning": "drop", "path": "/chat"}
    assert dict(provider.headers) == {"x-team": "blue", "x-a": "b"}
    assert provider.data_policy.training is False


def test_a_disabled_provider(base: Path, own: Path) -> None:
    """Models that refer to it stay, without its endpoints; its name stays known; its prices are no mistake."""
    write(own, "providers/bolt.yaml", "slug: bolt\ndisabled: true\n")
    catalog = load((base, own), {"TEST_BOLT_API_KEY": "x"})
    assert [each.provider.slug for each in catalog.models["acme/fast-1"].endpoints] == ["acme"]
    assert catalog.models["acme/slow-2"].endpoints == ()
    assert not catalog.providers["bolt"].usable
    assert catalog.provider_names["bolt"] == "bolt"
    assert catalog.warnings == ()
    write(own.parent / "third", "providers/bolt.yaml", "slug: bolt\ndisabled: false\n")
    again = load((base, own, own.parent / "third"), {"TEST_BOLT_API_KEY": "x"})
    assert len(again.models["acme/slow-2"].endpoints) == 1


def test_models_and_endpoints(base: Path, own: Path) -> None:
    """Fields of a model and of one of its endpoints change, an endpoint is added and one is disabled; the rest stays."""
    rows = """\
- slug: acme/fast-1
  context_length: 64000
  endpoints:
    - {provider: acme, upstream_id: ok, max_completion_tokens: 100}
    - {provider: bolt, upstream_id: fast, disabled: true}
    - {provider: bolt, upstream_id: slow, tag: bolt/slow}
"""
    write(own, "models/acme.yaml", rows)
    catalog = load((base, own), {})
    model = catalog.models["acme/fast-1"]
    assert (model.context_length, model.name, model.input_modalities) == (64000, "Acme/Fast-1", ("text", "image"))
    assert [endpoint.id for endpoint in model.endpoints] == ["acme/ok@acme/fast-1", "bolt/slow@acme/fast-1"]
    assert model.endpoints[0].max_completion_tokens == 100
    assert len(catalog.models["acme/slow-2"].endpoints) == 1
    assert catalog.warnings == ()


@pytest.mark.parametrize(
    ("later", "march", "new_year"),
    [
        ("", 150, 150),
        (price("ok", "2026-06-01", "0.05"), 150, 50),
        (price("ok", "2026-01-01", "0.05"), 50, 50),
        (price("ok", "2026-06-01", "0.05") + price("ok", "2026-12-01", "0.20"), 150, 200),
    ],
)
def test_prices(base: Path, own: Path, later: str, march: int, new_year: int) -> None:
    """On any day the price is that of the last folder that has one in force; the same day is replaced."""
    if later:
        write(own, "prices/acme.yaml", later)
    write(own, "gateway.yaml", "")
    catalog = load((base, own), {})
    assert prompt_price(catalog, "acme/ok@acme/fast-1", datetime(2026, 3, 1, tzinfo=UTC).timestamp()) == march
    assert prompt_price(catalog, "acme/ok@acme/fast-1", NEW_YEAR) == new_year


def test_an_agreement_outlives_a_new_list_price(base: Path, own: Path) -> None:
    """A price that the base gets later does not end the agreement."""
    write(own, "prices/acme.yaml", price("ok", "2026-06-01", "0.05"))
    with (base / "prices/acme.yaml").open("a") as file:
        file.write(price("ok", "2026-10-01", "0.30"))
    assert prompt_price(load((base, own), {}), "acme/ok@acme/fast-1", NEW_YEAR) == 50
    assert prompt_price(load(base, {}), "acme/ok@acme/fast-1", NEW_YEAR) == 300


def test_the_last_of_three_folders_wins(base: Path, own: Path) -> None:
    """Order decides; what only the second folder wrote stays."""
    third = own.parent / "third"
    write(own, "providers/acme.yaml", "slug: acme\nname: Second\nheadquarters: FR\n")
    write(third, "providers/acme.yaml", "slug: acme\nname: Third\n")
    provider = load((base, own, third), {}).providers["acme"]
    assert (provider.name, provider.headquarters) == ("Third", "FR")
    assert load((base, third, own), {}).providers["acme"].name == "Second"


def test_where_values_come_from(base: Path, own: Path) -> None:
    """Every value of a later folder is listed with its file and the file that wrote it before."""
    write(own, "providers/acme.yaml", "slug: acme\nname: Own\ndata_policy: {training: true}\n")
    write(own, "providers/mine.yaml", "slug: mine\nname: M\ndialect: openai\nbase_url: http://127.0.0.1:3\n")
    rows = "- slug: acme/fast-1\n  endpoints: [{provider: mine, upstream_id: m}, {provider: acme, upstream_id: ok, tag: acme/x}]\n"
    write(own, "models/acme.yaml", rows)
    write(own, "prices/mine.yaml", price("m", "2026-06-01", "1"))
    write(own, "prices/acme.yaml", price("ok", "2026-06-01", "1"))
    assert set(load((base, own), {}).overrides) == {
        Override("provider", "acme", "name", f"{own}/providers/acme.yaml", f"{base}/providers/acme.yaml"),
        Override(
            "provider", "acme", "data_policy.training", f"{own}/providers/acme.yaml", f"{base}/providers/acme.yaml"
        ),
        Override("provider", "mine", "", f"{own}/providers/mine.yaml", None),
        Override("endpoint", "mine/m@acme/fast-1", "", f"{own}/models/acme.yaml", None),
        Override("endpoint", "acme/ok@acme/fast-1", "tag", f"{own}/models/acme.yaml", None),
        Override("price", "mine/m", "2026-06-01", f"{own}/prices/mine.yaml", None),
        Override("price", "acme/ok", "2026-06-01", f"{own}/prices/acme.yaml", f"{base}/prices/acme.yaml"),
    }
    assert load(base, {}).overrides == ()


def test_a_price_that_ends_a_later_one_says_so(base: Path, own: Path) -> None:
    """An agreement from a day before the first list price replaces that: it is named with its day."""
    listed = write(base, "prices/acme.yaml", price("ok", "2026-11-12", "3") + price("ok", "2026-12-12", "4"))
    mine = write(own, "prices/acme.yaml", price("ok", "2026-11-01", "1") + price("ok", "2026-11-13", "2"))
    assert set(load((base, own), {}).overrides) == {
        Override("price", "acme/ok", "2026-11-01", str(mine), f"{listed} (from 2026-11-12)"),
        Override("price", "acme/ok", "2026-11-13", str(mine), str(listed)),
    }


def test_a_price_that_has_not_begun_is_warned_of(base: Path, own: Path) -> None:
    """Until its first price begins an endpoint is refused, which a warning says; a later price of a priced one is no news."""
    write(own, "models/acme.yaml", "- {slug: acme/fast-1, endpoints: [{provider: acme, upstream_id: new}]}\n")
    write(own, "prices/acme.yaml", price("new", "2026-12-01", "1") + price("ok", "2026-12-01", "1"))
    before = load((base, own), {}, today=date(2026, 11, 30))
    assert before.warnings == ("acme/new@acme/fast-1: its first price begins on 2026-12-01; refused until then",)
    assert load((base, own), {}, today=date(2026, 12, 1)).warnings == ()


def test_the_version_is_the_content(base: Path, own: Path) -> None:
    """A later folder changes the version; where the folders lie does not."""
    alone = load(base, {}).version
    write(own, "providers/acme.yaml", "slug: acme\nname: Own\n")
    both = load((base, own), {}).version
    moved = shutil.move(own, own.parent / "moved")
    assert alone != both == load((base, Path(moved)), {}).version


# -- bad input --------------------------------------------------------------------------------------------------------

BAD = [
    (
        "providers/acne.yaml",
        "slug: acne\ndisabled: true\n",
        "slug: no earlier folder has 'acne'; did you mean 'acme'? If it is new, also write name, dialect, base_url",
    ),
    (
        "providers/new.yaml",
        "slug: new\nname: New\n",
        "slug: no earlier folder has 'new'. If it is new, also write dialect, base_url",
    ),
    ("providers/acme.yaml", "slug: acme\nnane: x\n", "nane: unknown key; did you mean 'name'?"),
    ("providers/acme.yaml", "slug: acme\nbase_url: ftp://x\n", "base_url: must start with http:// or https://"),
    ("providers/acme.yaml", "slug: acme\ndata_policy: {train: true}\n", "data_policy.train: unknown key"),
    ("providers/acme.yaml", "slug: bolt\n", "slug: is 'bolt' but the file is called acme.yaml"),
    ("providers/acme.yaml", "[1]\n", "must be a mapping of keys to values, not a list"),
    ("providers/acme.yaml", "slug: [\n", "line 2, column 1: cannot be read as YAML"),
    ("providers/acme.yaml", "", "the file is empty; write its rows or delete it"),
    (
        "models/acme.yaml",
        "- {slug: acme/fast-9, context_length: 9}\n",
        "[0].slug: no earlier folder has 'acme/fast-9'; did you mean 'acme/fast-1'?",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/brand-new, context_length: 9}\n",
        "[0].slug: no earlier folder has 'acme/brand-new'. If it is new, also write name, created",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/fast-1, endpoints: [{provider: acne, upstream_id: ok}]}\n",
        "[0].endpoints[0].provider: there is no providers/acne.yaml; did you mean 'acme'?",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/slow-2}\n- {slug: acme/fast-1, endpoints: [{provider: acme, upstream_id: ok, quantization: x}]}\n",
        "[1].endpoints[0].quantization: 'x' is not a quantization; known:",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/fast-1, endpoints: [{provider: acme, upstream_id: okay, disabled: true}]}\n",
        "[0].endpoints[0]: no earlier folder has this endpoint, so it cannot be disabled; did you mean 'ok'?",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/fast-1, endpoints: [{provider: acme, upstream_id: ok}, {provider: acme, upstream_id: ok}]}\n",
        "[0].endpoints[1]: acme sells ok twice; delete one",
    ),
    (
        "models/acme.yaml",
        "- {slug: acme/fast-1, name: A}\n- {slug: acme/fast-1, name: B}\n",
        "models/acme.yaml, [0]); delete one",
    ),
    ("models/acme.yaml", "- {slug: acme/fast-1, aliases: [acme/slow-2]}\n", "[0].aliases[0]: 'acme/slow-2' already"),
    (
        "models/other.yaml",
        "- {slug: acme/fast-1, name: A}\n",
        "[0].slug: 'acme/fast-1' belongs in acme.yaml, the file of its author",
    ),
    ("models/acme.yaml", "- [\n", "cannot be read as YAML"),
    ("models/acme.yaml", "- {slug: acme/fast-1, endpoints: none}\n", "[0].endpoints: input should be a valid list"),
    ("models/acme.yaml", "- {slug: acme/fast-1, endpoints: [none]}\n", "[0].endpoints[0]: input should be a valid"),
    ("prices/acne.yaml", price("ok", "2026-06-01", "1"), "there is no providers/acne.yaml; did you mean 'acme'?"),
    (
        "prices/acme.yaml",
        price("okay", "2026-06-01", "1"),
        "[0].upstream_id: no model has an endpoint 'okay' of acme; did you mean 'ok'?",
    ),
    (
        "prices/acme.yaml",
        price("ok", "2026-06-01", "1") * 2,
        "[1].from: ok already has a price from 2026-06-01 (at [0])",
    ),
    ("prices/acme.yaml", "upstream_id: ok\n", "must be a list with at least one row"),
]


@pytest.mark.parametrize(("name", "text", "expected"), BAD)
def test_bad_files(base: Path, own: Path, name: str, text: str, expected: str) -> None:
    """A mistake in a later folder names its file there, the key, and what would fix it; a correct base is not blamed."""
    file = write(own, name, text)
    with pytest.raises(CatalogError) as caught:
        load((base, own), {})
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize("kind", ["providers", "models"])
def test_a_file_that_is_no_yaml_is_the_only_one_named(base: Path, own: Path, kind: str) -> None:
    """Rows that change those of an unreadable file are not reported as unknown."""
    (base / kind / "acme.yaml").write_text("- [")
    write(own, "providers/acme.yaml", "slug: acme\nheadquarters: FR\n")
    write(own, "models/acme.yaml", "- {slug: acme/fast-1, context_length: 9}\n")
    with pytest.raises(CatalogError) as caught:
        load((base, own), {})
    assert [problem.file for problem in caught.value.problems] == [f"{base}/{kind}/acme.yaml"]


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda own: own.rmdir(), "/: no such folder; create it or take it out of GATEWAY_CONFIG_DIR"),
        (
            lambda _: None,
            "/: has neither providers, models, prices, attributes nor gateway.yaml; write one or take the folder out",
        ),
        (lambda own: (own.rmdir(), own.write_text("")), "/: no such folder"),
        (lambda own: (own / "prices").write_text(""), "/prices/: cannot be read: Not a directory"),
    ],
)
def test_bad_folders(base: Path, own: Path, prepare: object, expected: str) -> None:
    """A folder that is missing, empty or a file is refused: a mount that failed must not turn into list prices."""
    prepare(own)  # type: ignore[operator]
    with pytest.raises(CatalogError) as caught:
        load((base, own), {})
    assert f"{own}{expected}" in str(caught.value)


def test_a_broken_base_is_named(base: Path, own: Path) -> None:
    """A mistake below a later folder is reported in the file that made it."""
    path = base / "providers/acme.yaml"
    path.write_text(path.read_text().replace("name: Acme Cloud", "name: ''"))
    write(own, "providers/acme.yaml", "slug: acme\nheadquarters: FR\n")
    with pytest.raises(CatalogError, match=re.escape(f"{base}/providers/acme.yaml: name: ")):
        load((base, own), {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prices/new.yml", "rename it to new.yaml"),
        ("prices/new.YAML", "rename it to new.yaml"),
        ("prices/new.json", "rename it to new.yaml"),
        ("prices/new", "rename it to new.yaml"),
        ("providers/acme.yml", "acme.yaml is; move its rows there and delete it"),
        ("models/team/acme.yaml", "move its files into models/ itself"),
        ("pricess/acme.yaml", "did you mean 'prices'?"),
        ("vendors/acme.yaml", "only providers, models, prices, attributes are; move it elsewhere"),
        ("gateway.yml", "rename it to gateway.yaml"),
        ("acme.yaml", "move it into providers, models, prices or attributes"),
        ("README.md", None),
        ("prices/notes.txt", None),
        ("prices/.acme.yaml.swp", None),
        ("prices/acme.yaml~", None),
        ("prices/acme.yaml.bak", None),
        ("..data/acme.yaml", None),
        ("schema/provider.schema.json", None),
        ("tls.crt", None),
    ],
)
@pytest.mark.parametrize("alone", [False, True], ids=["over another", "alone"])
def test_what_is_not_read(base: Path, own: Path, name: str, expected: str | None, alone: bool) -> None:
    """A file or folder that is not read is an error that names it; hidden files, notes and copies are left alone. A running
    gateway notices it, keeps its catalogue, and knows when it is gone."""
    folders = (base,) if alone else (base, own)
    write(own, "providers/acme.yaml", "slug: acme\nheadquarters: FR\n")
    store = CatalogStore(folders, {})
    in_force = store.current
    file = write(base if alone else own, name, "[]")
    if expected is None:
        assert not store.reload()
        assert load(folders, {}).version == in_force.version
        return
    stray = name if name.startswith(("prices/", "providers/")) or "/" not in name else f"{name.rpartition('/')[0]}/"
    with pytest.raises(CatalogError) as caught:
        store.reload()
    assert str(caught.value) == f"{'' if alone else f'{own}/'}{stray}: is not read; {expected}"
    assert store.current is in_force
    assert not store.reload()
    file.unlink()
    if stray.endswith("/"):
        file.parent.rmdir()
    assert store.reload()
    assert store.current is in_force


def test_reload_watches_every_folder(base: Path, own: Path) -> None:
    """Changes in any folder come into force; a folder that vanishes leaves the catalogue in force and is named, once."""
    file = write(own, "providers/acme.yaml", "slug: acme\nname: One\n")
    store = CatalogStore((base, own), {})
    assert store.current.providers["acme"].name == "One"
    file.write_text("slug: acme\nname: Second\n")
    assert store.reload()
    assert store.current.providers["acme"].name == "Second"
    (base / "models/zeta.yaml").unlink()
    (base / "prices/acme.yaml").write_text(price("ok", "2026-06-01", "1"))
    assert store.reload()
    assert "zeta/free-3" not in store.current.models
    in_force = store.current
    hidden = shutil.move(own, own.parent / "hidden")
    with pytest.raises(CatalogError, match=re.escape(f"{own}/: no such folder")):
        store.reload()
    assert not store.reload()
    assert store.current is in_force
    shutil.move(hidden, own)
    assert store.reload()  # sound again
    assert store.current is in_force
    assert not store.reload()
    file.unlink()
    (own / "providers").rmdir()
    with pytest.raises(CatalogError, match=re.escape(f"{own}/: has neither providers")):
        store.reload()
    assert store.current is in_force


# -- settings and commands --------------------------------------------------------------------------------------------


@pytest.fixture
def configured(base: Path, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both folders in the environment; returns the later one."""
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", f"{base}{os.pathsep}{own}")
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    return own


def test_folders_of_the_settings(base: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder is a whole catalogue, as ever; the shipped one lies below when it is switched on, and never twice."""
    shipped = shipped_config_dir()
    assert Settings(config_dir=base).catalog_dirs == (base,)
    assert Settings(config_dir=[str(base), own]).catalog_dirs == (base, own)
    assert Settings(config_dir=own, shipped_catalog=True).catalog_dirs == (shipped, own)
    assert Settings(config_dir=[shipped, own], shipped_catalog=True).catalog_dirs == (shipped, own)
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", "")
    assert Settings().catalog_dirs == (shipped,)


def test_settings_of_several_folders(configured: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later gateway.yaml wins, the environment wins over both, and the folder itself may ask for the shipped catalogue."""
    write(base, "gateway.yaml", "port: 1001\nworkers: 2\n")
    write(configured, "gateway.yaml", "port: 1002\nshipped_catalog: true\n")
    assert (Settings().port, Settings().workers) == (1002, 2)
    monkeypatch.setenv("GATEWAY_PORT", "1003")
    assert Settings().port == 1003
    assert Settings().catalog_dirs[0] == shipped_config_dir()


def test_check_config_shows_where_values_come_from(configured: Path, base: Path) -> None:
    """For settings the variable or file, for the catalogue each value of a later folder; as a table and as JSON."""
    write(configured, "gateway.yaml", "workers: 2\n")
    file = write(configured, "providers/bolt.yaml", "slug: bolt\ndisabled: true\n")
    shown = CliRunner().invoke(app, ["check-config"])
    assert shown.exit_code == 0, shown.output
    assert ["provider", "bolt", "disabled", str(file), "-"] in [line.split() for line in shown.output.splitlines()]
    assert f"{configured}/gateway.yaml" in shown.output
    found = json.loads(CliRunner().invoke(app, ["check-config", "--json"]).stdout)
    assert found["folders"] == [str(base), str(configured)]
    assert found["settings"]["workers"] == f"{configured}/gateway.yaml"
    assert found["settings"]["config_dir"] == "GATEWAY_CONFIG_DIR"
    assert found["overrides"] == [
        {"what": "provider", "name": "bolt", "key": "disabled", "file": str(file), "replaces": None}
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("prot: 80", "there is no setting 'prot', did you mean 'port'?"), ("port: x", "port: "), ("- port", "mapping")],
)
def test_a_wrong_settings_file_is_named(configured: Path, text: str, expected: str) -> None:
    """Which of several gateway.yaml files is wrong, and its key."""
    file = write(configured, "gateway.yaml", text)
    refused = CliRunner().invoke(app, ["check-config"])
    assert refused.exit_code == 2
    assert expected in refused.stderr
    assert str(file) in refused.stderr


def test_a_part_of_a_catalogue_alone_is_explained(
    configured: Path, monkeypatch: pytest.MonkeyPatch, base: Path
) -> None:
    """The message names the setting that puts the shipped catalogue below the folder."""
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(configured))
    write(configured, "providers/openai.yaml", "slug: openai\ndisabled: true\n")
    refused = CliRunner().invoke(app, ["check-config"])
    assert "GATEWAY_SHIPPED_CATALOG=true" in refused.stderr
    shutil.copytree(base, configured, dirs_exist_ok=True)
    refused = CliRunner().invoke(app, ["check-config"])
    assert "openai.yaml: name: is missing; add it" in refused.stderr
    assert "GATEWAY_SHIPPED_CATALOG=true" in refused.stderr


def test_diff_between_folders(configured: Path, base: Path) -> None:
    """``catalog diff`` compares what callers see: here the base alone with both folders."""
    write(configured, "providers/bolt.yaml", "slug: bolt\ndisabled: true\n")
    shown = CliRunner().invoke(app, ["catalog", "diff", str(base)])
    assert shown.exit_code == 1
    assert "added   endpoint  bolt/slow@acme/slow-2" in shown.output
    assert CliRunner().invoke(app, ["catalog", "diff", f"{base}{os.pathsep}{configured}"]).exit_code == 0


@pytest.mark.tail
def test_diff_with_a_folder_over_the_shipped_catalogue(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other folder's gateway.yaml decides whether the shipped catalogue lies below it; a broken one is named."""
    monkeypatch.delenv("GATEWAY_CONFIG_DIR")
    write(configured, "providers/deepseek.yaml", "slug: deepseek\ndisabled: true\n")
    assert CliRunner().invoke(app, ["catalog", "diff", str(configured)]).exit_code == 2
    file = write(configured, "gateway.yaml", "shipped_catalog: true\n")
    shown = CliRunner().invoke(app, ["catalog", "diff", str(configured), "--json"])
    changes = json.loads(shown.stdout)["changes"]
    assert {(change["what"], change["how"]) for change in changes} == {("endpoint", "removed")}
    assert all(change["name"].startswith("deepseek/") for change in changes)
    file.write_text("shipped_catalog: [")
    refused = CliRunner().invoke(app, ["catalog", "diff", str(configured)])
    assert refused.exit_code == 2
    assert str(file) in refused.stderr


# -- the example of the documentation ---------------------------------------------------------------------------------


def test_the_private_server_of_the_documentation(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of docs/catalog.md, over the shipped catalogue: a private server, an agreed price, a disabled vendor."""
    text = (ROOT / "docs/catalog.md").read_text()
    files = re.findall(r"```yaml\n# own/(\S+)\n(.*?)```", text, flags=re.S)
    assert [name for name, _ in files] == [
        "gateway.yaml",
        "providers/our-vllm.yaml",
        "models/meta-llama.yaml",
        "prices/our-vllm.yaml",
        "prices/openai.yaml",
        "providers/deepseek.yaml",
        "attributes/models.yaml",
    ]
    for name, content in files:
        write(own, name, content)
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(own))
    monkeypatch.delenv("GATEWAY_SHIPPED_CATALOG", raising=False)
    catalog = load(Settings().catalog_dirs, {"OUR_VLLM_API_KEY": "x"})
    model = catalog.models["meta-llama/llama-3.3-70b-instruct"]
    ours = model.endpoints[-1]
    assert ours.provider.usable
    assert ours.provider.slug == "our-vllm"
    assert ours.prices[-1].femto["prompt"] > 0
    assert len(model.endpoints) > 5
    shipped = load(shipped_config_dir(), {})
    assert len(catalog.models) == len(shipped.models)
    agreed = "openai/gpt-4o-mini@openai/gpt-4o-mini"
    assert prompt_price(catalog, agreed, NEW_YEAR) != prompt_price(shipped, agreed, NEW_YEAR)
    assert not any(endpoint.provider.slug == "deepseek" for endpoint in catalog.endpoints.values())
    assert catalog.warnings == ()
    assert catalog.attributes.of("meta-llama/llama-3.3-70b-instruct").color == "#7C3AED"
    assert catalog.attributes.of("ours/first-try", date(2026, 5, 31)).open_weights is False


def test_schemas_of_later_folders() -> None:
    """Editors get schemas in which only the key of a row is required."""
    provider = json.loads(texts()["provider.overlay.schema.json"])
    assert provider["required"] == ["slug"]
    assert provider["properties"].keys() == json.loads(texts()["provider.schema.json"])["properties"].keys()
    models = json.loads(texts()["models.overlay.schema.json"])
    assert models["$defs"]["ModelRow"]["required"] == ["slug"]
    assert models["$defs"]["EndpointRow"]["required"] == ["provider", "upstream_id"]
