"""Whether a process that ended by itself is started again, and when. Pure.

Early deaths in a row are counted, not deaths within a time: a delay between restarts, however long, cannot
keep a crash loop from being seen. One run of `min_uptime` empties the count.
"""

from enum import Enum

from forkcluster.dataclass import dataclass
from forkcluster.master.backoff import Backoff

GROWTH = 1.5
LONGEST_GROWN = 15.0  # seconds
STEADY = 30.0  # seconds of uptime after which a grown delay begins anew


class Verdict(Enum):
    """What follows from an end."""

    AGAIN = "again"
    STOPPED = "stopped"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class Rules:
    """When to start again. Times in seconds; 0: no limit, no delay."""

    restart: str = "always"  # or on-failure, never
    stop_exit_codes: frozenset[int] = frozenset()
    min_uptime: float = 1.0
    max_restarts: int = 16
    restart_delay: float = 0.0
    exp_backoff: float = 0.0

    def wants(self, code: int) -> bool:
        """Tell whether an end with this status (negative: the signal that killed it) calls for a start."""
        if code in self.stop_exit_codes or self.restart == "never":
            return False
        return self.restart == "always" or code != 0


class Tries:
    """The restarts of one slot."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._grown = 0.0

    @property
    def early(self) -> int:
        """How many runs in a row ended early."""
        return self._backoff.failures

    def after(self, code: int, uptime: float | None, rules: Rules) -> tuple[Verdict, float]:
        """Judge an end; give the verdict and the seconds to wait. `uptime` None: it was never ready."""
        return self.judge(uptime, rules) if rules.wants(code) else (Verdict.STOPPED, 0.0)

    def judge(self, uptime: float | None, rules: Rules) -> tuple[Verdict, float]:
        """As `after`, for what is to be started again however it ended."""
        wait = self._backoff.after_death(uptime, rules.min_uptime)
        if rules.max_restarts and self.early > rules.max_restarts:
            return Verdict.ERRORED, 0.0
        if rules.exp_backoff:
            return Verdict.AGAIN, self._grow(uptime, rules.exp_backoff)
        return Verdict.AGAIN, rules.restart_delay or wait

    def _grow(self, uptime: float | None, first: float) -> float:
        steady = uptime is not None and uptime >= STEADY
        self._grown = first if steady or not self._grown else min(self._grown * GROWTH, LONGEST_GROWN)
        return self._grown
