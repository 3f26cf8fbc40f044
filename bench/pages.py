"""``python -m bench.pages``: how heavy every public page is and how long it takes, on the synthetic year.

For each page a gateway is started anew, so that nothing is kept: the first answer is *cold*. Then the page is asked for again until
there are enough answers: *warm*. Then another process is started, which finds in the store what the first has made: *restarted*.
Beside the clock's milliseconds stands the CPU time of the gateway's process, and how many times as long as that of the same run's
``GET /api/v1/models`` the first byte takes, which can be compared between machines. Exit codes: 0 done, 1 did not start.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis

from bench.processes import CHECKOUT
from gateway.analytics.report import document
from gateway.catalog.load import load
from gateway.store import analytics_keys
from gateway.web.report import WHOLE, sections
from providers import registry

YARDSTICK = "/api/v1/models"
PAGES = (
    YARDSTICK,
    "/",
    "/models",
    "/models/openai/gpt-4.1-mini",
    "/models/openai/gpt-4.1-mini?range=1y",
    "/providers",
    "/rankings",
    "/rankings?by=author&period=month",
    "/rankings?period=day&metric=users",
    "/rankings?scale=share&series=fixed&view=trending",
    "/rankings/requests",
    "/rankings/speed",
    "/apps",
    "/state-of-ai",
    "/api/v1/rankings/chart",
    "/api/v1/rankings/leaderboard",
    "/rankings.rss",
)
"""The parts of the report and the first app are added to them."""
START_S = 120.0
HOST = "gateway.example"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Answer(NamedTuple):
    """One answer. ``sent``: bytes of its body as they went over the wire, ``body``: unpacked."""

    status: int
    sent: int
    body: bytes
    first_byte_s: float


class Measured(NamedTuple):
    """A page. Seconds; CPU of the gateway's process."""

    path: str
    answer: Answer
    cold_cpu_s: float
    warm: list[float]
    warm_cpu_s: float
    restarted_s: float
    """To the first byte, of a process that has just started, when another one has made the page before."""


def ask(port: int, path: str) -> Answer:
    """Raises OSError, http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        begun = time.perf_counter()
        connection.request(
            "GET", path, headers={"host": HOST, "accept": "text/html,application/json", "accept-encoding": "gzip"}
        )
        response = connection.getresponse()
        first = response.read(1)
        first_byte_s = time.perf_counter() - begun
        sent = first + response.read()
        body = gzip.decompress(sent) if response.headers.get("content-encoding") == "gzip" else sent
        return Answer(response.status, len(sent), body, first_byte_s)
    finally:
        connection.close()


def prepare(data: Path, scale: float) -> None:
    """Count the year in the store of a data directory, and make its report; what is there already stays."""
    environment = {**os.environ, "GATEWAY_DATA_DIR": str(data)}

    def run(*words: str, config: str = "") -> None:
        command = [sys.executable, "-m", "gateway.cli", *words]
        subprocess.run(
            command, check=True, cwd=CHECKOUT, env={**environment, **({"GATEWAY_CONFIG_DIR": config} if config else {})}
        )

    if not (data / "demo-year").exists():
        run("demo-year", "--to", "redis", "--scale", str(scale))
    if not (data / "reports").exists():
        run(
            "demo-year",
            "--to",
            "parquet",
            "--shift",
            "0",
            "--scale",
            str(scale),
            "--out",
            str(data / "year"),
            config=config_of(data),
        )
        run("analytics", "report", "--from", str(data / "year"), "--year", "2025", config=config_of(data))


def config_of(data: Path) -> str:
    """The catalogue, with the attributes of the year's models."""
    return os.pathsep.join((str(CHECKOUT / "config"), str(data / "demo-year")))


def credentials() -> list[str]:
    """Names of the variables that the providers of the catalogue lack: with them all models are listed."""
    catalog = load((CHECKOUT / "config",), {}, dialects=registry.names())
    return [name for provider in catalog.providers.values() for name in provider.lacking]


