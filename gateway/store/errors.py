"""What can go wrong on the road to Redis.

StoreError
    StoreUnavailable   no connection, or it broke before the reply came (the call may have run)
        StoreTimeout   no reply in time (the call may have run, or may still run)
        StoreRefused   the server does not accept the URL's user, password or database: waiting does not help
    StoreReply         the server answered with an error; nothing was done by a plain command
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of the three."""


class StoreUnavailable(StoreError):
    """No connection, or it was lost while the call was under way: whether the call ran is not known."""


class StoreTimeout(StoreUnavailable):
    """The deadline passed without a reply: whether the call ran, or will run, is not known."""


class StoreRefused(StoreUnavailable):
    """Credentials or database of the URL are wrong; nothing was called."""


class StoreReply(StoreError):
    """An error reply, ``LOADING ...``, ``OOM ...``, ``ERR ...``."""

    @property
    def code(self) -> str:
        """Its first word."""
        return str(self).partition(" ")[0]
