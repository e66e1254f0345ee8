"""Whether a process is started again, and when."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from forkcluster.master.restarts import Rules, Tries, Verdict

CODES = st.one_of(st.integers(0, 255), st.integers(-31, -1))
UPTIMES = st.one_of(st.none(), st.floats(0, 100))
RULES = st.builds(
    Rules,
    restart=st.sampled_from(("always", "on-failure", "never")),
    stop_exit_codes=st.frozensets(st.integers(0, 255), max_size=3),
    min_uptime=st.floats(0, 10),
    max_restarts=st.integers(0, 20),
    restart_delay=st.floats(0, 100),
    exp_backoff=st.sampled_from((0.0, 0.1, 2.0)),
)


@given(rules=RULES, ends=st.lists(st.tuples(CODES, UPTIMES), max_size=40))
def test_whatever_happens_the_rules_hold(rules, ends):
    """Never means never; early deaths in a row are bounded; a delay is one of those that were asked for."""
    tries, early = Tries(), 0
    for code, uptime in ends:
        verdict, wait = tries.after(code, uptime, rules)
        if not rules.wants(code):
            assert (Verdict.STOPPED, 0.0) == (verdict, wait)
            continue
        early = 0 if uptime is not None and uptime >= rules.min_uptime else early + 1
        exceeded = rules.max_restarts and early > rules.max_restarts
        assert (Verdict.ERRORED if exceeded else Verdict.AGAIN) == verdict
        if verdict is Verdict.AGAIN and rules.exp_backoff:
            assert rules.exp_backoff <= wait <= 15.0
        elif verdict is Verdict.AGAIN and rules.restart_delay:
            assert rules.restart_delay == wait


def test_delays_grow_by_half_up_to_fifteen_seconds_and_begin_anew_after_a_steady_run():
    """PM2's exp_backoff_restart_delay."""
    tries, rules = Tries(), Rules(max_restarts=0, exp_backoff=1.0)
    waits = [tries.after(1, 0.0, rules)[1] for _ in range(9)]
    assert 1.0 == waits[0]
    assert all(later == min(earlier * 1.5, 15.0) for earlier, later in pairwise(waits))
    assert 1.0 == tries.after(1, 30.0, rules)[1]


def test_without_any_delay_early_deaths_wait_ever_longer():
    """0.1 s, doubled each time; a long run is followed at once."""
    tries, rules = Tries(), Rules()
    assert [0.1, 0.2, 0.4] == [round(tries.after(1, None, rules)[1], 3) for _ in range(3)]
    assert 0.0 == tries.after(1, 2.0, rules)[1]
