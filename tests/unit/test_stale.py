"""Which inboxes are not read, from what each look sees."""

from forkcluster.master.seats import Ref
from forkcluster.master.stale import STALE_AFTER, Watch

ONE, TWO = Ref(0, 1), Ref(1, 1)


class World:
    """Inboxes as the master sees them; `asked` counts looks into them."""

    def __init__(self):
        self.watch = Watch()
        self.depths = {}
        self.full = set()
        self.asked = 0
        self.now = 100.0

    def holds(self, who):
        self.asked += 1
        return who in self.full

    def look(self, later=STALE_AFTER):
        self.now += later
        return self.watch.look(self.depths, self.holds, self.now)


def test_worker_that_takes_nothing_for_a_quarter_of_a_second_is_stale():
    """It holds something at two looks that far apart and has taken nothing in between."""
    world = World()
    world.depths = {ONE: (3, 1), TWO: (5, 5)}
    world.full = {ONE}
    assert [] == world.look()
    assert [] == world.look(STALE_AFTER / 2)
    assert [ONE] == world.look(STALE_AFTER / 2)


def test_worker_that_takes_is_not_stale():
    """A busy inbox is never empty, but what is taken moves."""
    world = World()
    world.full = {ONE}
    for taken in range(10):
        world.depths = {ONE: (taken + 5, taken)}
        assert [] == world.look()


def test_sent_without_a_message_is_not_stale():
    """A sender that could not send has counted all the same; an empty inbox is nobody's fault."""
    world = World()
    world.depths = {ONE: (3, 1)}
    assert [[], [], []] == [world.look() for _ in range(3)]


def test_message_behind_equal_counters_is_found():
    """It arrived after its receiver had looked: the counters are equal and the inbox is not empty."""
    world = World()
    world.depths = {ONE: (0, 0)}
    world.look()
    world.depths = {ONE: (1, 1)}
    world.full = {ONE}
    assert [[], [ONE]] == [world.look(), world.look()]


def test_quiet_inboxes_are_not_looked_into():
    """Empty twice at the same count: no system call until something is sent."""
    world = World()
    world.depths = {ONE: (4, 4), TWO: (0, 0)}
    for _ in range(10):
        world.look()
    assert 4 == world.asked
    world.depths[ONE] = (5, 4)
    world.look()
    assert 5 == world.asked


def test_next_owner_of_a_seat_begins_anew():
    """What was seen of a dead worker says nothing of its successor."""
    world = World()
    world.depths = {ONE: (3, 1)}
    world.full = {ONE, Ref(0, 2)}
    world.look()
    world.depths = {Ref(0, 2): (3, 1)}
    assert [[], [Ref(0, 2)]] == [world.look(), world.look()]
