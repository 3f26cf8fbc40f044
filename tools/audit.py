"""``python -m tools.audit LOCK...``: known vulnerabilities of pinned packages.

pip-audit asks PyPI. Where PyPI cannot be reached, or does not know a package (a mirror), advisories of a local checkout of
https://github.com/pypa/advisory-database are compared: ``--advisories FOLDER``. Exit codes: 0 none known, 1 some, 2 packages
are left that nobody could tell about.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import rich
import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Pin(NamedTuple):
    """A package at a version."""

    name: str
    version: str


def pins(lock: Path) -> list[Pin]:
    """What a lock pins."""
    return [Pin(canonicalize_name(name), version) for name, version in PIN.findall(lock.read_text())]


def asked(lock: Path) -> dict[Pin, list[str] | None]:
    """Pin → ids of vulnerabilities that PyPI knows; None where it does not know the package, or cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip", "--require-hashes"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)  # noqa: S603
    found: dict[Pin, list[str] | None] = dict.fromkeys(pins(lock))
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return found
    for each in answers:
        if "vulns" in each:
            pin = Pin(canonicalize_name(each["name"]), each["version"])
            found[pin] = [vulnerability["id"] for vulnerability in each["vulns"]]
    return found


def advised(pin: Pin, advisories: Path) -> list[str]:
    """Ids of the advisories of a folder that are about this version."""
    files = sorted((advisories / "vulns" / pin.name).glob("*.yaml"))
    documents = [yaml.safe_load(file.read_text()) for file in files]
    return [each["id"] for each in documents if not each.get("withdrawn") and any(_concerns(each, pin))]


def _concerns(document: dict[str, Any], pin: Pin) -> Iterator[bool]:
    for affected in document.get("affected", ()):
        if canonicalize_name(affected["package"]["name"]) == pin.name:
            yield pin.version in affected.get("versions", ())
            for each in affected.get("ranges", ()):
                yield each["type"] == "ECOSYSTEM" and _within(Version(pin.version), each["events"])


def _within(version: Version, events: Iterable[dict[str, str]]) -> bool:
    """Whether a version lies between an ``introduced`` and the ``fixed`` or ``last_affected`` behind it."""
    inside = False
    for event in events:
        try:
            if "introduced" in event:
                inside = version >= Version(event["introduced"]) or inside
            elif "fixed" in event:
                inside = inside and version < Version(event["fixed"])
            elif "last_affected" in event:
                inside = inside and version <= Version(event["last_affected"])
        except InvalidVersion:
            continue
    return inside


def main() -> int:
    """Print what is known; see the module."""
    parser = argparse.ArgumentParser(description="Known vulnerabilities of pinned packages.")
    parser.add_argument("--advisories", type=Path, help="a checkout of pypa/advisory-database")
    parser.add_argument("locks", type=Path, nargs="+")
    wanted = parser.parse_args()
    if wanted.advisories is not None and not (wanted.advisories / "vulns").is_dir():
        parser.error(f"{wanted.advisories} is no checkout of pypa/advisory-database: it has no folder vulns")
    found = {pin: ids for lock in wanted.locks for pin, ids in asked(lock).items()}
    if wanted.advisories is not None:
        found = {pin: sorted({*(ids or ()), *advised(pin, wanted.advisories)}) for pin, ids in found.items()}
    unknown = [pin for pin, ids in found.items() if ids is None]
    vulnerable = {pin: ids for pin, ids in found.items() if ids}
    for pin, ids in vulnerable.items():
        rich.print(f"{pin.name} {pin.version}: {', '.join(ids or ())}")
    rich.print(
        f"{len(found)} packages: {len(vulnerable)} with known vulnerabilities, {len(unknown)} that nobody could tell about"
    )
    if unknown and not vulnerable:
        rich.print("Is PyPI reachable? Without it: make audit ADVISORIES=FOLDER, a checkout of pypa/advisory-database")
    return 1 if vulnerable else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
