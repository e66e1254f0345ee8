"""A reload in progress: which slots are to be of the new generation by now, step by step.

The transaction of docs/design.md: read the configuration, load the app in a new mold, replace one worker (the
canary, in the newest slot), roll the others newest first, observe, commit. The roll only widens the set of
slots that shall be of the new generation; replacing workers is the cluster's everyday business, and
forgetting the roll is the rollback. Pure.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from forkcluster.master.events import Configured


class Phase(Enum):
    """Where a reload stands."""

    READING = "reading the configuration"
    WAITING = "waiting for an older generation to drain"
    LOADING = "loading the application"
    CANARY = "booting the first worker"
    ROLLING = "replacing the workers"
    OBSERVING = "observing the new workers"


@dataclass(slots=True)
class Roll:
    """The state of one reload."""

    generation: int
    phase: Phase = Phase.READING
    configured: Configured | None = None
    slots: set[int] = field(default_factory=set)
    observe_until: float | None = None

    def wants(self, slot: int) -> bool:
        """Tell whether that slot shall be of the new generation by now."""
        return slot in self.slots

    def widen(self, target: int, renewed: Collection[int], max_surge: int) -> bool:
        """Move on when the slots asked for are `renewed` (served by the new generation); True when all are.

        `target` is the number of slots. At most `max_surge` slots are asked for beyond those that are
        renewed.
        """
        if self.phase is Phase.CANARY and any(slot in renewed for slot in self.slots):
            self.phase = Phase.ROLLING
        most = 1 if self.phase is Phase.CANARY else max_surge
        open_slots = sum(1 for slot in self.slots if slot < target and slot not in renewed)
        for slot in range(target - 1, -1, -1):
            if open_slots >= most:
                break
            if slot not in self.slots:
                self.slots.add(slot)
                open_slots += slot not in renewed
        return open_slots == 0
