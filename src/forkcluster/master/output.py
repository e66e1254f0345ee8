"""Where an app's output goes: to our own standard streams, or through the logger to files.

The logger is there for managed apps, and for a foreground app that asks for it (--capture-output, --out-file
or --error-file).
"""

import os

from forkcluster import log
from forkcluster.errors import ConfigurationError, UsageError
from forkcluster.master.capture import Capture, Say
from forkcluster.master.children import Children
from forkcluster.master.control import Reply
from forkcluster.master.home import Home
from forkcluster.master.loop import Loop
from forkcluster.options.frozen import Options
from forkcluster.wire.capture import ERROR, LogOrder
from forkcluster.wire.control import Body
from forkcluster.wire.destinations import order_of
from forkcluster.wire.identity import acting_as, resolve


class Output:
    """The streams and logs of one app's processes."""

    def __init__(self, loop: Loop, children: Children, options: Options, home: Home, say: Say) -> None:
        self.capture: Capture | None = None
        self.stamped = True  # whether lines of our own log say when
        self._ours = -1
        if captured(options, managed=home.managed):
            order = order_of(options, home.place, managed=home.managed)
            _check_writable(order)
            self.capture = Capture(loop, children, order, say)
            self.stamped = options.log_type == "raw"
            self._capture_log(self.capture)
            if home.managed:
                self._leave_files()

    def streams(self, worker: str, generation: int) -> tuple[int, int] | None:
        """Give standard output and error for a new process, owned by the caller; None: it has ours.

        Raise OSError.
        """
        return self.capture.streams(worker, generation) if self.capture else None

    def own_log(self) -> list[int]:
        """Give the descriptor (borrowed) of the file that the log of all our processes goes to, if to one."""
        return [] if log.log.path is None else [log.log.fd]

    def start(self) -> None:
        """Begin to take what is printed."""
        if self.capture is not None:
            self.capture.start()

    def reopen(self) -> None:
        """Open all files anew; USR1."""
        log.reopen()
        if self.capture is not None:
            self.capture.reopen()

    def flush(self, _request: Body, reply: Reply) -> None:
        """Empty the files; answer when they are."""
        if self.capture is None:
            raise UsageError("this app's output does not go to files", "start it with --out-file FILE")
        self.capture.flush(lambda: reply({"ok": True}))

    def describe(self) -> Body | None:
        """Say where the output goes and how the logger is; None: it goes where ours goes."""
        if self.capture is None:
            return None
        order = self.capture.order
        return {
            "out": order.out,
            "error": order.error,
            "apart": order.apart,
            "type": order.kind,
            "date_format": order.date_format,
            "logger": self.capture.pid,
            "restarts": max(0, self.capture.restarts),
            "dropped": self.capture.dropped,
            "trouble": dict(self.capture.trouble),
            "own_lines_dropped": log.log.dropped,
        }

    def close(self) -> None:
        """Write what is left, and end the logger; every process of the app is gone."""
        if self.capture is None:
            return
        if self._ours >= 0:
            log.log.fd, log.log.stamped = 2, True
            os.close(self._ours)
            self._ours = -1
        self.capture.close()

    def _capture_log(self, capture: Capture) -> None:
        """Have our own log go where the app's errors go, without ever waiting for it."""
        if log.log.path is not None:
            return
        self._ours = capture.stream("master", 0, ERROR)
        os.set_blocking(self._ours, False)
        log.log.fd, log.log.stamped = self._ours, self.stamped

    def _leave_files(self) -> None:
        """Have our standard streams lead to the logger, too: they would hold the first files for ever."""
        if self._ours >= 0:
            for number in (1, 2):
                os.dup2(self._ours, number)


def _check_writable(order: LogOrder) -> None:
    """Raise ConfigurationError for a file that cannot be written already at the start."""
    for stream, path in (("out", order.out), ("error", order.error)):
        if path in ("", "-") or is_special(path):
            continue  # a pipe or a device is the logger's business: who reads it would see us go
        try:
            with acting_as(resolve(order.user, order.group)):
                _try(path)
        except OSError as error:
            text = f"cannot write the app's output to {path}: {error.strerror}"
            raise ConfigurationError(text, f"choose a writable place with --{stream}-file") from error


def is_special(path: str) -> bool:
    """Tell whether a path leads to a pipe or a device."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _try(path: str) -> None:
    """Open a file as the logger does, who makes its directory, too. Raise OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        os.close(os.open(path, flags, 0o640))
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o750, exist_ok=True)
        os.close(os.open(path, flags, 0o640))


def captured(options: Options, *, managed: bool) -> bool:
    """Tell whether the app's output goes through a logger."""
    return managed or options.capture_output or bool(options.out_file or options.error_file)
