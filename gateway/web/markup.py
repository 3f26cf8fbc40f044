"""Text of others on its way into markup: every label, name and title goes through ``clean``, and into SVG through ``escape``.

Names come from the catalogue's files and, in charts, from what callers say about themselves: both may be hostile.
"""

from __future__ import annotations

import re
from html import escape as escape_html
from typing import Any

from markupsafe import Markup

LABEL_MAX = 200
"""Characters of a label; the rest is cut, so that a name of a megabyte costs a page nothing."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]"
)
"""Control characters, directional overrides, and what no document may contain. Joiners (U+200C, U+200D) are letters' own."""
_WEB = re.compile(r"https?://[^\s\"'<>\\]+")


def clean(value: Any) -> Any:
    """Text without characters that hide or turn what follows them, other values as they are. Templates apply it to everything."""
    return _INVISIBLE.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, Markup) else value


def escape(text: object, limit: int = LABEL_MAX) -> str:
    """Text as character data or as a quoted attribute of XML, at most ``limit`` characters of it."""
    whole = str(text)
    cut = whole if len(whole) <= limit else whole[: limit - 1] + "…"
    return escape_html(_INVISIBLE.sub("\ufffd", cut), quote=True)


def external(url: str | None) -> str | None:
    """An address that may be linked: http or https, nothing that a browser would run. Else None."""
    return url if url is not None and _WEB.fullmatch(url) else None
