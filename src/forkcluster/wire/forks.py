"""Parts a child that the application forks (multiprocessing at import, or in a view) from the process of ours
that it comes from.
"""

import os
import signal
import threading
from collections.abc import Callable

# Signals that mold and worker do not obey, but the application's own processes do.
QUIET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


class ForkGuard:
    """Has every child forked from now on call `close`, and end on the usual signals.

    These wait while a child is made: one that came before its own handlers stand would be lost. What is ours
    is closed once: a child of the child may have other files under the same numbers. While `awake` is False
    children are as their parent.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.awake = True
        self._close = close
        self._masks: dict[int, set[int]] = {}  # by thread: several may fork
        os.register_at_fork(before=self._block, after_in_parent=self._restore, after_in_child=self._part)

    def _block(self) -> None:
        self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, QUIET)

    def _restore(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(threading.get_ident()))

    def _part(self) -> None:
        try:
            if self.awake:
                self.awake = False
                self._close()
                for number in QUIET:
                    # Python's own record: the application's handler or the default; ours stand in C behind it
                    signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
        finally:
            self._restore()
