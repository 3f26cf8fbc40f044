"""Inputs → the files of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.catalog import report, rows, write
from tools.catalog.inputs import Inputs
from tools.catalog.merge import Merged, merge


@dataclass(frozen=True, slots=True)
class Built:
    """``files``: path below the configuration directory → text; ``disagreements``: the page about them."""

    files: dict[str, str]
    disagreements: str
    merged: Merged


def build(inputs: Inputs, config: Path | None) -> Built:
    """Everything, as text. ``config``: the directory whose dated prices are carried on; None to begin anew."""
    merged = merge(inputs)
    sellers = {one.seller for sold in merged.models.values() for one in sold}
    files: dict[str, str] = {}
    for slug, row in rows.providers(inputs, sellers).items():
        files[f"providers/{slug}.yaml"] = write.text_of("providers", row, inputs.providers[slug].get("note", ""))
    for author, listed in rows.models(inputs, merged).items():
        files[f"models/{author}.yaml"] = write.text_of("models", listed)
    for slug, priced in rows.prices(inputs, merged).items():
        name = f"prices/{slug}.yaml"
        files[name] = write.text_of("prices", write.dated(config / name, priced) if config else priced)
    return Built(files, report.text_of(inputs, merged), merged)
