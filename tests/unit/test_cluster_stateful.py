"""The policy under any order of events: what must hold whatever happens."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from world import World

from forkcluster.master import events as on


class AnyOrder(RuleBasedStateMachine):
    """Healthy code under reloads, scaling, crashes, hangs, deadlines and slow processes.

    `World` itself asserts that no seat has two owners and that no order reaches a process that is not there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World(workers=3).boot()
        self.served: set[int] = set()
        self.crashed: set[int] = set()
        self.stopped = False

    @rule()
    def reload(self) -> None:
        self.world.tell(on.ReloadAsked())

    @precondition(lambda self: self.world.readings)
    @rule(workers=st.integers(1, 5), drops=st.booleans())
    def another_number_is_configured(self, workers: int, drops: bool) -> None:
        self.world.drops = drops
        self.world.configure(workers)

    @rule(by=st.sampled_from((1, -1)))
    def scale(self, by: int) -> None:
        self.world.tell(on.Scaled(by))

    @rule(seconds=st.sampled_from((0.05, 0.5, 1.5, 31.0)))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(data=st.data())
    def something_healthy_happens(self, data: st.DataObject) -> None:
        world = self.world
        moves = [(world.configure, ())] if world.readings else []
        moves += [(world.end_mold, (mold,)) for mold in world.ending_molds]
        moves += [(world.load, (m,)) for m in world.molds if m not in world.loaded | world.ending_molds]
        moves += [(world.end, (who,)) for who, worker in world.alive.items() if worker.told_to_end]
        moves += [(world.ready, (who,)) for who, w in world.alive.items() if not (w.ready or w.told_to_end)]
        if moves:
            move, arguments = data.draw(st.sampled_from(moves))
            move(*arguments)

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data())
    def worker_crashes(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.world.alive)))
        self.crashed.add(self.world.alive[who].slot)
        self.world.end(who)

    @precondition(lambda self: self.world.molds)
    @rule(data=st.data())
    def mold_crashes(self, data: st.DataObject) -> None:
        mold = data.draw(st.sampled_from(sorted(self.world.molds)))
        self.world.end_mold(mold, "was killed by SIGKILL")

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data())
    def worker_hangs(self, data: st.DataObject) -> None:
        """It gets a deadline at once, shorter than a drain, and is killed then; meanwhile nothing serves."""
        who = data.draw(st.sampled_from(sorted(self.world.alive)))
        self.crashed.add(self.world.alive[who].slot)
        self.world.tell(on.WorkerHung(who, "GET / without an answer for 31 s"))

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data())
    def worker_closes_its_channel(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.world.alive)))
        self.crashed.add(self.world.alive[who].slot)
        self.world.tell(on.WorkerLost(who))
        self.world.pass_time(2.1)  # then it is killed, if it has not ended by itself

    @invariant()
    def whoever_is_over_its_deadline_was_killed(self) -> None:
        for worker in self.world.cluster.workers.values():
            assert worker.deadline is None or worker.deadline > self.world.now

    @rule()
    def restart(self) -> None:
        self.world.tell(on.RenewAsked())

    @precondition(lambda self: self.world.alive)
    @rule(data=st.data())
    def worker_asks_to_leave(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.world.alive)))
        self.world.tell(on.WorkerLeaves(who, "TERM"))

    @precondition(lambda self: not self.stopped)
    @rule(at_once=st.booleans(), luck=st.integers(0, 9))
    def stop(self, at_once: bool, luck: int) -> None:
        if luck == 0:
            self.stopped = True
            self.world.tell(on.StopAsked(at_once))

    @invariant()
    def a_slot_once_served_stays_served_unless_its_worker_crashed(self) -> None:
        if self.stopped:
            return
        serving = {worker.slot for worker in self.world.serving()}
        wanted = set(range(self.world.cluster.target))
        assert self.served & wanted <= serving | self.crashed
        self.served = serving & wanted
        self.crashed -= serving

    @invariant()
    def at_most_two_other_generations_drain(self) -> None:
        roll = self.world.cluster.roll
        settled = {self.world.cluster.current, roll.generation if roll else None}
        assert len({worker.generation for worker in self.world.alive.values()} - settled) <= 2

    @invariant()
    def a_rolled_back_reload_leaves_no_mold_behind(self) -> None:
        wanted = set(self.world.cluster.generations)
        if self.stopped:
            return
        for number, mold in self.world.molds.items():
            assert mold.generation in wanted or number in self.world.ending_molds

    def teardown(self) -> None:
        """Left alone, the cluster comes to N workers of one generation; asked to stop, nothing is left."""
        world = self.world
        for _ in range(6):
            world.settle()
            world.pass_time(31)
        world.settle()
        if self.stopped:
            assert 0 == world.finished
            return
        expected = dict.fromkeys(range(world.cluster.target), world.cluster.current)
        assert expected == world.generations()
        assert world.cluster.seats.owners() == frozenset(world.alive)
        world.tell(on.StopAsked())
        world.settle()
        assert 0 == world.finished


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_any_order_of_events_keeps_the_promises = AnyOrder.TestCase
