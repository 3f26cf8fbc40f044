"""ClickHouse for tests: Debian's server (18.16, HTTP and passwords), and the engine of chdb (a new one) behind a small HTTP server.

``python -m tests.support.clickhouse DIRECTORY`` is that one: it runs each query as it came, with its settings, and prints its port.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.support.vendor import PATIENCE_S

PASSWORD = "s3cret-word"
_CONFIG = """<yandex><logger><level>none</level><console>1</console></logger>
<http_port>{port}</http_port><listen_host>127.0.0.1</listen_host><mark_cache_size>5000000</mark_cache_size>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>{folder}/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database></yandex>"""
_USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default>
<password>{password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
</default></users></yandex>"""


@contextlib.contextmanager
def debian_server(port: int) -> Iterator[str]:
    """URL of a server of its own, without a database at the end. Skips where it is not installed."""
    program = shutil.which("clickhouse-server")
    if program is None:
        pytest.skip("clickhouse-server is not installed: apt-get install clickhouse-server")
    with tempfile.TemporaryDirectory(prefix="tw-clickhouse-") as folder:
        (Path(folder) / "config.xml").write_text(_CONFIG.format(port=port, folder=folder))
        (Path(folder) / "users.xml").write_text(_USERS.format(password=PASSWORD))
        command = [program, f"--config-file={folder}/config.xml"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            _wait(f"http://127.0.0.1:{port}/", process)
            yield f"http://default:{PASSWORD}@127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def chdb_server() -> Iterator[str]:
    """The same of chdb's engine. It knows no passwords."""
    if importlib.util.find_spec("chdb") is None:
        pytest.skip("chdb is not installed: pip install 'tokenway[test-clickhouse]'")
    with tempfile.TemporaryDirectory(prefix="tw-chdb-") as folder:
        command = [sys.executable, "-m", "tests.support.clickhouse", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _wait(url: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail("clickhouse-server does not start")


def _with_settings(sql: str, settings: dict[str, str]) -> str:
    """A query with the settings of its request, as the HTTP interface gives them to it."""
    listed = ", ".join(f"{name} = {value if value.isdigit() else repr(value)}" for name, value in settings.items())
    head, found, rest = sql.partition(" FORMAT ")
    return f"{head} SETTINGS {listed}{found}{rest}" if listed and found else sql


def _serve(folder: str) -> None:
    opened = importlib.import_module("chdb.session").Session(folder)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            settings = dict(parse_qsl(urlsplit(self.path).query))
            sql = self.rfile.read(int(self.headers["content-length"])).decode()
            try:
                head, newline, rows = sql.partition("\n") if sql.startswith("INSERT") else (sql, "", "")
                with lock:
                    opened.query(f"USE {settings.pop('database', 'default')}")
                    answer = opened.query(_with_settings(head, settings) + newline + rows, "Null").bytes()
                self._answer(200, answer or b"")
            except RuntimeError as error:
                self._answer(404 if re.search(r"Code: (60|81)\b", str(error)) else 500, str(error).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
