"""The standard streams of a command: all three are there, and what they do not take is told, not thrown."""

import os
import sys
from errno import EDQUOT, EIO, ENOSPC, EPIPE

import click

from forkcluster.errors import ForkclusterError


class UnwrittenError(ForkclusterError):
    """A standard stream did not take what was said there."""

    def __init__(self, stream: str, error: OSError) -> None:
        super().__init__(f"writing {stream}: {error.strerror}")


def open_closed() -> None:
    """Open /dev/null where a standard stream is closed: else a file of ours would get its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def say(text: str, *, nl: bool = True) -> None:
    """Print what was asked for. Raise UnwrittenError; BrokenPipeError when the reader has left."""
    try:
        click.echo(text, nl=nl)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwrittenError("standard output", error) from error


def tell(text: str, *, err: bool = False) -> OSError | None:
    """Print a line beside work that must go on; give what kept it from being written."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        return error
    return None


def finish() -> UnwrittenError | None:
    """Write what is left to write; give what keeps it from being written. That stream is then given up."""
    fault = None
    for name, stream in (("standard output", sys.stdout), ("standard error", sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            fault = fault or UnwrittenError(name, error)
            _give_up(stream.fileno())
    return fault


def unwritten_of(error: OSError | None) -> UnwrittenError | None:
    """Tell an error of a library's own print (a help text) from other errors of the system."""
    told = error is not None and error.filename is None and error.errno in (ENOSPC, EDQUOT, EIO, EPIPE)
    return UnwrittenError("standard output", error) if error is not None and told else None


def _give_up(descriptor: int) -> None:
    """Have /dev/null take what is left, so that the interpreter's end does not fail over it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
