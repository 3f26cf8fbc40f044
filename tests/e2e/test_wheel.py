"""The wheel as a user gets it: installed into an empty environment it brings all that ``tokenway demo`` needs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.cli.demo import LOCAL_MODELS, VENDORS
from tests.support.process import ROOT, free_port

PATIENCE_S = 60
OURS = {"gateway", "providers", "simulator"}
"""The packages that a wheel may bring."""
NO_NETWORK = ("Failed to establish a new connection", "NameResolutionError", "Network is unreachable")
NEED_AN_EXTRA = {
    *(f"providers.auth.cloud_{cloud}" for cloud in ("aws", "azure", "google")),
    "gateway.analytics.classify.classifier",
    "gateway.store.s3",
}
pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]  # a minute, most of it pip's


def pip(*words: str | Path) -> None:
    """Run pip of this environment to its end; without a network the test is skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and any(sign in done.stderr for sign in NO_NETWORK):
        pytest.skip("pip has no network: what the wheel depends on cannot be installed")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel and what it depends on; its ``bin``."""
    place = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, ROOT)
    (wheel,) = place.glob("tokenway-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "env"], check=True)
    pip("--python", place / "env/bin/python", "install", "--no-compile", wheel)
    return place / "env/bin"


@pytest.fixture
async def demo(installed: Path, tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``tokenway demo`` in an empty directory, with an empty home and no other variable than its port; and its address."""
    async with asyncio.timeout(5):
        for port in (*VENDORS.values(), *LOCAL_MODELS.values()):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            writer.close()
            pytest.skip(f"port {port} of the demo is in use on this machine")
    home, here, port = tmp_path / "home", tmp_path / "here", free_port()
    home.mkdir()
    here.mkdir()
    with (tmp_path / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            installed / "tokenway",
            "demo",
            cwd=here,
            env={"PATH": os.defpath, "HOME": str(home), "GATEWAY_PORT": str(port)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    yield process, f"http://127.0.0.1:{port}"
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_the_demo_of_an_installed_wheel(
    demo: tuple[asyncio.subprocess.Process, str], tmp_path: Path, installed: Path
) -> None:
    """It prints its banner, a chat is answered and charged, Ctrl-C ends it with 0; nothing of the checkout was used."""
    process, url = demo
    output = tmp_path / "output"
    async with asyncio.timeout(PATIENCE_S):
        while "Ctrl-C stops everything." not in output.read_text():
            assert process.returncode is None, output.read_text()
            await asyncio.sleep(0.1)
    key = (tmp_path / "here/data/demo.key").read_text().strip()
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.post(
            f"{url}/api/v1/chat/completions",
            headers={"authorization": f"Bearer {key}"},
            json={"model": "sim/echo", "messages": [{"role": "user", "content": "Hello"}]},
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"
    assert answer.json()["usage"]["cost"] > 0
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 0, output.read_text()
    assert "Traceback" not in output.read_text()
    assert str(ROOT) not in output.read_text()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["data"]


def test_the_wheel_is_what_its_requirements_say(installed: Path) -> None:
    """Every module of the wheel imports where only its requirements are installed, but for those that need an extra."""
    program = """
import importlib, json, pkgutil, sys
failed = {}
for name in json.load(sys.stdin):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                failed[module.name] = str(error)
json.dump(failed, sys.stdout)
"""
    names = sorted({path.parent.name for path in installed.parent.glob("lib/*/site-packages/*/__init__.py")} & OURS)
    assert set(names) >= {"gateway", "providers"}
    done = subprocess.run(
        [installed / "python", "-I", "-c", program],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == NEED_AN_EXTRA
