"""The master's loop: descriptors and one next time to wake. Knows nothing of what the callbacks do.

`selectors` and not asyncio: asyncio starts threads behind one's back and costs 4 MiB more.
"""

import selectors
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Loop:
    """Calls back when a watched descriptor can be read."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def now(self) -> float:
        """Give CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def watch(self, descriptor: int, callback: Callback, *, write: bool = False) -> None:
        """Call back whenever the descriptor (borrowed) can be read (or written), or is at its end."""
        event = selectors.EVENT_WRITE if write else selectors.EVENT_READ
        self._selector.register(descriptor, event, callback)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor, before it is closed; idempotent."""
        if descriptor >= 0 and descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._selector.get_map()

    def turn(self, until: float | None) -> None:
        """Sleep until something can be read or the time has come, and call back what can be read.

        A descriptor that an earlier callback of the same turn unwatched is not called.
        """
        timeout = None if until is None else max(0.0, until - self.now())
        for key, _ in self._selector.select(timeout):
            present = self._selector.get_map().get(key.fd)
            if present is not None and present.data is key.data:
                key.data()

    def close(self) -> None:
        """Close the selector; the watched descriptors stay their owners'."""
        self._selector.close()
