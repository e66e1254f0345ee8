"""`forkcluster signal`: to workers, by name."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError, UsageError
from forkcluster.manager.control import ask_all

HELP = """Send a signal to the workers of apps. TERM retires a worker; another takes its place.

\b
Examples:
  forkcluster signal USR1 shop
  forkcluster signal TERM shop --slot 0"""

PATIENCE = 5.0


def build() -> click.Command:
    """Make the command."""
    name = click.Argument(["name"], metavar="SIGNAL")
    slot = click.Option(
        ["--slot"], type=click.IntRange(min=0), metavar="N", help="Send it to this worker only."
    )
    return choosing.command("signal", _signal, HELP, [name], choosing.targets(), [slot, choosing.as_json()])


def _signal(name: str, targets: Sequence[str], only: Sequence[str], slot: int | None, as_json: bool) -> int:
    _, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    for app in apps:
        if app.control is None:
            results.bad(app.name, UsageError("does not run"))
    paths = {app.name: app.control for app in apps if app.control}
    for app_name, answer in ask_all(paths, "signal", timeout=PATIENCE, signal=name, slot=slot).items():
        if isinstance(answer, ForkclusterError):
            results.bad(app_name, answer)
            continue
        pids = answer.get("pids")
        reached = pids if isinstance(pids, list) else []
        text = f"{name.upper()} was sent to {', '.join(map(str, reached)) or 'nobody'}"
        results.good(app_name, text, pids=reached)
    return results.finish("no app is registered: nobody to signal")
