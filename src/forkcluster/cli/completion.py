"""`forkcluster completion`: what a shell needs to complete commands, options and the names of apps."""

import click
from click.shell_completion import get_completion_class

from forkcluster.cli import streams
from forkcluster.errors import InternalError

SHELLS = ("bash", "zsh", "fish")
HELP = """Print what makes a shell complete our commands. In its start file:

\b
  bash, zsh   eval "$(forkcluster completion bash)"
  fish        forkcluster completion fish | source"""


def build() -> click.Command:
    """Make the command."""
    shell = click.Argument(["shell"], type=click.Choice(SHELLS), metavar="bash|zsh|fish")
    return click.Command("completion", params=[shell], callback=_complete, help=HELP)


def _complete(shell: str) -> None:
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is None:
        raise InternalError(f"click has no completion for {shell}")
    streams.say(found(root, {}, "forkcluster", "_FORKCLUSTER_COMPLETE").source())
