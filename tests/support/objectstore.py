"""A store that speaks S3, moto's server (Apache-2.0), in the test's own process: real requests, and rows of faults."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import httpx
import pytest

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
