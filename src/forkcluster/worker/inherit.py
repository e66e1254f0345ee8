"""What a child that the application forks (multiprocessing in a view) must not keep of its worker.

Kept open there, the channel would hide the worker's death from the master, and inbox, listeners and
connections would keep clients to which nobody speaks.
"""

import contextlib
import os
from collections.abc import Sequence

from forkcluster._engine import Engine
from forkcluster.wire.channel import Channel
from forkcluster.wire.forks import ForkGuard
from forkcluster.wire.stacks import unregister


class Inheritance:
    """The worker's descriptors, which children that are forked from now on close."""

    def __init__(self, channel: Channel, listeners: Sequence[int], others: Sequence[int]) -> None:
        self.engine: Engine | None = None  # that, once there, closes channel and listeners with its own
        self._channel = channel
        self._listeners = listeners
        self._others = others
        ForkGuard(self._close)

    def _close(self) -> None:
        descriptors = list(self._others)
        if self.engine is None:
            descriptors += [self._channel.fileno(), *self._listeners]
        self._channel.detach()
        unregister()
        if self.engine is not None:
            self.engine.close_inherited()
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
