"""`forkcluster jlist`: list, as JSON."""

import click

from forkcluster.cli import choosing
from forkcluster.cli.list import list_apps

HELP = (
    """Print all that is known of all apps, or of those that are named, as JSON. The same as list --json."""
)


def build() -> click.Command:
    """Make the command."""
    return choosing.command(
        "jlist",
        lambda targets, only: list_apps(targets, only, as_json=True),
        HELP,
        choosing.targets(required=False),
    )
