"""Hangs, recycling and the kernel's killings: what the master makes of what it sees."""

import pytest
from world import World

from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.hangs import Hangs, Sight, Stalls
from forkcluster.master.oom import OomCounter
from forkcluster.master.recycle import Quota, Recycling, Usage
from forkcluster.master.seats import Ref

ONE, TWO = Ref(0, 1), Ref(1, 1)


def told(hangs, now, *sights):
    return [(f.sight.who, f.expired) for f in hangs.look(sights, now)]


def test_a_request_is_told_once_for_each_limit():
    """Soft, then hard, whatever the number of looks."""
    hangs = Hangs(warn=1, timeout=3)
    sight = Sight(ONE, 100.0, "GET", "/")
    found = [told(hangs, 100 + quarter / 4, sight) for quarter in range(20)]
    assert [[(ONE, False)], [(ONE, True)]] == [each for each in found if each]


def test_the_next_request_of_the_same_worker_is_told_anew():
    """A request is named by its worker and its beginning."""
    hangs = Hangs(warn=1, timeout=0)
    assert [(ONE, False)] == told(hangs, 102, Sight(ONE, 100.0, "GET", "/"))
    assert [(ONE, False)] == told(hangs, 106, Sight(ONE, 104.0, "GET", "/"))


def test_limits_of_zero_are_off():
    """Nobody is told anything."""
    assert [] == told(Hangs(warn=0, timeout=0), 1e6, Sight(ONE, 0.0, "GET", "/"))


@pytest.mark.parametrize(
    ("quota", "usage", "why"),
    [
        (Quota(requests=10), Usage(ONE, 9, 0, 0), ""),
        (Quota(requests=10), Usage(ONE, 10, 0, 0), "max_requests: 10 served, 10 allowed"),
        (Quota(requests=10, jitter=5), Usage(ONE, 14, 0, 0), ""),
        (Quota(requests=10, jitter=5), Usage(ONE, 15, 0, 0), "max_requests: 15 served, 15 allowed"),
        (Quota(memory=300 << 20), Usage(ONE, 0, 301 << 20, 0), "max_memory: 301 MiB resident, 300 allowed"),
        (Quota(lifetime=60), Usage(ONE, 0, 0, 61), "max_lifetime: 61 s old, 60 allowed"),
        (Quota(), Usage(ONE, 10**9, 10**12, 10**9), ""),
    ],
)
def test_a_worker_is_recycled_when_it_has_used_up_a_quota(quota, usage, why):
    """Each quota by itself; the jitter is drawn once."""
    draws = iter([5])
    recycling = Recycling(quota, lambda most: next(draws) if most else 0)
    for _ in range(3):
        assert ([(ONE, why)] if why else []) == recycling.look([usage])


def test_workers_that_come_to_their_limit_together_are_replaced_one_after_another():
    """The replacement is ready first, and never more than max_surge of them are booting."""
    world = World(workers=3).boot()
    for who in list(world.alive):
        world.tell(on.WorkerLeaves(who, "max_lifetime"))
        world.tell(on.WorkerLeaves(who, "max_lifetime"))
    assert 1 == sum(1 for worker in world.alive.values() if not worker.ready)
    assert 3 == len(world.serving())
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()
    assert 3 == len(world.said("asks to be retired"))


def test_worker_that_hangs_is_told_to_drain_and_replaced_at_once():
    """Its other requests have a few seconds, then it is killed; there is no back-off."""
    world = World(workers=2).boot()
    who = world.of_slot(0)[0]
    world.tell(on.WorkerHung(who, "GET /slow without an answer for 30.2 s"))
    assert world.alive[who].told_to_end
    assert 2 == len(world.of_slot(0))
    assert ["GET /slow without an answer for 30.2 s"] == [s.fields["request"] for s in world.said("hangs")]
    world.pass_time(6)
    assert do.Kill(who) in world.log


def test_oom_counter_of_version_two(tmp_path):
    """It has risen once after each rise."""
    group = tmp_path / "app.slice" / "one"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n")
    (tmp_path / "self").write_text("0::/app.slice/one\n")
    counter = OomCounter(str(tmp_path / "self"), str(tmp_path))
    assert not counter.risen()
    (group / "memory.events").write_text("max 3\noom 2\noom_kill 2\n")
    assert [True, False] == [counter.risen(), counter.risen()]


def test_oom_counter_of_version_one_in_a_container(tmp_path):
    """The group's path is the host's; ours is the root of what is mounted."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
    (tmp_path / "self").write_text("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/docker/x\n")
    counter = OomCounter(str(tmp_path / "self"), str(tmp_path))
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill 8\n")
    assert counter.risen()


def test_without_cgroups_nothing_is_told(tmp_path):
    """No /proc is no obstacle."""
    counter = OomCounter(str(tmp_path / "none"), str(tmp_path))
    assert not counter.risen()


def test_blocked_loop_is_found_once_for_each_stall():
    """A loop that turned again and is blocked anew is a new finding; one with nothing to do is none."""
    stalls = Stalls(1.0)
    assert [] == stalls.look([(ONE, 10.0)], 11.2)
    assert [(ONE, 1.5)] == stalls.look([(ONE, 10.0)], 11.5)
    assert [] == stalls.look([(ONE, 10.0)], 12.0)
    assert [] == stalls.look([(ONE, 12.1)], 12.2)
    assert [(ONE, 2.0)] == stalls.look([(ONE, 12.5)], 14.5)
    assert [] == stalls.look([], 20.0)


def test_limit_of_nought_finds_no_blocked_loop():
    """--loop-stall-timeout 0."""
    assert [] == Stalls(0).look([(ONE, 1.0)], 100.0)
