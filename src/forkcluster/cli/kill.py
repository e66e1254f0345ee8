"""`forkcluster kill`: everything that is managed ends and is forgotten."""

import os

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError
from forkcluster.manager import ending, order
from forkcluster.manager.register import App, Register

PATIENCE = 10.0

HELP = """Stop and forget every managed app. What has not ended after --timeout seconds is killed. Logs stay,
and so does what save has kept: resurrect brings it back. Apps in the foreground are let be."""


def build() -> click.Command:
    """Make the command."""
    timeout = click.Option(
        ["--timeout"],
        type=click.FloatRange(min=0),
        default=PATIENCE,
        metavar="SECONDS",
        help=f"How long apps may take to end by themselves.  [default: {PATIENCE:g} s]",
    )
    return choosing.command("kill", _kill, HELP, [timeout, choosing.as_json()])


def _kill(timeout: float, as_json: bool) -> int:
    register = Register.find(os.environ)
    results = Results(as_json=as_json)

    def done(app: App, error: ForkclusterError | None) -> None:
        try:
            killed = error is not None
            if killed:
                ending.kill(app)
            if stuck := ending.clear(app, timeout):
                raise stuck
            register.forget(app)
            results.good(app.name, "was killed" if killed else "is gone", killed=killed)
        except ForkclusterError as problem:
            results.bad(app.name, problem)

    apps = [app for app in register.apps() if not app.foreground]
    for app in [app for app in apps if not app.running]:
        done(app, None)
    order.stop([app for app in apps if app.running], os.environ, timeout, done)
    choosing.forget_inputs(register, apps, results)
    return results.finish("no app is registered: nothing to kill")
