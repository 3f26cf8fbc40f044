"""The place where targets are started: cores, a scratch directory, and the upstream, bare and behind TLS.

The TLS upstream is an nginx that ends TLS and speaks HTTP/2 or HTTP/1.1, whichever the caller prefers, as vendors' edges do. Its
certificate comes from a certificate authority made for the run; ``ca_file`` is what a target has to trust.
"""

from __future__ import annotations

import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from bench import proxyconf
from bench.processes import CHECKOUT, Cores, running
from bench.talk import Route, Start, StartError, completion, tail

CHAT = "/v1/chat/completions"
_START_S = 10.0


class Skipped(Exception):
    """A target that cannot be measured here; the text says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """Shared by all targets of a run."""

    cores: Cores
    scratch: Path
    upstream_pid: int
    upstream_port: int
    tls_port: int
    ca_file: Path

    @property
    def base_urls(self) -> dict[str, str]:
        """Kind of upstream → base URL as a gateway's configuration wants it."""
        return {
            "plain": f"http://127.0.0.1:{self.upstream_port}/v1",
            "tls": f"https://localhost:{self.tls_port}/v1",
        }


@dataclass(frozen=True, slots=True)
class Target:
    """A started server. ``routes``: kind of upstream ("plain", "tls") → the route through this target to it."""

    name: str
    title: str
    pid: int
    core: int
    routes: dict[str, Route]
    start_s: float
    callers: int  # concurrent streams, well below its limit
    peer: bool = False  # needs an installation; uses another number of concurrent streams
    messages_path: str | None = None  # of Anthropic's Messages API, where the target has it
    admin: tuple[int, str] | None = None  # port and management key, where the target has a ledger to audit


def free_port() -> int:
    """A port that was free a moment ago; for servers that do not report which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def open_site(cores: Cores, scratch: Path) -> Iterator[Site]:
    """Raises StartError when the upstream does not come up."""
    log = scratch / "upstream.log"
    command = [sys.executable, "-m", "bench.upstream"]
    with running(command, core=cores.load, log=log, cwd=CHECKOUT) as upstream:
        port = _printed_port(log)
        authority, tls_port = trustme.CA(), free_port()
        authority.cert_pem.write_to_path(scratch / "ca.pem")
        front = _front_conf(scratch, authority, tls_port, port)
        log = scratch / "front.log"
        begun_s = time.monotonic()
        with running(["nginx", "-c", str(front)], core=cores.load, log=log) as child:
            found = Site(cores, scratch, upstream.pid, port, tls_port, scratch / "ca.pem")
            Start(child, log, begun_s).wait(lambda: _handshake(found), _START_S)
            yield found


def bare(site: Site) -> Target:
    """The upstream itself, on the load's core: the ceiling of the load side and the floor of every latency."""
    route = Route(site.upstream_port, CHAT, "fast-1")
    if wrong := completion(route):
        raise StartError(wrong)
    return Target("bare", "bare upstream", site.upstream_pid, site.cores.load, {"plain": route}, 0.0, callers=50)


def _printed_port(log: Path) -> int:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        text = log.read_text() if log.exists() else ""
        if text.endswith("\n"):
            try:
                return int(text)
            except ValueError:
                break
        time.sleep(0.01)
    raise StartError(f"the upstream did not print its port:\n{tail(log)}")


def _handshake(site: Site) -> str:
    context = ssl.create_default_context(cafile=site.ca_file)
    try:
        with (
            socket.create_connection(("127.0.0.1", site.tls_port), 1) as raw,
            context.wrap_socket(raw, server_hostname="localhost"),
        ):
            return ""
    except OSError as error:
        return repr(error)


def _front_conf(scratch: Path, authority: trustme.CA, tls_port: int, upstream_port: int) -> Path:
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(scratch / "front.key")
    certificate.cert_chain_pems[0].write_to_path(scratch / "front.pem")
    front = proxyconf.server(
        f"listen 127.0.0.1:{tls_port} ssl http2;",
        f"ssl_certificate {scratch}/front.pem; ssl_certificate_key {scratch}/front.key;",
        "ssl_protocols TLSv1.2 TLSv1.3; http2_max_concurrent_streams 1000;",
        "location / { proxy_pass http://upstream; }",
    )
    return proxyconf.write(scratch / "front", [proxyconf.pool("upstream", upstream_port), front])
