"""`forkcluster flush`: empty the files that apps print into."""

import contextlib
import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ConfigurationError, ForkclusterError
from forkcluster.manager.control import ask
from forkcluster.manager.output import files
from forkcluster.manager.register import App, Register
from forkcluster.wire.rotated import rotated

HELP = """Remove what apps have printed from their files, rotated ones too. Without TARGET: of all apps."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command("flush", _flush, HELP, choosing.targets(required=False), [choosing.as_json()])


def _flush(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    apps = choosing.chosen(targets, only)[1] if targets else managed(Register.find(os.environ))
    results = Results(as_json=as_json)
    for app in apps:
        try:
            empty(app)
        except ForkclusterError as error:
            results.bad(app.name, error)
        else:
            results.good(app.name, "has empty logs")
    return results.finish("no app is registered: nothing to empty")


def managed(register: Register) -> list[App]:
    """Give the apps that are in nobody's terminal."""
    return [app for app in register.apps() if not app.foreground]


def empty(app: App) -> None:
    """Have the app's logger empty its files; do it here when it does not run. Raise ForkclusterError."""
    if app.control is not None:
        ask(app.control, "flush")
        return
    for file in files(app):
        try:
            with contextlib.suppress(FileNotFoundError):
                os.truncate(file.path, 0)
                for _, path in rotated(file.path):
                    os.unlink(path)
        except OSError as error:
            raise ConfigurationError(f"emptying {error.filename}: {error.strerror}") from error
