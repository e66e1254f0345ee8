"""What the policy has counted since the app started: workers begun and ended, and why; reloads. Pure."""

from collections import Counter
from typing import Final

from forkcluster.dataclass import dataclass, field

# Why a worker's process ended. The first four are faults: the slot was left without a worker that it wanted.
# The last two are for programs that end by themselves (fork mode): "exit" with a good status, to be started
# again, "done" for good.
FAULTS: Final = ("crash", "oom", "hang", "boot")
REASONS: Final = (*FAULTS, "recycle", "asked", "restart", "reload", "scale", "stop", "exit", "done")
# Those after which the slot got a new worker of the same code: what a person calls a restart.
RESTARTS: Final = (*FAULTS, "recycle", "asked", "restart", "exit")


@dataclass(slots=True)
class SlotTally:
    """How often a slot's worker had to be replaced, and what ended the last one."""

    restarts: int = 0
    reason: str = ""
    how: str = ""


@dataclass(slots=True)
class ReloadTally:
    """Reloads with one result: how many, and their seconds together."""

    count: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts that only rise."""

    starts: int = 0
    last_restart: tuple[str, str] = ("", "")  # why the last replaced worker ended, and how
    exits: Counter[str] = field(default_factory=Counter)
    slots: dict[int, SlotTally] = field(default_factory=dict)
    reloads: dict[bool, ReloadTally] = field(
        default_factory=lambda: {True: ReloadTally(), False: ReloadTally()}
    )
    last_reload: tuple[float, bool] | None = None  # CLOCK_MONOTONIC seconds of its end; whether it was done

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced by one of the same code."""
        return sum(self.exits[reason] for reason in RESTARTS)

    def ended(self, slot: int, reason: str, how: str) -> None:
        """Count the end of a worker; `how` names exit status or signal."""
        self.exits[reason] += 1
        if reason in RESTARTS:
            tally = self.slots.setdefault(slot, SlotTally())
            tally.restarts += 1
            tally.reason, tally.how = reason, how
            self.last_restart = (reason, how)

    def reloaded(self, done: bool, seconds: float, now: float) -> None:
        """Count the end of a reload."""
        self.reloads[done].count += 1
        self.reloads[done].seconds += seconds
        self.last_reload = (now, done)
