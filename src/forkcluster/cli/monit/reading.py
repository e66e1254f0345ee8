"""The output of the chosen app, for monit: its last lines when it is chosen, then those that come."""

from typing import Final

from forkcluster.errors import ForkclusterError
from forkcluster.manager.output import Record, files, joined, parse
from forkcluster.manager.register import App
from forkcluster.manager.tail import Follower, last_lines

LINES: Final = 200  # of each file, when an app is chosen


class Reading:
    """Reads the files of one app. Belongs to the thread that looks."""

    def __init__(self, app: App) -> None:
        self.name = app.name
        self._first: list[Record] = []
        self._followers = []
        try:
            found = files(app)
        except ForkclusterError:  # its master does not answer, or its file is broken: the list says so
            found = []
        for file in found:
            lines, end = last_lines(file.path, LINES)
            self._first += joined(parse(file, line.decode("utf-8", "backslashreplace")) for line in lines)
            self._followers.append((file, Follower(file.path, end)))
        self._first.sort(key=lambda record: record.time)

    def read(self) -> list[Record]:
        """Give what is new since the last reading."""
        found, self._first = self._first, []
        for file, follower in self._followers:
            found += joined(parse(file, line.decode("utf-8", "backslashreplace")) for line in follower.look())
        return found

    def close(self) -> None:
        """Close the files."""
        for _, follower in self._followers:
            follower.close()
