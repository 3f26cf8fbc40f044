"""A stream of HTTP/2 that is closed early is reset, so that the vendor stops working on its answer.

httpcore 1.0.9 only forgets such a stream: it sends no RST_STREAM, so a vendor goes on generating and billing after a client has
disconnected, and it never acknowledges what had arrived for the stream, so each one shrinks the connection's flow-control window
until nothing arrives any more (httpcore/_async/http2.py, read 2026-11). Every stream passes ``_response_closed``, whichever way it
ends; that is where the reset belongs.
"""

from __future__ import annotations

from contextlib import suppress

import h2.errors
import h2.events
import h2.exceptions
from httpcore import NetworkError, TimeoutException
from httpcore._async import http2

WRITE_S = 1.0
"""Seconds that the reset may take to be written."""


class _Connection(http2.AsyncHTTP2Connection):
    async def _response_closed(self, stream_id: int) -> None:
        state = self._h2_state
        stream = state.streams.get(stream_id)
        if stream is not None and not stream.closed:
            with suppress(h2.exceptions.ProtocolError):  # the vendor closed the connection at the same time
                for event in self._events.get(stream_id, ()):
                    if isinstance(event, h2.events.DataReceived):
                        state.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
                state.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
            with suppress(NetworkError, TimeoutException):
                async with self._write_lock:
                    await self._network_stream.write(state.data_to_send(), WRITE_S)
        await super()._response_closed(stream_id)


def install() -> None:
    """Make httpcore open connections of this kind. Idempotent."""
    http2.AsyncHTTP2Connection = _Connection  # type: ignore[misc]
