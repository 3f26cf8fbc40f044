"""``python -m bench``: see ``bench/README.md``. Exit codes: 0 done, 1 did not start, 3 too noisy to publish."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from bench import gateway, profile, quiet, report
from bench.run import NAMES, PEERS, Options, run, save
from bench.talk import StartError

HERE = Path(__file__).resolve().parent
_TOOLS = ("nginx", "wrk", "taskset")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures the gateway, nginx and peers side by side."
    )
    parser.add_argument("--quick", action="store_true", help="bare upstream, nginx and the gateway only, about 40 s")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument(
        "--accept-noise", action="store_true", help="publish although the machine was busy with other things"
    )
    parser.add_argument(
        "--profile", action="store_true", help="no figures: sample the gateway with py-spy under JSON load"
    )
    parser.add_argument("--profile-seconds", type=int, default=10, help="how long to sample (default 10)")
    parser.add_argument("--targets", default="", help=f"comma-separated subset of {','.join(NAMES)}")
    parser.add_argument(
        "--gateway-command", default=gateway.COMMAND, help="how to start the gateway (default: tokenway serve)"
    )
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where results go (default bench/out)")
    return parser


def _names(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[str, ...]:
    if not args.targets:
        return tuple(name for name in NAMES if not (args.quick and name in PEERS))
    targets = tuple(args.targets.split(","))
    if unknown := set(targets) - set(NAMES):
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    return targets


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)  # unwinds the context managers, so that no child is left


def main() -> int:
    """Parses the command line and does one run."""
    parser = _parser()
    args = parser.parse_args()
    if missing := [tool for tool in _TOOLS if not shutil.which(tool)]:
        parser.error(f"not on PATH: {', '.join(missing)} (Debian: apt-get install nginx-light wrk util-linux)")
    signal.signal(signal.SIGTERM, _leave)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # servers in production have byte code
    try:
        if args.profile:
            path = profile.record(args.gateway_command, args.profile_seconds, args.out)
            print(path.read_text())
            return 0
        result = run(Options(args.quick, _names(parser, args), args.gateway_command))
    except StartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    path = save(result, args.out)
    print(report.section(result))
    print(f"\nall samples: {path}", file=sys.stderr)
    if not args.write:
        return 0
    noise = result["noise"]["busy_share_max"]
    if noise > quiet.LIMIT_SHARE and not args.accept_noise:
        print(f"bench: not written: the machine was {noise:.0%} busy with other things", file=sys.stderr)
        return 3
    report.publish(result, HERE / "README.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
