"""One multiplexed connection for the hot calls: all commands of one loop tick leave in one write.

Replies are matched by order, so three rules keep them from shifting: a cancelled caller's reply is still read and
dropped; a call without a reply in time takes the whole connection with it; nothing from an old connection is ever read
again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

from gateway.store.errors import StoreReply, StoreTimeout, StoreUnavailable

BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.02, 1.0
TICKS_PER_TIMEOUT = 20
"""Checks of the watchdog per time-out: a call fails between 100 % and 110 % of its time-out."""
LAST_CHECK_S = 0.001
PENDING_MAX = 20_000

_pack: Callable[[tuple[str | bytes | int | float, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Address:
    """The address in a Redis URL: a unix socket path, or host and port, perhaps through TLS."""

    path: str | None
    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    db: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """``redis://``, ``rediss://`` or ``unix://`` as redis-py reads it. Raises ValueError."""
        parts: Mapping[str, Any] = parse_url(url)
        return cls(
            path=parts.get("path"),
            host=parts.get("host", "localhost"),
            port=int(parts.get("port", 6379)),
            tls=_tls(parts) if parts.get("connection_class") is SSLConnection else None,
            username=parts.get("username"),
            password=parts.get("password"),
            db=int(parts.get("db", 0)),
        )

    def handshake(self) -> list[tuple[str | int, ...]]:
        """Commands that open a session; the last is PING, so an answer means that the server takes calls."""
        commands: list[tuple[str | int, ...]] = []
        if self.password is not None:
            commands.append(("AUTH", self.username, self.password) if self.username else ("AUTH", self.password))
        if self.db:
            commands.append(("SELECT", self.db))
        return [*commands, ("PING",)]


