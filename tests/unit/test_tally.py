"""What the policy counts: why workers end, and what reloads come to."""

import pytest
from world import World

from forkcluster.master import events as on


@pytest.fixture
def world():
    """A cluster of two workers, both ready."""
    return World(workers=2).boot()


def first(world):
    """The worker of slot 0."""
    return world.of_slot(0)[0]


def die(world):
    world.end(first(world))


def run_out_of_memory(world):
    who = first(world)
    del world.alive[who]
    world.tell(on.WorkerEnded(who, "was killed by SIGKILL", oom=True))


def hang(world):
    world.tell(on.WorkerHung(first(world), "GET / without an answer for 30 s"))


def reach_a_limit(world):
    world.tell(on.WorkerLeaves(first(world), "max_requests", limit=True))


def get_a_term(world):
    world.tell(on.WorkerLeaves(first(world), "SIGTERM"))


def scale_down(world):
    world.tell(on.Scaled(by=-1))


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (die, {"crash": 1}),
        (run_out_of_memory, {"oom": 1}),
        (hang, {"hang": 1}),
        (reach_a_limit, {"recycle": 1}),
        (get_a_term, {"asked": 1}),
        (lambda world: world.tell(on.RenewAsked()), {"restart": 2}),
        (lambda world: world.tell(on.ReloadAsked()), {"reload": 2}),
        (scale_down, {"scale": 1}),
        (lambda world: world.tell(on.StopAsked()), {"stop": 2}),
    ],
)
def test_every_end_of_a_worker_has_one_reason(world, happen, expected):
    """Whatever ends a worker, it is counted once, and starts less ends is what lives."""
    happen(world)
    for _ in range(4):
        world.settle()
        world.pass_time(2.0)
    assert expected == dict(world.cluster.tally.exits)
    assert len(world.alive) == world.cluster.tally.starts - sum(world.cluster.tally.exits.values())


def test_a_restart_is_told_by_slot_with_what_ended_the_last(world):
    """Deaths and limits are restarts of their slot; a reload is none."""
    world.end(first(world), "was killed by SIGSEGV")
    world.settle()
    world.tell(on.ReloadAsked())
    for _ in range(4):
        world.settle()
        world.pass_time(2.0)
    tally = world.cluster.tally
    assert (1, [0]) == (tally.restarts, list(tally.slots))
    assert (1, "crash", "was killed by SIGSEGV") == (
        tally.slots[0].restarts,
        tally.slots[0].reason,
        tally.slots[0].how,
    )


def test_a_worker_that_never_was_ready_failed_to_boot(world):
    """A death before ready is told apart from a crash."""
    world.end(first(world))
    world.pass_time(0.5)
    world.end(first(world))
    assert {"crash": 1, "boot": 1} == dict(world.cluster.tally.exits)


def test_reloads_are_counted_by_their_result(world):
    """With their seconds, and when the last one ended."""
    world.tell(on.ReloadAsked())
    world.now += 3.0
    world.tell(on.ConfigurationRefused(world.readings.pop(), "no such option"))
    tally = world.cluster.tally
    assert (0, 1, 3.0) == (
        tally.reloads[True].count,
        tally.reloads[False].count,
        tally.reloads[False].seconds,
    )
    assert (world.now, False) == tally.last_reload
