"""The policy of fork mode under any order of events: what must hold whatever happens."""

from fleet_world import FleetWorld
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from forkcluster.master import events as on
from forkcluster.master import fleet_events as heard
from forkcluster.master.restarts import Rules


class AnyOrder(RuleBasedStateMachine):
    """Commands that crash, hang, refuse to die, and are reloaded, scaled and restarted meanwhile.

    `FleetWorld` itself asserts that a slot never has two processes that may not overlap, that nobody is asked
    twice, and that no order reaches a process that is not there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False

    @initialize(wait_ready=st.booleans(), instances=st.integers(1, 4), most=st.sampled_from((0, 2)))
    def begin(self, wait_ready: bool, instances: int, most: int) -> None:
        self.world = FleetWorld(
            instances,
            wait_ready=wait_ready,
            overlap=wait_ready,
            drain_timeout=5.0,
            boot_timeout=20.0,
            rules=Rules(max_restarts=most),
        ).begin()

    def numbers(self, **wanted) -> list[int]:
        alive = self.world.alive.items()
        return [n for n, run in alive if all(getattr(run, name) == value for name, value in wanted.items())]

    def running(self) -> bool:
        return self.world.finished is None

    @precondition(running)
    @rule()
    def reload(self) -> None:
        self.world.tell(on.ReloadAsked())

    @precondition(lambda self: self.world.readings and self.running())
    @rule(instances=st.sampled_from((None, 1, 3)), good=st.booleans())
    def configured(self, instances: int | None, good: bool) -> None:
        if good:
            self.world.configure(instances)
        else:
            self.world.tell(on.ConfigurationRefused(self.world.readings.pop(0), "no"))

    @precondition(running)
    @rule(by=st.sampled_from((1, -1)))
    def scale(self, by: int) -> None:
        self.world.tell(on.Scaled(by))

    @precondition(running)
    @rule()
    def restart(self) -> None:
        self.world.tell(on.RenewAsked())

    @rule(seconds=st.sampled_from((0.05, 0.5, 1.5, 6.0, 31.0)))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.numbers(ended=False))
    @rule(data=st.data(), code=st.sampled_from((0, 1, -9)), tree=st.booleans())
    def a_process_ends(self, data: st.DataObject, code: int, tree: bool) -> None:
        self.world.end(data.draw(st.sampled_from(self.numbers(ended=False))), code, tree=tree)

    @precondition(lambda self: self.numbers(ended=True))
    @rule(data=st.data())
    def a_tree_is_gone(self, data: st.DataObject) -> None:
        self.world.gone(data.draw(st.sampled_from(self.numbers(ended=True))))

    @precondition(lambda self: self.numbers(ended=False))
    @rule(data=st.data())
    def a_process_speaks(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.numbers(ended=False)))
        event = data.draw(st.sampled_from((heard.ProcessReady(number), heard.ProcessStopping(number))))
        self.world.tell(event)

    @precondition(lambda self: self.numbers(ended=False))
    @rule(data=st.data())
    def a_process_is_too_big(self, data: st.DataObject) -> None:
        self.world.tell(heard.ProcessLeaves(data.draw(st.sampled_from(self.numbers(ended=False))), "big"))

    @precondition(running)
    @rule(at_once=st.booleans(), luck=st.integers(0, 9))
    def stop(self, at_once: bool, luck: int) -> None:
        if luck == 0:
            self.stopped = True
            self.world.tell(on.StopAsked(at_once))

    @invariant()
    def nobody_runs_in_a_slot_that_is_not_wanted_unless_asked_to_end(self) -> None:
        if hasattr(self, "world"):
            over = [run for run in self.world.alive.values() if run.slot >= self.world.fleet.target]
            assert all(run.asked or run.ended or run.killed for run in over)

    @invariant()
    def the_fleet_knows_exactly_those_that_live(self) -> None:
        if hasattr(self, "world"):
            assert set(self.world.alive) == set(self.world.fleet.processes)

    def teardown(self) -> None:
        """Left alone, every slot comes to one ready process of one generation, or rests."""
        if not hasattr(self, "world"):
            return
        world = self.world
        if world.finished is None:
            world.settle()
        if world.finished is not None:
            assert {} == world.alive
            return
        assert not self.stopped
        fleet = world.fleet
        assert (None, 0) == (fleet.roll, fleet.renewing())
        resting = {number for number, slot in fleet.slots.items() if slot.rest}
        assert sorted(set(range(fleet.target)) - resting) == world.slots(
            generation=fleet.current, asked=False
        )
        assert len(world.outcomes) == fleet.newest_generation - 1


AnyOrder.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
