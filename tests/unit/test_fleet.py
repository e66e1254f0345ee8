"""The policy of fork mode, event by event."""

import pytest
from fleet_world import FleetWorld

from forkcluster.errors import EXIT_APPLICATION
from forkcluster.master import events as on
from forkcluster.master import fleet_events as heard
from forkcluster.master.restarts import Rules
from forkcluster.wire.states import State

READY = {"wait_ready": True, "overlap": True, "observe": 0.0}


def states(world):
    fleet = world.fleet
    return [
        "+".join(p.state.value for p in fleet.of(slot)) or fleet.state_of(slot).value
        for slot in sorted(fleet.slots)
    ]


def test_every_slot_gets_a_process_and_all_are_ready_after_min_uptime():
    """Starting until then; announced once."""
    world = FleetWorld(3).begin()
    assert ([0, 1, 2], ["starting"] * 3, False) == (world.slots(), states(world), world.announced)
    world.pass_time(1.0)
    assert (["ready"] * 3, True) == (states(world), world.announced)


def test_with_wait_ready_only_the_word_counts():
    """Time alone makes nobody ready."""
    world = FleetWorld(1, **READY).begin()
    world.pass_time(30)
    assert ["starting"] == states(world)
    world.tell(heard.ProcessReady(world.number_in(0)))
    assert ["ready"] == states(world)


def test_an_early_death_waits_and_stumbles_the_start():
    """Whoever waits for the start is told; the policy goes on."""
    world = FleetWorld(1).begin()
    world.end(world.number_in(0), 1)
    assert ([], ["waiting"], "the process exited with status 1") == (
        world.slots(),
        states(world),
        world.stumbled,
    )
    world.pass_time(0.1)
    assert [0] == world.slots()


def test_a_late_death_is_replaced_at_once_but_not_before_its_tree_is_gone():
    """What the last run left behind must not meet the next one."""
    world = FleetWorld(1).boot()
    first = world.number_in(0)
    world.end(first, 1, tree=False)
    assert [True] == [run.asked for run in world.alive.values()]
    world.pass_time(29.9)
    assert {first} == set(world.alive)
    world.pass_time(0.2)
    assert world.alive[first].killed
    world.gone(first)
    assert [0] == world.slots(ended=False)


@pytest.mark.parametrize("delay", [0.0, 0.5, 3600.0])
def test_a_crash_loop_becomes_errored_whatever_the_delay(delay):
    """The count is of early deaths in a row, not of deaths within a time."""
    world = FleetWorld(1, rules=Rules(max_restarts=16, restart_delay=delay)).begin()
    runs = 0
    while world.finished is None and runs < 100:
        world.end(world.number_in(0), 1)
        runs += 1
        world.wake()
    assert (17, EXIT_APPLICATION) == (runs, world.finished)


def test_one_long_run_forgives_the_early_deaths_before_it():
    """Sixteen in a row are needed."""
    world = FleetWorld(1, rules=Rules(max_restarts=2, restart_delay=0.1)).begin()
    for uptime in (0, 0, 5, 0, 0, 5, 0, 0):
        world.pass_time(uptime)
        world.end(world.number_in(0), 1)
        world.pass_time(0.1)
    assert world.finished is None


def test_an_errored_slot_rests_while_others_work_and_a_restart_forgives_it():
    """Only when nothing works any more is the app over."""
    world = FleetWorld(2, rules=Rules(max_restarts=1, restart_delay=0.1)).begin()
    world.pass_time(0.5)
    for _ in range(2):
        world.end(world.number_in(1), 1)
        world.pass_time(0.1)
    assert State.ERRORED == world.fleet.state_of(1)
    world.pass_time(100)
    assert (["ready", "errored"], None) == (states(world), world.finished)
    world.tell(on.RenewAsked())
    world.settle(20)
    assert (["ready", "ready"], 0) == (states(world), world.fleet.renewing())


@pytest.mark.parametrize(
    ("rules", "code", "expected"),
    [
        (Rules(restart="never"), 0, 0),
        (Rules(restart="never"), 3, EXIT_APPLICATION),
        (Rules(restart="never"), -9, EXIT_APPLICATION),
        (Rules(restart="on-failure"), 0, 0),
        (Rules(restart="on-failure"), 3, None),
        (Rules(stop_exit_codes=frozenset({3})), 3, 0),
        (Rules(stop_exit_codes=frozenset({3})), 4, None),
        (Rules(), 0, None),
    ],
)
def test_what_an_end_means(rules, code, expected):
    """`expected` is the master's exit code, None when the process is started again."""
    world = FleetWorld(1, rules=rules).begin()
    world.end(world.number_in(0), code)
    assert expected == world.finished


