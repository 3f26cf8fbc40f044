"""Settings, management key and catalogue for a command; a mistake becomes a message that names what to change."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import typer
import yaml
from pydantic import ValidationError

from gateway import settings as settings_file
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.read import MISSING, CatalogError
from gateway.cli.output import refuse
from gateway.settings import Settings
from providers import registry

PREFIX = "GATEWAY_"
ADMIN_KEY_FILE = "admin.key"
MIN_KEY_LENGTH = 16
PRIVATE = 0o077
"""What is taken from the modes of new files and folders."""


def settings() -> Settings:
    """The settings of this process. Exits 2 and names the variable, or the file and key, whose value is wrong.

    Whatever the process writes from now on, nobody but its user may read: keys, the ledger, what was used by whom.
    """
    os.umask(PRIVATE)
    _warn_of_unknown_variables()
    try:
        return settings_file.load()
    except ValidationError as error:
        refuse("; ".join(_complaint(problem["loc"], problem["msg"]) for problem in error.errors()))
    except yaml.YAMLError as error:
        refuse(f"gateway.yaml is not valid YAML: {' '.join(str(error).split())}")
    except OSError as error:
        refuse(f"cannot read the settings: {error}")
    except (TypeError, ValueError):  # a file holds a list or a text
        wrong = [str(file) for file in _settings_files() if file.is_file() and not isinstance(_content(file), dict)]
        refuse(
            f"{wrong[0] if wrong else 'gateway.yaml'}: must be a mapping of settings to values, such as 'port: 8080'"
        )


def _complaint(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "?"
    variable = PREFIX + name.upper()
    if variable in os.environ:
        return f"{variable}: {message}"
    file = next((file for file in reversed(_settings_files()) if name in _written(file)), "gateway.yaml")
    if name in Settings.model_fields:
        return f"{file}: {name}: {message}"
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"{file}: there is no setting {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _settings_files() -> list[Path]:
    return settings_file.settings_files(settings_file.config_folders(os.environ.get(PREFIX + "CONFIG_DIR")))


def _content(file: Path) -> object:
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8") as stream:  # a stream, since the message of a syntax error then names the file
        return yaml.safe_load(stream) or {}


def _written(file: Path) -> Mapping[str, object]:
    content = _content(file)
    return content if isinstance(content, dict) else {}


def sources() -> dict[str, str]:
    """Setting → the variable or file that its value comes from. A setting that is not listed has its default."""
    found = {name: str(file) for file in _settings_files() for name in _written(file)}
    given = {name: PREFIX + name.upper() for name in Settings.model_fields if PREFIX + name.upper() in os.environ}
    return dict(sorted({**found, **given}.items()))


def _warn_of_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        near = difflib.get_close_matches(variable, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        typer.echo(f"tokenway: warning: {variable} is not a setting and is ignored{hint}", err=True)


def catalog(given: Settings) -> Catalog:
    """The validated catalogue. Exits 2 and names file and key when it is broken."""
    where = os.pathsep.join(map(str, given.catalog_dirs))
    try:
        return load(given.catalog_dirs, os.environ, dialects=registry.names())
    except CatalogError as error:
        refuse(f"the catalogue in {where} is broken:\n{error}{_hint(given, error)}")
    except OSError as error:
        refuse(f"cannot read the catalogue in {where}: {error}")


def folders(named: str) -> tuple[Path, ...]:
    """``"a:b"`` → the folders of that catalogue, with the shipped one below if their gateway.yaml says so."""
    found = settings_file.config_folders(named)
    written: dict[str, object] = {}
    for file in settings_file.settings_files(found):
        written.update(_written(file))
    return settings_file.over_the_shipped(found) if written.get("shipped_catalog") is True else found


def _hint(given: Settings, error: CatalogError) -> str:
    """A folder that lacks rows or fields may be meant to lie over the shipped catalogue."""
    incomplete = any(each.message == MISSING or "there is no providers/" in each.message for each in error.problems)
    if not incomplete or len(given.catalog_dirs) > 1 or given.catalog_dirs == (settings_file.shipped_config_dir(),):
        return ""
    return (
        f"\nThe folder is read as a whole catalogue. If it only holds what differs from the shipped catalogue, "
        f"set {PREFIX}SHIPPED_CATALOG=true."
    )


def admin_key(given: Settings) -> tuple[str, str]:
    """(management key, where it comes from). Exits 2 when its file is unusable, or when other users may read it."""
    try:
        key = settings_file.admin_key(given)
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"cannot use the management key: {error}")
    if given.admin_key is not None:
        return key, "GATEWAY_ADMIN_KEY"
    path = given.data_dir / ADMIN_KEY_FILE
    if len(key) < MIN_KEY_LENGTH:
        refuse(f"{path} holds no management key of at least {MIN_KEY_LENGTH} characters; delete it to have one made")
    return key, str(path)
