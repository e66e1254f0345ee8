"""What the app prints, read back from the files that its logger writes: the latest lines, then new ones.

A file that was rotated is read from the new one's beginning. Reads at most CHUNK a look, so that a flood of
lines shows its newest part and nothing waits. Knows the form of the logger's text lines, for their time.
"""

import os
import re
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from forkcluster.wire.capture import ERROR, OUT
from forkcluster.wire.control import Body

CHUNK: Final = 64 * 1024
KEPT: Final = 200  # lines
LONGEST: Final = 2000  # characters of a line that are shown
NOT_CAPTURED: Final = "goes to where the app was started, unless --capture-output"
APART: Final = "is in a file for each worker (merge_logs is off)"
STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z (\S+) [|:+] ?(.*)")


class Output:
    """The files by stream (out, error), as the master says; none: the output goes to where the app was
    started.
    """

    def __init__(self) -> None:
        self._order: object = None
        self._tails: list[Tail] = []
        self._lines: deque[Body] = deque(maxlen=KEPT)
        self.note = NOT_CAPTURED

    def follow(self, order: object) -> None:
        """Take the files from what the master's status says of the output."""
        if order == self._order:
            return
        self._order = order
        told: Mapping[str, object] = order if isinstance(order, dict) else {}
        paths = {stream: str(told.get(stream, "")) for stream in (OUT, ERROR)}
        apart = told.get("apart") is True
        self._tails = [] if apart else [Tail(s, path) for s, path in paths.items() if path not in ("", "-")]
        self.note = APART if apart else "" if self._tails else NOT_CAPTURED

    def latest(self) -> list[Body]:
        """Give the lines that were read last."""
        return list(self._lines)

    def read(self) -> list[Body]:
        """Give the lines that are new since the last reading, in the order of their times."""
        found = [line for tail in self._tails for line in tail.read()]
        found.sort(key=lambda line: float(str(line["time"])))
        self._lines += found
        return found[-KEPT:]


class Tail:
    """One file's end. It may not exist yet, and may be replaced by another."""

    def __init__(self, stream: str, path: str) -> None:
        self._stream = stream
        self._path = path
        self._inode = 0
        self._at = -1  # read up to here; -1: never looked
        self._rest = b""

    def read(self) -> list[Body]:
        """Give its whole new lines, the newest CHUNK of them at most."""
        try:
            with open(self._path, "rb") as file:
                return [self._line(line) for line in self._new(file.fileno())]
        except OSError:
            self._at = max(self._at, 0)
            return []

    def _new(self, descriptor: int) -> list[bytes]:
        info = os.fstat(descriptor)
        if self._at >= 0 and (info.st_ino != self._inode or info.st_size < self._at):
            self._at, self._rest = 0, b""
        self._inode = info.st_ino
        start = max(self._at, info.st_size - CHUNK, 0)
        data = os.pread(descriptor, CHUNK, start)
        whole = start in (self._at, 0)
        lines = (self._rest + data if whole else data).split(b"\n")
        self._at, self._rest = start + len(data), lines.pop()[-CHUNK:]
        return lines if whole else lines[1:]

    def _line(self, raw: bytes) -> Body:
        text = raw.decode("utf-8", "replace")
        found = STAMPED.fullmatch(text)
        if found is None:
            return {"time": time.time(), "stream": self._stream, "text": text[:LONGEST]}
        moment = datetime.fromisoformat(f"{found[1]}+00:00").timestamp()
        return {"time": moment, "stream": self._stream, "text": f"{found[2]} {found[3]}"[:LONGEST]}
