"""Set times, by a wall clock that may be set."""

import time

import pytest

from forkcluster.errors import ConfigurationError
from forkcluster.master.cron import Cron

pytest.importorskip("cronsim")

NOON = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))


class Clock:
    """Both clocks of a machine, and what was due."""

    def __init__(self, expression):
        self.now = 1000.0
        self.wall = NOON
        self.due = []
        self.cron = Cron(lambda: self.due.append(self.wall - NOON), lambda: self.wall)
        self.cron.configure(expression, self.now)

    def run(self, seconds):
        """Let the time pass, waking whenever asked to."""
        end = self.now + seconds
        while (wake := self.cron.deadline()) is not None and wake <= end:
            self.wall += wake - self.now
            self.now = wake
            self.cron.expire(self.now)
        self.wall += end - self.now
        self.now = end
        return self


def test_every_time_comes_once():
    """At its second, not before."""
    assert [600, 1200, 1800] == Clock("*/10 * * * *").run(1800).due


def test_six_fields_begin_with_seconds():
    """As PM2 has them."""
    assert [20, 40, 60] == Clock("*/20 * * * * *").run(60).due


def test_a_clock_that_is_set_forward_brings_the_time_nearer():
    """It is noticed within a minute."""
    clock = Clock("0 13 * * *").run(10)
    clock.wall += 3560
    clock.run(61)
    assert 1 == len(clock.due)


def test_a_time_missed_by_far_is_passed_over():
    """The machine slept: no reload at a wrong hour."""
    clock = Clock("0 13 * * *").run(10)
    clock.wall += 7200
    assert [] == clock.run(120).due


def test_without_an_expression_nothing_is_waited_for():
    """Also when a reload has taken it away."""
    clock = Clock("* * * * *")
    clock.cron.configure(None, clock.now)
    assert (None, []) == (clock.cron.deadline(), clock.run(1000).due)


def test_a_wrong_expression_is_refused():
    """By name of the field."""
    with pytest.raises(ConfigurationError, match="Bad hour"):
        Clock("0 25 * * *")
