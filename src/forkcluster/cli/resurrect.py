"""`forkcluster resurrect`: what should run and does not is started."""

import os

import click

from forkcluster.cli import choosing
from forkcluster.cli.results import Results
from forkcluster.cli.start import deferred_interrupt, wait_for
from forkcluster.errors import ForkclusterError
from forkcluster.manager import order, saved, starting
from forkcluster.manager.record import Record
from forkcluster.manager.register import App, Register

HELP = """Start every app that should run and does not: after a reboot, after its master was killed. Apps that
were deleted since save are registered again; those that were stopped stay stopped."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command(
        "resurrect",
        _resurrect,
        HELP,
        [choosing.parallel()],
        choosing.waiting("until the apps are ready"),
        [choosing.as_json()],
    )


def _resurrect(parallel: int, wait: bool, timeout: float | None, as_json: bool) -> int:
    register = Register.find(os.environ)
    results = Results(as_json=as_json)
    _bring_back(register, results)
    apps = [app for app in register.apps() if app.wanted and not app.running]
    batches = [
        batch for group in order.coming(apps, os.environ) for batch in choosing.batches(group, parallel)
    ]
    for batch in batches:
        with deferred_interrupt() as heard:
            pending = [each for app in batch for each in _begin(register, app, results)]
        if not wait_for(pending, results, heard, wait=wait, timeout=timeout):
            break
    return results.finish("every app that should run does")


def _bring_back(register: Register, results: Results) -> None:
    known = {app.name: app for app in register.apps() if not app.foreground}
    kept = _kept(register, results)
    for app in known.values():
        if app.record is None and not app.running:
            results.bad(app.name, saved.unreadable(app, [record.name for record in kept]))
    for record in kept:
        if record.name in known:
            continue
        try:
            saved.bring_back(register, record)
        except ForkclusterError as error:
            results.bad(record.name, error)


def _kept(register: Register, results: Results) -> list[Record]:
    """Give the saved records; those of the list before when the last one is damaged."""
    try:
        return saved.saved(register)
    except ForkclusterError as error:
        results.bad("the saved list", error)
        return saved.saved_before(register)


def _begin(register: Register, app: App, results: Results) -> list[starting.Pending]:
    try:
        return [starting.begin_again(register, starting.renewed(app))]
    except ForkclusterError as error:
        now = register.app(app.name)
        if now is not None and now.running:  # another command was quicker
            results.good(app.name, "is started already", state="started")
        else:
            results.bad(app.name, error)
        return []
