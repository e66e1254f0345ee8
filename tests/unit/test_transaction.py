"""The steps of a reload that look at the new workers before and after they serve."""

import pytest
from world import LIMITS, World

from forkcluster.dataclass import replace
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.restarts import Rules
from forkcluster.master.roll import Outcome


def until_canary(world):
    """Ask for a reload and go on until the canary is there; give it."""
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    (canary,) = [who for who, worker in world.alive.items() if worker.generation == 2]
    return canary


def test_canary_accepts_nothing_before_it_has_passed():
    """The first new worker is forked on hold and told to listen when ready; the others listen at once."""
    world = World(workers=2).boot()
    canary = until_canary(world)
    world.ready(canary)
    world.settle()
    forks = [(a.slot, a.hold) for a in world.log if isinstance(a, do.Fork) and a.generation == 2]
    assert [(1, True), (0, False)] == forks
    assert [do.Listen(canary, 2)] == [a for a in world.log if isinstance(a, do.Listen)]


def test_old_worker_is_kept_until_the_canary_was_probed():
    """A worker on hold is no capacity."""
    world = World(workers=1, probe_timeout=5.0).boot()
    old = world.of_slot(0)[0]
    world.ready(until_canary(world))
    assert not world.alive[old].told_to_end
    world.answer_probe()
    assert world.alive[old].told_to_end


@pytest.mark.parametrize(("workers", "max_surge"), [(1, 1), (3, 1), (3, 3)])
def test_last_old_worker_stays_for_listeners_that_the_reload_drops(workers, max_surge):
    """Nobody else serves them until the commit."""
    world = World(workers, replace(LIMITS, max_surge=max_surge), drops=True).boot()
    world.tell(on.ReloadAsked())
    world.settle()
    assert [1] + [2] * workers == sorted(worker.generation for worker in world.serving())
    world.pass_time(1)
    world.settle()
    assert [2] * workers == [worker.generation for worker in world.serving()]


def test_rollback_of_a_reload_that_drops_listeners_restores_every_slot():
    """The old worker that was kept is one of them."""
    world = World(workers=2, drops=True, answers=(1, 1)).boot()
    world.tell(on.ReloadAsked())
    world.settle()
    world.pass_time(1)
    world.settle()
    assert [False] == [outcome.done for outcome in world.outcomes]
    assert [1, 1] == [worker.generation for worker in world.serving()]


def test_old_worker_serves_on_when_the_new_one_cannot_listen():
    """It is retired for a successor that accepts, not for one that has only passed."""
    world = World(workers=1, refusal="the address is in use").boot()
    (old,) = world.alive
    world.tell(on.ReloadAsked())
    world.settle()
    assert ["the address is in use"] == [outcome.reason for outcome in world.outcomes]
    assert [old] == list(world.alive)


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "dies"])
def test_somebody_serves_while_the_canary_is_probed(hangs):
    """The only old worker is lost meanwhile: another of its generation serves until the canary does."""
    world = World(workers=1, probe_timeout=60.0).boot()
    (old,) = world.alive
    canary = until_canary(world)
    world.ready(canary)
    world.probes.clear()
    world.pass_time(2)
    world.tell(on.WorkerHung(old, "GET /")) if hangs else world.end(old)
    world.settle()
    (stand_in,) = set(world.alive) - {old, canary}
    assert (1, True) == (world.alive[stand_in].generation, world.alive[stand_in].ready)
    assert not world.alive[canary].told_to_end
    world.tell(on.Probed(canary, ""))
    assert world.alive[stand_in].told_to_end
    world.settle()
    assert {0: 2} == world.generations()


def test_probe_that_is_answered_badly_rolls_back():
    """The outcome says what was asked and answered; the canary goes."""
    world = World(workers=2, probe_timeout=5.0).boot()
    canary = until_canary(world)
    world.ready(canary)
    world.answer_probe("GET /health was answered 503")
    assert world.alive[canary].told_to_end
    assert ["GET /health was answered 503"] == [outcome.reason for outcome in world.outcomes]
    world.settle()
    assert {0: 1, 1: 1} == world.generations()


