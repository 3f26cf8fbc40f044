"""This gateway as a user starts it: its command, ``GATEWAY_*`` variables, a catalogue of its own, a key and credit over HTTP.

Ledger, metrics and the log line of each request are on. The embedded Valkey shares the gateway's core. Other ``GATEWAY_*``
variables of the caller are passed on, so ``GATEWAY_SERVER=granian make bench`` measures that.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import CHECKOUT, running
from bench.site import Site, Target, free_port
from bench.talk import Route, Start, StartError, call, completion, ready

COMMAND = f"{CHECKOUT}/.venv/bin/tokenway serve"
_START_S = 30.0
_CREDIT_USD = "1000"
_MODELS = {
    "plain": "bench/fast-1",
    "tls": "bench/fast-1-tls",
    "anthropic": "bench/fast-1-anthropic",
    "gemini": "bench/fast-1-gemini",
}
DIALECTS = ("anthropic", "gemini")
"""Wire formats that the gateway translates; the peers do not."""
_PROVIDER = """\
slug: {slug}
name: Bench {kind}
dialect: {dialect}
base_url: {base_url}
api_key_env: null
data_policy: {{training: false, retains_prompts: false}}
headquarters: DE
"""
_MODEL = """\
- slug: {model}
  name: Bench Fast 1 over {kind}
  created: 2026-01-01
  context_length: 128000
  input_modalities: [text]
  output_modalities: [text]
  supported_parameters: [temperature, max_tokens]
  endpoints:
    - provider: {slug}
      upstream_id: fast-1
      max_completion_tokens: 8192
"""
_PRICE = """\
- upstream_id: fast-1
  from: 2026-01-01
  usd_per_mtok: {prompt: "0.15", completion: "0.60"}
  source: https://bench.example/pricing
"""


def write_catalogue(home: Path, base_urls: Mapping[str, str]) -> None:
    """One provider, model and price for each kind of upstream."""
    for folder in ("providers", "models", "prices"):
        (home / folder).mkdir(parents=True)
    models = []
    for kind, base_url in base_urls.items():
        slug, dialect = f"bench-{kind}", kind if kind in DIALECTS else "openai"
        about = {"slug": slug, "kind": kind, "base_url": base_url, "dialect": dialect}
        (home / "providers" / f"{slug}.yaml").write_text(_PROVIDER.format_map(about))
        (home / "prices" / f"{slug}.yaml").write_text(_PRICE)
        models.append(_MODEL.format(model=_MODELS[kind], kind=kind, slug=slug))
    (home / "models" / "bench.yaml").write_text("".join(models))


def environment(site: Site, port: int, admin_key: str) -> dict[str, str]:
    """Both HTTP clients of the gateway read a private certificate authority from ``SSL_CERT_FILE``."""
    home = site.scratch / "gateway"
    return {
        **os.environ,
        "GATEWAY_CONFIG_DIR": str(home / "config"),
        "GATEWAY_DATA_DIR": str(home / "data"),
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "GATEWAY_ADMIN_KEY": admin_key,
        "SSL_CERT_FILE": str(site.ca_file),
    }


def _admin(port: int, admin_key: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {admin_key}", "idempotency-key": f"bench-{secrets.token_hex(8)}"}
    status, raw = call(port, "POST", path, headers=headers, body=body)
    if status not in (200, 201):
        raise StartError(f"POST {path}: status {status}: {raw[:500].decode(errors='replace')}")
    return json.loads(raw)


@contextmanager
def start(site: Site, command: str = COMMAND) -> Iterator[Target]:
    """Ready = /readyz answers 200. Raises StartError."""
    home, port, admin_key = site.scratch / "gateway", free_port(), secrets.token_urlsafe(24)
    write_catalogue(home / "config", {**site.base_urls, **dict.fromkeys(DIALECTS, site.base_urls["plain"])})
    (home / "data").mkdir()
    log = site.scratch / "gateway.log"
    begun_s = time.monotonic()
    environ = environment(site, port, admin_key)
    with running(shlex.split(command), core=site.cores.server, log=log, env=environ, cwd=CHECKOUT) as child:
        started = Start(child, log, begun_s)
        start_s = started.wait(lambda: ready(port, "/readyz"), _START_S)
        _admin(
            port,
            admin_key,
            "/api/v1/admin/organizations/default/credits",
            {"amount_usd": _CREDIT_USD, "reason": "bench"},
        )
        key = _admin(port, admin_key, "/api/v1/keys", {"name": "bench"})["key"]
        bearer = (("authorization", f"Bearer {key}"),)
        routes = {kind: Route(port, "/api/v1/chat/completions", model, bearer) for kind, model in _MODELS.items()}
        for route in routes.values():
            if wrong := completion(route):
                raise StartError(wrong)
        yield Target(
            "gateway",
            "Tokenway",
            child.pid,
            site.cores.server,
            routes,
            start_s,
            callers=50,
            messages_path="/api/v1/messages",
            admin=(port, admin_key),
        )


def audit(target: Target) -> dict[str, Any]:
    """The results of the gateway's ledger audit and its metrics after the run; {} for a target without a ledger."""
    if target.admin is None:
        return {}
    port, admin_key = target.admin
    headers = {"authorization": f"Bearer {admin_key}"}
    audit_status, answer = call(port, "GET", "/api/v1/admin/audit", headers=headers)
    metrics, _ = call(port, "GET", "/metrics")
    credit, balance = call(port, "GET", "/api/v1/credits", headers=headers)
    return {
        "audit_status": audit_status,
        "audit": json.loads(answer) if audit_status in (200, 409) else answer[:200].decode(errors="replace"),
        "metrics_status": metrics,
        "credits": json.loads(balance) if credit == 200 else None,
    }