def _tls(parts: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=parts.get("ssl_ca_certs"), capath=parts.get("ssl_ca_path"))
    if parts.get("ssl_certfile"):
        context.load_cert_chain(parts["ssl_certfile"], parts.get("ssl_keyfile"), parts.get("ssl_password"))
    if str(parts.get("ssl_check_hostname", True)).lower() in ("false", "0", "no"):
        context.check_hostname = False
    if parts.get("ssl_cert_reqs") in ("none", "optional"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if parts["ssl_cert_reqs"] == "none" else ssl.CERT_OPTIONAL
    return context


class _Connection(asyncio.Protocol):
    """One connection: bytes in, replies to the futures in the order they were sent."""

    def __init__(self, mux: Mux | None) -> None:
        self.owner = mux
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.received = 0
        self.dead = False
        self.reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass of it

    def data_received(self, data: bytes) -> None:
        gets = self.reader.gets
        waiting = self.waiting
        self.reader.feed(data)
        demoted = False
        try:
            while (reply := gets()) is not False:
                future = waiting.popleft()
                self.received += 1
                if not future.done():  # done already = its caller was cancelled
                    if isinstance(reply, hiredis.ReplyError):
                        demoted = demoted or str(reply).startswith("READONLY")
                        future.set_exception(StoreReply(str(reply)))
                    else:
                        future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.drop(StoreUnavailable(f"the server does not speak the protocol: {error!r}"))
        if demoted:  # after a failover, the address may already belong to the new primary
            self.drop(StoreUnavailable("the server has become a replica"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(StoreUnavailable(f"connection to the store was lost: {exc or 'closed by the server'}"))

    def drop(self, error: Exception) -> None:
        """Fail every waiting call, close, and never deliver a reply again."""
        self.dead = True
        owner, self.owner = self.owner, None
        waiting, self.waiting = self.waiting, deque()
        if self.transport is not None:
            self.transport.abort()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
        if owner is not None:
            owner._lost(self)


class Mux:
    """``await mux.call("GET", key)`` → the reply as hiredis reads it (bytes, int, list, None).

    Raises StoreTimeout, StoreUnavailable (both: the call may have run), StoreReply. While the connection is being
    re-opened calls wait for it, up to their deadline; when it has been gone for longer than that they fail at once.
    """

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._tick_s = timeout_s / TICKS_PER_TIMEOUT
        self._loop = asyncio.get_running_loop()
        self._line: _Connection | None = None
        self._unsent: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._flushing = False
        self._gone_at: float | None = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._marks: deque[tuple[float, int]] = deque()
        self._last_check = False
        self._sent = 0
        self._closed = False
        self.trouble: Exception | None = None
        """Why the last attempt to connect failed; None while connected."""
        self._opener: asyncio.Task[None] = self._loop.create_task(self._open())

    def call(self, *args: str | bytes | int | float) -> asyncio.Future[Any]:
        """Queue one command for this tick's write. The future may be cancelled at any time."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closed or len(self._unsent) >= PENDING_MAX:
            future.set_exception(
                StoreUnavailable("the connection is closed" if self._closed else "too many calls wait")
            )
            return future
        line = self._line
        if line is None and self._gone_at is not None and self._loop.time() - self._gone_at > self._timeout_s:
            future.set_exception(StoreUnavailable(f"the store cannot be reached: {self.trouble!r}"))
            return future
        self._unsent.append((_pack(args), future))
        if line is not None:
            if not self._flushing:
                self._flushing = True
                self._loop.call_soon(self._flush)
        elif self._watch is None:
            self._watch = self._loop.call_later(self._tick_s, self._check)
        return future

    @property
    def connected(self) -> bool:
        """Whether calls are sent at once."""
        return self._line is not None

    async def aclose(self) -> None:
        """Close; every waiting call fails with StoreUnavailable."""
        self._closed = True
        self._opener.cancel()
        await asyncio.gather(self._opener, return_exceptions=True)
        gone = StoreUnavailable("the connection is closed")
        if self._line is not None:
            self._line.drop(gone)
        self._fail_unsent(gone)
        if self._watch is not None:
            self._watch.cancel()

    def _flush(self) -> None:
        self._flushing = False
        line = self._line
        if line is None or not self._unsent:
            return
        batch, self._unsent = self._unsent, []
        if len(line.waiting) + len(batch) > PENDING_MAX:
            for _, future in batch:
                if not future.done():
                    future.set_exception(StoreUnavailable("too many calls wait for the store"))
            return
        assert line.transport is not None
        self._sent += len(batch)
        line.waiting.extend([future for _, future in batch])
        line.transport.write(b"".join([packed for packed, _ in batch]))
        if self._watch is None:
            self._marks.append((self._loop.time(), self._sent))
            self._watch = self._loop.call_later(self._tick_s, self._check)

    def _check(self) -> None:
        """The watchdog: one timer for all calls; it does not run while no call waits.

        A mark holds a time and how many calls had been sent by then. When a mark is a time-out old and not all of its calls have
        a reply, the connection is dropped.
        """
        self._watch = None
        now, line = self._loop.time(), self._line
        last_check, self._last_check = self._last_check, False
        if line is None:
            if self._gone_at is not None and now - self._gone_at >= self._timeout_s:
                self._fail_unsent(StoreTimeout(f"the store could not be reached for {self._timeout_s} s"))
            if not self._unsent:
                return
        elif line.waiting:
            while self._marks and self._marks[0][1] <= line.received:
                self._marks.popleft()
            if self._marks and now - self._marks[0][0] >= self._timeout_s:
                if not last_check:  # perhaps this event loop is late: read what has arrived, then decide
                    self._last_check = True
                    self._watch = self._loop.call_later(LAST_CHECK_S, self._check)
                    return
                line.drop(StoreTimeout(f"the store did not answer within {self._timeout_s} s"))
                return
            self._marks.append((now, self._sent))
        else:
            self._marks.clear()
            return
        self._watch = self._loop.call_later(self._tick_s, self._check)

    def _fail_unsent(self, error: Exception) -> None:
        unsent, self._unsent = self._unsent, []
        for _, future in unsent:
            if not future.done():
                future.set_exception(error)

    def _lost(self, line: _Connection) -> None:
        if self._line is not line:
            return
        self._line = None
        self._gone_at = self._loop.time()
        self._marks.clear()
        if not self._closed:
            self._opener = self._loop.create_task(self._open())
            if self._watch is None and self._unsent:
                self._watch = self._loop.call_later(self._tick_s, self._check)

    async def _open(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                async with asyncio.timeout(max(self._timeout_s, 1.0)):
                    line = await self._connect()
            except (OSError, StoreUnavailable, StoreReply) as error:  # TimeoutError is an OSError
                self.trouble = error
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)
                continue
            line.owner = self
            self._line, self._sent, self._gone_at = line, line.received, None
            self.trouble = None
            self._flush()
            return

    async def _connect(self) -> _Connection:
        line = _Connection(None)
        where = self._address
        try:
            if where.path is not None:
                await self._loop.create_unix_connection(lambda: line, where.path)
            else:
                await self._loop.create_connection(lambda: line, where.host, where.port, ssl=where.tls)
            assert line.transport is not None
            handshake = where.handshake()
            answers = [self._loop.create_future() for _ in handshake]
            line.waiting.extend(answers)
            line.transport.write(b"".join(_pack(command) for command in handshake))
            failures = [a for a in await asyncio.gather(*answers, return_exceptions=True) if isinstance(a, Exception)]
            if failures:
                raise failures[0]
            if line.dead:
                raise StoreUnavailable("the connection was lost at once")
        except BaseException:
            line.drop(StoreUnavailable("the connection could not be opened"))
            raise
        return line
