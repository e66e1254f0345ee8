"""A fleet's facts and its reload: the half of `fleet.Fleet` that knows what a reload is. Pure.

The roll only widens the set of slots that shall be of the new generation, newest slot first and one at a
time; forgetting it is the rollback: slots that were replaced already are then brought back to the old
generation's command and environment.
"""

from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master import fleet_actions as order
from forkcluster.master.fleet_facts import FleetLimits, Process, Slot
from forkcluster.master.roll import Outcome, Phase, Roll
from forkcluster.master.tally import Tally

MOST_PROCESSES = 1024


class FleetRoll:
    """Generations, the one that counts, and the roll to the next."""

    def __init__(self, instances: int, limits: FleetLimits) -> None:
        self.target = instances
        self.most_workers = MOST_PROCESSES
        self.processes: dict[int, Process] = {}
        self.slots: dict[int, Slot] = {}
        self.current = 1
        self.roll: Roll | None = None
        self.announced = False
        self.tally = Tally()
        self.failure = ""  # why a slot was given up, the latest
        self.failed_slot: int | None = None  # which
        self.over = False  # the app has ended by itself
        self._has_stumbled = False
        self._limits = {1: limits}
        self._configured_instances = instances
        self._newest_generation = 1
        self._newest_process = 0
        self._begun = False
        self._reload_again = False
        self._stopping = False
        self._finished = False
        self._actions: list[order.Action] = []

    @property
    def newest_generation(self) -> int:
        """The highest generation number given so far."""
        return self._newest_generation

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for, or has come."""
        return self._stopping

    def of(self, slot: int) -> list[Process]:
        """Give the processes of a slot, those that are ending too."""
        return [process for process in self.processes.values() if process.slot == slot]

    def ready(self) -> list[Process]:
        """Give the processes that do their work."""
        return [p for p in self.processes.values() if p.ready_at is not None and not p.ending]

    def capacity(self) -> int:
        """Count the slots that are as they should be: with a ready process, or one that has done its work."""
        ready = {process.slot for process in self.ready()}
        return len(ready | {number for number, slot in self.slots.items() if slot.rest and not slot.failed})

    def renewing(self) -> int:
        """Count the slots whose process is still to be replaced, as was asked for."""
        return sum(1 for slot in self.slots.values() if slot.renewing)

    def limits_of(self, generation: int) -> FleetLimits:
        """Give what processes of that generation are held to."""
        return self._limits.get(generation) or self._limits[self.current]

    def _wanted(self, slot: int) -> int:
        """Give the generation that slot shall be of by now."""
        return self.roll.generation if self.roll and self.roll.wants(slot) else self.current

    def _reload_asked(self, now: float) -> None:
        if self._stopping:
            return
        if self.roll is not None or not self._begun:
            self._say("info", "a reload will follow the one in progress")
            self._reload_again = True
            return
        self._newest_generation += 1
        self.roll = Roll(self._newest_generation, now)
        self._say("info", "reload started", event="reload", generation=self.roll.generation)
        self._actions.append(do.ReadConfiguration(self.roll.generation))

    def _configured(self, event: on.Configured, now: float) -> None:
        roll = self.roll
        if roll is None or roll.generation != event.generation or not isinstance(event.limits, FleetLimits):
            return
        self._limits[event.generation] = event.limits
        roll.configured = event
        roll.enter(Phase.ROLLING, now)

    def _advance_roll(self, now: float) -> None:
        roll = self.roll
        if roll is None or roll.configured is None or self._stopping:
            return
        known = set(roll.slots)
        done = roll.widen(self.target, self._renewed(roll.generation), 1)
        for number in roll.slots - known:
            self.slots.setdefault(number, Slot()).forgive()
        if not done:
            return
        limits = self.limits_of(roll.generation)
        if limits.wait_ready and roll.observe_until is None:
            roll.enter(Phase.OBSERVING, now)
            roll.observe_until = now + limits.observe
        if roll.observe_until is None or now >= roll.observe_until:
            self._commit(roll, now)

    def _renewed(self, generation: int) -> set[int]:
        """Give the slots that have come to that generation: a ready process alone, or an end for good."""
        alone = {slot for slot in self.slots if len(self.of(slot)) == 1}
        found = {p.slot for p in self.ready() if p.generation == generation and p.slot in alone}
        return found | {n for n, slot in self.slots.items() if slot.rest and slot.rested == generation}

    def _commit(self, roll: Roll, now: float) -> None:
        configured = roll.configured
        if configured is not None and configured.workers != self._configured_instances:
            self._configured_instances = self.target = configured.workers
        self.current = roll.generation
        self._limits = {self.current: self._limits[self.current]}
        self.roll = None
        self._actions.append(do.Commit(self.current))
        self._conclude(roll.conclude(now, self.current), now)

    def _roll_back(self, what: str, reason: str, now: float) -> None:
        roll = self.roll
        if roll is None:
            return
        self.roll = None
        for number in roll.slots & self.slots.keys():
            slot = self.slots[number]
            if slot.rest is None or slot.rested == roll.generation:
                slot.forgive()
        self._limits.pop(roll.generation, None)
        self._actions.append(do.Abandon(roll.generation))
        self._conclude(roll.conclude(now, self.current, what, reason), now)

    def _conclude(self, outcome: Outcome, now: float) -> None:
        self.tally.reloaded(outcome.done, outcome.seconds, now)
        self._actions.append(do.Conclude(outcome))

    def _say(self, level: str, text: str, **fields: str | int | float) -> None:
        self._actions.append(do.Say(level, text, fields))
