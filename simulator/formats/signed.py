"""Reasoning that must come back unchanged: signatures, and packets that only their maker can open.

Stateless, as the vendors' are: whoever gets a signed text back can tell that it is his own, whole, and of which item.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

_KEY: Final = b"a simulated vendor signs with this"
_STANDARD: Final = str.maketrans("-_", "+/")


def sign(*texts: str) -> str:
    """A signature over the texts in their order: base64, as the vendors' are."""
    digest = hmac.new(_KEY, "\x00".join(texts).encode(), hashlib.sha256).digest()
    return base64.b64encode(b"sim1" + digest + digest).decode()


def signed(signature: str, *texts: str) -> bool:
    """The signature is ours and of these very texts."""
    return hmac.compare_digest(signature.encode(), sign(*texts).encode())


def seal(owner: str, text: str) -> str:
    """A packet for ``owner`` (an item's id) that nobody else can read into or alter."""
    body = f"{owner}\x00{text}".encode()
    return base64.b64encode(hmac.new(_KEY, body, hashlib.sha256).digest() + body).decode()


def unseal(packet: str) -> tuple[str, str] | None:
    """The owner and the text; None for a packet that is not ours or was altered. Either alphabet of base64 will do."""
    try:
        raw = base64.b64decode(packet.translate(_STANDARD) + "=" * (-len(packet) % 4), validate=True)
    except ValueError:
        return None
    digest, body = raw[:32], raw[32:]
    if not hmac.compare_digest(digest, hmac.new(_KEY, body, hashlib.sha256).digest()):
        return None
    owner, _, text = body.decode().partition("\x00")
    return owner, text
