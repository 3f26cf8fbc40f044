"""Clients from PyPI that the end-to-end tests run: each in a virtual environment of its own in the user's cache.

``tests/e2e/clients/<client>.txt`` says what is in it. Their requirements contradict those of the tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.npm_clients import CLIENTS

INSTALL_S = 900


def program(client: str) -> Path:
    """The program of that name, installed. Skips the test, saying why, where it cannot be had."""
    wanted = (CLIENTS / f"{client}.txt").read_bytes() + sys.version.encode()
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(root) / "tokenway-tests" / f"{client}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:  # several test processes, one installation
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            python = home / "venv/bin/python"
            _run([sys.executable, "-m", "venv", "--clear", str(home / "venv")], client)
            _run([str(python), "-m", "pip", "install", "-q", "-r", str(CLIENTS / f"{client}.txt")], client)
            (home / "done").touch()
    return home / "venv/bin" / client


def _run(words: list[str], client: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"{client} cannot be installed: {done.stderr.strip()[-300:]}")
