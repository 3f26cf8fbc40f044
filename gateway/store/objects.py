"""Objects in a store that speaks S3: what is asked of it, and the errors, without the library that asks.

``gateway/store/s3.py`` is the implementation; it needs botocore, of the extra ``aws``. Nothing is overwritten unless the caller
says what it replaces: each write is conditional (``If-None-Match``, ``If-Match``), so that of two writers one is refused.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

SCHEME = "s3"
_OPTIONS = ("endpoint", "region")


class ObjectError(Exception):
    """The store does not do what was asked; the text names bucket, key and reason."""


class Changed(ObjectError):
    """Another one has written the object meanwhile, so it was left as it is."""


class Missing(ObjectError):
    """There is no object of this key."""


class Address(NamedTuple):
    """``s3://bucket/prefix?endpoint=https://host:9000&region=eu-central-1``. No credentials: those come from botocore's chain."""

    bucket: str
    prefix: str
    """Before every key: empty, or it ends with a slash."""
    endpoint: str | None
    region: str | None

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises ValueError, without the URL."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(options.keys() - set(_OPTIONS))
        if parts.scheme != SCHEME or not parts.hostname:
            raise ValueError("must be s3://bucket/prefix?endpoint=https://host&region=name")
        if "@" in parts.netloc:
            raise ValueError("must not have credentials; they come from AWS_ACCESS_KEY_ID, a profile or a role")
        if unknown:
            raise ValueError(f"has the unknown option {unknown[0]}; known are {' and '.join(_OPTIONS)}")
        endpoint = options.get("endpoint") or None
        if endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"):
            raise ValueError("has an endpoint that is not http:// or https://")
        prefix = parts.path.strip("/")
        return cls(parts.netloc, prefix and prefix + "/", endpoint, options.get("region") or None)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.bucket}/{self.prefix}".rstrip("/")


class Stored(NamedTuple):
    """One object."""

    key: str
    """Without the prefix."""
    etag: str
    bytes: int
    modified: float
    """Unix seconds."""


class Objects(Protocol):
    """The objects below a prefix. Every method blocks, for a minute at most, and raises ObjectError; threads may use it at once."""

    address: Address

    def list(self, folder: str) -> list[Stored]:
        """The objects whose keys begin so, in the order of their keys."""
        ...

    def fetch(self, key: str, path: Path) -> str:
        """Write an object to a file; its etag. Raises Missing."""
        ...

    def put(self, key: str, path: Path, *, replaces: str | None = None) -> None:
        """Store a file, and read it back: it is durable, and the same, when this returns. Called again after a lost reply, it does
        nothing. ``replaces``: etag of the object in its place; None: there must be none. Raises Changed.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects that are there or not."""
        ...


def is_available() -> bool:
    """Whether botocore is installed."""
    return importlib.util.find_spec("botocore") is not None


@cache
def objects(url: str) -> Objects:
    """The one client of a URL in this process; it connects when it is first used.

    Raises ValueError for another kind of URL, ObjectError without botocore.
    """
    address = Address.of(url)
    if not is_available():
        raise ObjectError(f"{address} needs botocore: pip install 'tokenway[aws]'")
    client: Objects = importlib.import_module("gateway.store.s3").S3(address)  # an optional dependency
    return client
