"""The peers, each as its own documentation starts it, installed on demand under ``bench/.peers`` (ignored by git).

Neither keeps a ledger: LiteLLM runs without a database, Portkey's open gateway has none. One process each, logging as shipped.
LiteLLM: docs "Quick start proxy" and "Production best practices" (November 2026). Portkey: README and the ``x-portkey-*`` headers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import running
from bench.site import CHAT, Site, Skipped, Target, free_port
from bench.talk import Route, Start, completion

HOME = Path(__file__).with_name(".peers")
LITELLM = "litellm[proxy]>=1.106,<2"
# With @hono/node-server from 1.14 on (npm would take the newest) Portkey 1.15 answers streams with
# "TypeError: immutable"; the project knows it (its issue 1389, open in November 2026).
PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "^1.15"},
    "overrides": {"@hono/node-server": "~1.13.8"},
}
_INSTALL_S = 600
_START_S = 90.0


def _install(command: list[str], cwd: Path) -> None:
    print(f"installing a peer: {' '.join(command)}", file=sys.stderr)
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or ""
        raise Skipped(f"installation failed: {error}: {detail[-300:]}") from error


def _litellm_bin() -> Path:
    home = HOME / "litellm"
    program = home / "bin" / "litellm"
    if not program.exists():
        HOME.mkdir(exist_ok=True)
        _install([sys.executable, "-m", "venv", str(home)], HOME)
        _install([str(home / "bin" / "pip"), "install", "--quiet", LITELLM], HOME)
    return program


def _portkey_script() -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Skipped("no node and npm on PATH")
    home = HOME / "portkey"
    script = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not script.exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text(json.dumps(PORTKEY_PACKAGE))
        _install([npm, "install", "--prefix", ".", "--no-audit", "--no-fund"], home)
    return script


# Without a price LiteLLM searches for the reason on each request (zero_cost_diagnostic.py), which would not be fair.
_PRICE = {"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7}


@contextmanager
def litellm(site: Site) -> Iterator[Target]:
    """Raises Skipped, StartError."""
    program, port, key = _litellm_bin(), free_port(), f"sk-{secrets.token_hex(16)}"
    models = [
        {
            "model_name": f"bench-{kind}",
            "litellm_params": {"model": "openai/fast-1", "api_base": base_url, "api_key": "sk-none", **_PRICE},
        }
        for kind, base_url in site.base_urls.items()
    ]
    config = site.scratch / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": key}}))
    env = {
        **os.environ,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no price download at the start
        "SSL_CERT_FILE": str(site.ca_file),
    }
    log = site.scratch / "litellm.log"
    bearer = (("authorization", f"Bearer {key}"),)
    routes = {kind: Route(port, CHAT, f"bench-{kind}", bearer) for kind in site.base_urls}
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    begun_s = time.monotonic()
    with running(command, core=site.cores.server, log=log, env=env, cwd=site.scratch) as child:
        started = Start(child, log, begun_s)
        start_s = started.wait(lambda: completion(routes["plain"]), _START_S)
        started.wait(lambda: completion(routes["tls"]), _START_S)
        title = f"LiteLLM {_litellm_version()}"
        yield Target(
            "litellm",
            title,
            child.pid,
            site.cores.server,
            routes,
            start_s,
            callers=4,
            peer=True,
            messages_path="/v1/messages",
        )


def _litellm_version() -> str:
    found = next((HOME / "litellm").glob("lib/python*/site-packages/litellm-*.dist-info"))
    return found.name.removeprefix("litellm-").removesuffix(".dist-info")


@contextmanager
def portkey(site: Site) -> Iterator[Target]:
    """Raises Skipped, StartError. The provider and its address go into headers: the open gateway has no configuration file."""
    script, port = _portkey_script(), free_port()
    env = {
        **os.environ,
        "NODE_ENV": "production",
        "NODE_EXTRA_CA_CERTS": str(site.ca_file),
        "TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1",
    }
    routes = {
        kind: Route(port, CHAT, "fast-1", (*_PORTKEY_HEADERS, ("x-portkey-custom-host", base_url)))
        for kind, base_url in site.base_urls.items()
    }
    log = site.scratch / "portkey.log"
    command = [shutil.which("node") or "node", str(script), f"--port={port}", "--headless"]
    begun_s = time.monotonic()
    with running(command, core=site.cores.server, log=log, env=env, cwd=site.scratch) as child:
        started = Start(child, log, begun_s)
        start_s = started.wait(lambda: completion(routes["plain"]), _START_S)
        started.wait(lambda: completion(routes["tls"]), _START_S)
        version = json.loads((script.parent.parent / "package.json").read_text())["version"]
        yield Target(
            "portkey", f"Portkey {version}", child.pid, site.cores.server, routes, start_s, callers=20, peer=True
        )


_PORTKEY_HEADERS = (("x-portkey-provider", "openai"), ("authorization", "Bearer sk-none"))
