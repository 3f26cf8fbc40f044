"""JSON Schemas of the catalogue files, for editors: ``# yaml-language-server: $schema=../schema/models.schema.json``.

``python -m gateway.catalog.schema config`` writes them; a test fails when they and the rows differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from gateway.catalog.rows import ModelRow, PriceRow, ProviderRow

SHAPES: dict[str, TypeAdapter[object]] = {
    "provider": TypeAdapter(ProviderRow),
    "models": TypeAdapter(list[ModelRow]),
    "prices": TypeAdapter(list[PriceRow]),
}
"""File name without ``.schema.json`` → what such a file holds."""


def texts() -> dict[str, str]:
    """File name → JSON text, as it lies in ``config/schema``."""
    found = {}
    for name, shape in SHAPES.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape.json_schema(by_alias=True)}
        found[f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return found


def write(config_dir: Path) -> list[Path]:
    """Writes the schemas of a configuration directory; returns the files."""
    folder = config_dir / "schema"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts().items():
        (folder / name).write_text(text)
        written.append(folder / name)
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "config")):
        sys.stdout.write(f"{path}\n")
