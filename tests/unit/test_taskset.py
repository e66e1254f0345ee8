"""asyncio's set of tasks keeps account in C as it did in Python."""

import asyncio
import gc
from weakref import WeakSet

import pytest

from forkcluster._taskset import quicken
from forkcluster.worker.loop import make_loop, run


class Thing:
    """Something that can be referred to weakly."""


def quick() -> WeakSet:
    """A set that was quickened."""
    things = WeakSet()
    quicken(things)
    return things


def test_what_was_added_is_there_until_it_dies():
    """Membership is by weak reference."""
    things, thing, other = quick(), Thing(), Thing()
    things.add(thing)
    things.add(thing)
    things.add(other)
    assert {thing, other} == set(things)
    del other
    assert [thing] == list(things)


def test_what_dies_during_an_iteration_leaves_the_set_after_it():
    """The set does not change under an iterator (WeakSet's own promise)."""
    things = quick()
    kept = [Thing() for _ in range(3)]
    for thing in kept:
        things.add(thing)
    walk = iter(things)
    next(walk)
    del thing
    kept.clear()
    assert 3 == len(things.data)
    del walk
    gc.collect()
    newest = Thing()
    things.add(newest)
    assert [newest] == list(things)
    assert 1 == len(things.data)


def test_a_removal_that_waited_is_made_by_the_next_add():
    """As in WeakSet.add."""
    things, thing = quick(), Thing()
    things.add(thing)
    guard = object()
    things._iterating.add(guard)
    del thing
    assert 1 == len(things._pending_removals)
    things._iterating.clear()
    other = Thing()
    things.add(other)
    assert ([], 1) == (things._pending_removals, len(things.data))


def test_a_set_that_is_made_otherwise_is_refused_and_left():
    """Another Python may know another WeakSet."""
    things = WeakSet()
    things._iterating = []
    with pytest.raises(TypeError, match="_iterating"):
        quicken(things)
    with pytest.raises(AttributeError):
        quicken(object())
    assert "add" not in vars(things)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_all_tasks_knows_the_tasks_of_a_loop(kind):
    """What asyncio tells about tasks is as before."""

    async def main():
        task = asyncio.create_task(asyncio.sleep(0), name="sleeper")
        before = {each.get_name() for each in asyncio.all_tasks()}
        await task
        after = {each.get_name() for each in asyncio.all_tasks()}
        return before - after

    assert {"sleeper"} == run(make_loop(kind), main())
