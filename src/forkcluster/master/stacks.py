"""Collects the Python stacks of workers and molds: sends the signal, reads what comes, says when
it is all.

A process does not say that it has finished, so a pause is the end. Owns no descriptor: the pipes are the
crew's.
"""

import os
from collections.abc import Callable

from forkcluster.dataclass import dataclass, field
from forkcluster.master.loop import Loop
from forkcluster.master.seats import Ref

PAUSE = 0.1  # seconds without a further byte: it is all
PATIENCE = 2.0  # seconds for the first byte
MOST = 256 * 1024

Done = Callable[[str], None]
Who = Ref | int  # a worker, or the number of a mold
NONE = "(it did not answer: it may be stopped, or stuck inside the kernel)"


@dataclass(slots=True)
class Collection:
    """One worker's stacks on their way."""

    reader: int
    until: float
    waiting: list[Done]
    heard: bytearray = field(default_factory=bytearray)


class Stacks:
    """The collections under way, at most one for each worker."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._under_way: dict[Who, Collection] = {}

    def collect(self, who: Who, reader: int, ask: Callable[[], bool], done: Done) -> None:
        """Ask the worker by `ask`, read from its pipe, and call `done` with the text."""
        if who in self._under_way:
            self._under_way[who].waiting.append(done)
            return
        collection = Collection(reader, self._loop.now() + PATIENCE, [done])
        _read(reader)  # what an earlier signal has left
        if not ask():
            done(NONE)
            return
        self._under_way[who] = collection
        self._loop.watch(reader, lambda: self._hear(who))

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is waited for."""
        return min((collection.until for collection in self._under_way.values()), default=None)

    def expire(self, now: float) -> None:
        """Finish what has paused."""
        for who in [who for who, collection in self._under_way.items() if now >= collection.until]:
            self.finish(who)

    def finish(self, who: Who) -> None:
        """Give what has come so far; before the worker's pipe is closed. Idempotent."""
        collection = self._under_way.pop(who, None)
        if collection is None:
            return
        self._loop.unwatch(collection.reader)
        text = collection.heard.decode("utf-8", "replace").rstrip() or NONE
        for done in collection.waiting:
            done(text)

    def _hear(self, who: Who) -> None:
        collection = self._under_way[who]
        data = _read(collection.reader)
        collection.heard += data
        collection.until = self._loop.now() + PAUSE
        if not data or len(collection.heard) > MOST:
            self.finish(who)


def read_rest(reader: int) -> str:
    """Give what is left in the pipe of a worker that has ended."""
    return _read(reader).decode("utf-8", "replace").rstrip()


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""
