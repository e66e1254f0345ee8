"""The master's signals: handlers only record the number in a pipe; the loop reads it."""

import os
import signal

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


class Signals:
    """Owns the pipe that every signal of `OURS` writes its number to, through the interpreter's wake-up
    descriptor.
    """

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in OURS:
            signal.signal(number, _record)

    def read(self) -> list[signal.Signals]:
        """Take the signals that came since, each once, in the order of their first coming."""
        try:
            numbers = os.read(self.reader, 4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in dict.fromkeys(numbers)]


def _record(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has recorded it."""
