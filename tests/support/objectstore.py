"""Stores that speak S3: moto's server (Apache-2.0), in the test's own process, with rows of faults; and a real one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from tests.support.process import free_port

BUCKET = "books"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "eu-central-1"}


class ObjectStore:
    """A running server with an empty bucket."""

    def __init__(self, server: Any) -> None:
        self._server = server
        host, port = server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"

    def url(self, bucket: str = BUCKET, prefix: str = "kept/here") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def path(self, key: str, prefix: str = "kept/here") -> str:
        """The URL of an object, for requests past the client under test."""
        return f"{self.endpoint}/{BUCKET}/{prefix}/{key}"

    def knows_keys(self) -> None:
        """From now on only keys that were made there are good, and there are none."""
        httpx.post(f"{self.endpoint}/moto-api/reset-auth", content="0")


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Skips where moto is not installed."""
    moto = pytest.importorskip("moto.server", reason="S3 is tried with moto's server: pip install 'tokenway[dev]'")
    pytest.importorskip("botocore", reason="S3 needs the extra aws")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with mock.patch.dict(os.environ, KEYS):
        server.start()
        store = ObjectStore(server)
        httpx.post(f"{store.endpoint}/moto-api/reset")
        httpx.put(f"{store.endpoint}/{BUCKET}", headers={"authorization": "AWS key:x"}).raise_for_status()
        try:
            yield store
        finally:
            httpx.post(f"{store.endpoint}/moto-api/reset-auth", content="inf")
            server.stop()


class FaultyObjects:
    """``Objects`` whose process dies before (odd numbers) or after a call, or each of whose calls comes twice."""

    def __init__(self, real: Any, step: Callable[..., Any]) -> None:
        self._real, self._step = real, step
        self.address = real.address

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self._step(lambda: getattr(self._real, name)(*args, **more))


@contextlib.contextmanager
def versity_store(directory: Path) -> Iterator[str]:
    """The URL of a prefix in a bucket of a real server, versitygw (Apache-2.0), whose objects are files in the directory. Skips where
    it is not installed: ``go install github.com/versity/versitygw/cmd/versitygw@v1.8.0``.
    """
    pytest.importorskip("botocore", reason="S3 needs the extra aws")
    program = shutil.which("versitygw", path=os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
    if program is None:
        pytest.skip("a real S3 server is not installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
    directory.mkdir()
    address = f"127.0.0.1:{free_port()}"
    command = [program, "--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"]]
    command += ["--region", KEYS["AWS_DEFAULT_REGION"], "--port", address, "posix", str(directory)]
    (directory / BUCKET).mkdir()
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with mock.patch.dict(os.environ, KEYS):
            _wait_for(address)
            yield f"s3://{BUCKET}/kept/here?endpoint=http://{address}&region={KEYS['AWS_DEFAULT_REGION']}"
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("versitygw does not listen")
