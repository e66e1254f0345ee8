"""The files of apps while they are followed: those that are there, and those that come."""

import os
from collections.abc import Iterable, Iterator, Mapping

from forkcluster.manager.output import File, files_of, whereabouts
from forkcluster.manager.register import App
from forkcluster.manager.tail import Follower
from forkcluster.wire.capture import LogOrder


class Following:
    """Follows files of the streams, and takes up what comes: files of new slots, of apps started later.

    What comes is read from its beginning; one that was in the home before, from its end then.
    """

    def __init__(self, home: str, streams: Iterable[str]) -> None:
        self._streams = tuple(streams)
        self._before = _sizes(os.path.join(home, "logs"))
        self._orders: dict[tuple[str, int | None], LogOrder] = {}
        self._followers: dict[File, Follower] = {}
        self._known: set[File] = set()

    def files(self, app: App, timeout: float) -> list[File]:
        """Give an app's files; its master is asked once. Raise ForkclusterError when it does not say."""
        master = app.name, app.pid  # where its output goes, only a restart changes
        if master not in self._orders:
            self._orders[master] = whereabouts(app, timeout)
        return files_of(self._orders[master], app.name, self._streams)

    def begin(self, found: Iterable[File], ends: Mapping[File, int]) -> None:
        """Follow files from where they were read to; those of `found` without an end are left alone."""
        self._known.update(found)
        self._followers = {file: Follower(file.path, end) for file, end in ends.items()}

    def take_up(self, file: File) -> None:
        """Follow a file, unless it is known already. Raise OSError when it cannot be read."""
        if file in self._known or not os.path.lexists(file.path):
            return
        self._known.add(file)
        with open(file.path, "rb"):
            self._followers[file] = Follower(file.path, self._before.get(file.path))

    def look(self) -> Iterator[tuple[File, Iterator[bytes]]]:
        """Give the lines that have come to each file since the last look."""
        for file, follower in self._followers.items():
            yield file, follower.look()


def _sizes(directory: str) -> dict[str, int]:
    if not os.path.isdir(directory):
        return {}
    with os.scandir(directory) as entries:
        return {entry.path: entry.stat().st_size for entry in entries if entry.is_file()}
