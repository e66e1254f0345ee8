"""Where a test may have a mold or a worker stop itself (SIGSTOP), once: FORKCLUSTER_STOP_AT=name[@SLOT.EPOCH
[.GENERATION]]. What comes before any slot is known is named with the generation alone: name@GENERATION.

The steps of a hand-over read the same variable in C (csrc/handover.c); these are the steps of a spawn.
"""

import os
import signal
from typing import Final

VARIABLE: Final = "FORKCLUSTER_STOP_AT"
POINTS: Final = (
    "mold-before-hello",
    "mold-before-loaded",
    "mold-before-fork",
    "mold-before-forked",
    "middle",
    "middle-forked",
    "worker-before-hello",
    "worker-before-ready",
)


def is_asked(point: str, *where: int) -> bool:
    """Tell whether the process shall stop at this point; `where`: slot, epoch and generation, or the last."""
    name, at, place = os.environ.get(VARIABLE, "").partition("@")
    if name != point:
        return False
    numbers = [str(number) for number in where]
    return not at or place.split(".") == numbers[: len(place.split("."))]


def stop_here(point: str, *where: int) -> None:
    """Stop this process if that is asked for."""
    if is_asked(point, *where):
        os.kill(os.getpid(), signal.SIGSTOP)
