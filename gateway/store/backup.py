"""The embedded store as one file: a snapshot of one instant, made while it runs, and laid into an empty data directory again.

The server writes the snapshot itself, in a forked process, so nothing waits for it. A Redis that the operator runs is backed up by
its own means.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from gateway.store.client import Store, store_errors

SNAPSHOT, ABOUT = "store.rdb", "backup.json"
"""Names in the directory of a backup."""
APPEND_ONLY = "appendonlydir"
_BASE = "appendonly.aof.1.base.rdb"
_MANIFEST = "appendonly.aof.manifest"
POLL_S = 0.1


class BackupError(RuntimeError):
    """A backup cannot be made or laid; the message says why and what helps."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside a snapshot."""

    made_at: str
    """UTC, ISO 8601."""
    version: str
    """Of the gateway that made it."""
    size_bytes: int
    sha256: str


async def snapshot(store: Store, directory: Path, *, version: str) -> About:
    """Let the server write a snapshot, and move it into this new directory. Raises BackupError, StoreError."""
    await asyncio.to_thread(_make, directory)
    with store_errors():
        await store.redis.bgsave(schedule=True)  # after a rewrite of the append-only file that is under way
        while True:
            found: dict[str, Any] = await store.redis.info("persistence")
            if not (
                found["rdb_bgsave_in_progress"]
                or found["aof_rewrite_in_progress"]
                or found.get("aof_rewrite_scheduled")
            ):
                break
            await asyncio.sleep(POLL_S)
        config: dict[Any, Any] = await store.redis.config_get("dir", "dbfilename")
    if found["rdb_last_bgsave_status"] != "ok":
        raise BackupError("the server could not write its snapshot; its log in the data directory says why")
    return await asyncio.to_thread(_take, Path(config["dir"], config["dbfilename"]), directory, version)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupError(f"{directory} exists; name a new directory") from None


def _take(written: Path, directory: Path, version: str) -> About:
    kept = directory / SNAPSHOT
    try:
        shutil.copyfile(written, kept)
        written.unlink()
    except FileNotFoundError:
        raise BackupError(f"the server's snapshot {written} is not there: does it run on another machine?") from None
    kept.chmod(0o600)
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = About(made_at=made_at, version=version, size_bytes=kept.stat().st_size, sha256=_digest(kept))
    (directory / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about)))
    for path in (kept, directory / ABOUT, directory):
        _sync(path)
    return about


def checked(directory: Path) -> About:
    """What a backup says of itself, once its snapshot is what it was. Raises BackupError."""
    try:
        about = msgspec.json.decode((directory / ABOUT).read_bytes(), type=About)
        digest = _digest(directory / SNAPSHOT)
    except FileNotFoundError as error:
        raise BackupError(f"{directory} is no backup: {error.filename} is missing") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{directory / ABOUT} cannot be read: {error}") from None
    if digest != about.sha256:
        raise BackupError(
            f"{directory / SNAPSHOT} is not what was backed up: its SHA-256 is {digest}, not {about.sha256}"
        )
    return about


def lay(directory: Path, data_dir: Path) -> None:
    """Lay a backup into a data directory without a store: as the base of an append-only file that has nothing else yet, which
    comes into being in one step. Raises BackupError.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, building = data_dir / APPEND_ONLY, data_dir / f"{APPEND_ONLY}.new"
    if target.exists():
        raise BackupError(
            f"{data_dir} has a store already; move {target} away, or restore into another GATEWAY_DATA_DIR"
        )
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    shutil.copyfile(directory / SNAPSHOT, building / _BASE)
    (building / _MANIFEST).write_text(f"file {_BASE} seq 1 type b\n")
    for path in (building / _BASE, building / _MANIFEST):
        path.chmod(0o600)
        _sync(path)
    _sync(building)
    building.rename(target)
    _sync(data_dir)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
