"""`forkcluster cleardump`: the saved copies are forgotten."""

import os

import click

from forkcluster.cli import choosing, streams
from forkcluster.errors import EXIT_OK, ConfigurationError
from forkcluster.manager import inputs, saved
from forkcluster.manager.record import Record
from forkcluster.manager.register import Register

HELP = """Forget the copy that save has kept, and those before it. Registered apps are not touched."""


def build() -> click.Command:
    """Make the command."""
    return choosing.command("cleardump", _cleardump, HELP)


def _cleardump() -> int:
    register = Register.find(os.environ)
    kept = _kept(register)
    was_there = saved.clear(register)
    inputs.forget(register, kept)
    streams.say("the saved list is forgotten" if was_there else "no list was saved")
    return EXIT_OK


def _kept(register: Register) -> list[Record]:
    before = saved.saved_before(register)
    try:
        return [*saved.saved(register), *before]
    except ConfigurationError:  # it is damaged: what it named cannot be told
        return before
