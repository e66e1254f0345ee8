"""The terminal: argv to request. Knows no pids and no sockets; click lives here and nowhere else."""

import gc
from typing import NoReturn

SELDOM = 50_000  # objects made between two collections: what a command imports is no garbage


def main() -> NoReturn:
    """Run the command `forkcluster` and exit with its code."""
    gc.set_threshold(SELDOM)
    from forkcluster.cli.command import run

    run()
