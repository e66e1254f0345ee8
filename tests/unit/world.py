"""A world for the policy: obeys its actions as molds and workers would, step by step, without a process."""

from dataclasses import dataclass, field

from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.cluster import Cluster
from forkcluster.master.facts import Limits
from forkcluster.master.roll import Outcome
from forkcluster.master.seats import Ref

LIMITS = Limits(boot_timeout=60, drain_timeout=30, min_uptime=1, observe=1, max_surge=1)


@dataclass
class SimWorker:
    """A simulated worker process."""

    mold: int
    generation: int
    slot: int
    ready: bool = False
    told_to_end: bool = False


@dataclass
class World:
    """The cluster under test, the time, and what runs."""

    workers: int = 3
    limits: Limits = LIMITS
    now: float = 100.0
    molds: dict[int, do.StartMold] = field(default_factory=dict)
    loaded: set[int] = field(default_factory=set)
    alive: dict[Ref, SimWorker] = field(default_factory=dict)
    log: list[do.Action] = field(default_factory=list)
    ending_molds: set[int] = field(default_factory=set)
    readings: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    answers: tuple[int, int] = (10, 0)
    examined: list[Ref | int] = field(default_factory=list)
    probes: list[Ref] = field(default_factory=list)
    probe_timeout: float | None = None
    drops: bool = False
    canaries: list[Ref] = field(default_factory=list)
    refusal: str = ""  # why nobody can listen
    outcomes: list[Outcome] = field(default_factory=list)
    finished: int | None = None

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.workers, self.limits)

    # -- driving

    def tell(self, event: on.Event) -> list[do.Action]:
        """Give the cluster an event and obey."""
        actions = self.cluster.step(event, self.now)
        for action in actions:
            self._obey(action)
        self.log += actions
        while self.examined:
            self.tell(on.Examined(self.examined.pop(), "its stacks"))
        while self.canaries:
            who = self.canaries.pop()
            refused = on.ConfigurationRefused(self.alive[who].generation, self.refusal)
            self.tell(refused if self.refusal else on.Listens(who))
        if self.counts:
            self.tell(on.Answered(self.counts.pop(), *self.answers))
        return actions

    def pass_time(self, seconds: float) -> None:
        """Let time pass, ticking whenever the cluster wants to be woken."""
        end = self.now + seconds
        while (at := self.cluster.deadline(self.now)) is not None and at <= end:
            self.now = at
            self.tell(on.Tick())
        self.now = end

    def _obey(self, action: do.Action) -> None:
        match action:
            case do.StartMold(mold):
                assert mold not in self.molds
                self.molds[mold] = action
            case do.EndMold(mold) | do.KillMold(mold):
                assert mold in self.molds
                self.ending_molds.add(mold)
            case do.Fork(mold, who, slot, generation):
                assert mold in self.loaded, "a fork was asked of a mold that is not ready"
                assert all(who.seat != other.seat for other in self.alive), "a seat has two owners"
                self.alive[who] = SimWorker(mold, generation, slot)
            case do.Retire(who) | do.Quit(who) | do.Kill(who):
                assert who in self.alive
                self.alive[who].told_to_end = True
            case do.Conclude(outcome):
                self.outcomes.append(outcome)
            case do.ReadConfiguration(generation):
                self.readings.append(generation)
            case do.CountAnswers(generation):
                self.counts.append(generation)
            case do.Examine(who):
                self.examined.append(who)
            case do.Probe(who):
                self.probes.append(who)
            case do.Listen(who):
                self.canaries.append(who)
            case do.Finish(code):
                assert not self.alive
                assert not self.molds
                self.finished = code

    # -- what processes do

    def load(self, mold: int) -> None:
        self.loaded.add(mold)
        self.tell(on.MoldLoaded(mold))

    def end_mold(self, mold: int, how: str = "exited with status 0") -> None:
        del self.molds[mold]
        self.loaded.discard(mold)
        self.ending_molds.discard(mold)
        unborn = [ref for ref, w in self.alive.items() if w.mold == mold and self._unborn(ref)]
        self.tell(on.MoldEnded(mold, how))
        for who in unborn:
            del self.alive[who]
            self.tell(on.ForkFailed(who, "the mold is gone"))

    def _unborn(self, who: Ref) -> bool:
        known = self.cluster.workers.get(who)
        return known is not None and known.pid is None

    def ready(self, who: Ref) -> None:
        self.tell(on.WorkerBorn(who, 1000 + who.seat))
        self.alive[who].ready = True
        self.tell(on.WorkerReady(who))

    def end(self, who: Ref, how: str = "was killed by SIGKILL") -> None:
        del self.alive[who]
        self.tell(on.WorkerEnded(who, how))

    def configure(self, workers: int | None = None) -> None:
        generation = self.readings.pop()
        self.tell(
            on.Configured(
                generation,
                workers or self.workers,
                self.limits,
                probe_timeout=self.probe_timeout,
                drops=self.drops,
            )
        )

    def answer_probe(self, fault: str = "") -> None:
        self.tell(on.Probed(self.probes.pop(), fault))

    # -- everything healthy

    def settle(self, *, rounds: int = 200) -> None:
        """Let every process do what a healthy one does, until nothing moves."""
        for _ in range(rounds):
            if not self._move():
                return
        raise AssertionError("the cluster does not come to rest")

    def _move(self) -> bool:
        if self.readings or self.probes:
            (self.configure if self.readings else self.answer_probe)()
            return True
        for mold in list(self.molds):
            if mold in self.ending_molds:
                self.end_mold(mold)
                return True
            if mold not in self.loaded:
                self.load(mold)
                return True
        for who, worker in list(self.alive.items()):
            if worker.told_to_end:
                self.end(who, "exited with status 0")
                return True
            if not worker.ready:
                self.ready(who)
                return True
        return False

    def boot(self) -> "World":
        """Start, and let all workers become ready."""
        self.tell(on.Start())
        self.settle()
        return self

    # -- looking

    def serving(self) -> list[SimWorker]:
        return [worker for worker in self.alive.values() if worker.ready and not worker.told_to_end]

    def generations(self) -> dict[int, int]:
        """Give the generation that serves each slot."""
        return {worker.slot: worker.generation for worker in self.serving()}

    def said(self, text: str) -> list[do.Say]:
        return [action for action in self.log if isinstance(action, do.Say) and text in action.text]

    def of_slot(self, slot: int) -> list[Ref]:
        return [who for who, worker in self.alive.items() if worker.slot == slot]
