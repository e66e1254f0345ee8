"""What a child that the application forks (multiprocessing in a view) must not keep of its worker.

Kept open there, the channel would hide the worker's death from the master and the inbox would keep
connections that nobody reads. The engine closes its own part (`Engine.close_inherited`: listeners,
connections, channel).
"""

import contextlib
import os
from collections.abc import Sequence

from forkcluster.wire.channel import Channel


def guard_forks(channel: Channel, descriptors: Sequence[int]) -> None:
    """Have every child forked from here on close `descriptors` and forget the channel.

    The channel's descriptor is the engine's to close; closing it twice could hit another file of the child.
    """

    def forget() -> None:
        channel.detach()
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=forget)
