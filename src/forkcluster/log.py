"""The operating log: structured lines, written by one `os.write` each, never raising. Owns the log's
descriptor.

It does not use the logging package: the master must stay small, and an application's logging set-up is its
own. This is a leaf. A line that cannot be written (disk full, reader gone, pipe full) is dropped and counted
in `Log.dropped`: a log must never stop a server.
"""

import contextlib
import errno
import json
import os
import select
import time
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
SHORT: Final = {"warning": "warn"}

Field = str | int | float | bool | None


class Log:
    """One process's log. `process` is the process's word in each line: master, mold, worker …

    `stamped`: lines say when; not, when they go to the logger, which says it of every line.
    """

    __slots__ = ("dropped", "fd", "format", "level", "path", "process", "stamped", "told", "torn")

    def __init__(
        self,
        process: str = "forkcluster",
        *,
        level: str = "info",
        format: str = "text",
        path: str | None = None,
        fd: int = 2,
    ) -> None:
        self.process = process
        self.level = level
        self.format = format
        self.path = path
        self.fd = fd
        self.stamped = True
        self.dropped = 0
        self.told = 0  # how many of these the log itself has told
        self.torn = False  # the last line ends in the middle

    def debug(self, message: str, **fields: Field) -> None:
        self.write("debug", message, fields)

    def info(self, message: str, **fields: Field) -> None:
        self.write("info", message, fields)

    def warning(self, message: str, **fields: Field) -> None:
        self.write("warning", message, fields)

    def error(self, message: str, **fields: Field) -> None:
        self.write("error", message, fields)

    def write(self, level: str, message: str, fields: dict[str, Field]) -> None:
        """Write one line if `level` is loud enough. Never raises; what cannot be written is counted."""
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        line = (json_line if self.format == "json" else text_line)(
            time.time(), level, self.process, message, fields
        )
        if not self.stamped and self.format != "json":
            line = line.partition(" ")[2]
        data = line.encode("utf-8", "backslashreplace")
        if not self._put(data):
            self.dropped += 1
        elif self.dropped > self.told:
            lines, self.told = self.dropped - self.told, self.dropped
            self.warning("log lines could not be written", lines=lines)

    def _put(self, data: bytes) -> bool:
        """Write without waiting for a reader; False when not all of it was written."""
        rest = memoryview(b"\n" + data if self.torn else data)
        whole = len(rest)
        try:
            while rest:
                rest = rest[write_now(self.fd, rest[: select.PIPE_BUF]) :]
        except OSError:
            self.torn = 0 < len(rest) < whole or (self.torn and len(rest) == whole)
            return False
        self.torn = False
        return True

    def reopen(self) -> None:
        """Open the log file anew, after a rotation moved it; keep the old descriptor if that fails.

        The number stays the same, so that children which inherited the descriptor at spawn need not be told.
        A log that goes to standard error stays there.
        """
        if self.path is None:
            return
        try:
            new = open_append(self.path)
        except OSError as error:
            self.error("cannot reopen the log file; keeping the old one", path=self.path, error=str(error))
            return
        self.replace(new)

    def replace(self, descriptor: int) -> None:
        """Exchange the file behind our descriptor for another one, which is closed."""
        os.dup2(descriptor, self.fd, inheritable=False)
        os.close(descriptor)


def write_now(fd: int, data: memoryview) -> int:
    """Write to a file, or as much to a pipe as it takes at once (at most PIPE_BUF); give how much.

    Raises OSError: BlockingIOError when a pipe is full.
    """
    try:
        return os.pwritev(fd, [data], -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ESPIPE, errno.ENOSYS):
            raise
    poller = select.poll()  # a file, a terminal, or an older kernel's pipe
    poller.register(fd, select.POLLOUT)
    if not poller.poll(0):
        raise BlockingIOError
    return os.write(fd, data)


def open_append(path: str) -> int:
    """Open `path` for appending, close-on-exec, made with mode 0640 if it is new. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def timestamp(now: float) -> str:
    """`now` (seconds since the epoch) as UTC in RFC 3339 with milliseconds."""
    milliseconds = int(now * 1000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole}.{milliseconds % 1000:03d}Z"


def text_line(now: float, level: str, process: str, message: str, fields: dict[str, Field]) -> str:
    """A line for people: `2026-11-23T09:41:02.123Z info  master  text slot=0 generation=1`.

    The fields follow the first line of the message; further lines (a traceback) are indented below it,
    unchanged.
    """
    first, *rest = message.rstrip("\n").split("\n")
    words = "".join(f" {name}={_word(value)}" for name, value in fields.items())
    head = f"{timestamp(now)} {SHORT.get(level, level):<5} {process:<7} {_printable(first)}{words}"
    return "\n    ".join([head, *map(_printable, rest)]) + "\n"


def json_line(now: float, level: str, process: str, message: str, fields: dict[str, Field]) -> str:
    """One JSON object in one line: time, level, process, message, then the fields (ours win a clash)."""
    line = {"time": timestamp(now), "level": level, "process": process, "message": message}
    return (
        json.dumps({**line, **{k: v for k, v in fields.items() if k not in line}}, ensure_ascii=False) + "\n"
    )


def _word(value: Field) -> str:
    """A field's value as one word; quoted when it would not read as one."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return str(value)
    plain = value and value.isprintable() and not any(c in value for c in " \"'=\\")
    return value if plain else json.dumps(value, ensure_ascii=False)


def _printable(line: str) -> str:
    """`line` with control characters escaped, so that nothing logged can move a terminal's cursor."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)


log: Final = Log()
"""This process's log. Set up once by `configure`; before that it writes text to standard error."""


def configure(
    process: str,
    level: str = "info",
    format: str = "text",
    path: str | None = None,
    *,
    fd: int = 2,
    stamped: bool = True,
) -> None:
    """Set up this process's log. `path` None: it goes to `fd`, owned unless it is 2.

    Raises OSError if the file cannot be opened.
    """
    fd = fd if path is None else open_append(path)
    log.process, log.level, log.format, log.path, log.stamped = process, level, format, path, stamped
    if log.fd not in (2, fd):
        with contextlib.suppress(OSError):
            os.close(log.fd)
    log.fd = fd


def debug(message: str, **fields: Field) -> None:
    """Write what only someone searching for a fault wants to read."""
    log.write("debug", message, fields)


def info(message: str, **fields: Field) -> None:
    """Write what happened as it should."""
    log.write("info", message, fields)


def warning(message: str, **fields: Field) -> None:
    """Write what went wrong and was coped with."""
    log.write("warning", message, fields)


def error(message: str, **fields: Field) -> None:
    """Write what failed."""
    log.write("error", message, fields)


def reopen() -> None:
    """Open the log file anew (USR1)."""
    log.reopen()
