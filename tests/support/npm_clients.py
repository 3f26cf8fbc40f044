"""Clients from npm that the end-to-end tests run: installed once into the user's cache, in the versions of ``tests/e2e/clients``."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[1] / "e2e/clients"
PATIENCE_S = 120


def installed(package: str) -> Path:
    """The folder ``node_modules`` that has the package. Skips the test, saying why, where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"{package} needs node and npm on PATH")
    wanted = (CLIENTS / "package.json").read_bytes()
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(root) / "tokenway-tests" / f"clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    modules = home / "node_modules"
    with (home / "lock").open("w") as lock:  # several test processes, one installation
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            (home / "package.json").write_bytes(wanted)
            words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(words, cwd=home, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                pytest.skip(f"the clients cannot be installed: {done.stderr.strip()[-300:]}")
            (home / "done").touch()
    if not (modules / package).is_dir():
        pytest.skip(f"{package} is not installed in {modules}")
    return modules


async def run(words: list[str], *, cwd: Path, env: Mapping[str, str]) -> str:
    """What a client printed, both streams together. Fails the test if it does not end well in time."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            printed, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        printed, _ = await process.communicate()
        pytest.fail(f"{words[0]} did not end: {printed.decode()[-2000:]}")
    text = printed.decode()
    assert process.returncode == 0, text[-4000:]
    return text
