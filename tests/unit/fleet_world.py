"""A world of processes that exist in numbers only: performs a fleet's orders and keeps their rules."""

from dataclasses import dataclass

from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master import fleet_actions as order
from forkcluster.master import fleet_events as heard
from forkcluster.master.fleet import Fleet
from forkcluster.master.fleet_facts import FleetLimits


@dataclass
class Run:
    """One process of the world. `asked`: it was told to end; `ended`: only others of its tree are left."""

    slot: int
    generation: int
    asked: bool = False
    killed: bool = False
    ended: bool = False


class FleetWorld:
    """Tells the fleet what happens and asserts that no order is impossible."""

    def __init__(self, instances=2, **limits):
        self.now = 100.0
        self.limits = FleetLimits(**limits)
        self.fleet = Fleet(instances, self.limits)
        self.alive: dict[int, Run] = {}
        self.readings: list[int] = []
        self.outcomes = []
        self.said: list[str] = []
        self.announced = False
        self.finished: int | None = None
        self.stumbled = ""
        self.blamed = None
        self.most_alive: dict[int, int] = {}

    def begin(self):
        self.tell(heard.Begin())
        return self

    def boot(self):
        """Begin, and let every process become ready."""
        self.begin()
        if self.limits.wait_ready:
            for number in list(self.alive):
                self.tell(heard.ProcessReady(number))
        else:
            self.pass_time(self.limits.rules.min_uptime)
        return self

    def tell(self, *events):
        queue = list(events)
        while queue:
            for action in self.fleet.step(queue.pop(0), self.now):
                queue += self._perform(action)

    def pass_time(self, seconds):
        """Let the time pass, stopping wherever the fleet wants to be woken."""
        end = self.now + seconds
        while (wake := self.fleet.deadline(self.now)) is not None and wake <= end:
            self.now = wake
            self.tell(on.Tick())
        self.now = end
        self.tell(on.Tick())

    def wake(self):
        """Go to the next moment at which the fleet wants to be woken, if there is one."""
        wake = self.fleet.deadline(self.now)
        if wake is not None:
            self.now = wake
            self.tell(on.Tick())

    def end(self, number, code=0, *, tree=True):
        """The process ends; with `tree`, so does all that it started."""
        run = self.alive[number]
        run.ended = True
        self.tell(
            heard.ProcessEnded(number, code, f"exited with status {code}" if code >= 0 else "was killed")
        )
        if tree:
            self.gone(number)

    def gone(self, number):
        if number in self.alive:
            assert self.alive[number].ended
            del self.alive[number]
            self.tell(heard.TreeGone(number))

    def obey(self):
        """Whatever was asked to end does."""
        while ending := [number for number, run in self.alive.items() if run.asked or run.killed]:
            for number in ending:
                run = self.alive[number]
                self.gone(number) if run.ended else self.end(number, -9 if run.killed else 0)

    def settle(self, rounds=200):
        """Let everything that was asked for happen, and new processes become ready, until nothing changes."""
        for _ in range(rounds):
            if self.finished is not None:
                return
            self.obey()
            if self.readings:
                self.configure()
            waiting = [p.number for p in self.fleet.processes.values() if p.ready_at is None and not p.ending]
            for number in waiting if self.limits.wait_ready else ():
                self.tell(heard.ProcessReady(number))
            self.pass_time(0.3)

    def configure(self, instances=None, **limits):
        generation = self.readings.pop(0)
        new = FleetLimits(**limits) if limits else self.limits
        self.tell(on.Configured(generation, instances or self.fleet.target, new))

    def slots(self, **wanted):
        """The slots of the living, asked to end or not, that are as wanted."""
        return sorted(
            run.slot for run in self.alive.values() if all(getattr(run, k) == v for k, v in wanted.items())
        )

    def number_in(self, slot):
        """The one process in a slot that was not asked to end."""
        (number,) = (
            n for n, run in self.alive.items() if run.slot == slot and not run.asked and not run.ended
        )
        return number

    def _perform(self, action):
        assert self.finished is None
        match action:
            case order.Spawn(number, slot, generation):
                assert number not in self.alive
                self.alive[number] = Run(slot, generation)
                same = [run for run in self.alive.values() if run.slot == slot]
                assert len(same) <= (2 if self.fleet.limits_of(generation).overlap else 1)
                return [heard.Spawned(number, 1000 + number)]
            case order.Ask(number):
                assert not self.alive[number].asked, "asked twice"
                self.alive[number].asked = True
            case order.Sweep(number):
                assert self.alive[number].ended
                self.alive[number].asked = True
            case order.KillTree(number):
                self.alive[number].killed = True
            case order.Stumbled(text, _):
                self.stumbled = text
            case order.Blame(slot):
                self.blamed = slot
            case do.ReadConfiguration(generation):
                self.readings.append(generation)
            case do.Conclude(outcome):
                self.outcomes.append(outcome)
            case do.Say(_, text, _):
                self.said.append(text)
            case do.Announce():
                assert not self.announced
                self.announced = True
            case do.Finish(code):
                assert not self.alive
                self.finished = code
        return []
