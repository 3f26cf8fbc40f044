"""``python -m tools.catalog build|diff``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.catalog.load import load
from gateway.cli.catalog import compare, describe
from tools.catalog import inputs, write
from tools.catalog.build import Built, build

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/catalog-disagreements.md"


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done (``diff``: nothing would change), 1 ``diff`` found changes, 2 the sources do not fit the inputs."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.catalog", description="Build the catalogue from its sources."
    )
    parser.add_argument("command", choices=["build", "diff"], help="write the files, or tell what that would change")
    parser.add_argument("--config", type=Path, default=ROOT / "config", help="the catalogue's directory")
    parser.add_argument("--litellm-json", type=Path, help="read this price list instead of fetching the newest release")
    parser.add_argument("--litellm-day", help="release day of the price list, e.g. 2026-11-12")
    parser.add_argument("--as-of", help="leave out what has ended by this day (default: today)")
    parser.add_argument("--fresh", action="store_true", help="forget the dated prices that the files have")
    given = parser.parse_args(arguments)
    today = given.as_of or datetime.now(UTC).date().isoformat()
    try:
        read = inputs.read(given.litellm_json, given.litellm_day, today)
    except inputs.SourceError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not given.fresh:
        read = replace(read, listed=write.listed(given.config))
    built = build(read, None if given.fresh else given.config)
    if given.command == "diff":
        return _diff(given.config, built)
    write.write(given.config, built.files)
    if given.config.resolve() == ROOT / "config":
        (ROOT / PAGE).write_text(built.disagreements)
    catalog = load(given.config, {})
    sys.stdout.write(
        f"{len(catalog.models)} models, {len(catalog.providers)} providers, {len(catalog.endpoints)} endpoints, "
        f"{len(built.merged.disputes)} disagreements\n"
    )
    for warning in catalog.warnings:
        sys.stdout.write(f"warning: {warning}\n")
    return 0


def _diff(config: Path, built: Built) -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        for part in write.HEADERS:
            shutil.copytree(config / part, fresh / part)
        write.write(fresh, built.files)
        changes = compare(load(config, {}), load(fresh, {}))
    for line in describe(changes):
        sys.stdout.write(line + "\n")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
