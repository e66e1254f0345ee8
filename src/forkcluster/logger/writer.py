"""Brings what pipes hold into their file: cuts, stamps, appends in batches, drops what cannot wait."""

import time

from forkcluster.logger.records import PLAIN, Cut, Form, Stamp, cut
from forkcluster.logger.source import Source
from forkcluster.logger.target import Target
from forkcluster.wire.capture import ERROR, Label

BATCH = 4 << 20  # bytes of lines that go to a file at once, about
OURSELVES = Label(0, "logger", 0, ERROR)


class Writer:
    """Writes lines of one form."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def write(self, target: Target, now: float, *, final: bool = False) -> bool:
        """Append one batch; True when there was something. `final`: also what has no end yet."""
        if target.path == "":
            return _discard(target)
        clock = time.time()
        lines = [self._note(target, clock)] if target.lost else []
        cuts = self._cuts(target, now, clock, final=final)
        lines += [found.text for _, found in cuts]
        if not lines:
            return False
        target.check()
        if target.why:
            return False
        for source, found in cuts:
            source.advance(found)
        target.lost = 0
        target.write(b"".join(lines))
        _compact(target)
        return True

    def hold(self, target: Target) -> None:
        """Drop and count what is too much to be held until the file can be written again."""
        dropped = sum(source.drop() for source in target.sources)
        if dropped:
            target.lost += dropped
            target.dropped += dropped
            target.keep()
            _compact(target)

    def _cuts(self, target: Target, now: float, clock: float, *, final: bool) -> list[tuple[Source, Cut]]:
        cuts, length = [], 0
        for source in target.sources:
            found = source.cut(self._form, now, clock, final=final)
            if found is not None:
                cuts.append((source, found))
                length += len(found.text)
                if length >= BATCH:
                    break
        return cuts

    def _note(self, target: Target, clock: float) -> bytes:
        text = f"{target.lost} lines dropped: {target.reason}\n".encode()
        return cut(text, PLAIN, Stamp(self._form, OURSELVES, clock)).text


def _discard(target: Target) -> bool:
    """Take everything, and look at none of it."""
    found = [source.skip() for source in target.sources]
    if any(found):
        target.keep()
        _compact(target)
    return any(found)


def _compact(target: Target) -> None:
    """Give back memory; the journal hears of it before the next pull."""
    compacted = [source.compact() for source in target.sources]
    if any(compacted):
        target.keep()
