"""What has happened to an app: the latest in memory, and on disk as JSON lines that outlive the master.

One file of at most MOST_BYTES and the one before it (`events.1.jsonl`). Writing never raises and never waits
for anything but the disk cache: what cannot be written (disk full) is counted, and kept in memory all the
same.
"""

import contextlib
import json
import os
import stat
import time
from collections import deque

from forkcluster.log import Field, timestamp

MOST_EVENTS = 256
MOST_TEXT = 4096
MOST_BYTES = 1024 * 1024
TAIL = 64 * 1024  # how much of the file is read at the start

# What an event can be; "note" is everything else that was logged.
KINDS = (
    "start", "asked", "ready", "up", "unforkable", "slow", "hang", "crash", "boot-failure", "mold-end",
    "recycle", "end", "scale", "reload", "reload-done", "reload-failure", "stop", "stopped", "note",
)  # fmt: skip

Entry = dict[str, object]


class History:
    """The last MOST_EVENTS events, each with its wall-clock time. `path` None: in memory only."""

    def __init__(self, path: str | None = None, most: int = MOST_BYTES) -> None:
        self.dropped = 0  # events that could not be written
        self._entries: deque[Entry] = deque(maxlen=MOST_EVENTS)
        self._path = path
        self._most = most
        self._descriptor = -1
        self._size = 0
        if path is not None:
            self._entries.extend(_tail(path))
            self._open(path)

    def add(self, kind: str, level: str, text: str, fields: dict[str, Field]) -> None:
        """Remember one event; a long text keeps its beginning and its end."""
        if len(text) > MOST_TEXT:
            text = f"{text[: MOST_TEXT // 2]}\n... cut ...\n{text[-MOST_TEXT // 2 :]}"
        entry: Entry = {"time": timestamp(time.time()), "event": kind, "level": level, "text": text}
        entry["fields"] = fields
        self._entries.append(entry)
        if self._path is not None:
            self._write(self._path, json.dumps(entry, ensure_ascii=False) + "\n")

    def latest(self, count: int = MOST_EVENTS) -> list[Entry]:
        """Give the latest events, the oldest of them first."""
        return list(self._entries)[-count:] if count else []

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, path: str, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace")
        if self._size + len(data) > self._most:
            self._rotate(path)
        if self._descriptor < 0:
            self._open(path)
        try:
            written = os.write(self._descriptor, data) if self._descriptor >= 0 else 0
        except OSError:
            written = 0
        self._size += written
        if written == len(data):
            return
        self.dropped += 1
        if written:  # half a line would spoil the next one
            with contextlib.suppress(OSError):
                self._size -= written
                os.ftruncate(self._descriptor, self._size)

    def _rotate(self, path: str) -> None:
        self.close()
        root, suffix = os.path.splitext(path)
        with contextlib.suppress(OSError):
            os.replace(path, f"{root}.1{suffix}")

    def _open(self, path: str) -> None:
        """Open the file for appending; without it, events are in memory only."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._descriptor = os.open(path, flags, 0o600)
            info = os.fstat(self._descriptor)
        except OSError:
            self.close()
            return
        self._size = info.st_size
        if not stat.S_ISREG(info.st_mode):  # a pipe would have to be waited for
            self.close()


def _tail(path: str) -> list[Entry]:
    """Read the last events of a file; lines that are none are left out."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        info = os.fstat(descriptor)
        start = max(0, info.st_size - TAIL)
        lines = os.pread(descriptor, TAIL, start).split(b"\n") if stat.S_ISREG(info.st_mode) else []
    finally:
        os.close(descriptor)
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and "time" in entry:
                found.append(entry)
    return found
