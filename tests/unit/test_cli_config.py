"""``tokenway check-config`` and the start of ``serve``: a mistake is named, with exit code 2 and no traceback."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import app, configured, serving
from gateway.settings import Settings
from gateway.store.embedded import Embedded
from tests.support.management import write_files


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sound catalogue; what the command does to environment and signals ends with the test."""
    before = signal.getsignal(signal.SIGTERM)
    for name in ("GATEWAY_ADMIN_KEY", "GATEWAY_REDIS_URL", "GATEWAY_PORT", "GATEWAY_WORKERS", "GATEWAY_HOST"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GATEWAY_CONFIG_DIR", str(tmp_path / "config"))
    yield write_files(tmp_path / "config", "http://127.0.0.1:1/v1")
    signal.signal(signal.SIGTERM, before)


def _tokenway(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert "Traceback" not in result.output
    return result


def _refused(*words: str) -> str:
    result = _tokenway(*words)
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.mark.usefixtures("config")
def test_a_sound_configuration() -> None:
    """Exit 0; the table shows which providers have a credential, in alphabetical order."""
    result = _tokenway("check-config")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if " openai " in line]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert ["bolt", "openai", "yes", "no", "TEST_BOLT_API_KEY", "TEST_BOLT_API_KEY"] in rows


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({}, ["CLOUD_KEY", "CLOUD_RESOURCE"]),
        ({"CLOUD_KEY": "x"}, ["CLOUD_RESOURCE"]),
        ({"CLOUD_TENANT": "x", "CLOUD_RESOURCE": "x"}, []),
        ({"CLOUD_RESOURCE": "x"}, ["CLOUD_KEY"]),
    ],
)
def test_what_a_provider_lacks_is_listed(
    config: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], lacking: list[str]
) -> None:
    """Every variable that a provider's file names is listed, and those that are still missing, as a table and as JSON."""
    text = (
        "slug: cloud\nname: Cloud\ndialect: azure\nbase_url: 'http://{resource}.test'\napi_key_env: CLOUD_KEY\n"
        "credentials_env: {tenant_id: CLOUD_TENANT}\ncredential_chain: [CLOUD_CHAIN]\n"
        "variables: {resource: {env: CLOUD_RESOURCE}}\n"
    )
    (config / "providers/cloud.yaml").write_text(text)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    every = ["CLOUD_KEY", "CLOUD_TENANT", "CLOUD_CHAIN", "CLOUD_RESOURCE"]
    shown = [line.split() for line in _tokenway("check-config").stdout.splitlines() if line.startswith("cloud")]
    usable = "no" if lacking else "yes"
    assert shown == [["cloud", "azure", "no", usable, ",".join(lacking) or "-", ",".join(every)]]
    (found,) = [
        each for each in json.loads(_tokenway("check-config", "--json").stdout)["providers"] if each["slug"] == "cloud"
    ]
    assert (found["lacking"], found["variables"], found["usable"]) == (lacking, every, not lacking)


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_PORT", "http"),
        ("GATEWAY_PORT", "70000"),
        ("GATEWAY_WORKERS", "0"),
        ("GATEWAY_ADMIN_KEY", "short"),
        ("GATEWAY_SERVER", "apache"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The message names the variable and never shows what may be a secret."""
    monkeypatch.setenv(variable, value)
    message = _refused("serve")
    assert variable in message
    assert "short" not in message


@pytest.mark.usefixtures("config")
def test_a_misspelt_variable_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown GATEWAY_ variable is not an error, other programs may use the prefix, but a warning names it."""
    monkeypatch.setenv("GATEWAY_PROT", "80")
    result = _tokenway("check-config")
    assert result.exit_code == 0
    assert "GATEWAY_PROT" in result.stderr
    assert "GATEWAY_PORT" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("prot: 80", "'port'"), ("port: many", "port"), ("port: [", "gateway.yaml"), ("a: b: c", "gateway.yaml")],
)
def test_a_wrong_settings_file_is_named(config: Path, text: str, expected: str) -> None:
    """gateway.yaml: the key, or the place where the YAML breaks."""
    (config / "gateway.yaml").write_text(text)
    message = _refused("check-config")
    assert str(config / "gateway.yaml") in message
    assert expected in message


def test_a_broken_catalogue_names_file_and_key(config: Path) -> None:
    """``serve`` does not start on it; the message names file and key."""
    path = config / "prices" / "acme.yaml"
    path.write_text(path.read_text().replace("prompt:", "promt:"))
    for command in ("check-config", "serve"):
        message = _refused(command)
        assert "prices/acme.yaml" in message
        assert "promt" in message


def test_a_taken_port_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Port in use: exit 2, the port and the variable are named, nothing else was started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("GATEWAY_PORT", str(port))
        message = _refused("serve")
    assert f"port {port}" in message
    assert "GATEWAY_PORT" in message
    assert not (config.parent / "data").exists()


@pytest.mark.usefixtures("config")
def test_an_impossible_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is not an address of this machine or does not exist: exit 2 naming GATEWAY_HOST."""
    for host in ("192.0.2.1", "no such host"):
        monkeypatch.setenv("GATEWAY_HOST", host)
        assert "GATEWAY_HOST" in _refused("serve", "--port", "0")


def test_a_held_data_directory_is_named(config: Path) -> None:
    """Another gateway's data directory: exit 2, directory and variable named; its holder is not disturbed."""
    holder = Embedded(config.parent / "data")
    holder.start()
    try:
        message = _refused("serve", "--port", "0")
        assert str(config.parent / "data") in message
        assert "GATEWAY_DATA_DIR" in message
        assert holder.pid is not None
    finally:
        holder.stop()


def test_the_management_key_is_made_once(config: Path) -> None:
    """Mode 0600, the same at every start, never the content of a file that others may read."""
    settings = Settings()
    key, place = configured.admin_key(settings)
    path = config.parent / "data" / "admin.key"
    assert place == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert configured.admin_key(settings)[0] == key
    path.chmod(0o644)
    assert "chmod 600" in _refused("serve", "--port", "0")
    path.chmod(0o600)
    path.write_text("")
    assert "admin.key" in _refused("serve", "--port", "0")


def test_the_listener_is_bound_at_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Port 0: the real port goes into the environment of the workers, and no other process can bind it."""
    assert config.exists()
    monkeypatch.setenv("GATEWAY_PORT", "0")
    with serving.listening(Settings()) as listener:
        port = listener.getsockname()[1]
        assert Settings().port == port
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        assert serving.origin(listener) == f"http://127.0.0.1:{port}"


def test_the_help_of_simulate_is_for_people() -> None:
    """It names the command as it is typed, and not what only the demo passes."""
    shown = _tokenway("simulate", "--help").stdout
    assert shown.startswith("usage: tokenway simulate ")
    assert "--parent" not in shown
    assert "seed of random failures" in shown


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["keys", "--help"], ["serve", "--help"], ["simulate", "--words"]]
)
def test_help_needs_no_configuration(words: list[str]) -> None:
    """The help works on a machine without any configuration."""
    result = _tokenway(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout
