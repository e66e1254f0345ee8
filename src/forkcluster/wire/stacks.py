"""How a mold or a worker is asked for its Python stacks: by a signal that works while C code holds the GIL,
and a pipe that the master reads.

A real-time signal, since applications rarely use those; its number is the kernel's, the same in every process
(glibc keeps the first two for itself). The pipe is made at boot, so that nothing has to be opened when it
matters; a full one is not waited for.
"""

import faulthandler
import os
import signal
from collections.abc import Callable
from typing import Final

STACKS_SIGNAL: Final = 41


def register() -> tuple[int, int]:
    """Answer the signal, and a crash, with the stacks of all threads; give the pipe's ends.

    One is to read, for the master, one to write, which must stay open.

    Raises OSError.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    faulthandler.enable(file=writer, all_threads=True)  # its last words, when a fault kills it
    faulthandler.register(STACKS_SIGNAL, file=writer, all_threads=True, chain=False)
    return reader, writer


def unregister() -> None:
    """Answer no more: before the pipe is closed, whose number may soon be another file's."""
    faulthandler.unregister(STACKS_SIGNAL)
    faulthandler.disable()


def answer_also(install: Callable[[int], None], writer: int) -> None:
    """Have a further handler, which `install` puts in place, run behind the one of `register`.

    Meanwhile the signal waits: without a handler it would end the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {STACKS_SIGNAL})
    try:
        faulthandler.unregister(STACKS_SIGNAL)
        install(STACKS_SIGNAL)
        faulthandler.register(STACKS_SIGNAL, file=writer, all_threads=True, chain=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {STACKS_SIGNAL})
