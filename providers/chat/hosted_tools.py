"""Tools of types other than ``function``: as a rule the vendor itself runs them, and each vendor has others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def functions_only(dialect: object, tool: Any, options: Mapping[str, Any]) -> bool:
    """``Dialect.hosts``: whether the vendor takes a tool whose type is not ``function``; here, of vendors that take none.

    ``options``: those of the target.
    """
    return False
