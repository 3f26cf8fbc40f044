"""``tokenway demo`` and ``tokenway simulate``: a gateway with vendors to try, without an account at any vendor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import urllib.request
from functools import partial
from typing import Annotated

import typer

from gateway.cli import configured
from gateway.cli.demo import DemoError, banner, ensure_account, running_vendors
from gateway.cli.demo.account import STORE_TIMEOUT_S
from gateway.cli.demo.year.attributes import FOLDER
from gateway.cli.demo.year.command import SEED, Year, counted
from gateway.cli.demo.year.cube import cube
from gateway.cli.demo.year.load import default_shift, has_counters
from gateway.cli.output import progress, refuse
from gateway.cli.serving import listening, origin, run, stop_on_sigterm, worker_environment
from gateway.errors import LedgerUnavailable
from gateway.settings import Settings
from gateway.store.client import connect
from gateway.store.errors import StoreError
from simulator.serve import run as run_vendors

READY_POLL_S = 0.05
DEMO_SETTINGS = {"public_rankings": "true", "rankings_min_users": "1"}
"""A demo has one user, who shall see on its pages what was used; unless the environment or a file says otherwise."""
YEAR_SCALE = 2e-6
"""Some 72,000 events: enough for pages to be full, counted in a third of the time of the whole year's usual scale."""


def demo(
    year: Annotated[
        bool,
        typer.Option(
            "--year", help="Fill rankings and charts with a made-up year first, if nothing has been counted yet."
        ),
    ] = False,
) -> None:
    """Start the gateway with vendors to try: simulated ones, a small real model, a key with credit.

    `make run` calls this. Prints a banner with commands to paste once everything answers. Ctrl-C stops everything, exit 0.
    """
    configured.settings()  # exits where they are wrong
    given = configured.sources()
    os.environ.update(
        {configured.PREFIX + name.upper(): DEMO_SETTINGS[name] for name in DEMO_SETTINGS if name not in given}
    )
    settings = configured.settings()
    stop_on_sigterm()
    warn = partial(typer.echo, err=True)
    try:
        with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
            with progress("Starting the vendors of the demo"):
                vendors = stack.enter_context(running_vendors(settings.data_dir, warn=warn))
            configured.catalog(settings)
            with listening(settings) as listener, worker_environment(settings) as redis_url:
                key = ensure_account(redis_url, settings.data_dir)
                if year:
                    asyncio.run(_with_year(redis_url, settings))
                text = banner(
                    f"{origin(listener)}/api/v1",
                    key,
                    data_dir=settings.data_dir,
                    admin_key_place=configured.admin_key(settings)[1],
                    has_model=vendors.has_model,
                    has_year=year,
                )
                threading.Thread(target=_print_when_ready, args=(origin(listener), text), daemon=True).start()
                run(settings, listener)
    except DemoError as error:
        refuse(str(error))
    except (StoreError, LedgerUnavailable) as error:
        refuse(f"cannot use the store: {error}")


async def _with_year(redis_url: str, settings: Settings) -> None:
    """Count the year in a store that has no counters, and lay the attributes of its models over the catalogue of the workers."""
    store = await connect(redis_url, timeout_s=STORE_TIMEOUT_S)
    try:
        if await has_counters(store, time.time()):
            typer.echo(
                "Something has been counted already, so no year is added; its pages show what there is.", err=True
            )
        else:
            year = Year(cube=cube(SEED), scale=YEAR_SCALE, shift_weeks=default_shift(time.time()))
            typer.echo(await counted(store, settings, year), err=True)
    finally:
        await store.aclose()
    attributes = settings.data_dir.resolve() / FOLDER
    if attributes.is_dir():
        folders = (*settings.catalog_dirs, attributes)
        os.environ["GATEWAY_CONFIG_DIR"] = os.pathsep.join(map(str, folders))


def _print_when_ready(address: str, text: str) -> None:
    """The socket accepts connections before the workers serve them, so this waits until the gateway is ready."""
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                break
        time.sleep(READY_POLL_S)
    typer.echo(text)


def simulate(context: typer.Context) -> None:
    """Run simulated vendors: real HTTP servers that do what the name of the requested model says."""
    raise typer.Exit(run_vendors(context.args))
