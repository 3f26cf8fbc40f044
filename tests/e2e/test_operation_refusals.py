"""A gateway that cannot start prints one line on standard error that names what to change, and exits 2: never a traceback."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gateway.store.embedded import Embedded
from tests.support.gateway import Sale, write_catalog
from tests.support.process import command, environment, free_port
from tests.support.valkey import configured_valkey


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A sound catalogue of one vendor that is never called."""
    return write_catalog(tmp_path / "config", {"alpha": "http://127.0.0.1:1/v1"}, [Sale("t/a", "alpha")])


async def refused(env: dict[str, str], *words: str) -> str:
    """The one error line of a start that is refused."""
    code, out, err = await command("serve", *words, env=env)
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err, err
    lines = [line for line in err.splitlines() if line.startswith("tokenway: ")]
    assert len(lines) == 1, err
    return err


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
async def test_port_in_use(config: Path, tmp_path: Path, server: str) -> None:
    """The port is named, and the variable that changes it; nothing was started or written for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = await refused(environment(config, tmp_path / "data", port=port, server=server))
    assert f"port {port}" in message
    assert "GATEWAY_PORT" in message
    assert not (tmp_path / "data").exists()


async def test_data_directory_held_by_another(config: Path, tmp_path: Path) -> None:
    """The directory and its holder are named; the holder is not disturbed."""
    holder = Embedded(tmp_path / "data")
    holder.start()
    try:
        message = await refused(environment(config, tmp_path / "data", port=0))
        assert str(tmp_path / "data") in message
        assert f"process {os.getpid()}" in message
        assert "GATEWAY_DATA_DIR" in message
        assert holder.pid is not None
    finally:
        holder.stop()


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("models/t.yaml", "- slug: t/a\n  name: [", ["line"]),
        ("providers/alpha.yaml", "slug: alpha\nname: Alpha\ndialect: openai\nbase_ulr: http://x/v1\n", ["base_ulr"]),
        ("prices/alpha.yaml", "- upstream_id: ok\n  from: 2026-01-01\n  usd_per_mtok: {prompt: cheap}\n", ["prompt"]),
    ],
)
async def test_broken_catalogue(config: Path, tmp_path: Path, file: str, text: str, named: list[str]) -> None:
    """File and key, or line, are named."""
    (config / file).write_text(text)
    message = await refused(environment(config, tmp_path / "data", port=0))
    for word in (file, *named):
        assert word in message


async def test_invalid_settings(config: Path, tmp_path: Path) -> None:
    """Every wrong variable is named, in one line; the value of a secret is not repeated."""
    wrong = {
        "workers": 0,
        "port": "eighty",
        "fee_percent": 101,
        "server": "apache",
        "admin_key": "tooshort",
        "log_level": "loud",
        "shutdown_grace_s": -1,
        "ledger_timeout_s": 0,
    }
    message = await refused(environment(config, tmp_path / "data", **wrong))
    for name in wrong:
        assert f"GATEWAY_{name.upper()}: " in message
    assert "tooshort" not in message


async def test_unusable_directory_and_url(config: Path, tmp_path: Path) -> None:
    """A data directory that cannot be made, and a URL of a server that is not Redis."""
    message = await refused(environment(config, Path("/dev/null/data"), port=0))
    assert "/dev/null/data" in message
    message = await refused(environment(config, tmp_path / "data", port=0, redis_url="mysql://127.0.0.1/0"))
    assert "GATEWAY_REDIS_URL" in message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "noeviction"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"), "volatile-ttl"),
        (("--cluster-enabled", "yes"), "node of a cluster"),
    ],
)
async def test_a_redis_that_loses_money(config: Path, tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    """One that evicts keys, and one node of a cluster, are refused with what to change."""
    async with configured_valkey(tmp_path / "redis", *options) as url:
        message = await refused(environment(config, tmp_path / "data", port=0, redis_url=url))
    assert "GATEWAY_REDIS_URL" in message
    assert named in message


async def test_nowhere_to_keep_metrics(config: Path, tmp_path: Path) -> None:
    """No temporary directory for the workers' metrics, and a given one that cannot be made."""
    env = environment(config, tmp_path / "data", port=0) | {"PROMETHEUS_MULTIPROC_DIR": "/dev/null/metrics"}
    message = await refused(env)
    assert "/dev/null/metrics" in message
    assert "PROMETHEUS_MULTIPROC_DIR" in message


async def test_invalid_setting_in_the_file(config: Path, tmp_path: Path) -> None:
    """A misspelt setting of gateway.yaml is named with its likely meaning."""
    (config / "gateway.yaml").write_text("workerz: 2\n")
    message = await refused(environment(config, tmp_path / "data", port=0))
    assert "gateway.yaml" in message
    assert "workerz" in message
    assert "'workers'" in message


async def test_redis_out_of_reach(config: Path, tmp_path: Path) -> None:
    """A Redis that does not answer: waited for a while, then reported once, however many workers there are."""
    url = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    message = await refused(environment(config, tmp_path / "data", port=0, workers=2, redis_url=url))
    assert "GATEWAY_REDIS_URL" in message
    assert "secret" not in message
