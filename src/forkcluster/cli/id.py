"""`forkcluster id`: the numbers of apps, one in each line."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.errors import StateError

HELP = """Print the id of each app. An app in the foreground has none."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command("id", _id, HELP, choosing.targets(), [choosing.as_json()])


def _id(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    _, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    for app in apps:
        if app.record is not None:
            results.add(app.name, str(app.record.id), id=app.record.id)
        else:
            results.bad(app.name, StateError("has no id: it runs in the foreground"))
    return results.finish()
