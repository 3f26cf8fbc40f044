"""A connection on which bytes follow the end of an answer is closed, so that nobody takes them for the next answer.

httpcore 1.0.9 keeps such a connection (httpcore/_async/http11.py, read 2026-11): the second of two answers to one request would be
given to whoever sends the next request. Every answer passes ``_response_closed``, whichever way it ends.
"""

from __future__ import annotations

from httpcore._async.http11 import AsyncHTTP11Connection

_response_closed = AsyncHTTP11Connection._response_closed


async def _closed_if_dirty(self: AsyncHTTP11Connection) -> None:
    leftovers, _ = self._h11_state.trailing_data
    if leftovers:
        await self.aclose()
    else:
        await _response_closed(self)


def install() -> None:
    """Make httpcore's connections do so. Idempotent."""
    AsyncHTTP11Connection._response_closed = _closed_if_dirty  # type: ignore[method-assign]
