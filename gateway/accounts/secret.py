"""The form of an API key: ``sk-tw-v1-<8 hex: organisation code>-<43 base62: 256 random bits>``.

Only its SHA-256 is stored. A slow hash would only help for secrets that can be guessed, and 256 random bits cannot.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string

from gateway.store import keys

FORM = re.compile(r"sk-tw-v1-([0-9a-f]{8})-[0-9A-Za-z]{43}", re.ASCII)
HASH_FORM = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BASE62 = string.digits + string.ascii_letters


def mint(org: str) -> str:
    """A new key for an organisation."""
    return f"sk-tw-v1-{keys.org_code(org)}-{''.join(secrets.choice(_BASE62) for _ in range(43))}"


def digest(key: str) -> str:
    """The public id of a key: 64 hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def mask(key: str) -> str:
    """The part of a key that may be shown at any time: ``sk-tw-v1-1f0...x7Qa``."""
    return f"{key[:12]}...{key[-4:]}"


def code(key: str) -> str | None:
    """The organisation code, None when the text does not have the form of a key."""
    match = FORM.fullmatch(key)
    return match[1] if match else None
