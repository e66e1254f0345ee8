"""`forkcluster stop`: the app ends and stays registered."""

import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import EXIT_OK, ForkclusterError
from forkcluster.manager import ending, order
from forkcluster.manager.register import App

HELP = """Stop apps, and wait until all their processes have ended. They stay registered: start NAME starts
them again."""


def build() -> click.Command:
    """Make the command."""
    options = [
        click.Option(["--now"], is_flag=True, help="Do not let requests finish."),
        click.Option(
            ["--for-now"], is_flag=True, help="The apps are still wanted: resurrect, and a boot, start them."
        ),
    ]
    return choosing.command(
        "stop",
        _stop,
        HELP,
        choosing.targets(),
        options,
        choosing.waiting("for the end")[1:],
        [choosing.as_json()],
    )


def _stop(
    targets: Sequence[str],
    only: Sequence[str],
    *,
    now: bool,
    for_now: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    register, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    choosing.tell_silent([app for app in apps if app.running])
    unwritten = None if for_now else ending.tried_stopped(register, apps)
    if unwritten is not None:
        choosing.tell_unwritten(unwritten)

    wanted = " for now: resurrect, and a boot, start it" if for_now else ""

    def done(app: App, error: ForkclusterError | None) -> None:
        if error is None:
            results.good(app.name, f"is stopped{wanted if app.record else ''}", state="stopped")
        else:
            results.bad(app.name, error)

    for app in apps:
        if app.running:
            continue
        if error := ending.clear(app, ending.grace_of(timeout, at_once=now)):
            results.bad(app.name, error)
        else:
            results.good(app.name, "is stopped already", state="stopped")
    order.stop([app for app in apps if app.running], os.environ, timeout, done, at_once=now)
    code = results.finish("no app is registered: nothing to stop")
    return code or (unwritten.exit_code if unwritten else EXIT_OK)
