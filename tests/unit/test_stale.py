"""Which inboxes are not read and which accept queues are stranded, from what each look sees."""

import itertools

from forkcluster.master.seats import Ref
from forkcluster.master.stale import LONGEST_PAUSE, STALE_AFTER, Stranding, Watch

ONE, TWO = Ref(0, 1), Ref(1, 1)


class World:
    """Inboxes as the master sees them."""

    def __init__(self):
        self.watch = Watch()
        self.taken = {ONE: 0, TWO: 0}
        self.holding = set()
        self.now = 100.0

    def look(self, later=STALE_AFTER):
        self.now += later
        return self.watch.look(self.taken, self.holding, self.now)


def test_worker_that_takes_nothing_for_a_quarter_of_a_second_is_stale():
    """It holds something at two looks that far apart and has taken nothing in between."""
    world = World()
    world.holding = {ONE}
    assert [] == world.look()
    assert [] == world.look(STALE_AFTER / 2)
    assert [ONE] == world.look(STALE_AFTER / 2)


def test_worker_that_takes_is_not_stale():
    """A busy inbox is never empty, but what is taken moves."""
    world = World()
    world.holding = {ONE}
    for taken in range(10):
        world.taken[ONE] = taken
        assert [] == world.look()


def test_empty_inbox_is_nobodys_fault():
    """A sender that could not send, or has not yet, has counted all the same."""
    world = World()
    assert [[], [], []] == [world.look() for _ in range(3)]


def test_message_that_comes_long_after_it_was_counted_is_found():
    """Its sender was not scheduled between counting and sending, and nothing is counted any more."""
    world = World()
    for _ in range(10):
        world.look()
    world.holding = {ONE}
    assert [[], [ONE]] == [world.look(), world.look()]


def test_inbox_that_was_emptied_begins_anew():
    """What is sent after the relief is given its time, too."""
    world = World()
    world.holding = {ONE}
    assert [[], [ONE]] == [world.look(), world.look()]
    world.holding = set()
    world.look()
    world.holding = {ONE}
    assert [[], [ONE]] == [world.look(), world.look()]


def test_next_owner_of_a_seat_begins_anew():
    """What was seen of a dead worker says nothing of its successor."""
    world = World()
    world.holding = {ONE}
    world.look()
    successor = Ref(0, 2)
    world.taken = {successor: 0}
    world.holding = {successor}
    assert [[], [successor]] == [world.look(), world.look()]


def test_accept_queue_that_is_not_emptied_is_nudged_for_ever_less_often():
    """Soon at first, then twice as late each time, up to a limit; from the beginning once it was empty."""
    stranding = Stranding()
    nudges = [step for step in range(200) if stranding.look(waiting=True, now=step * STALE_AFTER)]
    pauses = [(late - early) * STALE_AFTER for early, late in itertools.pairwise(nudges)]
    assert [1, 0.5, 1.0, 2.0, 4.0, LONGEST_PAUSE] == [nudges[0], *pauses[:5]]
    assert {LONGEST_PAUSE} == set(pauses[5:])
    assert not stranding.look(waiting=False, now=50.0)
    assert [False, True] == [stranding.look(waiting=True, now=now) for now in (50.25, 50.5)]


def test_accept_queue_that_is_emptied_in_time_is_nobodys_fault():
    """Full at one look, empty at the next: everyday life."""
    stranding = Stranding()
    looks = [stranding.look(waiting=step % 2 == 0, now=step * STALE_AFTER) for step in range(20)]
    assert [False] * 20 == looks
