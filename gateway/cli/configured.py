"""Settings, management key and catalogue for a command; whatever is wrong is said in one line that names what to change."""

from __future__ import annotations

import difflib
import os

import typer
import yaml
from pydantic import ValidationError

from gateway import settings as settings_file
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import load
from gateway.catalog.read import CatalogError
from gateway.cli.output import refuse
from gateway.settings import Settings
from providers import registry

PREFIX = "GATEWAY_"
ADMIN_KEY_FILE = "admin.key"
MIN_KEY_LENGTH = 16


def settings() -> Settings:
    """The settings of this process. Exits 2 and names the variable, or the line of gateway.yaml, that does not fit."""
    _warn_of_strangers()
    try:
        return settings_file.load()
    except ValidationError as error:
        refuse("; ".join(_complaint(problem["loc"], problem["msg"]) for problem in error.errors()))
    except yaml.YAMLError as error:
        refuse(f"gateway.yaml is not valid YAML: {' '.join(str(error).split())}")
    except OSError as error:
        refuse(f"cannot read the settings: {error}")


def _complaint(where: tuple[int | str, ...], message: str) -> str:
    name = str(where[0]) if where else "?"
    variable = PREFIX + name.upper()
    if variable in os.environ:
        return f"{variable}: {message}"
    if name in Settings.model_fields:
        return f"gateway.yaml: {name}: {message}"
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"gateway.yaml: there is no setting {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _warn_of_strangers() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        near = difflib.get_close_matches(variable, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        typer.echo(f"tokenway: warning: {variable} is not a setting and is ignored{hint}", err=True)


def catalog(of: Settings) -> Catalog:
    """The validated catalogue. Exits 2 and names file and key when it is broken."""
    try:
        return load(of.config_dir, os.environ, dialects=registry.names())
    except CatalogError as error:
        refuse(f"the catalogue in {of.config_dir} is broken:\n{error}")
    except OSError as error:
        refuse(f"cannot read the catalogue in {of.config_dir}: {error}")


def admin_key(of: Settings) -> tuple[str, str]:
    """(management key, where it comes from). Exits 2 when its file is unusable or may be read by others."""
    try:
        key = settings_file.admin_key(of)
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"cannot use the management key: {error}")
    if of.admin_key is not None:
        return key, "GATEWAY_ADMIN_KEY"
    path = of.data_dir / ADMIN_KEY_FILE
    if len(key) < MIN_KEY_LENGTH:
        refuse(f"{path} holds no management key of at least {MIN_KEY_LENGTH} characters; delete it to have one made")
    return key, str(path)
