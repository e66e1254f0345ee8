"""`forkcluster history`: why did it restart?"""

import json
from collections.abc import Sequence

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_OK
from forkcluster.manager.events import events_of, line_of

HELP = """Show what has happened to apps, the latest last: starts, reloads and how they came out, why workers
ended."""

LINES = 30


def build() -> click.Command:
    """Make the command."""
    lines = click.Option(
        ["-n", "--lines"],
        type=click.IntRange(min=1),
        default=LINES,
        metavar="N",
        help=f"How many events.  [default: {LINES}]",
    )
    return choosing.command("history", _history, HELP, choosing.targets(), [lines, choosing.as_json()])


def _history(targets: Sequence[str], only: Sequence[str], lines: int, as_json: bool) -> int:
    _, apps = choosing.chosen(targets, only)
    found = {app.name: events_of(app, lines) for app in apps}
    if as_json:
        streams.say(json.dumps(found, indent=2, ensure_ascii=False))
        return EXIT_OK
    for name, events in found.items():
        if len(found) > 1:
            streams.say(click.style(name, bold=True))
        for event in events:
            streams.say(line_of(event))
        if not events:
            streams.say(f"nothing is known to have happened to {name}")
    return EXIT_OK
