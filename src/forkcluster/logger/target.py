"""Where lines go: a file of its own, or the standard output or error that the logger was started with.

Lines are appended whole or, when a disk is full in the middle of one, its rest comes first as soon as there
is room. Nothing here blocks but a disk that does: a pipe or terminal is opened anew, without blocking.
"""

import contextlib
import os
import stat
import time

from forkcluster.logger.journal import Batch, Journal
from forkcluster.logger.rotation import rotate
from forkcluster.logger.source import Source
from forkcluster.wire.capture import Label
from forkcluster.wire.rotated import rotated

RETRY = 0.5  # seconds until a file that could not be written is tried again
FOREIGN = 1 << 20  # bytes of others among which our own are looked for after a kill
STANDARD = {"-1": 1, "-2": 2}  # paths in the journal of what is not a file of ours


class Target:
    """One file (or stream), the pipes that go to it, and its region of the journal.

    A file that cannot be written raises nothing: `why` tells it.
    """

    def __init__(self, path: str, journal: Journal, *, follow: bool = True) -> None:
        self.path = path
        self.sources: list[Source] = []
        self.why = ""  # what the system said when lines could not be written; empty: they can
        self.reason = ""  # what it said the last time
        self.lost = 0  # lines dropped, and not yet told of in the file
        self.dropped = 0  # lines dropped ever
        self.retry_at = 0.0
        self._journal = journal
        self._unclaimed = dict(journal.entry.places)  # of pipes that a predecessor had, until they come to us
        self._blocked = False
        self._follow = 0 if follow else os.O_NOFOLLOW
        self._fd = -1
        self._rest = b""
        self._regular = False
        self._recover()

    # -- pipes

    def adopt(self, label: Label, reader: int, spool: int) -> Source:
        """Take over a pipe and its memfd, to go on where a predecessor stopped."""
        source = Source(label, reader, spool, self._unclaimed.pop(label.number, (0, 0)))
        self.sources.append(source)
        return source

    def part(self, source: Source) -> None:
        """Forget a pipe that is empty and that nobody will take over."""
        self.sources.remove(source)
        source.close()

    def _places(self) -> dict[int, tuple[int, int]]:
        return {**self._unclaimed, **{source.label.number: source.place for source in self.sources}}

    # -- writing

    @property
    def stream(self) -> int:
        """The descriptor to wait for until it can be written, -1 when waiting is no use."""
        return self._fd if self._blocked and self.why else -1

    def write(self, lines: bytes) -> None:
        """Append lines; only when `why` is empty. What could not be written is kept, and `why` says it.

        The places of the pipes must be those behind these lines.
        """
        self._journal.begin(self._batch(), lines, self._places())
        self._rest = lines
        self._push()

    def keep(self) -> None:
        """Tell the journal that places have changed."""
        self._journal.keep(self._places())

    def retry(self, now: float, *, ready: bool = False) -> None:
        """Try to go on, if it is time to, or the stream is `ready`."""
        if not self.why or (now < self.retry_at and not ready):
            return
        if self._fd >= 0:
            self._push()
        elif self._open():
            self._resume()

    def size(self) -> int:
        """How long the file is; 0 for what is not ours to rotate."""
        if not self._regular or self._fd < 0 or self.path in STANDARD:
            return 0
        return os.fstat(self._fd).st_size

    # -- files

    def check(self) -> None:
        """Open the file, unless it is open and in its place."""
        if self.path == "" or self._rest:
            return
        if self._fd >= 0 and (not self._regular or self.path in STANDARD or os.fstat(self._fd).st_nlink):
            return
        self.reopen()

    def reopen(self) -> None:
        """Open the file anew; keep the old one when that fails. A line torn there is whole in the new one."""
        if self.path in STANDARD or not self.path or not self._open() or not self._rest:
            return
        lines = self._journal.lines()
        torn = lines.rfind(b"\n", 0, len(lines) - len(self._rest)) + 1
        self._rest = lines[torn:]
        self._journal.begin(self._batch(), self._rest, self._places())
        self._push()

    def rotate(self, keep: int) -> bool:
        """Move the file aside and begin a new one. False when that failed, or something is on its way."""
        if not self._regular or self.path in STANDARD or self._rest:
            return False
        mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
        try:
            rotate(self.path, keep)
        except OSError:
            self.reopen()  # somebody else has moved it
            return False
        if not self._open():
            return False
        os.fchmod(self._fd, mode)
        return True

    def empty(self) -> None:
        """Remove what is in the file, and its rotated ones."""
        if not self._regular or self.path in STANDARD or self._rest:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            for _, path in rotated(self.path):
                os.unlink(path)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> bool:
        try:
            new = self._open_standard() if self.path in STANDARD else self._open_file()
        except OSError as error:
            self._fail(error.strerror or str(error))
            return False
        self.close()
        self._fd = new
        self._regular = stat.S_ISREG(os.fstat(new).st_mode)
        if not self._rest:
            self.why = ""
        return True

    def _open_file(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        try:
            return os.open(self.path, flags | self._follow, 0o640)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), 0o750, exist_ok=True)
            return os.open(self.path, flags | self._follow, 0o640)

    def _open_standard(self) -> int:
        """Open our standard stream anew: O_NONBLOCK set on ours would hold for all who share it."""
        number = STANDARD[self.path]
        mode = os.fstat(number).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(number):
            with contextlib.suppress(OSError):  # not ours to open: what is stuck must then be waited for
                return os.open(
                    f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                )
        return os.dup(number)

    # -- the way to the file

    def _batch(self) -> Batch:
        info = os.fstat(self._fd)
        return Batch(self.path, info.st_dev, info.st_ino, info.st_size if self._regular else 0)

    def _push(self) -> None:
        """Write what is on its way, as much as goes."""
        while self._rest:
            try:
                done = os.write(self._fd, self._rest)
            except BlockingIOError:
                self._fail("its reader does not read", blocked=True)
                return
            except OSError as error:
                self._fail(error.strerror or str(error))
                return
            self._rest = self._rest[done:]
        self.why = ""
        self._journal.done(self.path)

    def _fail(self, why: str, *, blocked: bool = False) -> None:
        self.why = self.reason = why
        self._blocked = blocked
        self.retry_at = time.monotonic() + RETRY

    # -- after a kill

    def _recover(self) -> None:
        """Open the file, and finish what the predecessor had begun."""
        if not self._journal.entry.sequence:
            self._journal.done(self.path)  # the region is ours from now on
        if self.path and self._open():
            self._resume()

    def _resume(self) -> None:
        lines = self._journal.lines()
        if lines:
            self._finish(self._journal.entry.batch, lines)
        self._push()

    def _finish(self, batch: Batch, lines: bytes) -> None:
        if not self._regular:
            self._rest = lines  # some may be there already: a stream does not say
            return
        info = os.fstat(self._fd)
        if (info.st_dev, info.st_ino) == (batch.device, batch.inode):
            self._rest = missing(self._fd, batch.offset, lines)
            return
        moved = _find(os.path.dirname(self.path), batch.inode)
        if moved < 0:
            return
        rest = missing(moved, batch.offset, lines)
        try:
            os.write(moved, rest)
        except OSError:
            self._rest = rest  # a disk that is full now: the new file gets it
        os.close(moved)


def missing(fd: int, offset: int, lines: bytes) -> bytes:
    """Give what of `lines`, which were to be appended at `offset`, is not in the file."""
    path = f"/proc/self/fd/{fd}"
    with open(path, "rb") as file:
        size = os.fstat(fd).st_size
        if size < offset:
            return lines  # somebody emptied the file
        file.seek(offset)
        there = file.read(len(lines) + FOREIGN)
    if lines in there:
        return b""
    return lines[len(there) :] if lines.startswith(there) else lines


def _find(directory: str, inode: int) -> int:
    """Open the file of that inode, which was moved within the directory; -1 when it is not there."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.inode() == inode and entry.is_file(follow_symlinks=False):
                return os.open(entry.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    return -1
