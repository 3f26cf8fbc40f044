"""What can go wrong in a call to Redis.

StoreError
    StoreUnavailable   no connection, or it broke before the reply came (the call may have run)
        StoreTimeout   no reply in time (the call may have run, or may still run)
        StoreRefused   the server does not accept the URL's user, password or database: waiting does not help
    StoreReply         the server answered with an error; nothing was done by a plain command
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of the store."""


class StoreUnavailable(StoreError):
    """No connection, or it was lost while the call was under way: whether the call ran is not known."""


class StoreTimeout(StoreUnavailable):
    """The deadline passed without a reply: whether the call ran, or will run, is not known."""


class StoreRefused(StoreUnavailable):
    """The credentials or the database of the URL are wrong; no command was run."""


class StoreReply(StoreError):
    """An error reply, ``LOADING ...``, ``OOM ...``, ``ERR ...``."""

    @property
    def code(self) -> str:
        """The error code, which is the first word of the reply."""
        return str(self).partition(" ")[0]

    @property
    def full(self) -> bool:
        """The server refuses to grow. redis-py takes the code ``OOM`` off its texts."""
        return self.code == "OOM" or "used memory > 'maxmemory'" in str(self)
