"""The last lines of a log, read backwards through its rotated files, and those that come."""

import contextlib
import gzip
import os
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from forkcluster.wire.rotated import rotated

BLOCK: Final = 64 * 1024


def last_lines(path: str, wanted: int) -> tuple[list[bytes], int]:
    """Give the last lines of a log without their ends, and where in the file they end.

    Rotated files are read as far as needed. A line that has no end yet is not given. Raise OSError.
    """
    lines: list[bytes] = []
    end = 0
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        lines, end = _last_of(file, wanted)
    older = _rotated(path)
    while len(lines) < wanted and older:
        with contextlib.suppress(FileNotFoundError), _open(older.pop()[1]) as file:
            found = (
                _last_of(file, wanted)[0]
                if not isinstance(file, gzip.GzipFile)
                else file.read().split(b"\n")[:-1]
            )
            lines = [*found[len(lines) - wanted :], *lines]
    return lines[-wanted:] if wanted else [], end


def _rotated(path: str) -> list[tuple[int, str]]:
    """Give the rotated files, each number once: the compressed one is whole when both are there."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(dict(rotated(path)).items())
    return []


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Open a rotated file; of a compressed one only reading to the end is cheap."""
    with open(path, "rb") as file:
        if path.endswith(".gz"):
            with gzip.GzipFile(fileobj=file) as packed:
                yield cast("BinaryIO", packed)
        else:
            yield file


def _last_of(file: BinaryIO, wanted: int) -> tuple[list[bytes], int]:
    """The last whole lines of a file, and where they end; reads blocks backwards until there are enough."""
    at = file.seek(0, os.SEEK_END)
    data, total = b"", at
    while at > 0 and data.count(b"\n") <= wanted:
        step = min(at, max(BLOCK, len(data)))
        at -= step
        file.seek(at)
        data = file.read(step) + data
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].split(b"\n")[:-1]
    if at > 0:
        del lines[:1]  # its beginning was not read
    return lines[-wanted:] if wanted else [], total - len(data) + whole


class Follower:
    """Reads what is added to a log, from `end` on; through any number of rotations between two looks.

    `end` None: all of it, what was rotated already, too.
    """

    def __init__(self, path: str, end: int | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._newest = 0
        if end is not None:
            self._newest = self._newest_number()
            self._open(end)

    def look(self) -> Iterator[bytes]:
        """Give the lines that have come since the last look, without their ends."""
        yield from self._read()
        while self._moved():
            yield from self._read()  # what was written between the read and the move
            yield from self._pass_on()
            yield from self._read()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _newest_number(self) -> int:
        return max((number for number, _ in _rotated(self._path)), default=0)

    def _open(self, at: int = 0) -> None:
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._file = open(self._path, "rb")  # noqa: SIM115  it stays open from look to look
            self._file.seek(at)

    def _read(self) -> Iterator[bytes]:
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # it was emptied
            self._rest = b""
        while data := self._file.read(BLOCK):
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines

    def _moved(self) -> bool:
        """Tell whether the path leads to another file than the one that is being read."""
        try:
            info = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        ours = os.fstat(self._file.fileno())
        return (info.st_dev, info.st_ino) != (ours.st_dev, ours.st_ino)

    def _pass_on(self) -> Iterator[bytes]:
        """Read the files that were begun and rotated meanwhile, then begin with the present one."""
        behind = self._newest + (self._file is not None)  # the number that ours has got
        while True:
            for number, path in _rotated(self._path):
                if number > behind:
                    with contextlib.suppress(FileNotFoundError), _open(path) as file:
                        yield from file.read().split(b"\n")[:-1]
                    behind = number
            self._open()
            self._newest = self._newest_number()
            if self._newest <= behind:  # else the one that we have opened was rotated before we knew it
                break
        self._rest = b""
