"""The terminal: argv to request. Knows no pids and no sockets; click lives here and nowhere else."""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command `forkcluster` and exit with its code."""
    from forkcluster.cli.command import run

    run()
