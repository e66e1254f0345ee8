"""The policy of a cluster, told as stories."""

from world import LIMITS, World

from forkcluster.errors import EXIT_APPLICATION, EXIT_OK
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.cluster import EXIT_TIMEOUT
from forkcluster.master.facts import Limits
from forkcluster.master.restarts import Rules


def test_first_boot_forks_one_worker_and_the_rest_when_it_is_ready():
    """One traceback at a broken first boot, not N."""
    world = World(workers=3)
    world.tell(on.Start())
    world.load(1)
    assert [0] == [worker.slot for worker in world.alive.values()]
    world.ready(world.of_slot(0)[0])
    assert [0, 1, 2] == sorted(worker.slot for worker in world.alive.values())


def test_boot_announces_once_when_all_slots_are_ready():
    """The start screen is for a cluster that serves."""
    world = World(workers=3).boot()
    assert [do.Announce()] == [action for action in world.log if isinstance(action, do.Announce)]


def test_import_error_at_first_boot_ends_with_one_traceback():
    """The first boot gives up at once, says the traceback once, and its exit code says whose fault it is."""
    world = World(workers=3)
    world.tell(on.Start())
    world.tell(on.MoldFailed(1, "Traceback: boom"))
    world.end_mold(1, "exited with status 1")
    assert EXIT_APPLICATION == world.finished
    assert 1 == len(world.said("boom"))


def test_mold_killed_while_loading_at_first_boot_names_the_signal():
    """A crash of the interpreter leaves no traceback; the signal is what there is to tell."""
    world = World()
    world.tell(on.Start())
    world.end_mold(1, "was killed by SIGSEGV")
    assert EXIT_APPLICATION == world.finished
    assert 1 == len(world.said("SIGSEGV"))


def test_load_that_takes_longer_than_boot_timeout_is_killed():
    """An import that hangs must not hang the start for ever."""
    world = World()
    world.tell(on.Start())
    world.pass_time(61)
    assert do.Examine(1) in world.log
    world.end_mold(1, "was killed by SIGKILL")
    assert EXIT_APPLICATION == world.finished
    assert 1 == len(world.said("not loaded within 60 s\nits stacks"))


def test_boot_that_is_given_up_ends_a_worker_that_is_on_its_way():
    """It would serve alone for ever: no mold, no reload."""
    world = World()
    world.tell(on.Start())
    world.load(1)
    (who,) = world.alive
    world.tell(on.WorkerBorn(who, 1000))
    world.end_mold(1)
    world.pass_time(1)
    (second,) = world.molds
    world.end_mold(second, "was killed by SIGKILL")
    assert world.alive[who].told_to_end
    world.end(who)
    assert EXIT_APPLICATION == world.finished


def test_mold_that_cannot_fork_twice_is_replaced():
    """It may be broken inside; the workers go on meanwhile, and the next mold fills the slot."""
    world = World().boot()
    world.pass_time(5)
    world.end(world.of_slot(1)[0])
    for _ in range(2):
        (who,) = world.of_slot(1)
        del world.alive[who]
        world.tell(on.ForkFailed(who, "Broken pipe"))
        world.pass_time(5)
    assert 1 == len(world.said("the mold cannot fork; it is replaced"))
    world.settle()
    assert {2} == set(world.molds)
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_mold_that_does_not_answer_a_fork_is_looked_after_once():
    """Somebody may have stopped it; who is only slow is left alone until boot_timeout."""
    world = World(workers=1).boot()
    world.end(world.of_slot(0)[0])
    world.pass_time(4.9)
    assert [] == [action for action in world.log if isinstance(action, do.WakeMold)]
    world.pass_time(20)
    assert [do.WakeMold(1)] == [action for action in world.log if isinstance(action, do.WakeMold)]
    world.settle()
    assert 1 == len(world.serving())


def test_mold_is_not_blamed_for_a_want_of_processes():
    """Another mold could not fork either."""
    world = World().boot()
    world.pass_time(5)
    world.end(world.of_slot(1)[0])
    for _ in range(5):
        (who,) = world.of_slot(1)
        del world.alive[who]
        world.tell(on.ForkFailed(who, "Resource temporarily unavailable", scarce=True))
        world.pass_time(40)
    assert [] == world.said("the mold cannot fork")
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_first_worker_that_fails_to_boot_ends_the_first_boot():
    """A bare mold's worker imports the app itself; the outcome is the same as for a mold."""
    world = World()
    world.tell(on.Start(bare=True))
    world.load(1)
    who = world.of_slot(0)[0]
    world.tell(on.WorkerFailed(who, "Traceback: boom"))
    world.end(who, "exited with status 1")
    world.settle()
    assert EXIT_APPLICATION == world.finished
    assert 1 == len(world.said("boom"))


def test_unforkable_mold_is_replaced_by_a_bare_one_of_its_generation():
    """Workers of a bare mold import the app themselves; the log names what was found."""
    world = World()
    world.tell(on.Start())
    world.loaded.add(1)
    world.tell(on.MoldLoaded(1, forkable=False, reasons=("2 threads",)))
    assert do.StartMold(2, 1, bare=True) == world.molds[2]
    assert {1} == world.ending_molds
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()
    assert "2 threads" == world.said("cannot be forked")[0].fields["found"]


