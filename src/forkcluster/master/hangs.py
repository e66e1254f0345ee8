"""Which requests have been without an answer for too long. Pure: what was seen in, findings out.

The clock of a request stops with the first byte of its answer, so a long download or stream is no hang.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from forkcluster.master.seats import Ref

SLACK = 0.2  # seconds; what is published may be a tenth of a second old


@dataclass(frozen=True, slots=True)
class Sight:
    """The oldest request of one worker; `since` is its beginning (CLOCK_MONOTONIC seconds)."""

    who: Ref
    since: float
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A request that is over the soft limit, or over the hard one (`expired`); `age` in seconds."""

    sight: Sight
    age: float
    expired: bool

    @property
    def request(self) -> str:
        """The request in words."""
        return f"{self.sight.method} {self.sight.path}"


class Hangs:
    """Remembers what was found, so that each request is told once for each limit; 0 turns a limit off."""

    def __init__(self, warn: float, timeout: float) -> None:
        self.warn = warn
        self.timeout = timeout
        self._warned: set[tuple[Ref, float]] = set()
        self._expired: set[tuple[Ref, float]] = set()

    def look(self, sights: Iterable[Sight], now: float) -> list[Finding]:
        """Give what is new: of every worker at most its oldest request."""
        found = []
        warned: set[tuple[Ref, float]] = set()
        expired: set[tuple[Ref, float]] = set()
        for sight in sights:
            name, age = (sight.who, sight.since), now - sight.since
            if self.timeout and age >= self.timeout + SLACK:
                expired.add(name)
                if name not in self._expired:
                    found.append(Finding(sight, age, expired=True))
            elif self.warn and age >= self.warn:
                warned.add(name)
                if name not in self._warned:
                    found.append(Finding(sight, age, expired=False))
        self._warned, self._expired = warned, expired
        return found
