"""What a child that the application forks (multiprocessing in a view) must not keep of its worker.

Kept open there, the channel would hide the worker's death from the master, and inbox, listeners and
connections would keep clients to which nobody speaks.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Sequence

from forkcluster._engine import Engine
from forkcluster.wire.channel import Channel

# Signals that mold and worker do not obey, but the application's own processes do.
QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def guard_forks(engine: Engine, channel: Channel, descriptors: Sequence[int]) -> None:
    """Have every child forked from here on keep nothing of the worker, and end on the usual signals.

    These wait while a child is made: one that came before its own handlers stand would be lost. What is the
    worker's is closed once: a child of the child may have other files under the same numbers.
    """
    masks: dict[int, set[int]] = {}  # by thread: several may fork
    parted = False

    def block() -> None:
        masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, QUIET)

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(threading.get_ident()))

    def part() -> None:
        nonlocal parted
        if not parted:
            parted = True
            _part_from(engine, channel, descriptors)
        restore()

    os.register_at_fork(before=block, after_in_parent=restore, after_in_child=part)


def _part_from(engine: Engine, channel: Channel, descriptors: Sequence[int]) -> None:
    channel.detach()  # its descriptor is the engine's to close
    engine.close_inherited()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    for number in QUIET:
        # Python's own record: the application's handler or the default; ours are set in C behind it.
        signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
