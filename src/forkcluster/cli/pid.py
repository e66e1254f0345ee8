"""`forkcluster pid`: process ids for scripts, one in each line."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import EXIT_OK, StateError
from forkcluster.manager.status import View, look, workers_of

HELP = """Print the pid of each app's master. The exit code is 1 when one does not run."""


def build() -> click.Command:
    """Make the command."""
    workers = click.Option(["--workers"], is_flag=True, help="Print the pids of the workers instead.")
    return choosing.command(
        "pid", _pid, HELP, choosing.targets(required=False), [workers, choosing.as_json()]
    )


def _pid(targets: Sequence[str], only: Sequence[str], workers: bool, as_json: bool) -> int:
    _, apps = choosing.chosen(targets or ("all",), only)
    results = Results(as_json=as_json)
    for view in look(apps, figures=False):
        pids = pids_of(view) if workers else [view.app.pid] if view.app.pid else []
        if pids:
            results.add(view.app.name, "\n".join(map(str, pids)), pids=pids)
        else:
            results.bad(view.app.name, StateError(f"does not run: it is {view.state}"))
    return results.finish() or EXIT_OK


def pids_of(view: View) -> list[int]:
    """Give the pids of an app's workers, by slot."""
    return [pid for each in workers_of(view.status) if isinstance(pid := each.get("pid"), int)]
