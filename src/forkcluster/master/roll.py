"""A reload in progress: which slots are to be of the new generation by now, step by step.

The transaction of docs/design.md: read the configuration, load the app in a new mold, replace one worker (the
canary, in the newest slot, which accepts nothing before it has passed), roll the others newest first,
observe, commit. The roll only widens the set of slots that shall be of the new generation; replacing workers
is the cluster's everyday business, and forgetting the roll is the rollback. Pure.
"""

from collections.abc import Collection
from enum import Enum
from typing import Final

from forkcluster.dataclass import dataclass, field
from forkcluster.master.events import Configured
from forkcluster.master.seats import Ref


class Phase(Enum):
    """Where a reload stands."""

    READING = "reading the configuration"
    WAITING = "waiting for an older generation to drain"
    LOADING = "loading the application"
    CANARY = "booting the first worker"
    PROBING = "probing the first worker"
    ROLLING = "replacing the workers"
    OBSERVING = "observing the new workers"


REFUSED: Final = "the configuration cannot be used"
UNBOUND: Final = "an address cannot be listened on"
STOPPED: Final = "the app is being stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload went: each step with its seconds, and what was wrong (`reason` is usually a traceback)."""

    generation: int
    done: bool
    seconds: float
    steps: tuple[tuple[str, float], ...]
    what: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    serving: int = 0  # the generation that serves now

    @property
    def text(self) -> str:
        """The whole as one block for the log."""
        given_up = f"reload given up: {self.what}"
        failed = f"reload failed: {self.what}; generation {self.serving} goes on"
        head = "reload done" if self.done else given_up if self.what == STOPPED else failed
        lines = [f"{seconds:7.3f} s  {step}" for step, seconds in self.steps]
        return "\n".join([head, *lines, *self.notes, *filter(None, [self.reason.rstrip()])])


@dataclass(slots=True)
class Roll:
    """The state of one reload."""

    generation: int
    started: float
    phase: Phase = Phase.READING
    configured: Configured | None = None
    slots: set[int] = field(default_factory=set)
    canary: Ref | None = None
    probe_until: float | None = None
    observe_until: float | None = None
    counting: bool = False  # the observation is over, its result is awaited
    steps: list[tuple[str, float]] = field(default_factory=list)
    since: float = 0.0

    def __post_init__(self) -> None:
        self.since = self.started

    def enter(self, phase: Phase, now: float) -> None:
        """Go on to the next step; how long the last took is noted, one that took no time is not."""
        if now > self.since:
            self.steps.append((self.phase.value, now - self.since))
        self.phase, self.since = phase, now

    def conclude(self, now: float, serving: int, what: str = "", reason: str = "") -> Outcome:
        """Give the outcome; without `what` it is a success."""
        self.enter(self.phase, now)
        notes = self.configured.notes if self.configured else ()
        seconds = now - self.started
        return Outcome(self.generation, not what, seconds, tuple(self.steps), what, reason, notes, serving)

    def wants(self, slot: int) -> bool:
        """Tell whether that slot shall be of the new generation by now."""
        return slot in self.slots

    def widen(self, target: int, renewed: Collection[int], max_surge: int) -> bool:
        """Move on when the slots asked for are `renewed` (served by the new generation); True when all are.

        `target` is the number of slots. At most `max_surge` slots are asked for beyond those that are
        renewed.
        """
        most = 1 if self.phase in (Phase.CANARY, Phase.PROBING) else max_surge
        open_slots = sum(1 for slot in self.slots if slot < target and slot not in renewed)
        for slot in range(target - 1, -1, -1):
            if open_slots >= most:
                break
            if slot not in self.slots:
                self.slots.add(slot)
                open_slots += slot not in renewed
        return open_slots == 0
