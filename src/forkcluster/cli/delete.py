"""`forkcluster delete`: the app ends and is forgotten."""

import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError, StateError
from forkcluster.manager import ending, order
from forkcluster.manager.register import App

HELP = """Stop apps and forget them: their records are removed, their logs stay."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command(
        "delete", _delete, HELP, choosing.targets(), choosing.waiting("for the end")[1:], [choosing.as_json()]
    )


def _delete(targets: Sequence[str], only: Sequence[str], timeout: float | None, as_json: bool) -> int:
    register, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    choosing.tell_silent([app for app in apps if app.running])
    managed = [app for app in apps if not app.foreground]
    ending.tried_stopped(register, managed)  # what could not be written is about to be removed

    def done(app: App, error: ForkclusterError | None) -> None:
        try:
            if error is not None:
                raise error
            register.forget(app)
            results.good(app.name, "is deleted", state="deleted")
        except ForkclusterError as problem:
            results.bad(app.name, problem)

    for app in apps:
        if app.foreground:
            error = StateError(f"{app.name} runs in the foreground: it is not managed", "stop it instead")
            results.bad(app.name, error)
    for app in [app for app in managed if not app.running]:
        done(app, ending.clear(app, ending.grace_of(timeout)))
    order.stop([app for app in managed if app.running], os.environ, timeout, done)
    choosing.forget_inputs(register, managed, results)
    return results.finish("no app is registered: nothing to delete")
