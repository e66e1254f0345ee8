"""`forkcluster monit`: all apps on one screen, live; drawn by textual, an extra used only here."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.serve import directory_of_words
from forkcluster.errors import EXIT_OK, UsageError
from forkcluster.manager.register import App, Register
from forkcluster.manager.targets import only as only_these
from forkcluster.manager.targets import resolve

HELP = (
    """Show apps live: workers, rate, latency, CPU and memory, output, events; keys act on the chosen one."""
)


def build() -> click.Command:
    """Make the command."""
    return choosing.command("monit", _monit, HELP, choosing.targets(required=False))


def _monit(targets: Sequence[str], only: Sequence[str]) -> int:
    import os
    import sys

    try:
        from forkcluster.cli.monit.screen import Monit
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        install = f"{sys.executable} -m pip install 'forkcluster[monit]'"
        raise UsageError("monit needs textual, which is not installed", install) from None
    if not sys.stdout.isatty():
        raise UsageError("monit needs a terminal", "forkcluster list shows all apps once")
    register = Register.find(os.environ)
    directory = directory_of_words()

    def apps() -> list[App]:
        found = register.apps()
        return only_these(only, resolve(targets, found, directory) if targets else found)

    apps()  # a target that means nothing is told before the screen is taken
    Monit(register, apps).run()
    return EXIT_OK