def test_worker_that_was_ready_for_min_uptime_is_replaced_at_once():
    """A crash after a healthy time costs no waiting."""
    world = World().boot()
    world.pass_time(5)
    world.end(world.of_slot(1)[0])
    assert 1 == len(world.of_slot(1))


def test_early_deaths_in_a_row_wait_longer_and_longer():
    """The n-th early death waits 0.1 s x 2^(n-1), at most 30 s, and never gives up."""
    world = World(workers=1).boot()
    waits = []
    for _ in range(11):
        world.end(world.of_slot(0)[0])
        died = world.now
        assert [] == world.of_slot(0)
        world.pass_time(world.cluster.slots[0].start_at - world.now)
        waits.append(round(world.now - died, 3))
        world.ready(world.of_slot(0)[0])
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] == waits


def test_steady_state_never_gives_up_when_all_workers_fail_to_boot():
    """A cluster that once served goes on trying."""
    world = World(workers=2).boot()
    for _ in range(40):
        for who in list(world.alive):
            world.end(who)
        world.pass_time(31)
    assert world.finished is None
    assert 2 == len(world.alive)


def test_mold_that_dies_is_started_again_and_workers_do_not_notice():
    """The mold is needed for the next fork only."""
    world = World().boot()
    world.pass_time(5)
    world.end_mold(1, "was killed by SIGKILL")
    assert do.StartMold(2, 1, bare=False) == world.molds[2]
    assert 3 == len(world.serving())


def test_worker_that_asks_to_leave_is_replaced_before_it_is_retired():
    """A direct TERM or max_requests costs no capacity."""
    world = World().boot()
    old = world.of_slot(1)[0]
    world.tell(on.WorkerLeaves(old, "TERM"))
    assert 3 == len(world.serving())
    new = next(who for who in world.of_slot(1) if who != old)
    assert not world.alive[old].told_to_end
    world.ready(new)
    assert world.alive[old].told_to_end


def test_worker_not_ready_in_time_is_killed_and_counts_as_a_failed_boot():
    """The log says how long it was waited for."""
    world = World(workers=1).boot()
    world.pass_time(2)
    world.end(world.of_slot(0)[0])
    who = world.of_slot(0)[0]
    world.tell(on.WorkerBorn(who, 7))
    world.pass_time(60)
    assert do.Kill(who) in world.log
    world.end(who)
    assert 1 == len(world.said("not ready within 60 s"))


def test_worker_that_outstays_its_drain_is_killed():
    """Drain has an end, by which it is to end itself; a moment later it is made to."""
    world = World().boot()
    world.tell(on.StopAsked())
    world.pass_time(30)
    assert [] == [a for a in world.log if isinstance(a, do.Kill)]
    world.pass_time(EXIT_TIMEOUT)
    assert {do.Kill(who) for who in world.alive} == {a for a in world.log if isinstance(a, do.Kill)}


def test_scaling_down_never_goes_below_one():
    """TTOU at one worker is refused with a word."""
    world = World(workers=2).boot()
    for _ in range(3):
        world.tell(on.Scaled(-1))
        world.settle()
    assert [0] == sorted(world.generations())
    assert 2 == len(world.said("cannot scale"))


def test_scaling_up_adds_the_next_slot():
    """TTIN adds a worker of the present generation."""
    world = World(workers=2).boot()
    world.tell(on.Scaled(1))
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_graceful_stop_retires_workers_then_ends_the_mold():
    """Workers first, as the mold costs nothing; then exit code 0."""
    world = World().boot()
    world.tell(on.StopAsked())
    assert 3 == len([action for action in world.log if isinstance(action, do.Retire)])
    assert set() == world.ending_molds
    world.settle()
    assert EXIT_OK == world.finished


def test_stop_at_once_tells_workers_to_quit_and_kills_them_a_second_later():
    """A second INT, or QUIT, waits for nobody."""
    world = World().boot()
    world.tell(on.StopAsked())
    world.tell(on.StopAsked(at_once=True))
    assert 3 == len([action for action in world.log if isinstance(action, do.Quit)])
    world.pass_time(1)
    assert 3 == len([action for action in world.log if isinstance(action, do.Kill)])


