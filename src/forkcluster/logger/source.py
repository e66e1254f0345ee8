"""One pipe that an app's process writes to, and the memfd that holds what was taken from it.

The kernel moves bytes from one to the other (splice): a kill of the logger finds them in the pipe or in the
memfd, never in between. How far the memfd is written to files is the journal's to say; what is dead at its
beginning is given back now and then, in steps that a kill may part anywhere (see `compact`).
"""

import os
import time

from forkcluster.logger.records import ALL, LONGEST, SOON, WAIT, Cut, Form, Stamp, cut
from forkcluster.wire.capture import Label

CHUNK = 256 * 1024  # bytes that are taken, and written, at once
MOST_HELD = 1024 * 1024  # bytes that wait for a file that cannot be written; what is more is dropped
DEAD = 64 * 1024  # bytes that are given back together
HOLD = 0.05  # seconds without a byte: the end of a traceback will not come
PATIENCE = 2.0  # likewise the end of a line
TAIL = 8 * 1024  # bytes that are remembered of what was taken last


class Source:
    """A pipe's reading end and its memfd, both owned."""

    def __init__(self, label: Label, reader: int, spool: int, place: tuple[int, int] = (0, 0)) -> None:
        self.label = label
        self.reader = reader
        self.ended = False
        self._tail = b""
        self._spool = spool
        self.taken, self.state = place
        self._size = os.fstat(spool).st_size
        if self.taken > self._size:  # compacted, and killed before the journal knew
            self.taken = 0
        self._searched = self.taken  # there is no line's end between taken and this
        self._heard = time.monotonic()  # a successor waits as long as anybody

    @property
    def pending(self) -> int:
        """How many bytes are not on their way to a file."""
        return self._size - self.taken

    @property
    def place(self) -> tuple[int, int]:
        """What the journal keeps of it."""
        return self.taken, self.state

    def pull(self, now: float) -> int:
        """Move what is in the pipe, at most CHUNK, into the memfd; give the number of bytes.

        `now` is CLOCK_MONOTONIC, in seconds, everywhere here.
        """
        try:
            moved = os.splice(
                self.reader, self._spool, CHUNK, offset_dst=self._size, flags=os.SPLICE_F_NONBLOCK
            )
        except BlockingIOError:
            return 0
        self.ended = not moved
        self._size += moved
        self._heard = now
        return moved

    def cut(self, form: Form, now: float, clock: float, *, final: bool = False) -> Cut | None:
        """Cut off what can be written now; None when that is nothing. `clock`: time of day for the stamps.

        What was given must be written, or come to be: nothing but `advance` changes the place.
        """
        if not self.pending:
            return None
        urgency = self._urgency(now, final=final)
        if urgency == WAIT and not self._has_line():
            return None
        data = os.pread(self._spool, min(self.pending, CHUNK), self.taken)
        found = cut(data, self.state, Stamp(form, self.label, clock), urgency)
        if found.taken:
            return found
        if urgency != WAIT:
            self._searched = self._size  # a line without its end, and nothing else
        return None

    def advance(self, found: Cut) -> None:
        """Go on behind what was cut off."""
        self._take(found.taken)
        self.state = found.state

    def skip(self) -> bool:
        """Take all that is there for nothing; True when there was something."""
        held = self.pending
        self._take(held)
        self.state = 0
        return held > 0

    @property
    def last_words(self) -> str:
        """The whole lines at the end of what was taken, as many as are remembered."""
        begun = self._tail.find(b"\n") + 1 if len(self._tail) == TAIL else 0
        return self._tail[begun:].decode("utf-8", "replace")

    def wake_at(self) -> float | None:
        """Give the time (CLOCK_MONOTONIC) at which what is held may be cut off after all."""
        if not self.pending:
            return None
        return self._heard + (HOLD if self._searched == self.taken else PATIENCE)

    def drop(self) -> int:
        """Drop the whole lines that are held when there are too many; give their number."""
        if self.pending <= MOST_HELD:
            return 0
        data = os.pread(self._spool, self.pending, self.taken)
        end = data.rfind(b"\n") + 1 or len(data)
        self.advance(Cut(end, b"", 0))
        return max(1, data.count(b"\n"))

    def compact(self) -> bool:
        """Give back the memory of what is dead; True when the journal must know before the next `pull`.

        What is not dead is copied to the beginning, where all is dead, then the memfd is cut to its length. A
        successor that finds a place behind the end knows that this was done.
        """
        if self.taken < DEAD or self.pending >= self.taken:
            return False
        rest = os.pread(self._spool, self.pending, self.taken)
        os.pwrite(self._spool, rest, 0)
        os.ftruncate(self._spool, len(rest))
        self._searched -= self.taken
        self.taken, self._size = 0, len(rest)
        return True

    def close(self) -> None:
        """Close both."""
        os.close(self.reader)
        os.close(self._spool)

    def _take(self, count: int) -> None:
        kept = min(count, TAIL)
        self._tail = (self._tail + os.pread(self._spool, kept, self.taken + count - kept))[-TAIL:]
        self.taken += count
        self._searched = self.taken

    def _urgency(self, now: float, *, final: bool) -> int:
        quiet = now - self._heard
        if final or self.ended or quiet >= PATIENCE:
            return ALL if self.pending <= CHUNK else SOON
        return SOON if quiet >= HOLD or self.pending >= CHUNK else WAIT

    def _has_line(self) -> bool:
        """Look for a line's end, only where nobody has looked yet."""
        if self.pending >= LONGEST:
            return True
        if self._searched >= self._size:
            return False
        found = b"\n" in os.pread(self._spool, self._size - self._searched, self._searched)
        if not found:
            self._searched = self._size
        return found
