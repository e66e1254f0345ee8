"""What the policy of fork mode knows: one record per process and slot. Times are CLOCK_MONOTONIC seconds."""

from forkcluster.dataclass import dataclass, field
from forkcluster.master.facts import Limits
from forkcluster.master.restarts import Rules, Tries
from forkcluster.wire.states import State


@dataclass(frozen=True, slots=True)
class FleetLimits(Limits):
    """What the policy obeys. `overlap`: a new process may run beside the one it replaces."""

    rules: Rules = field(default_factory=Rules)
    wait_ready: bool = False
    overlap: bool = False
    scheduled: bool = False  # it is started again at set times: to be stopped is not its end


@dataclass(slots=True)
class Process:
    """One run of the command, from the moment it is asked for until nothing of its tree is left.

    `deadline`: when it is killed, unless it is ready, or gone, by then. `ready_due`: when it counts as ready
    because it is still there.
    """

    number: int
    slot: int
    generation: int
    started_at: float
    pid: int = 0
    ready_at: float | None = None
    ready_due: float | None = None
    deadline: float | None = None
    leaving: bool = False  # it is to be replaced
    why: str = ""  # of its end, when that is ours: one of tally.REASONS
    ending: bool = False
    counted: bool = False  # its end was counted
    killed: bool = False
    stopping: bool = False  # it said so

    @property
    def state(self) -> State:
        """Give the word for how it is."""
        if self.ending or self.stopping:
            return State.STOPPING
        return State.STARTING if self.ready_at is None else State.READY


@dataclass(slots=True)
class Slot:
    """A stable number: how its processes have fared, and when the next may be started.

    `rest` is set while none shall be: by the end of a process of the generation `rested`, `failed` or not.
    """

    tries: Tries = field(default_factory=Tries)
    start_at: float = 0.0
    rest: State | None = None
    rested: int = 0
    failed: bool = False
    renewing: bool = False  # somebody waits for its replacement
    restarts: int = 0
    last: str = ""  # how its latest process ended

    def forgive(self) -> None:
        """Begin anew: it may be started at once, and its early deaths are forgotten."""
        self.tries = Tries()
        self.start_at = 0.0
        self.rest = None
        self.failed = False
