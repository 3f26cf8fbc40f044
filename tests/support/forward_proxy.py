"""A real forward proxy: pproxy in a process of its own, on a real socket."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

CREDENTIALS = "someone:s3cret-word"
_SCRIPT = """
import asyncio, sys
import pproxy

async def main(listen, certificate):
    server = pproxy.Server(listen)
    if certificate:
        server.sslserver.load_cert_chain(certificate)
    # authtime: pproxy would remember an address that has shown its credentials once.
    options = {"rserver": [pproxy.DIRECT], "verbose": lambda line: print(line, flush=True), "authtime": -1}
    handler = await server.start_server(options)
    print(handler.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
"""


class ForwardProxy:
    """``url`` is its address, with its credentials if it requires any."""

    def __init__(self, scheme: str, credentials: str, certificate: Path | None) -> None:
        listen = f"{scheme.replace('https', 'http+ssl')}://127.0.0.1:0" + (f"#{credentials}" if credentials else "")
        arguments = [sys.executable, "-c", _SCRIPT, listen] + ([str(certificate)] if certificate else [])
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"{scheme}://{credentials + '@' if credentials else ''}127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)

    def connections_to(self, place: str) -> int:
        """The number of connections that it has made to a ``host:port``."""
        time.sleep(0.05)  # the process writes, a thread reads
        return sum("->" in line and place in line for line in self.lines)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


MakeProxy = Callable[..., ForwardProxy]


@contextmanager
def forward_proxies(authority: trustme.CA, folder: Path) -> Iterator[MakeProxy]:
    """Makes proxies by scheme (http, https, socks5) and credentials; each is started once."""
    started: dict[tuple[str, str], ForwardProxy] = {}
    certificate = folder / "proxy.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)

    def proxy(scheme: str, credentials: str = "") -> ForwardProxy:
        if (scheme, credentials) not in started:
            certificate_of = certificate if scheme == "https" else None
            started[scheme, credentials] = ForwardProxy(scheme, credentials, certificate_of)
        return started[scheme, credentials]

    yield proxy
    for one in started.values():
        one.close()


def server_tls(authority: trustme.CA, *names: str, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    """For a server with these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