@contextmanager
def started(data: Path) -> Iterator[tuple[int, int]]:
    """(port, process id) of a gateway on a data directory. Raises RuntimeError when it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    settings = {
        "DATA_DIR": str(data),
        "CONFIG_DIR": config_of(data),
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "error",
    }
    settings |= {"ANALYTICS": "true", "PUBLIC_RANKINGS": "true", "RANKINGS_MIN_USERS": "5", "HISTORY": "false"}
    opened = dict.fromkeys(credentials(), "opens-nothing")
    environment = {**os.environ, **opened, **{f"GATEWAY_{name}": value for name, value in settings.items()}}
    with (data / "gateway.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve"], cwd=CHECKOUT, env=environment, stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + START_S
        while True:
            try:
                if ask(port, "/readyz").status == 200:
                    break
            except OSError:
                pass
            if child.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the gateway did not start; see {data / 'gateway.log'}")
            time.sleep(0.05)
        yield port, child.pid
    finally:
        child.terminate()
        child.wait(30)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def measure(data: Path, path: str, times: int, apart_s: float) -> Measured:
    """The page of a gateway that has just started, then ``times`` more answers, ``apart_s`` seconds apart."""
    with started(data) as (port, pid):
        with redis.Redis(unix_socket_path=str(data / "valkey.sock")) as store:
            for key in store.scan_iter(analytics_keys.view("*")):
                store.delete(key)
        begun = cpu_s(pid)
        cold = ask(port, path)
        cold_cpu_s, begun = cpu_s(pid) - begun, cpu_s(pid)
        warm = []
        for _ in range(times):
            time.sleep(apart_s)
            warm.append(ask(port, path).first_byte_s)
        warm_cpu_s = (cpu_s(pid) - begun) / max(times, 1)
    with started(data) as (port, pid):
        measured = Measured(path, cold, cold_cpu_s, warm, warm_cpu_s, ask(port, path).first_byte_s)
    print(f"{path}: {cold.first_byte_s * 1000:.0f} ms, then {statistics.median(warm) * 1000:.1f} ms", file=sys.stderr)
    return measured


def paths(data: Path) -> list[str]:
    """All pages, those of the report among them."""
    report = document.decode(document.file_of(data, "2025").read_bytes())
    parts = [*(section.slug for section in sections(report)), WHOLE, *(figure.id for figure in report.figures)]
    return [*PAGES, *(f"/state-of-ai/{part}" for part in parts)]


def p95(values: list[float]) -> float:
    """The nearest-rank 95th percentile."""
    return sorted(values)[max(-(-len(values) * 95 // 100) - 1, 0)]


def table(found: list[Measured]) -> str:
    """As Markdown."""
    yardstick = next(each for each in found if each.path == YARDSTICK)
    cold_s, warm_s = yardstick.answer.first_byte_s, statistics.median(yardstick.warm)
    lines = [
        "| page | HTML | sent | cold: CPU | first byte | × models | warm: CPU | p50 | p95 | × models | restarted |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in found:
        cold, middle, high = each.answer.first_byte_s, statistics.median(each.warm), p95(each.warm)
        status = "" if each.answer.status == 200 else f" ({each.answer.status})"
        lines.append(
            f"| `{each.path}`{status} | {len(each.answer.body) / 1000:.0f} kB | {each.answer.sent / 1000:.1f} kB | "
            f"{each.cold_cpu_s * 1000:.0f} ms | {cold * 1000:.0f} ms | {cold / cold_s:.1f} | "
            f"{each.warm_cpu_s * 1000:.1f} ms | {middle * 1000:.1f} ms | {high * 1000:.1f} ms | {middle / warm_s:.1f} | "
            f"{each.restarted_s * 1000:.0f} ms |"
        )
    return "\n".join(lines)


def weights(data: Path, wanted: list[str]) -> list[Measured]:
    """All pages of one gateway, each once: their weights alone."""
    with started(data) as (port, _):
        return [Measured(path, ask(port, path), 0.0, [0.001], 0.0, 0.0) for path in wanted]


def main() -> int:
    """Parses the command line and does one run."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description="Weighs and times the public pages.")
    parser.add_argument(
        "--data", type=Path, help="data directory of the year, made when it is missing (default: a temporary one)"
    )
    parser.add_argument(
        "--scale", type=float, default=1e-5, help="of the synthetic year (default 1e-5: 358,000 events)"
    )
    parser.add_argument("--times", type=int, default=20, help="warm answers of each page (default 20)")
    parser.add_argument("--apart", type=float, default=0.5, help="seconds between them (default 0.5)")
    parser.add_argument("--only", default="", help="pages whose address contains one of these, with commas between")
    parser.add_argument("--weights", action="store_true", help="how heavy the pages are, without times")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = (args.data or Path(scratch)).resolve()
        data.mkdir(parents=True, exist_ok=True)
        prepare(data, args.scale)
        every = paths(data)
        chosen = (
            args.only.split(",")
            if args.only
            else every
            if args.weights
            else every[: every.index(f"/state-of-ai/{WHOLE}") + 1]
        )
        wanted = [
            path
            for path in every
            if path == YARDSTICK or any(part in path if args.only else part == path for part in chosen)
        ]
        try:
            found = (
                weights(data, wanted)
                if args.weights
                else [measure(data, path, args.times, args.apart) for path in wanted]
            )
        except RuntimeError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(table(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
