"""One run: start everything, measure in rounds, stop everything.

Rounds go through all targets, so a machine that slows down half-way slows all of them, and ratios stay true.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import gateway, nginx, peers, quiet
from bench.measure import FULL, QUICK, Bench, Effort
from bench.processes import CHECKOUT, cores
from bench.site import Site, Skipped, Target, bare, open_site
from bench.talk import StartError

PEERS = ("litellm", "portkey")
NAMES = ("nginx", "gateway", *PEERS)
_RATE_CAP_PER_S = 3000.0  # what the client, sharing its core with the upstream, sends without being late
_QUIET_S = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    quick: bool
    names: tuple[str, ...]
    command: str


def _starters(options: Options) -> dict[str, Callable[[Site], AbstractContextManager[Target]]]:
    return {
        "nginx": nginx.start,
        "gateway": lambda site: gateway.start(site, options.command),
        "litellm": peers.litellm,
        "portkey": peers.portkey,
    }


def _start_all(site: Site, options: Options, stack: ExitStack, notes: list[str]) -> list[Target]:
    """The bare upstream first. A peer that cannot run here is a note; nginx and the gateway have to."""
    targets = [bare(site)]
    for name, starter in _starters(options).items():
        if name not in options.names:
            continue
        try:
            targets.append(stack.enter_context(starter(site)))
        except (Skipped, StartError) as error:
            if name not in PEERS:
                raise
            notes.append(f"{name} was skipped: {error}")
    return targets


def half_rate(target: str, per_s: float, targets: Sequence[str]) -> tuple[float, list[str]]:
    """Half of the requests a second that ``target`` has just done, and the rate's targets: nginx has the gateway's rate, so that
    their delays can be compared."""
    if target == "bare" or not per_s or (target == "nginx" and "gateway" in targets):
        return 0.0, []
    beside = ["nginx"] if target == "gateway" and "nginx" in targets else []
    return min(per_s / 2, _RATE_CAP_PER_S), [target, *beside]


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _round(bench: Bench, targets: Sequence[Target]) -> None:
    """Plain upstream: each one's saturation and right behind it its half load, beside the bare upstream at that rate; then streams.

    Half of what it did a moment ago: a shared host may be half as fast a minute later, and then half is full.
    """
    named = {target.name: target for target in targets}
    for target in targets:
        with bench.forgiving(target):
            rate, driven = half_rate(target.name, bench.saturation(target, "plain"), tuple(named))
            for name in driven:
                bench.rate(named[name], "plain", rate, "half")
            if driven:
                bench.rate(targets[0], "plain", rate, f"at{rate:.0f}")
    for target in targets:
        with bench.forgiving(target):
            bench.turns(target)
            bench.streams(target, "plain")
            bench.pictures(target)
            for kind in gateway.DIALECTS:
                if kind in target.routes:
                    bench.streams(target, kind)


def _tls_round(bench: Bench, targets: Sequence[Target]) -> None:
    for target in targets:
        if "tls" in target.routes:
            with bench.forgiving(target):
                bench.saturation(target, "tls")
                bench.streams(target, "tls")


def _measure(bench: Bench, targets: Sequence[Target], effort: Effort) -> list[float]:
    """Returns the busy shares of the machine before each round."""
    for target in targets:
        for kind in target.routes:
            _say(f"warming {target.title}, {kind} upstream")
            with bench.forgiving(target):
                bench.warm(target, kind)
    noise = []
    for turn in range(effort.rounds):
        noise.append(quiet.sample(_QUIET_S))
        _say(f"round {turn + 1} of {effort.rounds}; the machine is {noise[-1]:.0%} busy with other things")
        _round(bench, targets)
        if turn < effort.tls_rounds:
            _tls_round(bench, targets)
    for target in targets:
        bench.memory(target)
    return noise


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    except OSError:
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    # wrk -v answers with exit code 1, git outside a repository with 128
    return lines[0].strip() if lines and done.returncode < 2 else ""


def machine() -> dict[str, Any]:
    """The machine and the versions of the run."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": _output("nginx", "-v").partition("nginx/")[2],
        "wrk": _output("wrk", "-v").removeprefix("wrk ").split(" [")[0],
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "changed": bool(_output("git", "status", "--porcelain")),
    }


def run(options: Options) -> dict[str, Any]:
    """The whole result as JSON-able data. Raises StartError when nginx or the gateway does not come up."""
    effort = QUICK if options.quick else FULL
    notes: list[str] = []
    begun, ticks = datetime.now(UTC), quiet.now()
    with tempfile.TemporaryDirectory(prefix="tokenway-bench-") as scratch, ExitStack() as stack:
        site = stack.enter_context(open_site(cores(), Path(scratch)))
        targets = _start_all(site, options, stack, notes)
        bench = Bench(site, effort)
        noise = _measure(bench, targets, effort)
        books = {target.name: gateway.audit(target) for target in targets if target.admin}
    samples = bench.samples
    return {
        "begun": begun.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - begun).total_seconds()),
        "effort": {"name": "quick" if options.quick else "full", **asdict(effort)},
        "machine": machine(),
        "noise": {"busy_share_max": max(noise), "steal_share": quiet.steal_share(ticks, quiet.now())},
        "settings": {
            name: value for name, value in os.environ.items() if name in ("GATEWAY_SERVER", "GATEWAY_WORKERS")
        },
        "targets": {target.name: {"title": target.title, "callers": target.callers} for target in targets},
        "samples": {name: dict(values) for name, values in samples.values.items()},
        "failed": dict(samples.failed),
        "books": books,
        "notes": notes + samples.notes,
    }


def save(result: dict[str, Any], folder: Path) -> Path:
    """Writes ``<folder>/<timestamp>.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['begun'][:19].replace('-', '').replace(':', '')}Z.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
