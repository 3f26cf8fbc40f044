"""JSON Schemas of the catalogue files, for editors: ``# yaml-language-server: $schema=../schema/models.schema.json``.

``python -m gateway.catalog.schema config`` writes them; a test fails when the files and the rows differ. In the schemas with
``overlay`` in their name a row has only its slug as a required field: they are for folders that change rows of other folders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gateway.catalog.rows import AttributesRow, AuthorRow, ModelRow, PriceRow, ProviderRow, ReleaseRow

ROW_TYPES: dict[str, TypeAdapter[object]] = {
    "provider": TypeAdapter(ProviderRow),
    "models": TypeAdapter(list[ModelRow]),
    "prices": TypeAdapter(list[PriceRow]),
    "attributes.authors": TypeAdapter(list[AuthorRow]),
    "attributes.models": TypeAdapter(list[AttributesRow]),
    "attributes.releases": TypeAdapter(list[ReleaseRow]),
}
"""File name without ``.schema.json`` → what such a file holds."""


def texts() -> dict[str, str]:
    """File name → JSON text, as in ``config/schema``."""
    found = {}
    for name, row_type in ROW_TYPES.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **row_type.json_schema(by_alias=True)}
        found[f"{name}.schema.json"] = _text(schema)
        if name in ("provider", "models"):  # prices are appended or replaced as whole rows
            row = schema["$defs"]["ModelRow"] if name == "models" else schema
            row["required"] = ["slug"]
            found[f"{name}.overlay.schema.json"] = _text(schema)
    return found


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(config_dir: Path) -> list[Path]:
    """Write the schemas of a configuration folder; returns the files."""
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
