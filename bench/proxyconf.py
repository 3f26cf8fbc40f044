"""nginx configurations of the bench: one worker, keep-alive both ways, nothing buffered, nothing logged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def pool(name: str, port: int) -> str:
    """Keep-alive connections to a local server, without a limit of requests."""
    kept = "keepalive 512; keepalive_requests 100000000; keepalive_timeout 600s;"
    return f"  upstream {name} {{ server 127.0.0.1:{port}; {kept} }}"


def server(*lines: str) -> str:
    return "  server {\n" + "\n".join(f"    {line}" for line in lines) + "\n  }"


def write(home: Path, blocks: Sequence[str]) -> Path:
    """Makes the directory and returns the configuration's path."""
    home.mkdir()
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{place}_temp_path {home}/{place};" for place in places)
    body = "\n".join(blocks)
    path = home / "nginx.conf"
    path.write_text(
        f"""daemon off; worker_processes 1; pid {home}/nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; {temporary}
  keepalive_requests 100000000; keepalive_timeout 600s; client_body_buffer_size 64k; client_max_body_size 0;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
{body}
}}
"""
    )
    return path
