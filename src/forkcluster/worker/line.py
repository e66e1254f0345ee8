"""The line to the master, from a worker that boots and serves: what it says, and when booting is over."""

import os
import select

from forkcluster import _process
from forkcluster.wire.channel import Channel, close_all
from forkcluster.wire.kernel import pidfd_of
from forkcluster.wire.messages import Kind, Message


class Line:
    """A worker's channel, for sending only: its monitor reads it."""

    def __init__(self, channel: Channel, seat: int, epoch: int) -> None:
        self.channel = channel
        self.booted = False
        self._seat = seat
        self._epoch = epoch

    def hello(self, stacks: int) -> None:
        """Say who we are, and hand in the pipe our stacks come through and our own pidfd. Raises OSError."""
        pid = os.getpid()
        pidfd = pidfd_of(pid)
        descriptors = [stacks] if pidfd < 0 else [stacks, pidfd]
        self.channel.send(Message(Kind.HELLO, "", self._seat, self._epoch, arg=pid), descriptors)
        close_all(descriptors[1:])

    def ready(self) -> None:
        """Booting is over; pass on a TERM that came before the engine took that signal over."""
        self.booted = True
        self.channel.send(Message(Kind.READY, "", self._seat, self._epoch))
        if select.select([_process.leave_fd()], [], [], 0)[0]:
            self.leave("SIGTERM")

    def leave(self, reason: str) -> None:
        """Ask to be retired."""
        self.channel.send(Message(Kind.LEAVE, reason, self._seat, self._epoch))

    def failed(self, text: str) -> None:
        """Booting has failed."""
        self.channel.send(Message(Kind.FAILED, text, self._seat, self._epoch))
