"""Watches for the master's death while an app is imported of which nobody knows which engine it will need.

Everywhere else the engine's native monitor does this. A thread of Python needs the GIL, so an import that
never gives it up outlives its master until it does.
"""

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def end_with_master(channel: int) -> Iterator[None]:
    """End this process at once when the channel's other end is gone; no thread is left afterwards."""
    stop, stopped = os.pipe2(os.O_CLOEXEC)

    def watch() -> None:
        poller = select.poll()
        poller.register(channel, 0)  # hang-up is always reported; messages are the monitor's to read
        poller.register(stop, select.POLLIN)
        if any(descriptor == channel for descriptor, _ in poller.poll()):
            os._exit(0)

    thread = threading.Thread(target=watch, name="vigil", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(stopped, b".")  # its end would not do: a process that the import forked has it, too
        thread.join()
        os.close(stopped)
        os.close(stop)
