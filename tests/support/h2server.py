"""A vendor with HTTP/2 over TLS: it streams one event for each request, and keeps streams open whose path says so."""

from __future__ import annotations

import asyncio
import ssl

import h2.config
import h2.connection
import h2.events


class H2Server:
    """``async with H2Server(tls) as server``; ``server.resets`` are the streams that the client has reset."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self.connections = 0
        self.resets: list[int] = []
        self.reset = asyncio.Event()

    async def __aenter__(self) -> H2Server:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0.01)


class _Connection(asyncio.Protocol):
    def __init__(self, server: H2Server) -> None:
        self._server = server
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._paths: dict[int, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.connections += 1
        self._state.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._state.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                headers = {bytes(name): bytes(value) for name, value in event.headers or ()}
                self._paths[event.stream_id or 0] = headers[b":path"].decode()
            elif isinstance(event, h2.events.DataReceived):
                self._state.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id or 0)
            elif isinstance(event, h2.events.StreamReset):
                self._server.resets.append(event.stream_id or 0)
                self._server.reset.set()
        self._flush()

    def _answer(self, stream: int) -> None:
        path = self._paths[stream]
        if "hold-headers" in path:
            return
        self._state.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        self._state.send_data(stream, b"data: 1\n\n", end_stream="hold" not in path)

    def _flush(self) -> None:
        self._transport.write(self._state.data_to_send())  # type: ignore[attr-defined]
