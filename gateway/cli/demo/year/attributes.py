"""What the made-up models of the year are counted by: a folder of the catalogue with their attributes, to lie over the others.

The real models of the year have theirs in ``config/attributes``; what nobody sells does not belong there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.cli.demo.year import targets
from gateway.cli.demo.year.targets import Model, Origin

FOLDER: Final = "demo-year"
"""Within the data directory."""
_HEAD: Final = "# Made-up models of the synthetic year. Written by `tokenway demo-year`; changes are lost.\n"


def write_attributes(folder: Path) -> Path:
    """Write ``attributes/authors.yaml`` and ``models.yaml`` in the folder; returns it. Raises OSError."""
    models = [(model, origin) for origin in targets.TAIL for model in targets.tail_models(origin) if is_made_up(model)]
    authors = {model.author: origin for model, origin in models}
    directory = folder / "attributes"
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "authors.yaml", [_author(slug, origin) for slug, origin in sorted(authors.items())])
    _write(directory / "models.yaml", [_model(model) for model, _ in models])
    return folder


def is_made_up(model: Model) -> bool:
    """Whether the model's name is made up."""
    return any(model.slug.startswith(f"{prefix}-") for prefix, *_ in targets.TAIL_NAMES.values()) and model.rank > 0


def _write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text(_HEAD + yaml.safe_dump(list(rows), sort_keys=False), encoding="utf-8")


def _author(slug: str, origin: Origin) -> dict[str, Any]:
    country = {"country": "CN"} if origin.startswith("chinese") else {}
    return {"slug": slug, "name": _title(slug), "owner_type": "community" if "community" in slug else "lab", **country}


def _model(model: Model) -> dict[str, Any]:
    size = {"size_class": model.size} if model.size else {}
    return {
        "slug": model.slug,
        "name": _title(model.slug.replace("/", ": ", 1)),
        "open_weights": model.origin.endswith("oss"),
        "supports_reasoning": model.reasoning,
        "reasoning_default": model.reasoning,
        **size,
    }


def _title(slug: str) -> str:
    """``lab-07: chat-012`` → ``Lab 07: Chat 012``."""
    return slug.replace("-", " ").title()
