"""Reads the configuration anew for a reload, in a child under the new generation's interpreter, within a
time.
"""

import json
import sys
from collections.abc import Callable

from forkcluster.errors import ForkclusterError, from_json
from forkcluster.master.children import Children
from forkcluster.master.release import Release, pin
from forkcluster.master.spawn import Reading
from forkcluster.options.frozen import Launch, Request

READ_TIMEOUT = 30.0

Done = Callable[[Release | str], None]


class Reader:
    """At most one reading of the configuration at a time; `request` is what is read."""

    def __init__(self, children: Children, request: Request) -> None:
        self._children = children
        self.request = request
        self._reading: Reading | None = None

    def start(self, generation: int, done: Done) -> None:
        """Read; then call `done` with the pinned release, or with words about what is wrong."""
        try:
            reading = Reading(sys.executable, self.request)
        except OSError as error:
            done(f"cannot read the configuration: {error}")
            return
        self._reading = reading
        self._children.adopt(reading.pid, lambda how: self._ended(reading, generation, done, how))

    def overdue_at(self) -> float | None:
        """Give the time at which `expire` must be called, None when nothing is being read."""
        return self._reading.started + READ_TIMEOUT if self._reading else None

    def expire(self, now: float) -> None:
        """Kill a reading that has used up its time."""
        at = self.overdue_at()
        if self._reading is not None and at is not None and now >= at:
            self._children.kill(self._reading.pid)

    def cancel(self) -> None:
        """Kill a reading: the master is about to end."""
        if self._reading is not None:
            self._children.kill(self._reading.pid)

    def _ended(self, reading: Reading, generation: int, done: Done, how: str) -> None:
        answer, complaint = reading.answer()
        reading.close()
        self._reading = None
        done(self._understand(generation, answer, complaint, how))

    def _understand(self, generation: int, answer: str, complaint: str, how: str) -> Release | str:
        """Read what the child printed: frozen options, or an error of ours."""
        try:
            values = json.loads(answer)
        except ValueError:
            return f"the reader of the configuration {how}\n{complaint}"
        try:
            if "error" in values:
                return str(from_json(values["error"]))
            return pin(generation, self.request, Launch.from_json(answer).options)
        except (ForkclusterError, OSError) as error:
            return str(error)
