"""Where the gateway's CPU goes: py-spy samples of the gateway under JSON load, added up by function.

py-spy sees Python frames; time inside a compiled extension counts for the Python function that called it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench import gateway, wrk
from bench.processes import cores, pinned
from bench.site import open_site

SAMPLES_PER_S = 500
TOP = 40


def self_times(lines: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """(self, total) samples by function, from py-spy's raw format: ``frame;frame;leaf count``, frame = ``name (file:line)``.

    A function counts once a stack in ``total``, however often it recurses.
    """
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip("\n").rpartition(" ")
        if not stack or not count.isdigit():
            continue
        frames = [function(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    return own, total


def function(frame: str) -> str:
    """``handle (pkg/mod.py:17)`` → ``handle (pkg/mod.py)``: lines of a function are one function."""
    head, colon, tail = frame.rpartition(":")
    return f"{head})" if colon and tail.rstrip(")").isdigit() else frame


def text(lines: Iterable[str], requests: int, seconds: float) -> str:
    """The top functions by self time, in percent of all samples."""
    own, total = self_times(lines)
    samples = sum(own.values())
    head = (
        f"{samples} samples in {seconds:.0f} s, {requests / seconds:.0f} requests/s while sampled; percent of samples\n"
    )
    rows = [
        f"{100 * count / samples:6.2f} {100 * total[name] / samples:7.2f}  {name}"
        for name, count in own.most_common(TOP)
    ]
    return "\n".join([head, "  self   total  function", *rows, ""])


def record(command: str, seconds: int, out: Path) -> Path:
    """Writes ``<out>/profile.txt`` and py-spy's raw stacks beside it. Raises StartError, CalledProcessError."""
    out.mkdir(parents=True, exist_ok=True)
    raw = out / "profile.raw"
    with (
        tempfile.TemporaryDirectory(prefix="tokenway-bench-") as scratch,
        open_site(cores(), Path(scratch)) as site,
        gateway.start(site, command) as target,
    ):
        route, core = target.routes["plain"], site.cores.load
        wrk.saturate(route, core=core, seconds=1, scratch=site.scratch)
        spy = subprocess.Popen(
            pinned(_spy(target.pid, seconds, raw), core), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            found = wrk.saturate(route, core=core, seconds=seconds + 1, scratch=site.scratch)
            _, error = spy.communicate(timeout=30)
        finally:
            if spy.poll() is None:
                spy.send_signal(signal.SIGINT)
                spy.wait(10)
        if spy.returncode:
            raise subprocess.CalledProcessError(spy.returncode, "py-spy", stderr=error)
    path = out / "profile.txt"
    path.write_text(text(raw.read_text().splitlines(), found.requests, found.seconds))
    return path


def _spy(pid: int, seconds: int, raw: Path) -> list[str]:
    program = Path(sys.executable).with_name("py-spy")
    options = ["--format", "raw", "--subprocesses", "--nonblocking", "--rate", str(SAMPLES_PER_S)]
    return [str(program), "record", "--pid", str(pid), *options, "--duration", str(seconds), "--output", str(raw)]
