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


class ForkGuard:
    """Has every child forked from now on keep nothing of the worker, and end on the usual signals.

    These wait while a child is made: one that came before its own handlers stand would be lost. What is the
    worker's is closed once: a child of the child may have other files under the same numbers.
    """

    def __init__(self, channel: Channel, listeners: Sequence[int], others: Sequence[int]) -> None:
        self.engine: Engine | None = None  # that, once there, closes channel and listeners with its own
        self._channel = channel
        self._listeners = listeners
        self._others = others
        self._masks: dict[int, set[int]] = {}  # by thread: several may fork
        self._parted = False
        os.register_at_fork(before=self._block, after_in_parent=self._restore, after_in_child=self._part)

    def _block(self) -> None:
        self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, QUIET)

    def _restore(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(threading.get_ident()))

    def _part(self) -> None:
        if not self._parted:
            self._parted = True
            self._close()
            for number in QUIET:
                # Python's own record: the application's handler or the default; ours are set in C behind it.
                signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
        self._restore()

    def _close(self) -> None:
        descriptors = list(self._others)
        if self.engine is None:
            descriptors += [self._channel.fileno(), *self._listeners]
        self._channel.detach()
        if self.engine is not None:
            self.engine.close_inherited()
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
