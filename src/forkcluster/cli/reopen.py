"""`forkcluster reload-logs`: have apps open their log files anew, after something else has moved them."""

import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.flush import managed
from forkcluster.cli.results import Results
from forkcluster.errors import ForkclusterError
from forkcluster.manager.control import ask
from forkcluster.manager.register import Register

HELP = """Have apps open all their log files anew, as USR1 does; for logrotate. Without TARGET: all apps."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command(
        "reload-logs", _reopen, HELP, choosing.targets(required=False), [choosing.as_json()]
    )


def _reopen(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    apps = choosing.chosen(targets, only)[1] if targets else managed(Register.find(os.environ))
    results = Results(as_json=as_json)
    for app in apps:
        if app.control is None:
            results.good(app.name, "is stopped: it has no file open")
            continue
        try:
            ask(app.control, "reopen")
        except ForkclusterError as error:
            results.bad(app.name, error)
        else:
            results.good(app.name, "has opened its logs anew")
    return results.finish("no app is registered: nothing to open")