def test_a_scheduled_app_waits_for_its_time_though_nothing_runs():
    """A job with a cron expression and no autorestart."""
    world = FleetWorld(1, rules=Rules(restart="never"), scheduled=True).begin()
    world.end(world.number_in(0))
    assert (None, True, ["stopped"]) == (world.finished, world.announced, states(world))
    world.tell(on.ReloadAsked())
    world.configure()
    world.end(world.number_in(0))
    assert [True] == [outcome.done for outcome in world.outcomes]
    assert (None, ["stopped"]) == (world.finished, states(world))


def test_scaling_down_takes_the_highest_and_up_starts_the_next():
    """Slots are stable."""
    world = FleetWorld(3).boot()
    kept = world.number_in(0)
    world.tell(on.Scaled(to=1))
    assert [1, 2] == world.slots(asked=True)
    world.obey()
    world.tell(on.Scaled(by=1))
    assert ([0, 1], kept) == (world.slots(), world.number_in(0))


def test_a_reload_changes_one_slot_after_the_other_newest_first():
    """The next slot is touched only when the one before is ready."""
    world = FleetWorld(3).boot()
    world.tell(on.ReloadAsked())
    world.configure()
    for slot in (2, 1, 0):
        assert [slot] == world.slots(asked=True)
        world.obey()
        assert [slot] == world.slots(generation=2, asked=False)[:1]
        world.pass_time(0.9)
        assert [] == world.slots(asked=True)
        world.pass_time(0.1)
    assert ([True], [0, 1, 2]) == ([outcome.done for outcome in world.outcomes], world.slots(generation=2))


def test_with_overlap_the_old_process_goes_when_the_new_one_is_ready():
    """And the reload is over when it is gone."""
    world = FleetWorld(1, **READY).boot()
    old = world.number_in(0)
    world.tell(on.ReloadAsked())
    world.configure()
    (new,) = set(world.alive) - {old}
    world.pass_time(10)
    assert not world.alive[old].asked
    world.tell(heard.ProcessReady(new))
    assert world.alive[old].asked
    assert [] == world.outcomes
    world.obey()
    assert [True] == [outcome.done for outcome in world.outcomes]


def test_a_new_process_that_dies_ends_the_reload_and_the_old_one_was_never_touched():
    """With overlap nothing changes at all."""
    world = FleetWorld(2, **READY).boot()
    before = dict(world.alive)
    world.tell(on.ReloadAsked())
    world.configure()
    (new,) = set(world.alive) - set(before)
    world.end(new, 1)
    (outcome,) = world.outcomes
    assert (False, "a new process died before it was ready") == (outcome.done, outcome.what)
    assert world.blamed is not None
    assert (before, {False}) == (world.alive, {run.asked for run in world.alive.values()})


def test_without_overlap_a_failed_reload_starts_the_old_command_again():
    """Slots that were replaced already are brought back, too, one at a time."""
    world = FleetWorld(2).boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.obey()
    world.pass_time(1.0)
    assert [0] == world.slots(asked=True)
    world.obey()
    world.end(world.number_in(0), 1)
    assert [False] == [outcome.done for outcome in world.outcomes]
    assert [0] == world.slots(generation=1)
    world.settle(20)
    assert [0, 1] == world.slots(generation=1)


def test_a_new_process_that_is_not_ready_in_time_fails_the_reload():
    """PM2 took the deadline for success."""
    world = FleetWorld(1, **READY, boot_timeout=5).boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.pass_time(5)
    assert ["a new process died before it was ready"] == [outcome.what for outcome in world.outcomes]
    assert ["was not ready within 5 s" in outcome.reason for outcome in world.outcomes]
    assert [0] == world.slots(killed=True)
    world.obey()
    assert (["ready"], [0]) == (states(world), world.slots(generation=1))


def test_a_bad_configuration_changes_nothing():
    """The reload fails; nobody is touched."""
    world = FleetWorld(1).boot()
    world.tell(on.ReloadAsked())
    world.tell(on.ConfigurationRefused(2, "line 3: no such key"))
    assert (["ready"], [False]) == (states(world), [outcome.done for outcome in world.outcomes])


def test_an_address_that_cannot_be_bound_is_told_from_a_bad_configuration():
    """The machine's, not the configuration's."""
    world = FleetWorld(1).boot()
    world.tell(on.ReloadAsked())
    world.tell(on.ConfigurationRefused(2, "listening on :80: in use", bind=True))
    assert ["an address cannot be listened on"] == [outcome.what for outcome in world.outcomes]


def test_reloads_asked_for_during_one_are_one_more():
    """The latest code is brought, once."""
    world = FleetWorld(1).boot()
    for _ in range(3):
        world.tell(on.ReloadAsked())
    world.settle(20)
    assert [2, 3] == [outcome.generation for outcome in world.outcomes]


