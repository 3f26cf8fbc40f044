"""How much of a vendor's answer is taken before it is cut, in bytes."""

from __future__ import annotations

from typing import Final

JSON_MAX: Final = 64 * 1024 * 1024
"""A whole answer."""
HEADERS_MAX: Final = 64 * 1024
"""All header names and values of one answer."""
WINDOW: Final = 256 * 1024
"""Unread bytes of a stream above which the connection is not read from: the reader's pace reaches the vendor."""
