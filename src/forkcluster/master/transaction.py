"""The reload as the policy sees it: takes in what comes of each step and moves on, to commit or rollback.

The half of `cluster.Cluster` that knows what a reload is. Replacing workers is the other's business: here
only the roll (`roll.Roll`) is advanced, which says of which generation each slot shall be. Pure.
"""

from abc import ABC, abstractmethod

from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.facts import Generation, Limits, Mold, Worker
from forkcluster.master.roll import Phase, Roll
from forkcluster.master.seats import Ref
from forkcluster.master.tally import Tally

MOST_DRAINING_GENERATIONS = 2


class Transaction(ABC):
    """Generations, the one that counts, and the roll to the next."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self.target = workers
        self.limits = limits
        self.workers: dict[Ref, Worker] = {}
        self.generations: dict[int, Generation] = {}
        self.current = 1
        self.roll: Roll | None = None
        self.tally = Tally()
        self._configured_workers = workers
        self._newest_generation = 1
        self._reload_again = False
        self._booted = False
        self._stopping = False
        self._actions: list[do.Action] = []

    @property
    def newest_generation(self) -> int:
        """The highest generation number given so far."""
        return self._newest_generation

    def ready(self) -> list[Worker]:
        """Give the workers that are part of the capacity."""
        return [worker for worker in self.workers.values() if worker.serving]

    def capacity(self) -> int:
        """Count them."""
        return len(self.ready())

    def _reload_asked(self, now: float) -> None:
        if self._stopping:
            return
        if self.roll is not None or not self._booted:
            self._say(
                "info",
                "a reload will follow the one in progress" if self.roll else "a reload will follow the boot",
            )
            self._reload_again = True
            return
        self._newest_generation += 1
        self.roll = Roll(self._newest_generation, now)
        self._say("info", "reload started", event="reload", generation=self.roll.generation)
        self._actions.append(do.ReadConfiguration(self.roll.generation))

    def _configured(self, event: on.Configured, now: float) -> None:
        roll = self.roll
        if roll is None or roll.generation != event.generation or roll.phase is not Phase.READING:
            return
        roll.configured = event
        roll.enter(Phase.WAITING, now)
        if self._must_wait_for_drain():
            text = "reload waits: two older generations are still draining"
            self._say("warning", text, event="reload", generation=roll.generation)

    def _must_wait_for_drain(self) -> bool:
        older = {worker.generation for worker in self.workers.values()} - {self.current}
        return len(older) >= MOST_DRAINING_GENERATIONS

    def _advance_roll(self, now: float) -> None:
        roll = self.roll
        if roll is None or roll.configured is None or self._stopping:
            return
        if roll.phase is Phase.WAITING and not self._must_wait_for_drain():
            self.generations[roll.generation] = Generation(roll.generation, roll.configured.bare)
            roll.enter(Phase.LOADING, now)
        if roll.phase is Phase.LOADING and self._ready_mold(roll.generation) is not None:
            roll.enter(Phase.CANARY, now)
        if roll.phase is Phase.PROBING:
            self._watch_probe(roll, now)
        if roll.phase in (Phase.CANARY, Phase.ROLLING, Phase.OBSERVING):
            self._widen_roll(roll, now)

    def _canary_ready(self, worker: Worker, now: float) -> None:
        roll = self.roll
        if roll is None or roll.generation != worker.generation or roll.configured is None:
            return
        if roll.configured.probe_timeout is None:
            self._actions.append(do.Listen(worker.who, roll.generation))
            return
        roll.enter(Phase.PROBING, now)
        roll.canary = worker.who
        roll.probe_until = now + roll.configured.probe_timeout
        self._actions.append(do.Probe(worker.who, roll.generation))

    def _watch_probe(self, roll: Roll, now: float) -> None:
        canary = self.workers.get(roll.canary) if roll.canary else None
        if canary is None or canary.ending:
            roll.enter(Phase.CANARY, now)
        elif roll.probe_until is not None and now >= roll.probe_until and roll.configured is not None:
            seconds = roll.configured.probe_timeout
            self._roll_back("the probe was not answered", f"the new worker was asked {seconds:g} s ago", now)

    def _probed(self, who: Ref, fault: str, now: float) -> None:
        roll = self.roll
        if roll is None or roll.phase is not Phase.PROBING or roll.canary != who:
            return
        if fault:
            self._roll_back("the probe was not answered as it should be", fault, now)
        elif who in self.workers:
            roll.probe_until = None
            self._actions.append(do.Listen(who, roll.generation))

    def _listens(self, who: Ref, now: float) -> None:
        """The canary has passed, and counts."""
        roll, worker = self.roll, self.workers.get(who)
        if roll is None or worker is None or not worker.hold or worker.ending:
            return
        worker.hold = False
        self._say("info", "worker ready", event="ready", **names(worker))
        roll.enter(Phase.ROLLING, now)

    def _widen_roll(self, roll: Roll, now: float) -> None:
        renewed = {worker.slot for worker in self.ready() if worker.generation == roll.generation}
        if not roll.widen(self.target, renewed, self.limits.max_surge):
            return
        if roll.observe_until is None:
            roll.enter(Phase.OBSERVING, now)
            roll.observe_until = now + self.limits.observe
        if now >= roll.observe_until and not roll.counting:
            roll.counting = True
            self._actions.append(do.CountAnswers(roll.generation))

    def _serves_what_is_dropped(self, worker: Worker) -> bool:
        """Tell whether it is the last that serves the listeners which the reload in progress drops."""
        roll = self.roll
        if roll is None or roll.configured is None or not roll.configured.drops:
            return False
        old = [each for each in self.ready() if each.generation == self.current]
        return old == [worker]

    def _answered(self, event: on.Answered, now: float) -> None:
        roll = self.roll
        if roll is None or roll.generation != event.generation or not roll.counting:
            return
        if event.answers and event.answers == event.failed:
            text = f"of {event.answers} answers, all were 5xx"
            self._roll_back("the new workers answer only 5xx", text, now)
        else:
            self._commit(roll, now)

    def _commit(self, roll: Roll, now: float) -> None:
        configured = roll.configured
        if configured is not None:
            self.limits = configured.limits
            if configured.workers != self._configured_workers:
                self._configured_workers = self.target = configured.workers
        del self.generations[self.current]
        self.current = roll.generation
        self._actions.append(do.Commit(self.current))
        self._conclude(roll, now)

    def _roll_back(self, what: str, reason: str, now: float) -> None:
        roll = self.roll
        if roll is None:
            return
        self.generations.pop(roll.generation, None)
        self._actions.append(do.Abandon(roll.generation))
        self._conclude(roll, now, what, reason)

    def _conclude(self, roll: Roll, now: float, what: str = "", reason: str = "") -> None:
        self.roll = None
        outcome = roll.conclude(now, self.current, what, reason)
        self.tally.reloaded(outcome.done, outcome.seconds, now)
        self._actions.append(do.Conclude(outcome))

    @abstractmethod
    def _ready_mold(self, generation: int) -> Mold | None:
        """Find the mold that can be asked for workers of this generation now."""

    def _say(self, level: str, text: str, **fields: str | int | float) -> None:
        """Have it logged; `event` among the fields is its kind in the history (history.KINDS)."""
        self._actions.append(do.Say(level, text, fields))


def names(worker: Worker) -> dict[str, str | int | float]:
    """Name a worker for the log."""
    return {
        "slot": worker.slot,
        "generation": worker.generation,
        "seat": worker.who.seat,
        "pid": worker.pid or 0,
    }
