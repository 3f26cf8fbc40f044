"""nginx as a bare proxy of the same upstream: the cost of forwarding alone, without parsing, checking or counting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import proxyconf
from bench.processes import running
from bench.site import CHAT, Site, Target, free_port
from bench.talk import Route, Start, completion

_START_S = 10.0


def _configure(site: Site, ports: dict[str, int]) -> Path:
    """The vendor's certificate is checked (chain and name) as a gateway would; TLS sessions and connections are kept."""
    verify = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {site.ca_file}; proxy_ssl_session_reuse on;"
    # A proxy_set_header in a location drops the inherited ones, and with them the kept connection: hence Connection once more.
    name = 'proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_set_header Host localhost; proxy_set_header Connection "";'
    blocks = [
        proxyconf.pool("plain", site.upstream_port),
        proxyconf.pool("vendor", site.tls_port),
        proxyconf.server(f"listen 127.0.0.1:{ports['plain']};", "location / { proxy_pass http://plain; }"),
        proxyconf.server(
            f"listen 127.0.0.1:{ports['tls']};", f"location / {{ proxy_pass https://vendor; {name} {verify} }}"
        ),
    ]
    return proxyconf.write(site.scratch / "nginx", blocks)


@contextmanager
def start(site: Site) -> Iterator[Target]:
    """Raises StartError."""
    ports = {"plain": free_port(), "tls": free_port()}
    conf, log = _configure(site, ports), site.scratch / "nginx.log"
    routes = {kind: Route(port, CHAT, "fast-1") for kind, port in ports.items()}
    begun_s = time.monotonic()
    with running(["nginx", "-c", str(conf)], core=site.cores.server, log=log) as child:
        started = Start(child, log, begun_s)
        start_s = started.wait(lambda: completion(routes["plain"]), _START_S)
        started.wait(lambda: completion(routes["tls"]), _START_S)
        # it does not read what it forwards, so any path will do for the Messages API
        yield Target("nginx", "nginx", child.pid, site.cores.server, routes, start_s, callers=50, messages_path=CHAT)
