"""`forkcluster reset`: restarts are counted from zero again."""

from collections.abc import Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.dataclass import replace
from forkcluster.errors import ForkclusterError, StateError
from forkcluster.manager.register import Register
from forkcluster.manager.status import View, look

HELP = """Count the restarts of apps from zero again. The counters of the metrics never fall."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command("reset", _reset, HELP, choosing.targets(), [choosing.as_json()])


def _reset(targets: Sequence[str], only: Sequence[str], as_json: bool) -> int:
    register, apps = choosing.chosen(targets, only)
    results = Results(as_json=as_json)
    for view in look(apps, figures=False):
        try:
            before = view.restarts
            _forgive(register, view)
            results.good(view.app.name, f"counts from zero again; it was {before}", before=before)
        except ForkclusterError as error:
            results.bad(view.app.name, error)
    return results.finish("no app is registered: nothing to reset")


def _forgive(register: Register, view: View) -> None:
    with register.changing():
        app = register.app(view.app.name)
        if app is None or app.record is None:
            raise StateError("has no record to keep that in: it is not managed")
        replace(app.record, restarts=0, forgiven=view.present_restarts).save(app.place.record)
