"""Several vendors in one process: ``python -m simulator [--key-env NAME] sim-alpha=9101 sim-beta=9102``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from simulator.child_process import die_with_parent
from simulator.grammar import WORDS
from simulator.vendor import SimulatedVendor

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop

    NEW_LOOP: LoopFactory = uvloop.new_event_loop
except ImportError:  # no uvloop on this platform: the standard loop is slower, not different
    NEW_LOOP = asyncio.new_event_loop

VENDORS: Mapping[str, int] = {"sim-alpha": 9101, "sim-beta": 9102, "sim-gamma": 9103}


async def serve(
    vendors: Mapping[str, int],
    *,
    host: str = "127.0.0.1",
    key: str | None = None,
    seed: int = 0,
    ready: Callable[[Sequence[SimulatedVendor]], None] | None = None,
) -> None:
    """Serves ``{name: port}`` until SIGTERM or SIGINT. ``ready`` is called once all of them listen.

    Raises OSError naming the port that is taken.
    """
    running: list[SimulatedVendor] = []
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        for offset, (name, port) in enumerate(vendors.items()):
            vendor = SimulatedVendor(name, key=key, seed=seed + offset)
            try:
                running.append(await vendor.start(port, host=host))
            except OSError as error:
                raise OSError(error.errno, f"{name} cannot listen on {host}:{port}: {error.strerror}") from error
        if ready is not None:
            ready(running)
        await stop.wait()
    finally:
        for vendor in running:
            await vendor.stop()


def run(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit codes: 0 stopped by a signal, 1 a port is taken, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        "tokenway simulate", description="Simulated vendors; the model name says what they do (--words)."
    )
    parser.add_argument("vendors", nargs="*", metavar="NAME=PORT", help=f"default: {_written(VENDORS)}; port 0 = any")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--key-env", metavar="NAME", help="environment variable with the API key that callers must send"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of random failures")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--words", action="store_true", help="print the list of words for model names and exit")
    options = parser.parse_args(arguments)
    if options.words:
        sys.stdout.write("".join(f"{word.form:18} {word.doc}\n" for word in WORDS.values()))
        return 0
    if options.parent is not None:
        die_with_parent(options.parent)
    try:
        vendors = {name: int(port) for name, _, port in (text.partition("=") for text in options.vendors)} or VENDORS
    except ValueError:
        parser.error("vendors are written NAME=PORT")
    key = os.environ.get(options.key_env) if options.key_env else None
    try:
        with asyncio.Runner(loop_factory=NEW_LOOP) as runner:
            runner.run(serve(vendors, host=options.host, key=key, seed=options.seed, ready=_announce))
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return 1
    return 0


def _written(vendors: Mapping[str, int]) -> str:
    return " ".join(f"{name}={port}" for name, port in vendors.items())


def _announce(vendors: Sequence[SimulatedVendor]) -> None:
    sys.stdout.write("".join(f"{vendor.name} {vendor.base_url}\n" for vendor in vendors))
    sys.stdout.flush()
