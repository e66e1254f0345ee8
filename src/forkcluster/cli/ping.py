"""`forkcluster ping`: does everybody answer?"""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError, StateError
from forkcluster.manager.control import ask_all

HELP = """Ask the master of every app that runs, or of those that are named, for an answer. The exit code is
76 when one gives none, 1 when one that is named does not run. There is no daemon that would be started."""

PATIENCE = 5.0


def build() -> click.Command:
    """Make the command."""
    return choosing.command("ping", _ping, HELP, choosing.targets(required=False), [choosing.as_json()])


def _ping(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    _, apps = choosing.chosen(targets or ("all",), only)
    results = Results(as_json=as_json)
    for app in apps if targets and "all" not in targets else ():
        if not app.running:
            results.bad(app.name, StateError("does not run", f"forkcluster start {app.name}"))
        elif app.control is None:
            results.bad(app.name, StateError("has no control socket: it cannot be asked"))
    paths = {app.name: app.control for app in apps if app.control}
    for name, answer in ask_all(paths, "status", timeout=PATIENCE, events=0).items():
        if isinstance(answer, ForkclusterError):
            results.bad(name, answer)
        else:
            results.good(name, "pong", pid=answer.get("pid"))
    return results.finish("pong: no app runs")
