"""The plan: (wanted, registered) to steps; in which order; what a person reads of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_option_table import defaults

from forkcluster.dataclass import replace
from forkcluster.errors import ConfigurationError
from forkcluster.manager import schedule
from forkcluster.manager.changes import between
from forkcluster.manager.plan import Known, Mode, Step, Verb, Wanted, plan, summary
from forkcluster.manager.schedule import Schedule
from forkcluster.manager.secrets import MASK

BASE = defaults(name="a", target="app:application", instances="2", env=(("A", "1"), ("TOKEN", "old")))
WANTED = Wanted("a", BASE, 2)
RUNNING = Known("a", True, BASE, 2)


def known(**changes):
    """The app as it runs, with other options."""
    return replace(RUNNING, options=replace(BASE, **changes))


@pytest.mark.parametrize(
    ("wanted", "registered", "verb", "why"),
    [
        (WANTED, None, Verb.START, "is not there yet"),
        (replace(WANTED, autostart=False), None, Verb.ADD, "autostart"),
        (WANTED, Known("a", False, state="errored"), Verb.START, "is errored"),
        (WANTED, Known("a", False), Verb.START, "is stopped"),
        (replace(WANTED, autostart=False), Known("a", False), Verb.KEEP, "autostart"),
        (replace(WANTED, autostart=False), known(target="x"), Verb.RELOAD, "options differ"),
        (WANTED, RUNNING, Verb.KEEP, "as the file says"),
        (WANTED, known(target="old:application"), Verb.RELOAD, "options differ"),
        (WANTED, known(chdir="old"), Verb.RELOAD, "options differ"),
        (WANTED, known(env=()), Verb.RELOAD, "options differ"),
        (WANTED, known(bind=("1",)), Verb.RELOAD, "options differ"),
        (WANTED, known(backlog=9), Verb.RESTART, "backlog holds from its start on"),
        (WANTED, known(backlog=9, pid="x", target="x"), Verb.RESTART, "backlog, pid hold from its start on"),
        (WANTED, replace(known(instances="1"), workers=1), Verb.SCALE, ""),
        (WANTED, replace(known(instances="1", target="x"), workers=1), Verb.RELOAD, "options differ"),
        (WANTED, known(instances="max"), Verb.KEEP, ""),  # written differently, the same number
        (WANTED, replace(RUNNING, workers=5), Verb.SCALE, "scaled by hand"),
        (WANTED, replace(RUNNING, options=None), Verb.RESTART, "another release"),
        (WANTED, replace(RUNNING, options=None, state="silent"), Verb.RESTART, "does not answer"),
        (WANTED, replace(RUNNING, options=None, state="starting"), Verb.KEEP, "is starting just now"),
        (WANTED, replace(RUNNING, differs="was started in another way"), Verb.RESTART, "in another way"),
        (WANTED, replace(RUNNING, asked="was started with no --env"), Verb.RELOAD, "with no --env"),
        (WANTED, replace(known(backlog=9), asked="with no --env"), Verb.RESTART, "backlog holds"),
        (WANTED, replace(RUNNING, ours=False, owner="x.toml"), Verb.REFUSE, "belongs to x.toml"),
    ],
)  # fmt: skip
def test_the_least_that_brings_the_file_about_is_done(wanted, registered, verb, why):
    """Nothing, a scaling, a reload, a restart, a start: in this order of harmlessness."""
    (step,) = plan([wanted], [registered] if registered else [])
    assert (verb, True) == (step.verb, why in step.why)


@pytest.mark.parametrize(
    ("mode", "registered", "verb"),
    [
        (Mode.START, None, Verb.START),
        (Mode.START, Known("a", False), Verb.START),
        (Mode.START, known(target="x"), Verb.KEEP),
        (Mode.RELOAD, None, Verb.START),
        (Mode.RELOAD, RUNNING, Verb.RELOAD),
        (Mode.RELOAD, replace(RUNNING, workers=5), Verb.RELOAD),
        (Mode.RELOAD, known(backlog=9), Verb.RELOAD),
        (Mode.RELOAD, known(exec_mode="fork", target="./x"), Verb.RESTART),
        (Mode.RELOAD, Known("a", True), Verb.RESTART),
        (Mode.RELOAD, replace(RUNNING, differs="was started without the file"), Verb.RESTART),
        (Mode.RELOAD, replace(RUNNING, asked="was started with no --env"), Verb.RELOAD),
        (Mode.RESTART, RUNNING, Verb.RESTART),
        (Mode.RESTART, Known("a", False), Verb.START),
        (Mode.RESTART, replace(RUNNING, owner="x"), Verb.REFUSE),
    ],
)
def test_a_command_may_mean_more_than_the_least(mode, registered, verb):
    """start leaves alone what runs; reload and restart take it up whether it differs or not."""
    assert verb == plan([WANTED], [registered] if registered else [], mode)[0].verb


def test_apps_that_left_the_file_are_removed_if_asked_for():
    """Only those that came from it, and only when the whole file is meant."""
    gone, other = Known("gone", True, BASE, 1), Known("other", True, BASE, 1, ours=False)
    steps = plan([WANTED], [RUNNING, gone, other], prune=True)
    assert [("a", Verb.KEEP), ("gone", Verb.REMOVE)] == [(each.name, each.verb) for each in steps]
    assert "--prune removes it" in plan([WANTED], [RUNNING, gone])[1].why
    assert 1 == len(plan([WANTED], [RUNNING, gone], prune=True, partial=True))


def test_a_plan_has_a_sentence():
    """What is counted is what is done."""
    assert "nothing to do" == summary(plan([WANTED], [RUNNING]))
    steps = plan([WANTED, replace(WANTED, name="b"), replace(WANTED, name="c")], [RUNNING])
    assert "2 to start, 1 left as it is" == summary(steps)
    assert "1 refused" == summary([Step(Verb.REFUSE, "a", "the name belongs to another file")])


def test_differences_are_shown_one_by_one_and_secrets_masked():
    """Variables each by itself: added, removed, changed; a secret that changed says so without its value."""
    after = replace(BASE, env=(("TOKEN", "new"), ("B", "2")), drain_timeout=5.0, chdir="sub", bind=("8000",))
    assert [
        "chdir: not set → sub",
        "env.A = 1, removed",
        f"env.TOKEN: {MASK} → {MASK} (another value)",
        "env.B = 2",
        "drain_timeout: 30 → 5",
        "bind: systemd's sockets, else 127.0.0.1:8000 → 8000",
    ] == [str(each) for each in between(BASE, after)]
    assert ["env: A, TOKEN → TOKEN, A"] == [
        str(each) for each in between(BASE, replace(BASE, env=BASE.env[::-1]))
    ]


# -- order


def order(depends, fail=()):
    """Run a schedule: what begins together, and what never can."""
    plan, waves, lost = Schedule(depends), [], {}
    while not plan.done:
        wave = plan.next()
        waves.append(wave)
        plan.failed |= {name for name in wave if name in fail}
        plan.ready |= {name for name in wave if name not in fail}
        lost |= dict(plan.blocked())
    return waves, lost


SHOP = {
    "web": {"api": "ready"},
    "api": {"db": "ready", "queue": "started"},
    "db": {},
    "queue": {},
    "cron": {},
}


def test_apps_begin_as_soon_as_what_they_depend_on_is_ready():
    """And what depends on nothing at once."""
    assert ([["db", "queue", "cron"], ["api"], ["web"]], {}) == order(SHOP)


def test_stopping_goes_the_other_way_round():
    """Who depends on an app goes first."""
    assert ([["web", "cron"], ["api"], ["db", "queue"]], {}) == order(schedule.turned(SHOP))


def test_what_depends_on_a_failed_app_is_not_begun():
    """Nor what depends on that; the rest is."""
    assert ([["db", "queue", "cron"]], {"api": "db", "web": "api"}) == order(SHOP, fail={"db"})


def test_started_is_enough_where_it_is_said_to_be():
    """The dependency need not be ready."""
    plan = Schedule({"a": {"b": "started"}, "b": {}})
    assert [["b"], ["a"]] == [plan.next(), plan.next()]


def test_a_part_of_the_apps_depends_on_that_part_alone():
    """--only does not start what was not named."""
    assert {"web": {}, "db": {}} == schedule.among(SHOP, {"web", "db"})


@pytest.mark.parametrize(
    ("depends", "words"),
    [
        ({"a": {"a": "ready"}}, "in a circle: a → a"),
        ({"a": {"b": "ready"}, "b": {"c": "ready"}, "c": {"a": "ready"}}, "in a circle: a → b → c → a"),
        ({"x": {"a": "ready"}, "a": {"b": "ready"}, "b": {"a": "ready"}}, "in a circle: a → b → a"),
        (
            {"web": {"apo": "ready"}, "api": {}},
            "web depends on apo, which is no app of it\n  did you mean api?",
        ),
    ],
)
def test_a_circle_and_a_missing_app_are_named(depends, words):
    """With the way round, or with what was meant."""
    with pytest.raises(ConfigurationError) as caught:
        schedule.check(depends, "f.toml")
    assert words in str(caught.value)


NAMES = st.sampled_from("abcdefg")


@given(
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.sampled_from(["ready", "started"])), min_size=1),
    st.sets(NAMES),
)
def test_a_schedule_always_comes_to_its_end(depends, fail):
    """Every app begins exactly once or is named as blocked, never before what it depends on."""
    depends = schedule.among(depends, set(depends))
    if schedule.find_circle(depends):
        return
    waves, lost = order(depends, fail)
    begun = [name for wave in waves for name in wave]
    assert sorted(depends) == sorted([*begun, *lost])
    for name in begun:
        assert all(each in begun[: begun.index(name)] for each in depends[name])
