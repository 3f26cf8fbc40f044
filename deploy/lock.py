"""Pin what the image installs: ``python deploy/lock.py > requirements.lock``, with the Python of the Dockerfile or a near one.

Resolves the dependencies of ``pyproject.toml`` and of some extras as a fresh environment would; installs nothing. Names and
versions only: where packages come from is the business of whoever builds the image.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


EXTRAS = ("analytics", "aws", "azure", "google")
"""In the image: the history of analytics, and the clouds, because it is in containers that they hand out identities."""


def wanted() -> list[str]:
    """The requirements of ``pyproject.toml``, with those of ``EXTRAS``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(requirement for extra in EXTRAS for requirement in extras[extra])]


def resolved(requirements: list[str]) -> dict[str, str]:
    """Name → version of everything these requirements need. Raises CalledProcessError."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run"]
    answer = subprocess.run(  # noqa: S603 - our own interpreter
        [*pip, "--ignore-installed", "--only-binary", ":all:", "--report", "-", *requirements],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = [item["metadata"] for item in json.loads(answer.stdout)["install"]]
    return {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in found}


def main() -> None:
    """Print the lock."""
    lines = [f"{name}=={version}" for name, version in sorted(resolved(wanted()).items())]
    sys.stdout.write("# Made by deploy/lock.py from pyproject.toml.\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
