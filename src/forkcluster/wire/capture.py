"""What master and logger agree on about an app's output: where its lines go, and whose pipe is which.

A pipe has a number that is never used again, so that what a logger has taken from it can be told from
everything else after the logger's death.
"""

import json
import os
from typing import NamedTuple

from forkcluster.errors import InternalError
from forkcluster.wire.kernel import memory_file

OUT, ERROR = "out", "error"
FIRST, FURTHER, REST = b" | ", b" : ", b" + "  # marks of lines: see logger/records.py
MOST_SOURCES = 24  # in one TAKE message: two descriptors each
MASTER = 1  # number of the pipe that the master itself writes to
FIRST_NUMBER = 2


class LogOrder(NamedTuple):
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
        os.write(descriptor, json.dumps(self._asdict()).encode())
        return descriptor

    @classmethod
    def from_file(cls, descriptor: int) -> "LogOrder":
        """Read what `to_file` wrote; the descriptor stays the caller's. Raises InternalError."""
        try:
            return cls(**json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0)))
        except (ValueError, TypeError) as error:
            raise InternalError(f"the logger cannot read its order: {error!r}") from error


class Label(NamedTuple):
    """Whose pipe it is: the slot as text, or "mold", "master"; the generation; out or error."""

    number: int
    worker: str
    generation: int
    stream: str


def labels_to_text(labels: "list[Label]") -> str:
    """The labels of one TAKE message."""
    return json.dumps(labels)


def labels_from_text(text: str) -> "list[Label]":
    """Read what `labels_to_text` wrote. Raises InternalError."""
    try:
        return [
            Label(int(number), str(who), int(gen), str(stream))
            for number, who, gen, stream in json.loads(text)
        ]
    except (ValueError, TypeError) as error:
        raise InternalError(f"the logger cannot read the labels of pipes: {error!r}") from error
