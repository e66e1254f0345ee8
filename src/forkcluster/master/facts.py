"""What the policy knows: one record per worker, mold, slot, generation. Times are CLOCK_MONOTONIC seconds."""

from forkcluster.dataclass import dataclass, field
from forkcluster.master.backoff import Backoff
from forkcluster.master.restarts import Rules, Tries
from forkcluster.master.seats import Ref


@dataclass(frozen=True, slots=True)
class Limits:
    """The durations (seconds) and the one number that policy obeys."""

    boot_timeout: float = 60.0
    drain_timeout: float = 30.0
    min_uptime: float = 1.0
    observe: float = 1.0
    max_surge: int = 1
    drain_delay: float = 0.0
    rules: Rules = field(default_factory=lambda: Rules(max_restarts=0))


@dataclass(slots=True)
class Worker:
    """One worker, from the moment it is asked for until its process has been reaped.

    `born_by`: when its mold is looked after, unless it has been born by then.
    """

    who: Ref
    slot: int
    generation: int
    mold: int
    deadline: float | None
    born_by: float | None = None
    pid: int | None = None
    ready_at: float | None = None
    hold: bool = False
    leaving: bool = False
    ending: bool = False
    killed: bool = False
    examined: bool = False  # it was asked for its stacks before it is killed
    failure: str = ""
    why: str = ""  # it shall end: one of tally.REASONS

    @property
    def booting(self) -> bool:
        """It is on its way to ready and may get there."""
        return (self.ready_at is None or self.hold) and not self.ending

    @property
    def serving(self) -> bool:
        """It is part of the capacity, though perhaps to be replaced."""
        return self.ready_at is not None and not self.hold and not self.ending


@dataclass(slots=True)
class Mold:
    """One mold process. `deadline`: when it is killed unless it has loaded, or ended, by then."""

    number: int
    generation: int
    bare: bool
    deadline: float | None
    ready_at: float | None = None
    ending: bool = False
    killed: bool = False
    examined: bool = False  # it was asked for its stacks before it is killed
    fork_failures: int = 0  # in a row
    failure: str = ""


@dataclass(slots=True)
class Slot:
    """A stable worker number: how its workers have fared, and when the next may be asked for."""

    tries: Tries = field(default_factory=Tries)
    start_at: float = 0.0


@dataclass(slots=True)
class Generation:
    """One load of the code: whether its molds must be bare, and when the next mold may be started."""

    number: int
    bare: bool
    backoff: Backoff = field(default_factory=Backoff)
    start_at: float = 0.0