def test_reload_replaces_newest_slot_first_and_commits_after_observing():
    """Canary in the newest slot, the others in falling order, then the old mold goes."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.settle()
    forks = [action.slot for action in world.log if isinstance(action, do.Fork) and action.generation == 2]
    assert [2, 1, 0] == forks
    assert {0: 2, 1: 2, 2: 2} == world.generations()
    assert do.Commit(2) not in world.log
    world.pass_time(1)
    assert do.Commit(2) in world.log
    world.settle()
    assert [2] == [mold.generation for mold in world.molds.values()]


def test_reload_waits_for_the_canary_before_it_touches_another_slot():
    """One new worker must have shown that the new code boots."""
    world = World(limits=LIMITS.__class__(max_surge=3)).boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    assert [2] == [worker.slot for worker in world.alive.values() if worker.generation == 2]


def test_refused_configuration_changes_nothing():
    """Step one of the transaction fails: no mold is started."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.tell(on.ConfigurationRefused(2, "unknown key"))
    assert ["unknown key"] == [outcome.reason for outcome in world.outcomes]
    assert [1] == list(world.molds)
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_reload_that_cannot_be_loaded_keeps_the_old_code_serving():
    """Step two fails: the traceback is logged and the old generation goes on."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.tell(on.MoldFailed(2, "SyntaxError"))
    world.end_mold(2, "exited with status 1")
    assert ["SyntaxError"] == [outcome.reason for outcome in world.outcomes]
    assert do.Abandon(2) in world.log
    assert {0: 1, 1: 1, 2: 1} == world.generations()
    assert [1] == list(world.molds)


def test_rollback_restores_slots_already_replaced():
    """A new worker that dies in the roll undoes all of it, from the old mold, without losing capacity."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    world.ready(next(who for who, worker in world.alive.items() if worker.generation == 2))
    assert 2 == world.generations()[2]
    second = next(who for who, w in world.alive.items() if w.generation == 2 and not w.ready)
    world.end(second)
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()
    assert [1] == [mold.generation for mold in world.molds.values()]


def test_new_worker_that_dies_while_observed_undoes_the_reload():
    """Code that kills its workers within a second is not kept."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.settle()
    world.end(next(who for who, worker in world.alive.items() if worker.generation == 2))
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_requests_during_a_reload_ask_for_exactly_one_more():
    """Three HUPs during a reload make one reload after it."""
    world = World().boot()
    for _ in range(4):
        world.tell(on.ReloadAsked())
    for _ in range(5):
        world.settle()
        world.pass_time(2)
    assert 3 == world.cluster.current
    assert {0: 3, 1: 3, 2: 3} == world.generations()


def test_third_reload_waits_while_two_generations_drain():
    """Never more than two draining generations; the log says what is waited for."""
    world = World(workers=1).boot()
    for _ in range(3):
        world.tell(on.ReloadAsked())
        world.configure()
        _load_and_ready_all(world)
        world.pass_time(1)
    assert 3 == world.cluster.current
    assert 1 == len(world.said("still draining"))
    world.end(next(who for who, worker in world.alive.items() if worker.generation == 1))
    _load_and_ready_all(world)
    world.pass_time(1)
    assert 4 == world.cluster.current


def test_reload_changes_the_number_of_workers_at_commit():
    """A changed configuration holds once the generation counts."""
    world = World(workers=2).boot()
    world.tell(on.ReloadAsked())
    world.configure(workers=4)
    world.settle()
    assert [0, 1] == sorted(world.generations())
    world.pass_time(1)
    world.settle()
    assert {0: 2, 1: 2, 2: 2, 3: 2} == world.generations()


def test_worker_whose_channel_ended_is_killed_when_it_stays():
    """A process that cannot be steered must not stay."""
    world = World().boot()
    who = world.of_slot(0)[0]
    world.tell(on.WorkerLost(who))
    world.pass_time(2)
    assert do.Kill(who) in world.log


def _load_and_ready_all(world: World) -> None:
    """Everything boots, nothing that was told to end does."""
    for mold in list(world.molds):
        if mold not in world.loaded and mold not in world.ending_molds:
            world.load(mold)
    for who, worker in list(world.alive.items()):
        if not worker.ready and not worker.told_to_end:
            world.ready(who)


def test_stop_during_the_first_boot_kills_the_loading_mold():
    """An import cannot hear EXIT; asked to stop is no failure, so the exit code is 0."""
    world = World()
    world.tell(on.Start())
    world.tell(on.StopAsked())
    assert do.KillMold(1) in world.log
    world.end_mold(1, "was killed by SIGKILL")
    assert EXIT_OK == world.finished


def test_stop_during_a_reload_ends_both_generations():
    """Nothing of an unfinished reload stays."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    world.tell(on.StopAsked())
    world.settle()
    assert EXIT_OK == world.finished


def test_mold_that_dies_in_a_roll_undoes_the_reload():
    """Without its mold the new generation cannot be completed."""
    world = World().boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    world.ready(next(who for who, worker in world.alive.items() if worker.generation == 2))
    world.end_mold(2, "was killed by SIGKILL")
    world.settle()
    assert {0: 1, 1: 1, 2: 1} == world.generations()


def test_old_mold_that_dies_in_a_roll_is_started_again_for_the_way_back():
    """A rollback needs the old generation's mold."""
    world = World().boot()
    world.pass_time(2)
    world.tell(on.ReloadAsked())
    world.configure()
    world.load(2)
    world.end_mold(1, "was killed by SIGKILL")
    assert [1, 2] == sorted(mold.generation for mold in world.molds.values())


def test_max_restarts_ends_a_cluster_only_if_it_was_asked_for():
    """Drained, with the exit code of a failed application."""
    world = World(workers=2, limits=Limits(rules=Rules(max_restarts=2, restart_delay=0.5))).boot()
    for _ in range(3):
        world.end(world.of_slot(1)[0])
        world.pass_time(0.5)
    world.settle()
    assert EXIT_APPLICATION == world.finished
