"""`forkcluster init`: a sample of the ecosystem file."""

from typing import Literal

import click

from forkcluster.cli import streams
from forkcluster.cli.serve import working_directory
from forkcluster.manager import sample


def build() -> click.Command:
    """Make the command."""
    word = click.Argument(["file"], required=False, default=sample.NAME, metavar="[FILE]")
    text = "Write a sample of the ecosystem file, with comments. A file that is there is never written over."
    return click.Command("init", params=[word], callback=_init, help=text)


def _init(file: str | Literal["simple"]) -> None:
    # `pm2 ecosystem simple` asks for a shorter one; ours is short.
    path = sample.create(working_directory(), sample.NAME if file == "simple" else file)
    streams.say(f"wrote {path}; forkcluster plan says what it would do, forkcluster apply does it")