def test_probe_that_is_not_answered_in_time_rolls_back():
    """probe_timeout bounds the step."""
    world = World(workers=1, probe_timeout=5.0).boot()
    world.ready(until_canary(world))
    world.pass_time(4.9)
    assert [] == world.outcomes
    world.pass_time(0.2)
    assert ["the probe was not answered"] == [outcome.what for outcome in world.outcomes]


def test_canary_that_leaves_while_it_is_probed_is_followed_by_another():
    """A direct TERM to the canary is no fault of the release."""
    world = World(workers=1, probe_timeout=5.0).boot()
    canary = until_canary(world)
    world.ready(canary)
    world.probes.clear()
    world.tell(on.WorkerLeaves(canary, "TERM"))
    world.end(canary)
    world.settle()
    world.pass_time(1)
    assert [True] == [outcome.done for outcome in world.outcomes]
    assert {0: 2} == world.generations()


@pytest.mark.parametrize(
    ("answers", "done"), [((0, 0), True), ((1, 1), False), ((9, 9), False), ((9, 8), True), ((9, 0), True)]
)
def test_new_workers_that_answer_only_5xx_are_rolled_back(answers, done):
    """One good answer, or none at all, is no reason."""
    world = World(workers=2, answers=answers).boot()
    world.tell(on.ReloadAsked())
    world.settle()
    world.pass_time(1)
    world.settle()
    assert [done] == [outcome.done for outcome in world.outcomes]
    assert {0: 2 if done else 1, 1: 2 if done else 1} == world.generations()


def test_outcome_names_every_step_with_its_time():
    """What took how long, in one block."""
    world = World(workers=2, probe_timeout=5.0).boot()
    world.tell(on.ReloadAsked())
    for seconds, move in (
        (0.5, world.configure),
        (2.0, lambda: world.load(2)),
        (0.25, lambda: world.ready(next(w for w in world.alive if world.alive[w].generation == 2))),
        (0.125, world.answer_probe),
        (1.0, world.settle),
    ):
        world.now += seconds
        move()
    world.pass_time(1)
    (outcome,) = world.outcomes
    assert (
        ("reading the configuration", 0.5),
        ("loading the application", 2.0),
        ("booting the first worker", 0.25),
        ("probing the first worker", 0.125),
        ("replacing the workers", 1.0),
        ("observing the new workers", 1.0),
    ) == outcome.steps
    assert 4.875 == outcome.seconds


def test_failed_outcome_reads_as_one_block_with_the_traceback_last():
    """The first line says what happened and what serves now."""
    steps = (("reading the configuration", 0.1234),)
    outcome = Outcome(3, False, 0.2, steps, "no luck", "Traceback\n  boom\n", ("changed: pid",), 2)
    expected = (
        "reload failed: no luck; generation 2 goes on\n  0.123 s  reading the configuration\nchanged: pid"
    )
    assert f"{expected}\nTraceback\n  boom" == outcome.text


def test_stop_during_a_reload_concludes_it():
    """Whoever waits for the reload is told."""
    world = World(workers=2).boot()
    until_canary(world)
    world.tell(on.StopAsked())
    assert [("the app is being stopped", False)] == [(each.what, each.done) for each in world.outcomes]
    assert "reload given up: the app is being stopped" == world.outcomes[0].text.splitlines()[0]


def test_app_that_fails_during_a_reload_says_why_it_is_stopped():
    """Nobody has asked for the stop."""
    rules = Rules(max_restarts=1, restart_delay=0.5)
    world = World(workers=2, limits=replace(LIMITS, rules=rules)).boot()
    world.tell(on.ReloadAsked())
    for _ in range(2):
        world.end(world.of_slot(1)[0])
        world.pass_time(0.5)
    (outcome,) = world.outcomes
    assert "workers of slot 1 died early 2 times in a row" == outcome.reason


def test_stop_waits_for_drain_delay_before_workers_are_retired():
    """A second request to stop changes nothing."""
    world = World(workers=2, limits=replace(LIMITS, drain_delay=5.0)).boot()
    world.tell(on.StopAsked())
    world.pass_time(3)
    world.tell(on.StopAsked())
    assert 2 == len(world.serving())
    world.pass_time(3)
    assert [] == world.serving()
    world.settle()
    assert 0 == world.finished
