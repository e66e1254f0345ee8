"""`forkcluster plan`: what `apply` would do."""

from collections.abc import Sequence

import click

from forkcluster.cli import files, streams
from forkcluster.errors import EXIT_CHANGES, EXIT_OK, StateError
from forkcluster.manager.plan import Mode

HELP = """Compare a configuration file with what runs, and say what `forkcluster apply` would do.

Nothing is changed. Secrets are masked. Options are compared, code is not: new code is for `reload`."""


def build() -> click.Command:
    """Make the command."""
    own = [
        click.Option(
            ["--prune"], is_flag=True, help="Plan to remove apps that stand in the file no more, too."
        ),
        click.Option(
            ["--detailed-exitcode"],
            is_flag=True,
            help=f"Exit with {EXIT_CHANGES} when there is something to do.",
        ),
    ]
    return click.Command("plan", params=[*files.parameters(), *own], callback=_plan, help=HELP)


def _plan(
    *,
    file: str | None,
    only: Sequence[str],
    env_name: str | None,
    as_json: bool,
    prune: bool,
    detailed_exitcode: bool,
) -> int:
    planned = files.prepare(file, only, env_name, Mode.APPLY, prune=prune)
    streams.say(files.as_json(planned) if as_json else files.show(planned))
    if refused := files.refusals(planned):
        for name, error in refused.items():
            streams.tell(f"{click.style('●', fg='red')} {click.style(name, bold=True)}: {error}", err=True)
        return StateError.exit_code
    changes = any(step.verb.changes for step in planned.steps)
    return EXIT_CHANGES if changes and detailed_exitcode else EXIT_OK
