"""What master and logger agree on about an app's output: where its lines go, and whose pipe is which.

A pipe has a number that is never used again, so that what a logger has taken from it can be told from
everything else after the logger's death.
"""

import json
import os
from dataclasses import asdict, dataclass

from forkcluster.errors import InternalError
from forkcluster.options.dates import strftime_format
from forkcluster.options.frozen import Options
from forkcluster.wire.home import AppPlace
from forkcluster.wire.kernel import memory_file

NOWHERE = ("NULL", "/dev/null", "off")
DATES = "%Y-%m-%dT%H:%M:%S"  # --time, as PM2 writes it
OUT, ERROR = "out", "error"
FIRST, FURTHER, REST = b" | ", b" : ", b" + "  # marks of lines: see logger/records.py
MOST_SOURCES = 24  # in one TAKE message: two descriptors each
MASTER = 1  # number of the pipe that the master itself writes to
FIRST_NUMBER = 2


@dataclass(frozen=True, slots=True)
class LogOrder:
    """Where lines go and in which form.

    A path is absolute; "-" is the logger's own standard output or error; "" drops what would go there.
    `apart`: each slot has files of its own. `date_format`: for strftime, or "" for RFC 3339 in UTC. `keep`:
    how many rotated files stay; `size`: bytes at which a file is rotated, 0: never.
    """

    app: str
    out: str
    error: str
    apart: bool = False
    kind: str = "text"
    date_format: str = ""
    size: int = 0
    keep: int = 0
    compress: bool = True
    user: str | None = None
    group: str | None = None

    def path(self, stream: str, worker: str) -> str:
        """Give the path of the file that a worker's stream goes to."""
        path = self.out if stream == OUT else self.error
        if not self.apart or path in ("", "-") or not worker.isdecimal():
            return path
        stem, suffix = os.path.splitext(path)
        return f"{stem}-{worker}{suffix}"

    def to_file(self) -> int:
        """Write the order into a memfd; the caller owns it."""
        descriptor = memory_file("forkcluster-log-order")
        os.write(descriptor, json.dumps(asdict(self)).encode())
        return descriptor

    @classmethod
    def from_file(cls, descriptor: int) -> "LogOrder":
        """Read what `to_file` wrote; the descriptor stays the caller's. Raises InternalError."""
        try:
            return cls(**json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0)))
        except (ValueError, TypeError) as error:
            raise InternalError(f"the logger cannot read its order: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Label:
    """Whose pipe it is: the slot as text, or "mold", "master"; the generation; out or error."""

    number: int
    worker: str
    generation: int
    stream: str


def labels_to_text(labels: "list[Label]") -> str:
    """The labels of one TAKE message."""
    return json.dumps([[each.number, each.worker, each.generation, each.stream] for each in labels])


def labels_from_text(text: str) -> "list[Label]":
    """Read what `labels_to_text` wrote. Raises InternalError."""
    try:
        return [
            Label(int(number), str(who), int(gen), str(stream))
            for number, who, gen, stream in json.loads(text)
        ]
    except (ValueError, TypeError) as error:
        raise InternalError(f"the logger cannot read the labels of pipes: {error!r}") from error


def order_of(options: Options, place: AppPlace, *, managed: bool) -> LogOrder:
    """Say where lines go and how. Files of --user's choice are written as that user, ours as ourselves."""
    out = _path(options.out_file, place.output if managed else "-", options)
    error = _path(options.error_file, place.error if managed else "-", options)
    theirs = bool(options.out_file and options.error_file)
    return LogOrder(
        options.name,
        out,
        error,
        apart=not options.merge_logs,
        kind=options.log_type,
        date_format=DATES if options.time else strftime_format(options.log_date_format or ""),
        size=options.log_rotate_size,
        keep=options.log_rotate_keep,
        compress=options.log_compress,
        user=options.user if theirs else None,
        group=options.group if theirs else None,
    )


def _path(asked: str | None, default: str, options: Options) -> str:
    return "" if options.disable_logs or asked in NOWHERE else asked or default
