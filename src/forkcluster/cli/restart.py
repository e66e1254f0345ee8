"""`forkcluster restart`: stop and start again, with what only a start brings about."""

import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.options import TableCommand, flags, table_options
from forkcluster.cli.results import Results
from forkcluster.cli.start import deferred_interrupt, wait_for
from forkcluster.errors import ForkclusterError, StateError
from forkcluster.manager import ending, starting
from forkcluster.manager.register import App, Register
from forkcluster.manager.starting import Flags, Pending, Renewed
from forkcluster.manager.status import look
from forkcluster.manager.targets import GRAMMAR

HELP = f"""Stop apps and start them again. Between the two they do not serve: reload has no such moment.

A configuration that cannot be read is refused before anything is stopped. Options change what the app was
started with, and stay. TARGET: {GRAMMAR}."""


def build() -> click.Command:
    """Make the command."""
    parameters = [
        *choosing.targets(),
        *table_options(),
        choosing.update_env(),
        choosing.parallel(),
        *choosing.waiting("until the app is ready"),
        choosing.as_json(),
    ]
    return TableCommand("restart", params=parameters, callback=_restart, help=HELP)


def _restart(
    targets: Sequence[str],
    only: Sequence[str],
    *,
    update_env: bool,
    parallel: int,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **values: object,
) -> int:
    register, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    for batch in choosing.batches(apps, parallel):
        with deferred_interrupt() as heard:
            pending = _begin(register, batch, flags(values), results, update_env=update_env)
        if not wait_for(pending, results, heard, wait=wait, timeout=timeout):
            break
    return results.finish("no app is registered: nothing to restart")


def _begin(
    register: Register, apps: Sequence[App], given: Flags, results: Results, *, update_env: bool
) -> list[Pending]:
    """Stop these apps and begin to start them again; what cannot be is told at once."""
    restarts = {view.app.name: view.restarts for view in look(apps, figures=False)}
    renewals: dict[str, Renewed] = {}
    pending: list[Pending] = []
    environment = os.environ if update_env else None

    def again(app: App, error: ForkclusterError | None) -> None:
        try:
            if error is not None:
                raise error
            pending.append(starting.begin_again(register, renewals[app.name], restarts[app.name] + 1))
        except ForkclusterError as problem:
            results.bad(app.name, problem)

    for app in apps:
        try:
            renewals[app.name] = _renewed(register, app, given, environment)
        except ForkclusterError as error:
            results.bad(app.name, error)
    good = [app for app in apps if app.name in renewals]
    for app in [app for app in good if not app.running]:
        again(app, None)
    ending.stop([app for app in good if app.running], None, again)
    return pending


def _renewed(register: Register, app: App, given: Flags, environment: starting.Env | None) -> Renewed:
    if app.foreground:
        raise StateError(
            f"{app.name} runs in the foreground: only who started it can start it again",
            f"forkcluster reload {app.name} loads new code",
        )
    starting.make_room(register, app.name)  # what cannot be started again is not stopped
    return starting.renewed(app, given, environment)
