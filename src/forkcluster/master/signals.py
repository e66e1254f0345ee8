"""The master's signals: a native handler only records number and sender in a pipe; the loop reads it."""

import os
import signal
import struct
from typing import NamedTuple

from forkcluster import _process
from forkcluster.master.asker import describe

OURS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
)
COUNTED = (signal.SIGTTIN, signal.SIGTTOU)


RECORD = struct.Struct("=iiI")  # number, sender's pid (0: unknown), its uid


class Came(NamedTuple):
    """A signal that came, and who sent it, in words ("" when unknown)."""

    number: signal.Signals
    asker: str


class Signals:
    """Owns the pipe that every signal of `OURS` writes its record to."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _process.record_signals(OURS, self._writer)

    def read(self) -> list[Came]:
        """Take the signals that came since, in the order of their first coming, each once.

        But those that count, TTIN and TTOU, as often as they came.
        """
        try:
            data = os.read(self.reader, 256 * RECORD.size)
        except BlockingIOError:
            return []
        found: list[Came] = []
        seen: set[int] = set()
        for number, pid, uid in RECORD.iter_unpack(data):
            if number not in seen or number in COUNTED:
                asker = describe(pid, uid) if pid and number != signal.SIGCHLD else ""
                found.append(Came(signal.Signals(number), asker))
            seen.add(number)
        return found
