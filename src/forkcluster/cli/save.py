"""`forkcluster save`: a copy of the list of apps."""

import os

import click

from forkcluster.cli import choosing, streams
from forkcluster.cli.results import Results
from forkcluster.errors import StateError
from forkcluster.manager import saved
from forkcluster.manager.register import Register

HELP = """Keep a copy of the list of apps, from which resurrect brings back those that were deleted since.
Apps that are registered come back after a reboot without it."""


def build() -> click.Command:
    """Make the command."""
    force = click.Option(["-f", "--force"], is_flag=True, help="Keep an empty list, too.")
    return choosing.command("save", _save, HELP, [force])


def _save(force: bool) -> int:
    register = Register.find(os.environ)
    apps = [app for app in register.apps() if not app.foreground]
    if not apps and not force:
        raise StateError("no app is registered: the list that was saved before is kept", "--force empties it")
    names = saved.save(register, apps)
    streams.say(f"{len(names)} app{'s' if len(names) != 1 else ''} saved in {saved.path_of(register)}")
    results = Results(as_json=False)
    for app in [app for app in apps if app.record is None]:
        results.bad(app.name, saved.unreadable(app, names))
    return results.finish()
