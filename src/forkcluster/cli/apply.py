"""`forkcluster apply`, and the commands of PM2 that take a file: start-or-reload, start-or-restart."""

from collections.abc import Callable, Sequence

import click

from forkcluster.cli import choosing, files
from forkcluster.cli.results import Results
from forkcluster.manager.plan import Mode

HELP = """Make what runs what a configuration file says: start, scale, reload or restart apps, if need be.

Apps wait for those that they depend on; one that fails stops those that depend on it, and no others. The exit
code is that of the first failure."""
OR_RELOAD = (
    """Start the apps of a file that do not run, and reload those that do, whether they differ or not."""
)
OR_RESTART = """Start the apps of a file that do not run, and restart those that do."""


def build() -> click.Command:
    """Make `apply`."""
    prune = click.Option(["--prune"], is_flag=True, help="Remove apps that stand in the file no more.")
    return _command("apply", HELP, _apply, prune)


def build_or_reload() -> click.Command:
    """Make `start-or-reload`."""
    return _command("start-or-reload", OR_RELOAD, _mode(Mode.RELOAD))


def build_or_restart() -> click.Command:
    """Make `start-or-restart`."""
    return _command("start-or-restart", OR_RESTART, _mode(Mode.RESTART))


def _command(name: str, text: str, callback: Callable[..., int], *own: click.Parameter) -> click.Command:
    waiting = choosing.waiting("for each app")[1:]
    return click.Command(name, params=[*files.parameters(), *own, *waiting], callback=callback, help=text)


def _apply(
    *,
    file: str | None,
    only: Sequence[str],
    env_name: str | None,
    as_json: bool,
    prune: bool,
    timeout: float | None,
) -> int:
    results = Results(as_json=as_json)
    files.perform(files.prepare(file, only, env_name, Mode.APPLY, prune=prune), results, timeout)
    return results.finish()


def _mode(mode: Mode) -> Callable[..., int]:
    def do(
        *, file: str | None, only: Sequence[str], env_name: str | None, as_json: bool, timeout: float | None
    ) -> int:
        results = Results(as_json=as_json)
        files.perform(files.prepare(file, only, env_name, mode), results, timeout)
        return results.finish()

    return do
