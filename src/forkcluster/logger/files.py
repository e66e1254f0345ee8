"""The files of one app: which pipe goes to which, when one is rotated, and when that is compressed."""

import os
import signal

from forkcluster.logger.journal import Journal, regions
from forkcluster.logger.rotation import start_compressing, tidy, uncompressed
from forkcluster.logger.target import STANDARD, Target
from forkcluster.wire.capture import OUT, Label, LogOrder

LOOK = 0.1  # seconds between looks at a child that compresses
REPEAT = 60.0  # seconds until a rotation that failed is tried again


class Files:
    """All targets, by path."""

    def __init__(self, order: LogOrder, journal: int) -> None:
        self._order = order
        self._journal = journal
        self._follow = order.user is None
        self._targets: dict[str, Target] = {}
        self._to_compress: list[str] = []
        self._child = 0
        self._look_at = 0.0
        self._rotate_from = 0.0
        for region in regions(journal):
            self._add(region.entry.batch.path, region)

    @property
    def targets(self) -> list[Target]:
        """All targets."""
        return list(self._targets.values())

    def find(self, label: Label) -> Target:
        """Give the target of a pipe."""
        path = self._order.path(label.stream, label.worker)
        if path == "-":
            path = "-1" if label.stream == OUT or _same_stream() else "-2"
        if path not in self._targets:
            self._add(path, Journal(self._journal, len(self._targets)))
        return self._targets[path]

    def reopen(self) -> None:
        """Open all files anew."""
        for target in self.targets:
            target.reopen()

    def empty(self) -> None:
        """Remove what was written, rotated files too."""
        self._to_compress.clear()
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0
        for target in self.targets:
            target.empty()

    def rotate_if_grown(self, target: Target, now: float) -> None:
        """Begin a new file when this one is long enough."""
        if not self._order.size or now < self._rotate_from or target.size() < self._order.size:
            return
        if not target.rotate(self._order.keep):
            self._rotate_from = now + REPEAT
            return
        self._queue(target.path)
        self.tend(now)

    def tend(self, now: float) -> None:
        """See whether the child is done, and give it more to do."""
        if self._child and now >= self._look_at:
            self._look_at = now + LOOK
            if os.waitpid(self._child, os.WNOHANG)[0]:
                self._child = 0
        while self._to_compress and not self._child:
            path = self._to_compress.pop(0)
            if os.path.exists(path):
                self._child = start_compressing(path)
                self._look_at = now + LOOK

    def wake_at(self) -> float | None:
        """Give the time at which `tend` is to be called, None when nothing is going on."""
        return self._look_at if self._child else None

    def _add(self, path: str, journal: Journal) -> None:
        self._targets[path] = Target(path, journal, follow=self._follow)
        self._queue(path)

    def _queue(self, path: str) -> None:
        """Have what was rotated and is not compressed be compressed."""
        if not self._order.compress or not self._order.size or path in STANDARD or not path:
            return
        try:
            if not self._child:
                tidy(path)
            waiting = uncompressed(path)
        except OSError:
            return  # a directory that cannot be read has nothing of ours
        self._to_compress += [each for each in waiting if each not in self._to_compress]


def _same_stream() -> bool:
    """Tell whether standard output and error are one and the same, as after 2>&1."""
    return os.path.sameopenfile(1, 2)
