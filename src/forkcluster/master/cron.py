"""Says when a time of the cron expression has come, by the wall clock; once for the app, not for each worker.

`cronsim` is the master's only guest; it is imported when there is an expression.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_SLEEP = 60.0  # seconds: a wall clock that is set is noticed by then
LATE = 60.0  # seconds: a time missed by more (the machine slept) is passed over

Wall = Callable[[], float]


class Cron:
    """The expression (None: none) and its next time, by the wall clock."""

    def __init__(self, due: Callable[[], None], wall: Wall = time.time) -> None:
        self._due = due
        self._wall = wall
        self._times: Iterator[datetime] | None = None
        self._next = 0.0
        self._wake_at: float | None = None

    def configure(self, expression: str | None, now: float) -> None:
        """Take on an expression; `now` is CLOCK_MONOTONIC seconds. Raise ConfigurationError."""
        self._times = None
        if expression is not None:
            from forkcluster.options.cron import times

            self._times = times(expression, self._wall())
        self._advance(now)

    def deadline(self) -> float | None:
        """Give the time at which `expire` must be called, None without an expression."""
        return self._wake_at

    def expire(self, now: float) -> None:
        """Call `due`, if it is time."""
        if self._wake_at is None or now < self._wake_at:
            return
        late = self._wall() - self._next
        if late < 0:
            self._sleep(now)
            return
        if late < LATE:
            self._due()
        self._advance(now)

    def _advance(self, now: float) -> None:
        """Go on to the first time that is still to come."""
        self._wake_at = None
        for each in self._times or ():
            self._next = each.timestamp()
            if self._next > self._wall():
                self._sleep(now)
                return

    def _sleep(self, now: float) -> None:
        self._wake_at = now + min(max(0.0, self._next - self._wall()), LONGEST_SLEEP)
