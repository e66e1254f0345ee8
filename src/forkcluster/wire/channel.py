"""A channel: one end of a SOCK_SEQPACKET pair that carries messages and descriptors between two processes.

Owns its socket. Sending never blocks: the kernel's queue is the only buffer, and a peer that lets it fill is
broken. Received descriptors are CLOEXEC and belong to the caller. Knows nothing of what the messages mean.
"""

import array
import errno
import os
import socket
from collections.abc import Sequence
from enum import Enum

from forkcluster.wire.messages import HEAD, PAYLOAD, Message, MessageError, pack, unpack

MOST_DESCRIPTORS = 64


class Sent(Enum):
    """What became of a message: in the peer's queue, refused as it (or the kernel) is full, peer gone."""

    OK = "ok"
    FULL = "full"
    CLOSED = "closed"


class Channel:
    """One end of the line between the master and a child."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    @classmethod
    def adopt(cls, descriptor: int) -> "Channel":
        """Take over an inherited descriptor; it becomes CLOEXEC."""
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=descriptor))

    def fileno(self) -> int:
        """Give the descriptor, -1 when closed."""
        return self._line.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> Sent:
        """Queue one message with copies of `descriptors` (borrowed, at most MOST_DESCRIPTORS)."""
        ancillary = []
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
        try:
            self._line.sendmsg([pack(message)], ancillary, flags)
        except BlockingIOError:
            return Sent.FULL
        except (BrokenPipeError, ConnectionError):
            return Sent.CLOSED
        except OSError as error:  # of the kernel's memory, or of descriptors on their way
            if error.errno not in (errno.ETOOMANYREFS, errno.ENOMEM, errno.ENOBUFS):
                raise
            return Sent.FULL
        return Sent.OK

    def receive(self, *, wait: bool = False, whole: bool = True) -> tuple[Message, list[int]] | None:
        """Take the next message and the descriptors beside it; None at end of file.

        Raise BlockingIOError when there is none (`wait` false), MessageError when the record is not a message
        or its descriptors were truncated (this process may hold no more); in both its descriptors are closed
        again. `whole` false: a message whose descriptors were truncated comes without any.
        """
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
        room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            record, ancillary, seen, _ = self._line.recvmsg(HEAD.size + PAYLOAD, room, flags)
        except ConnectionResetError:
            return None
        descriptors = _descriptors(ancillary)
        if not record:
            return None
        try:
            if seen & socket.MSG_CTRUNC and not whole:
                close_all(descriptors)
                descriptors = []
            elif seen & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
                raise MessageError("a message was truncated: too few free descriptors?")
            return unpack(record), descriptors
        except MessageError:
            close_all(descriptors)
            raise

    def detach(self) -> None:
        """Give up the descriptor without closing it: somebody else does."""
        self._line.detach()

    def close(self) -> None:
        """Close this end; idempotent."""
        self._line.close()


def channel_pair() -> tuple[Channel, Channel]:
    """Make the two ends of a new channel, both CLOEXEC."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody else owns."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
