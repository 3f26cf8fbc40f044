"""``demo`` and ``simulate``: something to route to, without an account anywhere."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from functools import partial

import typer

from gateway.cli import configured
from gateway.cli.demo import DemoError, banner, ensure_account
from gateway.cli.demo import running as demo_vendors
from gateway.cli.output import refuse
from gateway.cli.serving import equipped, listening, origin, run, stop_on_sigterm
from gateway.errors import LedgerUnavailable
from gateway.store.errors import StoreError
from simulator.serve import run as run_vendors

READY_POLL_S = 0.05


def demo() -> None:
    """Start the gateway with something to route to: simulated vendors, a small real model, a key with credit.

    What `make run` calls. Prints a banner with lines to paste once all answers. Ctrl-C stops everything, exit 0.
    """
    settings = configured.settings()
    stop_on_sigterm()
    say = partial(typer.echo, err=True)
    try:
        with contextlib.suppress(KeyboardInterrupt), demo_vendors(settings.data_dir, say=say) as vendors:
            configured.catalog(settings)
            with listening(settings) as listener, equipped(settings) as redis_url:
                key = ensure_account(redis_url, settings.data_dir)
                text = banner(
                    f"{origin(listener)}/api/v1",
                    key,
                    data_dir=settings.data_dir,
                    admin_key_place=configured.admin_key(settings)[1],
                    has_model=vendors.has_model,
                )
                threading.Thread(target=_say_when_ready, args=(origin(listener), text), daemon=True).start()
                run(settings, listener)
    except DemoError as error:
        refuse(str(error))
    except (StoreError, LedgerUnavailable) as error:
        refuse(f"cannot use the store: {error}")


def _say_when_ready(address: str, text: str) -> None:
    """The socket listens before the workers serve; the first answer is worth waiting for."""
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                break
        time.sleep(READY_POLL_S)
    typer.echo(text)


def simulate(context: typer.Context) -> None:
    """Run simulated vendors: real HTTP servers; the model name is the script."""
    raise typer.Exit(run_vendors(context.args))