def test_a_reload_applies_the_number_of_instances():
    """Only when the configuration has changed it; scaling by hand stays otherwise."""
    world = FleetWorld(1).boot()
    world.tell(on.ReloadAsked())
    world.configure(instances=3)
    world.settle(20)
    assert [0, 1, 2] == world.slots(generation=2)


def test_processes_over_their_limit_are_replaced_one_at_a_time():
    """Both leave; the second goes when the first has a successor. It counts as a restart, with its reason."""
    world = FleetWorld(2).boot()
    for slot in (0, 1):
        world.tell(heard.ProcessLeaves(world.number_in(slot), "max_memory"))
    assert [0] == world.slots(asked=True)
    world.obey()
    world.pass_time(1)
    assert [1] == world.slots(asked=True)
    assert [(1, "max_memory")] * 2 == [(each.restarts, each.last) for each in world.fleet.slots.values()]


def test_a_crash_of_another_slot_does_not_wait_for_a_reload():
    """Only replacing takes turns; what is missing is started."""
    world = FleetWorld(3).boot()
    world.tell(on.ReloadAsked())
    world.configure()
    world.end(world.number_in(0), 1)
    assert 0 in world.slots(asked=False, ended=False)


def test_stop_asks_all_and_kills_what_stays():
    """drain_timeout is the patience; then the tree is killed."""
    world = FleetWorld(2, drain_timeout=5).boot()
    world.tell(on.StopAsked())
    assert [0, 1] == world.slots(asked=True, killed=False)
    world.pass_time(5)
    assert [0, 1] == world.slots(killed=True)
    world.obey()
    assert 0 == world.finished


def test_stop_at_once_has_a_second():
    """Also when a patient stop was asked for before."""
    world = FleetWorld(1, drain_timeout=60).boot()
    world.tell(on.StopAsked())
    world.tell(on.StopAsked(at_once=True))
    world.pass_time(1.0)
    assert [0] == world.slots(killed=True)


def test_a_command_that_cannot_be_executed_is_an_early_death():
    """It is tried again like any other."""
    world = FleetWorld(1, rules=Rules(max_restarts=1, restart_delay=0.1)).begin()
    number = world.number_in(0)
    del world.alive[number]
    world.tell(heard.SpawnFailed(number, "no such file"))
    world.pass_time(0.1)
    assert [0] == world.slots()


def test_restart_begins_only_once_and_is_over_when_all_are_replaced():
    """renewing() is what the command waits for."""
    world = FleetWorld(2).boot()
    before = set(world.alive)
    world.tell(on.RenewAsked())
    assert 2 == world.fleet.renewing()
    world.settle(20)
    assert (0, set()) == (world.fleet.renewing(), before & set(world.alive))


def exits(world):
    return {reason: count for reason, count in world.fleet.tally.exits.items() if count}


def test_ends_are_counted_by_reason_and_restarts_with_them():
    """A crash and a good end call for a restart; an end before ready is a failure to boot."""
    world = FleetWorld(1).boot()
    world.end(world.number_in(0), 1)
    world.pass_time(5)
    world.end(world.number_in(0), 0)
    world.end(world.number_in(0), 2)
    assert {"crash": 1, "exit": 1, "boot": 1} == exits(world)
    assert (3, "boot") == (world.fleet.tally.restarts, world.fleet.tally.last_restart[0])


def test_a_reload_a_restart_and_scaling_count_under_their_names():
    """Nothing of it is a fault."""
    world = FleetWorld(3).boot()
    world.tell(on.ReloadAsked())
    world.settle()
    assert ({"reload": 3}, 1) == (exits(world), world.fleet.tally.reloads[True].count)
    world.tell(on.RenewAsked())
    world.settle()
    world.tell(on.Scaled(to=1))
    world.settle()
    assert {"reload": 3, "restart": 3, "scale": 2} == exits(world)
    world.tell(on.StopAsked())
    world.settle()
    assert 1 == exits(world)["stop"]


def test_what_was_not_ready_in_time_is_counted_once():
    """As a failure to boot, not again when the kill has worked."""
    world = FleetWorld(1, **READY, boot_timeout=5.0).begin()
    world.pass_time(5)
    world.obey()
    assert {"boot": 1} == exits(world)


def test_who_has_done_its_work_is_capacity_and_who_failed_is_not():
    """What readiness asks for: slots that are as they should be."""
    world = FleetWorld(3, rules=Rules(restart="never")).boot()
    assert 3 == world.fleet.capacity()
    world.end(world.number_in(0), 0)
    assert 3 == world.fleet.capacity()
    world.end(world.number_in(1), 1)
    assert 2 == world.fleet.capacity()
