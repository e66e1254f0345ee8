"""`forkcluster cleardump`: the saved copies are forgotten."""

import os

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_OK
from forkcluster.manager import saved
from forkcluster.manager.register import Register

HELP = """Forget the copy that save has kept, and those before it. Registered apps are not touched."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command("cleardump", _cleardump, HELP)


def _cleardump() -> int:
    register = Register.find(os.environ)
    was_there = saved.clear(register)
    streams.say("the saved list is forgotten" if was_there else "no list was saved")
    return EXIT_OK
