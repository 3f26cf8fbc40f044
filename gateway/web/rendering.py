"""Templates into pages: Jinja with escaping everywhere, static files with their addresses, and a cache of finished pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2s
from pathlib import Path
from typing import Any

import jinja2

from gateway import __version__
from gateway.web import numbers, paint, views
from gateway.web.markup import clean, external

HERE = Path(__file__).resolve().parent
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
KEPT_S = 5.0
"""How long a page is sent again before it is made anew: what it is made of is read as often."""


@dataclass(frozen=True, slots=True)
class Page:
    """A finished answer."""

    body: bytes
    status: int
    etag: str


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of ``static/``; its address changes with its content, so that browsers may keep it for ever."""

    body: bytes
    media_type: str
    version: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Name → file."""
    return {
        path.name: StaticFile(path.read_bytes(), TYPES[path.suffix], digest(path.read_bytes()))
        for path in sorted((HERE / "static").iterdir())
        if path.suffix in TYPES
    }


@cache
def environment() -> jinja2.Environment:
    """The templates: every value is cleaned and escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        finalize=clean,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "short": numbers.short,
        "exact": numbers.exact,
        "per_mtok": numbers.dollars_per_mtok,
        "usd": numbers.usd,
        "external": external,
        "hue": paint.hue,
        "slug_path": views.slug_path,
        "model_path": views.path_of,
    }
    made.globals |= {
        "version": __version__,
        "static": _address,
        "milliseconds": numbers.milliseconds,
        "percent": numbers.percent,
        "points": numbers.points,
        "short": numbers.short,
        "signed": numbers.signed,
    }
    return made


def render(template: str, values: Mapping[str, Any], status: int = 200) -> Page:
    """One page. Raises jinja2.UndefinedError for a value that the template lacks."""
    body = environment().get_template(template).render(values).encode(errors="replace")
    return Page(body, status, f'"{digest(body)}"')


def _address(name: str) -> str:
    return f"/static/{name}?v={static_files()[name].version}"


def digest(body: bytes) -> str:
    """A tag of these bytes."""
    return blake2s(body, digest_size=8).hexdigest()
