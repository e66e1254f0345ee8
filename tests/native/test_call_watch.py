"""csrc/watch.c alone: when a worker is stuck, and what is advised. Cases: watch_test.c."""

import pytest

SOURCES = ("tests/native/watch_test.c", "csrc/watch.c")


@pytest.mark.parametrize(
    "case",
    [
        "a_call_met_once_is_nothing",
        "a_call_met_twice_waits_or_computes",
        "who_waits_for_the_gil_is_held",
        "a_summoned_thread_that_does_not_come_has_no_gil",
        "it_looks_closely_for_a_second_after_it_met_one",
        "a_call_that_lasts_is_looked_at_less_closely",
        "it_does_not_look_after_a_second_without_calls",
        "what_is_met_for_less_than_the_least_is_nothing",
    ],
)
def test_watch(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("watch", SOURCES, case) == ""
