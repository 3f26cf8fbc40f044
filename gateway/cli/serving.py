"""``serve``: the gateway behind a socket.

The parent process owns what workers share: the listening socket, the embedded Valkey, the directory of the metrics. Workers read
the settings again from their environment, so what the parent decides travels in ``GATEWAY_*`` variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import importlib.util
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from typing import Annotated

import typer
import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from gateway.cli import configured
from gateway.cli.output import refuse
from gateway.errors import LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.settings import Settings
from gateway.store.client import connect
from gateway.store.embedded import Embedded, EmbeddedError
from gateway.store.errors import StoreError

APPLICATION = "gateway.app:create"
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG = 2048
GRACE_MARGIN_S = 2
"""The server gives up waiting this much after the house has ended its streams itself."""
WORKER_SILENCE_S = 60
"""A worker that says nothing for so long is replaced; on a busy machine one that starts is silent for many seconds."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (GATEWAY_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 = any free one (GATEWAY_PORT).")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes (GATEWAY_WORKERS).")] = None,
) -> None:
    """Start the gateway on GATEWAY_* settings alone.

    Without GATEWAY_REDIS_URL an embedded Valkey is started, with its data in GATEWAY_DATA_DIR. SIGTERM or Ctrl-C: readiness
    goes off, running streams finish or end with an error event, everything is settled, exit 0.
    """
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[configured.PREFIX + name] = str(value)
    settings = configured.settings()
    configured.catalog(settings)
    stop_on_sigterm()
    with contextlib.suppress(KeyboardInterrupt), listening(settings) as listener, equipped(settings):
        _announce(settings, listener)
        run(settings, listener)


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The bound, listening socket; ``GATEWAY_PORT`` is set to the port it really has. Exits 2 when it cannot be had."""
    try:
        listener = _bound(settings.host, settings.port)
    except OSError as error:
        refuse(_why_not(settings, error))
    listener.set_inheritable(True)
    os.environ["GATEWAY_PORT"] = str(listener.getsockname()[1])
    with listener:
        yield listener


def _bound(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _why_not(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; stop who uses it, or set GATEWAY_PORT"
    if error.errno == errno.EACCES:
        return f"no permission to listen on port {settings.port}; set GATEWAY_PORT to 1024 or more"
    return f"cannot listen on {settings.host}:{settings.port} (GATEWAY_HOST, GATEWAY_PORT): {error.strerror or error}"


@contextlib.contextmanager
def equipped(settings: Settings) -> Iterator[str]:
    """Management key, Redis and metrics directory, in the environment of the workers; the URL of Redis.

    Exits 2 when one of them cannot be had.
    """
    os.environ["GATEWAY_ADMIN_KEY"] = configured.admin_key(settings)[0]
    with contextlib.ExitStack() as stack:
        redis_url = settings.redis_url
        if redis_url is None:
            embedded = Embedded(settings.data_dir)
            try:
                embedded.start()
            except (EmbeddedError, OSError) as error:
                refuse(str(error))
            stack.callback(embedded.stop)
            os.environ["GATEWAY_REDIS_URL"] = redis_url = embedded.url
        else:
            _try_redis(settings, redis_url)
        if settings.workers > 1:
            os.environ[METRICS_DIR] = tempfile.mkdtemp(prefix="tokenway-metrics-")
            stack.callback(shutil.rmtree, os.environ[METRICS_DIR], ignore_errors=True)
        yield redis_url


def _try_redis(settings: Settings, url: str) -> None:
    """Whether the given Redis answers and takes our functions: said once and in words, not by each worker's traceback."""

    async def attempt() -> None:
        store = await connect(url, timeout_s=max(settings.ledger_timeout_s, 1.0))
        try:
            await Ledger(store).prepare()
        finally:
            await store.aclose()

    try:
        asyncio.run(attempt())
    except LedgerUnavailable as error:
        refuse(f"the Redis of GATEWAY_REDIS_URL is not usable, Redis >= 7 or Valkey is needed: {error.__cause__}")
    except (StoreError, PermissionError, ValueError) as error:
        refuse(f"cannot use the Redis of GATEWAY_REDIS_URL: {error}")


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve until told to stop. Exits 1 when the application could not start; its log says why."""
    if settings.server == "granian":
        _run_granian(settings, listener)
        return
    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http="gateway.server.protocol:LimitedHttpProtocol",
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(settings.shutdown_grace_s) + GRACE_MARGIN_S,
        timeout_worker_healthcheck=WORKER_SILENCE_S,
    )
    if settings.workers > 1:
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
        started = not any(process.exitcode == uvicorn.config.STARTUP_FAILURE for process in supervisor.processes)
    else:
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        started = server.started
    if not started:
        refuse("the application did not start", code=1)


class Supervisor(Multiprocess):
    """uvicorn's, and it stops listening when its workers do, and notices at once when one of them dies."""

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        """Start again who died."""
        super().keep_subprocess_alive()
        self._let_go()

    def _let_go(self) -> None:
        """Drop the workers' ends of their pipes: while they were open here, a death was taken for a silence."""
        for process in self.processes:
            process.child_conn.close()

    def terminate_all(self) -> None:
        """Stop. Callers who came meanwhile would wait in the parent's backlog for workers that never come."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _run_granian(settings: Settings, listener: socket.socket) -> None:
    if importlib.util.find_spec("granian") is None:
        refuse("GATEWAY_SERVER=granian needs the package: pip install 'tokenway[granian]'")
    granian = importlib.import_module("granian")  # an optional dependency: only who chose it pays for loading it
    port = listener.getsockname()[1]
    listener.close()
    multiprocessing.set_start_method("spawn", force=True)  # a fork would inherit locks and lose its metrics
    granian.Granian(
        APPLICATION,
        factory=True,
        address=settings.host,
        port=port,
        interface="asgi",
        workers=settings.workers,
        loop="uvloop",
        websockets=False,
        log_access=False,
        log_level="warning",  # it writes to standard output, where every line is JSON
        backlog=BACKLOG,
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.shutdown_grace_s) + GRACE_MARGIN_S,
    ).serve()


def _announce(settings: Settings, listener: socket.socket) -> None:
    workers = f"{settings.workers} worker" + ("s" if settings.workers > 1 else "")
    store = "the given Redis" if settings.redis_url else f"embedded Valkey in {settings.data_dir}"
    typer.echo(f"Tokenway on {origin(listener)}/api/v1 ({workers}, {store})", err=True)
    typer.echo(f"Management key: {configured.admin_key(settings)[1]}", err=True)


def origin(listener: socket.socket) -> str:
    """An address that can be called from this machine: 0.0.0.0 means every one of them."""
    address, port = listener.getsockname()[:2]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def stop_on_sigterm() -> None:
    """SIGTERM leaves through every ``finally`` and exits 0. uvicorn raises the signal again when it has shut down."""

    def leave(_signal: int, _frame: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
