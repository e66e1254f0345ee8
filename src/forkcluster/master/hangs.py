"""Which requests have been without an answer for too long. Pure: what was seen in, findings out.

The clock of a request stops with the first byte of its answer, so a long download or stream is no hang.
"""

from collections.abc import Iterable

from forkcluster.dataclass import dataclass
from forkcluster.master.seats import Ref

SLACK = 0.2  # seconds; what is published may be a tenth of a second old
BEAT = 0.25  # seconds; a loop that turns is seen to at least so often


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


class Stalls:
    """Remembers which event loops do not turn, so that each stall is told once; a limit of 0: nothing is."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._told: set[tuple[Ref, float]] = set()

    def look(self, turned: Iterable[tuple[Ref, float]], now: float) -> list[tuple[Ref, float]]:
        """Give what is new of (worker, when its loop was last seen to turn): who, and for how long not."""
        stalled = {(who, at) for who, at in turned if self.limit and now - at >= self.limit + BEAT}
        found = [(who, now - at) for who, at in sorted(stalled - self._told)]
        self._told = stalled
        return found
