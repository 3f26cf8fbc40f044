"""The command ``tokenway``: parses options, calls the packages below, prints; one file per group of commands.

Exit codes: 0 done, 1 the answer is "no" (an audit with differences, a key that does not exist), 2 it could not be tried
(settings, catalogue, port, data directory, Redis); the message names what to change. It must not know how anything
is done, and no other package may import it.
"""

from __future__ import annotations

import typer

from gateway import __version__
from gateway.cli import (
    analytics,
    backup,
    catalog,
    credit,
    key,
    new_dialect,
    offline,
    operate,
    organization,
    report,
    serving,
)
from gateway.cli.demo import command
from gateway.cli.demo.year.command import demo_year

app = typer.Typer(
    name="tokenway",
    help="An OpenAI-compatible LLM routing gateway that anyone can run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serving.serve)
app.command()(command.demo)
app.command("demo-year")(demo_year)
app.command()(operate.worker)
app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    command.simulate
)
app.command("check-config")(operate.check_config)
app.command()(operate.reconcile)
app.command()(backup.backup)
app.command()(backup.restore)
app.command("forget-users")(operate.forget_users)
app.command("new-dialect")(new_dialect.new_dialect)
app.add_typer(key.app, name="keys", short_help="API keys.", help=f"API keys. {offline.STORE_HELP}")
app.add_typer(
    credit.app,
    name="credits",
    short_help="Credits and ledger lines.",
    help=f"Credits and ledger lines. {offline.STORE_HELP}",
)
app.add_typer(
    organization.app,
    name="orgs",
    short_help="Organisations: they own keys and share credits.",
    help=f"Organisations: they own keys and share credits. {offline.STORE_HELP}",
)
analytics.app.command()(report.report)
app.add_typer(
    analytics.app,
    name="analytics",
    short_help="The history of analytics.",
    help="The history of analytics: count it again, export it, report on it.",
)
app.add_typer(
    catalog.app,
    name="catalog",
    short_help="The catalogue.",
    help="The catalogue of models, providers and prices.",
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"tokenway {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Settings are GATEWAY_* variables over gateway.yaml; see docs/configuration.md."""


def main() -> None:
    """The console script."""
    app()
