"""The folders of a catalogue: which of them exist, when they change, and what lies in them that nobody reads.

A file that is not read is an error and not a warning: ``prices/openai.yml`` instead of ``.yaml`` would silently turn an agreed
price into the list price. Left alone are names that are clearly meant for somebody else, see ``_is_for_others``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.catalog.read import CatalogError, Problem, nearest

REQUIRED = ("providers", "models", "prices")
"""The directories that the lowest folder must have."""
KINDS = (*REQUIRED, "attributes")
"""The directories of a catalogue folder."""
SETTINGS = "gateway.yaml"
_BESIDE = frozenset({"schema", "taxonomy"})
"""What the shipped folder has beside the catalogue: JSON schemas for editors, and what requests may be about."""
_DATA = frozenset({".yaml", ".yml", ".json"})
_NOTES = frozenset({".md", ".rst", ".txt"})
_COPIES = frozenset({".bak", ".new", ".old", ".orig", ".swp", ".tmp"})
"""What editors and deployments write beside a file; it is seen for a moment while the file is replaced."""

Fingerprint = tuple[tuple[str, int, int], ...]


def fingerprint(folders: Sequence[Path]) -> Fingerprint:
    """(path, mtime in ns, size) of every catalogue file, one entry a folder (path, 1 if it exists, 0), and one for each
    path that is not read (path, 0, 0).

    Cheap to poll; a change means that the catalogue is worth loading again.
    """
    found = []
    for folder in folders:
        found.append((str(folder), int(folder.is_dir()), 0))
        for path in (path for kind in KINDS for path in sorted((folder / kind).glob("*.yaml"))):
            try:
                stat = path.stat()
            except FileNotFoundError:  # being replaced at this moment: the next poll sees the new one
                continue
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
        found += [(str(path), 0, 0) for path, _ in _unread(folder)]
    return tuple(found)


def check_folders(folders: Sequence[Path]) -> None:
    """Raises CatalogError for folders that are missing, empty or incomplete, and for what lies in them and is not read."""
    lowest = folders[0]
    problems = [
        Problem(_label(path, None if len(folders) > 1 else folder), "", f"is not read; {fix}")
        for folder in folders
        for path, fix in _unread(folder)
    ]
    for kind in REQUIRED:
        if not (lowest / kind).is_dir():
            fix = "create it, or set GATEWAY_SHIPPED_CATALOG=true if the folder belongs on top of the shipped catalogue"
            problems.append(Problem(f"{kind}/", "", f"no such directory in {lowest}; {fix}"))
            break
    for folder in folders[1:]:
        if not folder.is_dir():
            problems.append(Problem(f"{folder}/", "", "no such folder; create it or take it out of GATEWAY_CONFIG_DIR"))
        elif not any((folder / name).exists() for name in (*KINDS, SETTINGS)):
            message = "has neither providers, models, prices, attributes nor gateway.yaml; write one or take the folder out of"
            problems.append(Problem(f"{folder}/", "", f"{message} GATEWAY_CONFIG_DIR"))
    if problems:
        raise CatalogError(problems)


def _label(path: Path, within: Path | None) -> str:
    named = path if within is None else path.relative_to(within)
    return f"{named}/" if path.is_dir() else str(named)


def _unread(folder: Path) -> Iterator[tuple[Path, str]]:
    """(path, what would fix it) of everything in a folder that looks as if it should be read, and is not.

    At the top these are folders, and files of data: an operator may keep a certificate or an env file there. In ``providers``,
    ``models``, ``prices`` and ``attributes`` it is everything that is not called ``*.yaml``.
    """
    for path in _listed(folder):
        if path.name in (*KINDS, SETTINGS, *_BESIDE) or _is_for_others(path):
            continue
        if path.is_dir():
            close = nearest(path.name, KINDS)
            yield path, f"did you mean {close!r}?" if close else f"only {', '.join(KINDS)} are; move it elsewhere"
        elif path.suffix.lower() in _DATA:
            is_settings = path.stem.lower() == "gateway"
            yield (
                path,
                f"rename it to {SETTINGS}" if is_settings else "move it into providers, models, prices or attributes",
            )
    for kind in KINDS:
        for path in _listed(folder / kind):
            if path.name.endswith(".yaml") or _is_for_others(path):
                continue
            if path.is_dir():
                yield path, f"move its files into {kind}/ itself"
            elif path.with_suffix(".yaml").exists():
                yield path, f"{path.stem}.yaml is; move its rows there and delete it"
            else:
                yield path, f"rename it to {path.stem}.yaml"


def _listed(folder: Path) -> list[Path]:
    """Sorted; nothing when it is no folder or cannot be read, which whoever reads it reports."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_for_others(path: Path) -> bool:
    """Hidden names (``.git``, ``..data`` of a mounted volume), notes, copies, and what a file system keeps for itself."""
    name = path.name
    if name.startswith(".") or name.endswith("~") or name == "lost+found":
        return True
    return path.stem in ("README", "LICENSE") or path.suffix.lower() in _NOTES | _COPIES
