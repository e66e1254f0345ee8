"""Makes this worker answer a signal with the stacks of all its threads, written into a pipe that the master
reads.

The pipe is made at boot, so that nothing has to be opened when it matters; a full one is not waited for.
"""

import faulthandler
import os

from forkcluster.wire.stacks import STACKS_SIGNAL


def register() -> tuple[int, int]:
    """Install the handler; give the pipe's ends: to read, for the master, and to write, which must stay open.

    Raises OSError.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    faulthandler.register(STACKS_SIGNAL, file=writer, all_threads=True, chain=False)
    return reader, writer
