"""csrc/scoreboard.c alone: buckets, the seqlock, the memory. The cases are functions of scoreboard_test.c."""

import pytest

SOURCES = ("tests/native/scoreboard_test.c", "csrc/scoreboard.c")


@pytest.mark.parametrize(
    "case",
    [
        "every_duration_falls_in_its_bucket",
        "the_bounds_are_those_documented",
        "texts_are_cut_and_ended",
        "a_writer_that_died_in_the_middle_stops_no_reader_and_no_successor",
        "a_reader_never_sees_half_of_two_requests",
        "several_senders_lose_no_count",
        "a_board_is_sealed_and_maps",
        "a_reader_cannot_write",
        "another_layout_and_other_files_are_refused",
        "a_reset_keeps_the_counters_and_clears_the_gauges",
    ],
)
def test_scoreboard(passes, case):
    """The sentence that the case's name is holds under the address and undefined-behaviour sanitizers."""
    assert passes("scoreboard", SOURCES, case) == ""


def test_a_torn_read_is_no_data_race(passes):
    """Reader and writer of the oldest request share atomics only, which the thread sanitizer confirms."""
    assert passes("scoreboard", SOURCES, "a_reader_never_sees_half_of_two_requests", sanitize="thread") == ""
