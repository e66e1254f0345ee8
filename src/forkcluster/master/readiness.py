"""The socket through which one process of fork mode says how it is, as sd_notify(3) has it: READY=1,
STOPPING=1.

An abstract address with a random name, told to that process alone (it may run as another user, who could not
reach a file in our private directories). What arrives counts only if its sender, by the kernel's word, is
root, we, or the process's user, and in the process's tree as far as it can still be looked up.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable

from forkcluster import log
from forkcluster.master.loop import Loop

MOST = 4096
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred

Say = Callable[[str, str], None]
Ours = Callable[[int], bool]


class ReadySocket:
    """Owns the socket; calls `say(name, value)` for each assignment heard, such as ("READY", "1")."""

    def __init__(self, loop: Loop, uid: int, ours: Ours, say: Say) -> None:
        self._loop = loop
        self._users = {0, os.geteuid(), uid}
        self._ours = ours
        self._say = say
        name = f"forkcluster-{os.urandom(12).hex()}"
        self.address = f"@{name}"
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(f"\0{name}")
        loop.watch(self._socket.fileno(), self._hear)

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()

    def _hear(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(MOST, 256)
        except OSError:
            return
        sender = _sender(ancillary)
        if sender is None or sender[1] not in self._users or not self._ours(sender[0]):
            log.warning("a stranger spoke to a process's ready socket", sender=str(sender))
            return
        for line in data.decode("utf-8", "replace").split("\n"):
            name, _, value = line.partition("=")
            if name:
                self._say(name, value)


def _sender(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Give the sender's pid and uid; descriptors that came along are closed."""
    found = None
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS and len(data) >= CREDENTIALS.size:
            pid, uid, _ = CREDENTIALS.unpack(data[: CREDENTIALS.size])
            found = (pid, uid)
        elif kind == socket.SCM_RIGHTS:
            for (descriptor,) in struct.iter_unpack("i", data[: len(data) // 4 * 4]):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
    return found
